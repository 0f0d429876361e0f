"""第 5 课：真的写出报告，数与训练时的对得上；类激活图与数值导数、与花的位置对得上。"""

import csv
import importlib.util
import json
import re
import runpy
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import hello_report as lesson
from conftest import PROJECT_DIR
from toolbox import held_out
from toolbox.flower_painting.backgrounds import paint_background
from toolbox.flower_painting.heads import SPECIES, draw_head
from toolbox.held_out import find_held_out
from toolbox.photos.folder import open_folder
from toolbox.report import page
from toolbox.report.answers import answer
from toolbox.report.network import Network, load_network
from toolbox.saved_run import open_run
from toolbox.terminal.run import run_main

KINDS = {  # 与 tests/test_hello_predict.py 的相同，各只训练一次
    "seq": (1,),
    "model": (1, "--model", "model", "--class-mode", "sparse"),
    "tuned": (3, "--views", "1", "--unfreeze-from", "block_16_expand"),
}
FIGURES = {"confusion.png", "curves.png", "map.png", "reliability.png"}


@pytest.fixture(scope="module")
def flowers(first_flowers):
    return first_flowers(40)


@pytest.fixture(scope="module")
def trained(model_folder_of):
    """trained(kind)：训练好的模型文件夹，不要改它。"""
    return lambda kind: model_folder_of(*KINDS[kind])


@pytest.fixture(scope="module")
def network_of(trained):
    """network_of(kind)：读回来的 Network，每种只读一次。"""
    networks = {}

    def load(kind):
        if kind not in networks:
            networks[kind] = load_network(trained(kind))
        return networks[kind]

    return load


