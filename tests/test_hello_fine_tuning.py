"""第 3 课：真的运行 main()，断言结果。照片是画的花，权重由 pip 取来。"""

import argparse
import csv
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import keras
import numpy as np
import pytest
from PIL import Image

import hello_fine_tuning as lesson
from conftest import LESSONS_DIR, random_pixels
from toolbox import drawn_flowers, experiments
from toolbox.photos.folder import open_folder
from toolbox.photos.photo_batches import PhotoBatches
from toolbox.photos.split import split_photos
from toolbox.photos.views import CLEAN
from toolbox.terminal.errors import UserError
from toolbox.weights import find

SCRIPT = LESSONS_DIR / "hello_fine_tuning.py"
QUICK = ["--unfreeze-from", "block_16_expand", "--views", "2", "--epochs", "2", "--batch-size", "16"]
NAME = "mobilenetv2_fine_tuned"


@pytest.fixture(scope="module")
def flowers(first_flowers):
    return first_flowers(40)


@pytest.fixture(scope="module")
def quick(flowers, cache_dir):
    return ["--images-dir", str(flowers), "--cache-dir", str(cache_dir), *QUICK]


@pytest.fixture(scope="module")
def trained(flowers, cache_dir, tmp_path_factory):
    """用默认设置运行过一次的第 3 课：模型文件夹。照片这么少，微调的不一定比分类头好，总留下微调的。"""
    output_dir = tmp_path_factory.mktemp("output")
    with mock.patch.object(lesson, "keep_the_better", lambda *_: lesson.PHASES[1]):
        lesson.main(["--images-dir", str(flowers), "--cache-dir", str(cache_dir), "--output-dir", str(output_dir)])
    return output_dir / NAME


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_predictions(folder):
    with open(folder / "predictions.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def accuracies(folder):
    metrics = read_json(folder / "metrics.json")
    return {part: metrics[part] for part in ("train", "validation", "test")}


@pytest.mark.slow
def test_default_run_learns_and_writes_a_complete_folder(trained):
    metrics = read_json(trained / "metrics.json")
    assert sum(metrics[part]["photos"] for part in ("train", "validation", "test")) == 200
    assert metrics["validation"]["accuracy"] >= 0.8 and metrics["test"]["accuracy"] >= 0.8
    files = "model.keras labels.txt settings.json history.csv curves.png metrics.json predictions.csv logs"
    files += " model.tflite thresholds.json training_features.npz"
    assert {path.name for path in trained.iterdir()} == set(files.split())
    assert metrics["calibration"]["part"] == "test" and metrics["refused"]["validation"] <= 0.05
    assert set(metrics["refused"]) == {"validation", "test"}
    assert read_json(trained / "settings.json")["unfreeze_from"] == "block_13_expand"


@pytest.mark.slow
def test_predictions_are_the_held_out_photos(trained, flowers):
    rows, metrics = read_predictions(trained), read_json(trained / "metrics.json")
    names = [row["file"] for row in rows]
    assert len(set(names)) == len(names) == metrics["validation"]["photos"] + metrics["test"]["photos"]
    assert all((flowers / row["file"]).is_file() and row["file"].split("/")[0] == row["true"] for row in rows)
    right = sum(row["true"] == row["predicted"] for row in rows)
    parts = [metrics[part] for part in ("validation", "test")]
    assert right == round(sum(part["accuracy"] * part["photos"] for part in parts))


@pytest.mark.slow
def test_only_the_suffix_moved_and_batch_normalisation_is_bit_identical(trained):
    model = keras.models.load_model(trained / "model.keras")
    path = find.find_weights("auto").path
    base = keras.applications.MobileNetV2(input_shape=(224, 224, 3), include_top=False, weights=path)
    unfrozen = False
    moved, statistics = set(), 0
    for old in base.layers[1:]:  # 第一层是输入
        unfrozen = unfrozen or old.name == "block_13_expand"
        new = model.get_layer(old.name)
        pairs = list(zip(old.get_weights(), new.get_weights(), strict=True))
        if isinstance(old, keras.layers.BatchNormalization):
            statistics += 1
        if isinstance(old, keras.layers.BatchNormalization) or not unfrozen:
            for before, after in pairs:
                assert before.tobytes() == after.tobytes(), old.name
        elif pairs:
            assert all((before != after).any() for before, after in pairs), old.name
            moved.add(old.name)
    blocks = {f"block_{k}_{kind}" for k in range(13, 17) for kind in ("expand", "depthwise", "project")}
    assert moved == blocks | {"Conv_1"} and statistics == 52
    assert set(read_json(trained / "metrics.json")["moved"]) == moved | {"head_softmax"}


def test_no_photo_or_near_duplicate_in_two_parts(flowers, tmp_path):
    """每个种子都如此：相同的、重新压缩过的照片与原来的在同一部分。"""
    root = tmp_path / "photos"
    originals = [path for name in drawn_flowers.CLASS_NAMES for path in sorted((flowers / name).iterdir())[:12]]
    for path in originals:
        folder = root / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.stem}.jpg").write_bytes(path.read_bytes())
        (folder / f"{path.stem} 副本.jpg").write_bytes(path.read_bytes())
        Image.open(path).save(folder / f"{path.stem} 重新压缩.jpg", quality=60)
    photos = open_folder(root).photos
    assert len(photos) == 3 * len(originals)
    for seed in range(5):
        parts = split_photos(photos, lesson.VALIDATION, lesson.TEST, seed)
        part_of = {photo.path: part for part, members in parts.items() for photo in members}
        assert len(part_of) == len(photos) == sum(map(len, parts.values()))
        for photo in photos:
            original = photo.path.with_name(f"{photo.path.stem.split()[0]}.jpg")
            assert part_of[photo.path] == part_of[original]


