"""第 1 课：真的运行 main()，断言结果。照片是画的花，权重由 pip 取来；真实照片的部分要 STUDY_KERAS_PHOTOS。"""

import csv
import errno
import json
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

import hello_transfer_learning as lesson
from conftest import LESSONS_DIR, save_jpeg
from toolbox import course, drawn_flowers, flower_photos, none_of_these
from toolbox.litert_model import LiteRTModel, run_on_photos
from toolbox.photos.folder import open_folder
from toolbox.photos.split import split_photos
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import DATA_DIR
from toolbox.terminal.run import run_main
from toolbox.weights import find
from toolbox.weights.imagenet_labels import imagenet_labels

SCRIPT = LESSONS_DIR / "hello_transfer_learning.py"
needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows 上要管理员才能建链接")
VARIANTS = [
    ["--model", "seq", "--class-mode", "categorical"],
    ["--model", "seq", "--class-mode", "sparse"],
    ["--model", "model", "--class-mode", "categorical"],
    ["--model", "model", "--class-mode", "sparse"],
    ["--model", "seq", "--trainable-base-layers", "3"],
]


@pytest.fixture(scope="module")
def trained(flowers, cache_dir, tmp_path_factory):
    """运行过一次的第 1 课（默认选项）：模型文件夹。"""
    output_dir = tmp_path_factory.mktemp("output")
    lesson.main([*options(flowers, cache_dir), "--output-dir", str(output_dir)])
    return output_dir / "mobilenetv2_transfer_seq"


def options(photos, cache_dir):
    return ["--images-dir", str(photos), "--cache-dir", str(cache_dir)]


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def predictions_of(folder):
    with open(folder / "predictions.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def run_script(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", **kwargs
    )


def test_default_run_learns_and_writes_a_complete_folder(trained):
    metrics = metrics_of(trained)
    assert 0.85 <= metrics["validation"]["accuracy"] <= 0.99
    assert metrics["train"]["photos"] + metrics["validation"]["photos"] == 400
    assert metrics["seed"] == 0 and metrics["weights"] in ("imagenet", "torchvision")
    names = {path.name for path in trained.iterdir()}
    files = "model.keras labels.txt settings.json history.csv curves.png metrics.json predictions.csv logs"
    files += " model.tflite thresholds.json training_features.npz"
    assert names == set(files.split())
    assert metrics["calibration"]["part"] == "validation" and 0 <= metrics["calibration"]["error_after"] < 0.2
    knowledge = none_of_these.load(trained)
    assert knowledge.temperature == metrics["calibration"]["temperature"] and knowledge.neighbours == 5
    assert (
        metrics["refused"] == {"validation": knowledge.refused_validation} and metrics["refused"]["validation"] <= 0.05
    )
    assert knowledge.features.shape == (320, 1280)
    settings = json.loads((trained / "settings.json").read_text(encoding="utf-8"))
    assert settings["epochs"] == 5 and len(settings["weights_sha256"]) == len(settings["photos_sha256"]) == 64
    assert len((trained / "history.csv").read_text(encoding="utf-8").splitlines()) == 6
    assert list((trained / "logs").rglob("events.out.tfevents.*"))


def test_predictions_match_files(trained, flowers):
    rows = predictions_of(trained)
    names = [row["file"] for row in rows]
    assert len(names) == len(set(names)) == metrics_of(trained)["validation"]["photos"]
    assert all(
        (flowers / name).is_file() and name.split("/")[0] == row["true"] for name, row in zip(names, rows, strict=True)
    )
    accuracy = np.mean([row["true"] == row["predicted"] for row in rows])
    assert accuracy == pytest.approx(metrics_of(trained)["validation"]["accuracy"], abs=1e-6)