def predictions(folder):
    with open(folder / "predictions.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def read_page(folder):
    return (folder / page.PAGE_FILE).read_text(encoding="utf-8")


def fails(arguments, capsys):
    """运行，断言退出码 2、标准错误只有一行中文；返回这一行。"""
    with pytest.raises(SystemExit) as ending:
        run_main(lesson.main, arguments)
    error = capsys.readouterr().err.strip().splitlines()
    assert ending.value.code == 2 and len(error) == 1 and error[0].startswith("错误：")
    return error[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_says_what_predictions_say(kind, trained, tmp_path):
    folder, rows = trained(kind), predictions(trained(kind))
    lesson.main([str(folder), "--out", str(tmp_path / "报告")])
    assert {path.name for path in (tmp_path / "报告").iterdir()} == FIGURES | {page.PAGE_FILE}
    html = read_page(tmp_path / "报告")
    right = sum(row["true"] == row["predicted"] for row in rows)
    assert f"没有参加训练的 {len(rows)} 张照片，模型认对了 {right} 张" in html
    classes = sorted({row[key] for row in rows for key in ("true", "predicted")})
    table = re.search(r'<table class="confusion">.*?</table>', html, re.DOTALL)[0]
    counts = [
        sum(row["true"] == a and row["predicted"] == b for row in rows) for a in classes for b in classes
    ]  # 五种花按字母排，也是输出的顺序；sparse 的 1,005 个输出里只列出这五个
    assert [int(count) for count in re.findall(r"<b>(\d+)</b>", table)] == [count for count in counts if count]
    assert len(re.findall("<td class=", table)) == len(classes) ** 2
    assert html.count("<title>") - 1 == len(rows)  # 二维图上每张一个
    assert "照片与训练时不同" not in html
    numbers = runpy.run_path(str(PROJECT_DIR / "benchmarks" / "report.py"))["NUMBERS"]
    assert all(re.search(pattern, html) for pattern in numbers.values())  # 量速度的脚本也照样读得懂这一页
    assert not re.findall(r"https?://(?!www\.w3\.org/)", html)  # 那是 SVG 的名字空间，不是要去取的地址


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_the_training_run(kind, trained, network_of):
    run = open_run(trained(kind))
    answers, training = answer(network_of(kind), run, find_held_out(run))
    rows = predictions(trained(kind))
    assert [row.file for row in answers.held_out.rows] == [row["file"] for row in rows]
    np.testing.assert_allclose(answers.confidence, [float(row["probability"]) for row in rows], atol=1e-3)
    metrics = run.metrics
    for part in ("validation", "test"):
        assert answers.held_out.where(part).sum() == metrics.get(part, {"photos": 0})["photos"]
    assert len(training) == metrics["train"]["photos"] and training.shape[1] == 1280


@pytest.mark.slow
def test_folder_of_a_version_before(trained, network_of, tmp_path):
    """只有那时就有的文件：没有 model.tflite、thresholds.json；温度现在由验证照片定。"""
    folder = tmp_path / "before"
    shutil.copytree(trained("model"), folder)
    for name in ("model.tflite", "thresholds.json", "training_features.npz"):
        (folder / name).unlink(missing_ok=True)
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    for name in ("format", "class_names"):
        settings.pop(name, None)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    run = open_run(folder)
    answers, _ = answer(network_of("model"), run, find_held_out(run))
    photos = run.metrics["validation"]["photos"]
    assert run.temperature is None and answers.temperature_from == f" {photos} 张验证照片"
    assert 0.05 <= answers.temperature <= 20 and answers.temperature != open_run(trained("seq")).temperature


@pytest.mark.slow
def test_photos_moved_gone_and_changed_are_named(trained, flowers, tmp_path, capsys):
    rows, moved = predictions(trained("seq")), tmp_path / "搬走了"
    shutil.copytree(flowers, moved)
    gone, changed = [row["file"] for row in rows[:2]], rows[-1]["file"]
    for name in gone:
        (moved / name).unlink()
    Image.new("RGB", (200, 200), "navy").save(moved / changed)
    lesson.main([str(trained("seq")), "--images-dir", str(moved), "--out", str(tmp_path / "report")])
    out, html = capsys.readouterr().out, read_page(tmp_path / "report")
    assert (
        f"不在了的照片 2 张，报告里没有：{gone[0]}、{gone[1]}" in out
        and f"内容改过的照片 1 张，报告里没有：{changed}" in out
    )
    notice = html.split('<section class="notice">')[1].split("</section>")[0]
    assert all(f"<li>{name}</li>" in notice for name in [*gone, changed])
    assert f"没有参加训练的 {len(rows)} 张照片" in html and html.count("<title>") - 1 == len(rows) - 3


@pytest.mark.slow
def test_hardly_any_photo_left_unchanged(trained, flowers, tmp_path, capsys, monkeypatch):
    """留出的只剩一张；连这一张也改过：照样写出来。"""
    rows, moved = predictions(trained("seq")), tmp_path / "搬走了"
    shutil.copytree(flowers, moved)
    for row in rows[1:]:
        (moved / row["file"]).unlink()
    command = [str(trained("seq")), "--images-dir", str(moved), "--out", str(tmp_path / "report")]
    lesson.main(command)
    assert f"不在了的照片 {len(rows) - 1} 张" in capsys.readouterr().out
    assert read_page(tmp_path / "report").count("<title>") == 2
    monkeypatch.setattr(held_out, "SAME_PROBABILITY", -1)
    lesson.main(command)
    assert f"内容改过的照片 1 张，报告里没有：{rows[0]['file']}" in capsys.readouterr().out
    assert read_page(tmp_path / "report").count("<title>") == 1


def test_a_map_of_hardly_any_photo():
    for count in range(3):
        assert lesson.map_of_photos(np.ones((count, 8))).shape == (count, 2)


@pytest.mark.slow
def test_without_any_photo_the_numbers_still_come(trained, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(trained("seq"), folder)
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    settings["images_dir"] = str(tmp_path / "不在了")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    lesson.main([str(folder)])
    assert "--images-dir" in capsys.readouterr().out
    assert {path.name for path in (folder / "report").iterdir()} == {page.PAGE_FILE, "confusion.png", "curves.png"}
    assert "也不在 不存在" in fails([str(folder), "--images-dir", str(tmp_path / "也不在")], capsys)


def test_bad_input_is_one_line(tmp_path, photo_dir, capsys, monkeypatch):
    assert "不是完整的模型文件夹" in fails([str(photo_dir)], capsys)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else found(name))
    error = fails([str(tmp_path)], capsys)
    assert "scikit-learn" in error and "-m pip install -r" in error and "report.txt" in error and "Jinja2" not in error


def small_model(hidden):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    dense = [layers.Dense(width, activation="relu") for width in hidden]
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, strides=4, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    for layer in [*dense, layers.Dropout(0.5), layers.Dense(4, activation="softmax")]:
        x = layer(x)
    return keras.Model(image, x)


@pytest.mark.parametrize("hidden", [[], [12, 8]], ids=["一层", "三层"])
def test_activation_map_equals_the_numerical_derivative(hidden):
    """每个通道在每一处各加减一点，得分的变化除以加减的量；取平均，乘特征图，相加，去掉负的。"""
    network = Network(small_model(hidden))
    maps = np.random.default_rng(0).random((3, 4, 4, 6)).astype(np.float32)
    outputs, step = [0, 3, 1], 1e-2
    expected = np.zeros((3, 4, 4))
    for n, output in enumerate(outputs):
        for channel in range(6):
            slopes = []
            for place in np.ndindex(4, 4):
                change = np.zeros_like(maps[n : n + 1])
                change[(0, *place, channel)] = step
                up, down = (network.head(maps[n : n + 1] + sign * change).numpy() for sign in (1, -1))
                slopes.append((up - down)[0, output] / (2 * step))
            expected[n] += np.mean(slopes) * maps[n, ..., channel]
    found = lesson.class_activation_maps(network.head, maps, outputs)
    assert found.max() > 0
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=2e-5)


def test_parts_of_the_network_agree_with_the_model():
    model = small_model([12, 8])
    network, pixels = Network(model), np.random.default_rng(1).uniform(-1, 1, (5, 16, 16, 3)).astype(np.float32)
    maps = network.to_map(pixels).numpy()
    through_map, through_pooled = network.head(maps), network.probabilities(maps.mean(axis=(1, 2)))
    np.testing.assert_allclose(keras.ops.softmax(through_map), through_pooled, atol=1e-6)
    np.testing.assert_allclose(through_pooled, model.predict(pixels, verbose=0), atol=1e-6)


def painted(folder):
    """每一类四张：一种背景，一角一朵花。返回 [(类别, (左, 上, 边长))]，占 224x224 的哪里。"""
    places = []
    for name in SPECIES:
        (folder / name).mkdir(parents=True)
        for k, (left, top) in enumerate([(8, 8), (104, 8), (8, 104), (104, 104)]):
            rng = np.random.default_rng([k, len(name)])
            photo, head = paint_background(rng, 224, 224), draw_head(SPECIES[name], rng, 112)
            photo.paste(head, (left, top), head)
            photo.save(folder / name / f"{k}.png")
            places.append((name, (left, top, 112)))
    return places


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_looks_at_the_flower(kind, network_of, trained, tmp_path):
    """花占四分之一的面积；类激活图落在花上的，平均要明显多于四分之一（1.6 倍以上）。"""
    network, run = network_of(kind), open_run(trained(kind))
    places = painted(tmp_path)
    photos = open_folder(tmp_path).photos
    (maps,) = lesson.look(network, run, photos, [[photo.class_name for photo in photos]])
    inside = []
    for heat, (_, (left, top, side)) in zip(maps, places, strict=True):
        large = np.asarray(Image.fromarray(heat).resize((224, 224), Image.Resampling.BILINEAR))
        if large.sum() > 0:
            inside.append(large[top : top + side, left : left + side].sum() / large.sum())
    assert len(inside) >= 16 and np.mean(inside) > 0.4


def test_nearest_photos_by_cosine():
    training = np.array([[1.0, 0, 0], [0, 10, 0], [0.9, 0.1, 0]])
    np.testing.assert_array_equal(lesson.nearest(np.array([[5.0, 0, 0], [0, 1, 0.1]]), training, 2), [[0, 2], [1, 2]])


def test_map_keeps_groups_together_and_is_repeatable():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 15)
    features = (10 * np.eye(3)[groups] @ random.normal(size=(3, 20)) + random.normal(size=(45, 20))).astype(np.float32)
    points = lesson.map_of_photos(features)
    assert points.min() == 0 and points.max() == 1
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(45)
    assert (groups[distances.argmin(axis=1)] == groups).all()
    np.testing.assert_array_equal(points, lesson.map_of_photos(features))