def test_augmented_views_are_pure_functions_of_photo_and_seed():
    image = Image.fromarray(random_pixels(1, height=300, width=400))
    first = lesson.augment(image, (224, 224), 7)
    assert first.shape == (224, 224, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, lesson.augment(image.copy(), (224, 224), 7))
    assert len({lesson.augment(image, (224, 224), seed).tobytes() for seed in range(20)}) == 20
    views = lesson.make_views(4)
    assert views[0] is CLEAN and len({view.key for view in views}) == 4


def test_augment_keeps_at_least_half_of_the_photo():
    """红色从左到右、绿色从上到下递增的图：裁下的宽与高从颜色的跨度看得出来。"""
    columns, rows = np.meshgrid(np.arange(256), np.arange(256))
    image = Image.fromarray(np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8))
    for seed in range(50):
        view = lesson.augment(image, (224, 224), seed).astype(float)
        width, height = np.ptp(view[..., 0]) / 255, np.ptp(view[..., 1]) / 255
        assert width * height > 0.5 * (0.8 * 0.8) ** 2 * 0.95, seed  # 亮度、对比度各至多使跨度缩小到 0.8


def test_end_to_end_draws_new_augmentations_every_epoch(flowers):
    photos = open_folder(flowers).photos[:8]
    targets = np.arange(8)
    batches, again = (PhotoBatches(photos, targets, lesson.make_views(4)[1:], 4, True, 5) for _ in range(2))
    first = [batches[i] for i in range(2)]
    for i in range(2):
        np.testing.assert_array_equal(first[i][0], again[i][0])
    batches.on_epoch_end()
    second = [batches[i] for i in range(2)]
    one, two = ({int(y): x for xs, ys in epoch for x, y in zip(xs, ys, strict=True)} for epoch in (first, second))
    assert sorted(one) == sorted(two) == [*range(8)]
    assert all((one[i] != two[i]).any() for i in range(8))


@pytest.mark.slow
def test_end_to_end_trains_the_same_layers(first_flowers, tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "HEAD_EPOCHS", 4)  # 每一轮都从照片算起，很慢
    monkeypatch.setattr(lesson, "keep_the_better", lambda *_: lesson.PHASES[1])  # 照片这么少，微调的不一定好
    arguments = ["--images-dir", str(first_flowers(16)), *QUICK, "--epochs", "1"]
    lesson.main([*arguments, "--end-to-end", "--output-dir", str(tmp_path)])
    metrics = read_json(tmp_path / NAME / "metrics.json")
    block_16 = {f"block_16_{kind}" for kind in ("expand", "depthwise", "project")}
    assert set(metrics["moved"]) == block_16 | {"Conv_1", "head_softmax"}
    assert metrics["validation"]["accuracy"] > 0.4


