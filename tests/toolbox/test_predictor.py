"""predictor：与 Keras 一样的答案，从不导入 TensorFlow；坏的、旧的、更新的模型文件夹各有一句话。"""

import dataclasses
import io
import itertools
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import hello_export
import hello_web_page
from conftest import LESSONS_DIR, random_pixels, save_jpeg
from small_model import LABELS, SIZE, keras_probabilities, make_old
from toolbox import model_folder, model_folder_reader, none_of_these
from toolbox.photos.read import PhotoError, read_photo
from toolbox.predictor import Predictor
from toolbox.terminal.errors import UserError
from toolbox.terminal.workers import cores


@pytest.fixture
def folder(small_model_folder):
    return small_model_folder


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copied")


@pytest.fixture
def chinese_windows(monkeypatch):
    """LiteRT 在中文 Windows 上：路径里有中文的文件打不开（它按系统的编码去读 UTF-8 的路径）。"""
    from ai_edge_litert import interpreter

    class Interpreter(interpreter.Interpreter):
        def __init__(self, model_path=None, **options):
            if model_path is not None and not model_path.isascii():
                raise ValueError(f"Could not open '{model_path}'.")
            super().__init__(model_path, **options)

    monkeypatch.setattr(interpreter, "Interpreter", Interpreter)


def test_a_chinese_path_is_no_trouble_on_windows(folder, tmp_path, chinese_windows):
    photo = save_jpeg(tmp_path / "照片.jpg", seed=1)
    answer = Predictor(shutil.copytree(folder, tmp_path / "我的模型")).predict(photo)
    assert answer.top(1) == Predictor(folder).predict(photo).top(1)


def edit_settings(folder, **changes):
    path = folder / "settings.json"
    model_folder.write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def test_answers_equal_keras_whatever_the_photo_is_given_as(folder, tmp_path):
    path = save_jpeg(tmp_path / "花.jpg", seed=3)
    predictor = Predictor(folder)
    answers = [predictor.predict(photo) for photo in (path, str(path), path.read_bytes())]
    temperature = none_of_these.load(folder).temperature
    expected = keras_probabilities(folder / "model.keras", read_photo(path, SIZE)[np.newaxis])[0]
    for answer in answers:
        np.testing.assert_allclose(answer.probabilities, none_of_these.calibrated(expected, temperature), atol=1e-4)
    assert answers[0].top(2) == [(LABELS[i], float(answer.probabilities[i])) for i in np.argsort(-expected)[:2]]
    pixels = random_pixels(3, *SIZE)
    expected = keras_probabilities(folder / "model.keras", pixels[np.newaxis])[0]
    answer = predictor.predict(pixels)
    np.testing.assert_allclose(answer.probabilities, none_of_these.calibrated(expected, temperature), atol=1e-4)


def test_known_is_what_none_of_these_says(folder, copied):
    pixels = random_pixels(2, *SIZE)
    answer = Predictor(folder).predict(pixels)
    knowledge = none_of_these.load(folder)
    expected = keras_probabilities(folder / "model.keras", pixels[np.newaxis])
    familiarity = float(knowledge.familiarity_of(answer.features[np.newaxis], expected)[0])
    for threshold, known in ((familiarity - 0.001, True), (familiarity + 0.001, False)):
        dataclasses.replace(knowledge, familiarity=threshold).save(copied)
        assert Predictor(copied).predict(pixels).known is known


def test_many_photos_come_in_order_and_bad_ones_are_errors(folder, tmp_path):
    paths = [save_jpeg(tmp_path / f"{i}.jpg", seed=i) for i in range(12)]
    paths[4].write_text("不是照片", encoding="utf-8")
    paths[7].unlink()
    predictor = Predictor(folder)
    given = list(predictor.predict_many(paths))
    assert [path for path, _ in given] == paths
    bad = {path.name: str(answer) for path, answer in given if isinstance(answer, PhotoError)}
    assert bad == {"4.jpg": "不是能识别的图片", "7.jpg": "读不了文件：No such file or directory"}
    for path, answer in given:
        if path.name not in bad:
            np.testing.assert_array_equal(answer.probabilities, predictor.predict(path).probabilities)


def test_only_a_few_photos_are_taken_ahead(folder):
    taken = []
    endless = (taken.append(seed) or random_pixels(seed, *SIZE) for seed in itertools.count())
    answers = Predictor(folder).predict_many(endless)
    for _ in range(5):
        next(answers)
    answers.close()
    assert 5 <= len(taken) <= 16 + 4 * cores() + 1