@pytest.mark.slow
def test_saved_model_predicts_the_same_in_a_new_process(trained, flowers):
    """只用 Keras 与 predictions.csv 里的文件名，不用课程的任何代码读模型。"""
    script = """
import csv, sys
import numpy as np, keras
from PIL import Image
folder, photos = sys.argv[1:]
model = keras.models.load_model(folder + "/model.keras")
labels = open(folder + "/labels.txt", encoding="utf-8").read().split("\\n")
rows = list(csv.DictReader(open(folder + "/predictions.csv", encoding="utf-8-sig", newline="")))[::4]
images = [Image.open(photos + "/" + row["file"]).resize((224, 224), Image.Resampling.BILINEAR) for row in rows]
probabilities = model.predict(np.stack(images) / np.float32(127.5) - 1, verbose=0)
for row, p in zip(rows, probabilities):
    assert abs(p.max() - float(row["probability"])) < 1e-3 and labels[p.argmax()] == row["predicted"], (row, p)
print("checked", len(rows))
"""
    done = subprocess.run([sys.executable, "-c", script, str(trained), str(flowers)], capture_output=True, text=True)
    assert done.returncode == 0 and "checked" in done.stdout, done.stderr


@pytest.mark.slow
def test_training_features_are_those_of_model_tflite(trained, flowers):
    """记下的训练照片的特征来自缓存；model.tflite 从照片算出的要与它相同，不然门槛就不对。"""
    split = split_photos(open_folder(flowers).photos, 0.2, seed=0)
    converted = LiteRTModel((trained / "model.tflite").read_bytes())
    knowledge = none_of_these.load(trained)
    _, features = run_on_photos(converted, split["train"][::20])
    unit = np.sqrt(features) / np.linalg.norm(np.sqrt(features), axis=1, keepdims=True)  # ReLU 之后，没有负数
    nearest = (unit @ knowledge.features.astype(np.float32).T).argmax(axis=1)
    np.testing.assert_allclose(knowledge.features[nearest], unit, atol=1e-3)
    assert len(set(nearest)) == len(unit) == 16


def test_base_in_the_saved_model_is_the_pretrained_one(trained):
    model = keras.models.load_model(trained / "model.keras")
    base = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), include_top=False, weights=find.find_weights("auto").path
    )
    for kept, pretrained in zip(model.layers[0].weights, base.weights, strict=True):
        np.testing.assert_array_equal(kept, pretrained)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(variant).replace("--", ""))
def test_frozen_weights_stay_and_trainable_ones_move(variant, flowers, cache_dir, tmp_path, monkeypatch):
    """训练前后逐个张量比较：冻结的逐位相同，可训练的都动了（各种组合，包括基础模型的最后三层）。"""
    before = {}

    def remember(model, base, everything):
        before["model"] = model
        before["values"] = [(w, w.trainable, np.array(w)) for w in model.weights]

    monkeypatch.setattr(lesson, "show_layers", remember)
    lesson.main([*options(flowers, cache_dir), *variant, "--epochs", "2", "--output-dir", str(tmp_path)])
    trainable = {id(w) for w in before["model"].trainable_weights}
    head_statistics = {id(w) for layer in before["model"].layers if layer.name == "head_bn" for w in layer.weights}
    moved = frozen = 0
    for weight, _, value in before["values"]:
        same = np.array_equal(weight, value)
        if id(weight) in trainable | head_statistics:
            assert not same, weight.path
            moved += 1
        else:
            assert same, weight.path
            frozen += 1
    assert moved >= 4 and frozen >= 250
    if "--trainable-base-layers" in variant:
        assert any(w.path.startswith("Conv_1/") for w in before["model"].trainable_weights)
    folder = next(tmp_path.iterdir())
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    if "sparse" in variant:
        assert len(labels) == 1005 and labels[1000:] == list(drawn_flowers.CLASS_NAMES)
        assert labels[:1000] == imagenet_labels()[1:]
    else:
        assert labels == list(drawn_flowers.CLASS_NAMES)
    assert metrics_of(folder)["validation"]["accuracy"] > 0.5  # 只训练两轮；随机猜是 0.2