def test_uneven_classes_weigh_the_same():
    targets = np.eye(3)[[0] * 6 + [1] * 3 + [2] * 1]
    weights = lesson.class_weights(targets, ["甲", "乙", "丙"])
    assert [weights[i] * targets[:, i].sum() for i in range(3)] == pytest.approx([10 / 3] * 3)


def test_weight_of_a_tiny_class_is_capped_and_said(capsys):
    targets = np.eye(3, dtype=np.float32)[[0] * 110 + [1] * 109 + [2] * 3]
    weights = lesson.class_weights(targets, ["甲", "乙", "丙"])
    assert weights[2] == lesson.MOST_WEIGHT and weights[0] == pytest.approx(222 / 3 / 110)
    shown = capsys.readouterr().out
    assert "类别 丙 只有 3 张训练照片" in shown and "顶 25 张" in shown and shown.count("注意") == 1
    lesson.class_weights(targets[:219, :2], ["甲", "乙"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("tuned_losses", "better"), [([0.9, 0.4, 0.7], 1), ([0.9, 0.8], 0), ([float("nan")] * 2, 0), ([0.5], 1)]
)
def test_the_better_of_the_two_is_kept(tuned_losses, better, monkeypatch, capsys):
    """比的是验证损失：分类头最后一轮的，与微调最好一轮的；留下哪一个，权重就是哪一个的。"""

    def search(network, batches):
        network.set_weights([np.full((2, 1), 9.0)])  # 试学习率会改动权重
        return [], [], 2e-3

    monkeypatch.setattr(lesson, "find_learning_rate", search)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    alone, tuned = [np.full((2, 1), 1.0, np.float32)], [np.full((2, 1), 2.0, np.float32)]
    model.set_weights(tuned)
    args = argparse.Namespace(learning_rate=3e-4)
    histories = [{"val_loss": [0.3, 0.5]}, {"val_loss": tuned_losses}]
    kept = lesson.keep_the_better(model, model, {"train": []}, args, alone, histories)
    shown = capsys.readouterr().out
    assert kept == lesson.PHASES[better] and f"留下{kept}之后的模型" in shown
    np.testing.assert_array_equal(model.get_weights()[0], (alone, tuned)[better][0])
    assert ("建议：--learning-rate 1e-04" in shown) is (better == 0)


@pytest.mark.slow
def test_worse_fine_tuning_is_not_saved(quick, tmp_path, capsys):
    """学习率大到毁了网络：存下的是只训练分类头的，基础模型逐位没有动。"""
    lesson.main([*quick, "--learning-rate", "0.5", "--output-dir", str(tmp_path)])
    metrics = read_json(tmp_path / NAME / "metrics.json")
    assert metrics["kept"] == lesson.PHASES[0] and set(metrics["moved"]) == {"head_softmax"}
    assert metrics["validation"]["accuracy"] >= 0.7
    shown = capsys.readouterr().out
    suggested = float(shown.split("建议：--learning-rate ")[1].split("，")[0])
    assert 0 < suggested < 0.5 and "===== 小结 =====" in shown and "错得最有把握的" in shown
    with open(tmp_path / NAME / "history.csv", encoding="utf-8-sig", newline="") as file:
        phases = [row["phase"] for row in csv.DictReader(file)]
    assert phases == [lesson.PHASES[0]] * lesson.HEAD_EPOCHS + [lesson.PHASES[1]] * 2


def test_learning_rate_warms_up_and_falls():
    rates = [float(lesson.warm_up_and_cosine(1e-3, 100)(step)) for step in range(100)]
    assert np.argmax(rates) == 10 and max(rates) == pytest.approx(1e-3)
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert rates[-1] < 1e-6 < rates[0]


@pytest.mark.slow
def test_find_lr_draws_its_curve_and_suggests(quick, tmp_path, capsys):
    old = tmp_path / f"{NAME}_learning_rate.png"
    old.write_bytes(b"old")  # 上一次画的，要换掉
    lesson.main([*quick, "--find-lr", "--output-dir", str(tmp_path)])
    assert old.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}_learning_rate.png"]
    suggested = float(capsys.readouterr().out.split("建议：--learning-rate ")[1].split("。")[0])
    assert 1e-5 <= suggested <= 3e-2