def test_tensorflow_is_never_imported(folder, tmp_path):
    photo = save_jpeg(tmp_path / "a.jpg", seed=1)
    code = (
        f"import sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        f"import hello_predict; hello_predict.main([{str(folder)!r}, {str(photo)!r}])\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'scipy', 'requests'} & {*sys.modules}\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0 and "a.jpg" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_folder_of_before_is_converted_once(folder, copied, tmp_path, capsys):
    photo = save_jpeg(tmp_path / "a.jpg", seed=1)
    make_old(copied)
    model_folder.write_predictions(
        copied, [("雏菊/1.jpg", "雏菊", "roses", 0.5), ("tulips/1.jpg", "tulips", "roses", 1)]
    )
    answer = Predictor(copied).predict(photo)
    assert "转换一次" in capsys.readouterr().err
    assert answer.labels == sorted(["雏菊", "tulips"]) and answer.known  # 类别取自 predictions.csv
    expected = keras_probabilities(copied / "model.keras", read_photo(photo, SIZE)[np.newaxis])[0]
    np.testing.assert_allclose(
        answer.probabilities, expected[[LABELS.index(name) for name in answer.labels]], atol=1e-4
    )
    assert Predictor(copied).predict(photo).probabilities.tolist() == answer.probabilities.tolist()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_damaged_keras_model_is_one_line(copied):
    make_old(copied)
    content = (copied / "model.keras").read_bytes()
    (copied / "model.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="打不开 .*model.keras，多半已损坏"):
        Predictor(copied)
    assert not (copied / "model.tflite").exists()


def cut_in_half(folder):
    path = folder / "model.tflite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_one_byte(folder):
    content = bytearray((folder / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.tflite").write_bytes(content)


def cut_in_half_without_a_hash(folder):
    cut_in_half(folder)
    edit_settings(folder, **{model_folder.LITERT_HASH: None})


BAD_FOLDERS = [
    (lambda folder: shutil.rmtree(folder), "没有模型文件夹"),
    (lambda folder: (folder / "labels.txt").unlink(), "缺 labels.txt"),
    (lambda folder: (folder / "settings.json").unlink(), "缺 settings.json"),
    (lambda folder: [(folder / name).unlink() for name in ("model.keras", "model.tflite")], "缺 model.tflite"),
    (lambda folder: edit_settings(folder, format=99), "是更新的课程写的（格式 99，这里只懂到 3）"),
    (lambda folder: (folder / "settings.json").write_text("[1"), "settings.json 读不懂"),
    (lambda folder: (folder / "settings.json").write_text("[1]"), "settings.json 读不懂"),
    (lambda folder: (folder / "labels.txt").write_bytes(b"\xff\n"), "不是 UTF-8"),
    (lambda folder: (folder / "labels.txt").write_text("雏菊\nroses\n", encoding="utf-8"), "对不上"),
    (lambda folder: model_folder.write_labels(folder, [*LABELS, "多的"]), "有 4 行，模型却有 3 个输出"),
    (lambda folder: edit_settings(folder, class_names=["郁金香"]), "对不上"),
    (lambda folder: edit_settings(folder, class_names=3), "对不上"),
    (cut_in_half, "model.tflite 已损坏"),
    (change_one_byte, "model.tflite 已损坏"),
    (cut_in_half_without_a_hash, "model.tflite 已损坏"),
    (lambda folder: (folder / "thresholds.json").unlink(), "缺了一个，或已损坏"),
]


@pytest.mark.parametrize(("spoil", "said"), BAD_FOLDERS)
def test_a_bad_folder_is_one_clear_line(copied, spoil, said):
    spoil(copied)
    with pytest.raises(UserError, match=said) as raised:
        Predictor(copied)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("lesson", [hello_export, hello_web_page])
@pytest.mark.parametrize(("spoil", "said"), BAD_FOLDERS)
def test_what_takes_a_model_away_refuses_a_bad_folder_and_writes_nothing(copied, tmp_path, lesson, spoil, said):
    spoil(copied)
    with pytest.raises(UserError, match=said):
        lesson.main([str(copied), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_features_of_another_model_are_refused(copied):
    knowledge = none_of_these.load(copied)
    dataclasses.replace(knowledge, features=np.ones((4, 7), np.float16), neighbours=1).save(copied)
    with pytest.raises(UserError, match="不是这个模型的"):
        Predictor(copied)


def test_newest_is_the_one_written_last(folder, tmp_path):
    with pytest.raises(UserError, match="还没有模型文件夹"):
        model_folder_reader.newest(tmp_path)
    for name in ("a", "b", ".c.writing"):
        shutil.copytree(folder, tmp_path / name)
    (tmp_path / "a" / "settings.json").write_bytes((folder / "settings.json").read_bytes())
    assert model_folder_reader.newest(tmp_path) == tmp_path / "a"


def test_transparent_and_upside_down_photos_are_read_as_in_training(folder):
    """与训练时同一个读法：透明处填白，按 EXIF 转正。"""
    image = Image.fromarray(random_pixels(5)).convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    predictor = Predictor(folder)
    white = predictor.predict(np.full((90, 120, 3), 255, np.uint8))
    np.testing.assert_array_equal(predictor.predict(file.getvalue()).probabilities, white.probabilities)