@pytest.mark.slow
def test_same_seed_same_numbers(flowers, cache_dir, trained, tmp_path):
    lesson.main([*options(flowers, cache_dir), "--output-dir", str(tmp_path), "--name", "again"])
    for part in ("train", "validation"):
        assert metrics_of(tmp_path / "again")[part] == metrics_of(trained)[part]
    assert (tmp_path / "again" / "predictions.csv").read_bytes() == (trained / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_end_to_end_uses_the_same_photos(photo_dir, tmp_path):
    """经典做法也跑得通，训练与预测的是同样的照片；两种做法得到同样的模型，见 frozen_prefix/test_compute.py。"""
    arguments = ["--images-dir", str(photo_dir), "--weights", "random", "--epochs", "1", "--end-to-end"]
    lesson.main([*arguments, "--output-dir", str(tmp_path)])
    folder = open_folder(photo_dir)
    held_out = sorted(folder.name(photo) for photo in split_photos(folder.photos)["validation"])
    assert [row["file"] for row in predictions_of(tmp_path / "mobilenetv2_transfer_seq")] == held_out


@pytest.mark.slow
def test_test_split_is_held_out(flowers, cache_dir, tmp_path):
    lesson.main([*options(flowers, cache_dir), "--test-split", "0.2", "--epochs", "1", "--output-dir", str(tmp_path)])
    folder = tmp_path / "mobilenetv2_transfer_seq"
    metrics = metrics_of(folder)
    assert sum(metrics[part]["photos"] for part in ("train", "validation", "test")) == 400
    assert len(predictions_of(folder)) == metrics["validation"]["photos"] + metrics["test"]["photos"]


@pytest.mark.slow
def test_given_split_is_kept(photo_dir, cache_dir, tmp_path, capsys):
    """train、val、test 已分好：不加 --given-split 就拒绝；加上，各部分就是给定的那些。"""
    given = tmp_path / "given"
    for part, numbers in {"train": range(8), "val": range(8, 10), "test": range(10, 12)}.items():
        for class_dir in photo_dir.iterdir():
            (given / part / class_dir.name).mkdir(parents=True)
            for i in numbers:
                (class_dir / f"{i:02}.jpg").rename(given / part / class_dir.name / f"{i:02}.jpg")
    arguments = [
        *options(given, cache_dir),
        "--weights",
        "random",
        "--epochs",
        "1",
        "--output-dir",
        str(tmp_path / "o"),
    ]
    with pytest.raises(UserError, match="--given-split"):
        lesson.main(arguments)
    lesson.main([*arguments, "--given-split", "--test-split", "0.2"])
    assert "已分好 test/，--test-split 不起作用" in capsys.readouterr().out
    folder = tmp_path / "o" / "mobilenetv2_transfer_seq"
    assert {part: metrics_of(folder)[part]["photos"] for part in ("train", "validation", "test")} == {
        "train": 24,
        "validation": 6,
        "test": 6,
    }
    held_out = {path.relative_to(given).as_posix() for part in ("val", "test") for path in given.glob(f"{part}/*/*")}
    assert {row["file"] for row in predictions_of(folder)} == held_out


@pytest.mark.slow
def test_own_photos_with_problems(flowers, cache_dir, tmp_path, capsys):
    """两类中文名的照片，混着坏文件：坏的点名排除，其余照常。"""
    for k, name in enumerate(("小 猫", "小 狗")):
        for i in range(10):
            save_jpeg(tmp_path / "我的 照片" / name / f"图 {i}.jpg", 100 * k + i)
    (tmp_path / "我的 照片" / "小 猫" / "坏.jpg").write_bytes(b"\xff\xd8\xff\xe0oops")
    arguments = ["--images-dir", str(tmp_path / "我的 照片"), "--cache-dir", str(cache_dir), "--epochs", "1"]
    lesson.main([*arguments, "--output-dir", str(tmp_path / "成果")])
    output = capsys.readouterr().out
    assert "小 猫/坏.jpg" in output and "排除了 1 个" in output
    metrics = metrics_of(tmp_path / "成果" / "mobilenetv2_transfer_seq")
    assert metrics["train"]["photos"] + metrics["validation"]["photos"] == 20


def test_without_photos_it_says_so_and_draws(monkeypatch, tmp_path, capsys):
    def unreachable(*_args, **_kwargs):
        raise flower_photos.DownloadFailed("地址都不通。可以用 --archive。")

    drawn = []
    monkeypatch.setattr(flower_photos, "fetch", unreachable)
    monkeypatch.setattr(drawn_flowers, "draw_folder", lambda folder: drawn.append(folder) or tmp_path)
    monkeypatch.setattr(course, "open_folder", lambda folder: folder)
    assert course.find_photos(lesson.parse_arguments([])) == tmp_path
    assert "注意：没有真实照片：地址都不通。" in capsys.readouterr().out and len(drawn) == 1
    assert course.find_photos(lesson.parse_arguments(["--drawn"])) == tmp_path and len(drawn) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--images-dir", "/没有/这个"], "不存在"),
        (["--images-dir", __file__], "是一个文件，不是文件夹"),
        (["--epochs", "0"], "选项 --epochs：要不小于 1"),
        (["--class-mode", "binary"], "没有 'binary' 这个选择"),
        (["--test-split", "0.9"], "要不大于 0.5"),
        (["--images-dir", "{photos}", "--name", "a/b"], "--name"),
        (["--images-dir", "{photos}", "--weights", "没有.h5"], "--weights 没有.h5"),
        (["--images-dir", "{photos}", "--output-dir", __file__], "是一个文件"),
        (["--images-dir", "{photos}", "--weights", "random", "--cache-dir", __file__], "文件"),
        (["--images-dir", "{photos}", "--output-dir", "{photos}/out"], "在照片文件夹里"),
        (["--drawn", "--output-dir", str(DATA_DIR / "drawn_flowers" / "out")], "在照片文件夹里"),
        (["--images-dir", "{photos}", "--weights", "random", "--trainable-base-layers", "2"], "太小"),
        (["--images-dir", ""], "--images-dir 是空的"),
        pytest.param(["--images-dir", "{photos}/loop"], "指回自己的链接", marks=needs_links),
        pytest.param(["--images-dir", "{photos}", "--output-dir", "{photos}/loop/x"], "", marks=needs_links),
        (["--given-split"], "--given-split 要与 --images-dir 一起用"),
        (["--images-dir", "{photos}", "--given-split"], "请去掉 --given-split"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, words, photo_dir):
    if os.name != "nt":
        (photo_dir / "loop").symlink_to(photo_dir / "loop")
    done = run_script(*[argument.format(photos=photo_dir) for argument in arguments])
    assert done.returncode == 2, done.stderr
    errors = done.stderr.strip().splitlines()
    assert len(errors) == 1 and errors[0].startswith("错误：") and words in errors[0]
    assert not (photo_dir / "out").exists()


@pytest.mark.slow
def test_full_disk_leaves_nothing_half_written(flowers, cache_dir, tmp_path, monkeypatch, capsys):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", full)
    arguments = [*options(flowers, cache_dir), "--epochs", "1", "--output-dir", str(tmp_path / "output")]
    with pytest.raises(SystemExit) as ending:
        run_main(lesson.main, arguments)
    assert ending.value.code == 2 and "错误：磁盘满了" in capsys.readouterr().err
    assert list((tmp_path / "output").iterdir()) == []


ON_REAL_PHOTOS = [VARIANTS[0], VARIANTS[3], VARIANTS[4]]  # 两种分类头、两种标签各有；全部的见 lesson_1_variants.json


@pytest.mark.slow
@pytest.mark.parametrize("variant", ON_REAL_PHOTOS, ids=lambda variant: "-".join(variant).replace("--", ""))
def test_real_photos_reach_the_floor(variant, real_photos, cache_dir, tmp_path):
    """各种组合都不低于 0.85；更多种子的平均与范围由 benchmarks/lesson_1_variants.py 记录。"""
    lesson.main([*options(real_photos, cache_dir), *variant, "--output-dir", str(tmp_path)])
    assert metrics_of(next(tmp_path.iterdir()))["validation"]["accuracy"] >= 0.85


@pytest.mark.slow
def test_weights_file_of_the_reader(flowers, cache_dir, tmp_path):
    own = tmp_path / "我的 权重.h5"
    own.write_bytes(find.find_weights("auto").path.read_bytes())
    with h5py.File(own) as file:
        assert len(file.attrs["layer_names"])
    lesson.main([*options(flowers, cache_dir), "--weights", str(own), "--epochs", "1", "--output-dir", str(tmp_path)])
    assert metrics_of(tmp_path / "mobilenetv2_transfer_seq")["weights"] == own.name