@pytest.mark.slow
def test_wrong_layer_is_one_line_listing_the_right_ones(quick, tmp_path):
    arguments = [*quick, "--unfreeze-from", "block_99", "--output-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, encoding="utf-8")
    errors = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(errors) == 1 and errors[0].startswith("错误：基础模型里没有 block_99")
    assert "block_13_expand" in errors[0] and "Conv_1" in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_a_layer_after_which_nothing_can_be_trained_is_refused():
    args = lesson.parse_arguments(["--unfreeze-from", "out_relu"])
    weights, folder = SimpleNamespace(path=None), SimpleNamespace(class_names=["a", "b"])
    with pytest.raises(UserError, match="out_relu.*没有可以训练的权重.*block_16_expand"):
        lesson.new_model(args, folder, weights)


@pytest.mark.slow
def test_killed_repeats_resume_and_agree_with_single_runs(quick, tmp_path, monkeypatch):
    """第二个种子训练完、还没保存时被杀：再运行一次，第一个种子不重做，结果与单独运行相同。"""
    arguments = [*quick, "--epochs", "1", "--repeats", "2", "--output-dir", str(tmp_path)]
    killer = f"""
import os, sys
import hello_fine_tuning as lesson
movement = lesson.movement
def killed(model, before):
    if os.path.exists({str(tmp_path / (NAME + "_seed0"))!r}):
        os._exit(9)
    return movement(model, before)
lesson.movement = killed
lesson.main({arguments!r})
"""
    environment = {**os.environ, "PYTHONPATH": str(LESSONS_DIR), "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", killer], env=environment, capture_output=True)
    assert done.returncode == 9
    finished = tmp_path / f"{NAME}_seed0" / "metrics.json"
    before = finished.stat().st_mtime_ns
    assert not (tmp_path / f"{NAME}_seed1").exists() and not (tmp_path / f"{NAME}_repeats.json").exists()

    lesson.main(arguments)
    assert finished.stat().st_mtime_ns == before
    summary = read_json(tmp_path / f"{NAME}_repeats.json")
    runs = [accuracies(tmp_path / f"{NAME}_seed{seed}") for seed in (0, 1)]
    tests = [run["test"]["accuracy"] for run in runs]
    assert summary["test"]["values"] == tests and summary["test"]["mean"] == pytest.approx(np.mean(tests))
    assert not list(tmp_path.glob(".*.writing"))
    lesson.main(arguments)  # 都做完了再运行一次：什么也不重做，小结照样写出
    assert finished.stat().st_mtime_ns == before and read_json(tmp_path / f"{NAME}_repeats.json") == summary
    lesson.main([*quick, "--epochs", "1", "--seed", "1", "--name", "alone", "--output-dir", str(tmp_path)])
    assert accuracies(tmp_path / "alone") == runs[1]
    names = ("alone", f"{NAME}_seed1")
    once, again = (keras.models.load_model(tmp_path / name / "model.keras") for name in names)
    for a, b in zip(once.get_weights(), again.get_weights(), strict=True):  # 同一个种子，逐位相同
        assert a.tobytes() == b.tobytes()


@pytest.mark.slow
def test_other_settings_are_not_taken_for_finished(trained, flowers):
    folder, weights = open_folder(flowers), find.find_weights("auto")
    arguments = ["--output-dir", str(trained.parent)]
    same = lesson.parse_arguments(arguments)
    assert experiments.finished(same, folder, weights) == read_json(trained / "metrics.json")
    other = lesson.parse_arguments([*arguments, "--learning-rate", "1e-4"])
    assert experiments.finished(other, folder, weights) is None
    folder.photos.pop()
    assert experiments.finished(same, folder, weights) is None
