"""第 6 课：每个格式都与 Keras 答得一样，旁边的 README 照抄就能运行；答得不一样就什么也不写出。"""

import csv
import dataclasses
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hello_export
from toolbox import litert_model
from toolbox.export import certificate, runtimes
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import folder_written_aside, sha256_of

pytestmark = pytest.mark.slow  # 五种格式都要转换、运行
CLASSES = ["daisy", "roses", "tulips"]
HELD_OUT = 3  # 每类


def tiny_model():
    """很小的模型，结构与课程的一样：卷积、全局平均池化、softmax；概率有高有低。"""
    from tensorflow import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((224, 224, 3))
    x = keras.layers.Conv2D(8, 5, strides=16, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(
        image,
        keras.layers.Dense(
            3, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=4, seed=1)
        )(x),
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    from conftest import save_jpeg

    root = tmp_path_factory.mktemp("照片")
    for k, name in enumerate(CLASSES):
        for i in range(8):
            save_jpeg(root / name / f"{i}.jpg", seed=100 * k + i)
    return root


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("模型") / "tiny"
    folder.mkdir()
    model = tiny_model()
    model.save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(litert_model.convert(model))
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    settings = {"format": 2, "class_names": CLASSES, "images_dir": str(photos)}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    metrics = {"validation": {"photos": len(CLASSES) * HELD_OUT}}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    with open(folder / "predictions.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "true", "predicted", "probability"])
        writer.writerows([f"{name}/{i}.jpg", name, name, 1] for name in CLASSES for i in range(HELD_OUT))
    return folder


@pytest.fixture(scope="module")
def exported(model_dir, tmp_path_factory):
    for format in hello_export.FORMATS:
        if missing := runtimes.missing_packages(format):
            pytest.skip(f"没有装 {'、'.join(missing)}（requirements/export.txt）")
    out = tmp_path_factory.mktemp("导出") / "export"
    hello_export.main([str(model_dir), "--out", str(out)])
    return out


def test_every_format_is_certified_on_every_held_out_photo(exported):
    rows, kept, images_dir = certificate.read(exported)
    assert list(rows) == list(hello_export.FORMATS)
    names = [f"{name}/{i}.jpg" for name in CLASSES for i in range(HELD_OUT)]
    assert kept["names"].tolist() == names
    assert kept["sha256"].tolist() == [sha256_of(Path(images_dir) / name) for name in names]
    for format, entry in rows.items():
        assert entry["photos"] == 3 * HELD_OUT and entry["bytes"] > 0 and entry["sha256"]
        if format in certificate.EXACT:
            assert entry["largest_difference"] < 1e-4 and entry["same_top_class"] == 1
        assert entry["largest_difference"] < 0.05
    assert rows["litert-int8"]["bytes"] < rows["litert"]["bytes"]


@pytest.mark.parametrize("format", hello_export.FORMATS)
def test_the_readme_runs_as_written(exported, format):
    (code,) = re.findall(r"```python\n(.*?)```", (exported / format / "README.md").read_text("utf-8"), flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        cwd=exported / format,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert sorted(line.split(" ")[0] for line in done.stdout.splitlines()) == CLASSES


def test_class_names_are_inside(exported):
    import zipfile

    import onnx

    for format in ("litert", "litert-fp16", "litert-int8"):
        with zipfile.ZipFile(exported / format / "model.tflite") as archive:
            assert archive.read("labels.txt").decode().splitlines() == CLASSES
    (labels,) = [
        prop.value for prop in onnx.load(exported / "onnx" / "model.onnx").metadata_props if prop.key == "labels"
    ]
    assert labels.splitlines() == CLASSES


def test_int8_is_integers_from_end_to_end(exported):
    interpreter = litert_model.new_interpreter((exported / "litert-int8" / "model.tflite").read_bytes())
    assert interpreter.get_input_details()[0]["dtype"] == interpreter.get_output_details()[0]["dtype"] == np.uint8
    assert not [d["name"] for d in interpreter.get_tensor_details() if d["dtype"] in (np.float32, np.float16)]


def test_int8_is_calibrated_on_training_photos_only(model_dir, tmp_path, monkeypatch):
    seen = []
    tell = spy(hello_export.checked_pixels, lambda photo: seen.append(photo.path))
    monkeypatch.setattr(hello_export, "checked_pixels", tell)
    found = hello_export.held_out.find(model_dir)
    options = hello_export.int8(found.training)

    class Converter:
        target_spec = type("Spec", (), {})()

    options(converter := Converter())
    assert sum(1 for _ in converter.representative_dataset()) == len(found.training) == 15
    assert not {path.name for path in seen} & {"0.jpg", "1.jpg", "2.jpg"}


def test_int8_takes_pixels_as_they_are_even_when_every_photo_is_dim(model_dir, tmp_path, monkeypatch):
    """输入是 uint8：它的刻度要正好是 1，像素才不会读错。照片都暗时，只照它们定的范围太窄。"""
    checked = hello_export.checked_pixels
    monkeypatch.setattr(hello_export, "checked_pixels", lambda photo: checked(photo) // 3 + 20)
    with folder_written_aside(tmp_path / "out") as out:
        found = hello_export.held_out.find(model_dir)
        model = hello_export.with_preprocessing(hello_export.model_folder.load_keras_model(model_dir / "model.keras"))
        hello_export.export("litert-int8", model, CLASSES, out / "int8", found.training)
    interpreter = litert_model.new_interpreter((tmp_path / "out" / "int8" / "model.tflite").read_bytes())
    assert interpreter.get_input_details()[0]["quantization"] == (1.0, 0)


def test_int8_needs_training_photos(model_dir, tmp_path, monkeypatch):
    found = hello_export.held_out.find(model_dir)
    monkeypatch.setattr(hello_export.held_out, "find", lambda *_: dataclasses.replace(found, training=[]))
    with pytest.raises(UserError, match="训练照片都不在了.*--formats"):
        hello_export.main([str(model_dir), "--out", str(tmp_path / "out"), "--formats", "litert-int8"])
    assert not (tmp_path / "out").exists()


def test_the_pixels_on_disk_are_those_of_the_photos(model_dir, tmp_path):
    found = hello_export.held_out.find(model_dir)
    found.write_pixels(tmp_path / "pixels.npy")
    expected = np.stack([hello_export.checked_pixels(photo) for photo in found.photos])
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy", mmap_mode="r"), expected)


def test_a_readers_own_file_in_a_format_folder_is_not_lost(exported, model_dir, tmp_path):
    out = shutil.copytree(exported, tmp_path / "export")
    assert hello_export.target_folder(out) == out
    (out / "litert" / "我的.py").write_text("print(1)", encoding="utf-8")
    with pytest.raises(UserError, match="litert/我的.py.*弄丢"):
        hello_export.main([str(model_dir), "--out", str(out), "--formats", "litert"])
    assert (out / "litert" / "我的.py").exists()


def spy(function, tell):
    def wrapped(argument):
        tell(argument)
        return function(argument)

    return wrapped


def test_a_float32_export_that_answers_differently_is_refused(model_dir, tmp_path, monkeypatch, capsys):
    def wrong(format, folder, pixels_file):
        expected = tiny_model().predict(np.load(pixels_file) / np.float32(127.5) - 1, verbose=0)
        return np.eye(3, dtype=np.float32)[expected.argmin(axis=1)], 1.0, 1

    monkeypatch.setattr(runtimes, "measure", wrong)
    monkeypatch.setattr(hello_export, "OUTPUT_DIR", model_dir.parent)
    with pytest.raises(UserError, match=r"litert 与 Keras 的答案不同：9 张中有 \d+ 张，如 .*jpg.*什么也没有写出"):
        hello_export.main(["--out", str(tmp_path / "out"), "--formats", "litert"])  # 不写模型文件夹：用最新的
    assert capsys.readouterr().out.startswith(f"模型文件夹：{model_dir}\n")
    assert list(tmp_path.iterdir()) == []


def test_the_same_class_with_other_probabilities_is_not_the_same_answer():
    expected = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    given = expected + np.float32([[0.0005, -0.0005], [-0.05, 0.05]])
    certificate.check_exact("litert-int8", given, expected, ["一.jpg", "二.jpg"])
    with pytest.raises(UserError, match="2 张中有 1 张，如 二.jpg"):
        certificate.check_exact("onnx", given, expected, ["一.jpg", "二.jpg"])


@pytest.mark.parametrize(("format", "says"), [("litert-int8", "litert-fp16"), ("litert-fp16", "")])
def test_a_large_loss_of_accuracy_is_said(format, says):
    entry = {"keras_accuracy": 0.9, "accuracy": 0.87}
    assert "0.030" in certificate.advice(format, entry) and says in certificate.advice(format, entry)
    assert certificate.advice(format, entry | {"accuracy": 0.881}) is None


@pytest.fixture
def taken_away(exported, photos, tmp_path):
    """另一台机器：只有导出的文件夹与照片，都换了地方，没有模型文件夹。"""
    shutil.copytree(photos, tmp_path / "photos")
    return shutil.copytree(exported, tmp_path / "export"), tmp_path / "photos"


def verify(export, photos):
    hello_export.main(["--verify", str(export), "--images-dir", str(photos)])


def test_verify_again_later_where_only_the_export_and_the_photos_are(taken_away, capsys):
    verify(*taken_away)
    assert capsys.readouterr().out.count("与当时相同") == len(hello_export.FORMATS)


def test_verify_notices_a_changed_file(taken_away):
    export, photos = taken_away
    with open(export / "litert" / "model.tflite", "r+b") as file:
        file.seek(5000)
        file.write(b"x")
    with pytest.raises(UserError, match="litert model.tflite 变了"):
        verify(export, photos)


def test_verify_notices_class_names_in_another_order(taken_away):
    export, photos = taken_away
    names = export / "onnx" / "labels.txt"
    names.write_text("".join(reversed(names.read_text("utf-8").splitlines(keepends=True))), encoding="utf-8")
    with pytest.raises(UserError, match="onnx labels.txt 变了"):
        verify(export, photos)


def test_verify_names_photos_that_are_gone_or_changed(taken_away):
    export, photos = taken_away
    (photos / "roses" / "1.jpg").unlink()
    shutil.copyfile(photos / "daisy" / "0.jpg", photos / "tulips" / "2.jpg")
    with pytest.raises(UserError, match=r"有 2 张照片不见了或变了，如 roses/1\.jpg、tulips/2\.jpg"):
        verify(export, photos)


class Dangerous:
    def __reduce__(self):
        return print, ("运行了",)


def without_keras(export):
    kept = dict(np.load(export / certificate.KEPT))
    np.savez(export / certificate.KEPT, **{name: value for name, value in kept.items() if name != "keras"})


def one_row_less(export):
    kept = dict(np.load(export / certificate.KEPT))
    np.savez(export / certificate.KEPT, **kept | {"litert": kept["litert"][1:]})


BAD_EXPORTS = [
    lambda export: (export / certificate.FILE).unlink(),
    lambda export: (export / certificate.KEPT).unlink(),
    lambda export: (export / certificate.FILE).write_text("[]", encoding="utf-8"),
    lambda export: (export / certificate.FILE).write_text('{"formats": {"litert": 3}}', encoding="utf-8"),
    lambda export: (export / certificate.FILE).write_text('{"formats": {}}', encoding="utf-8"),
    lambda export: (export / certificate.KEPT).write_bytes(b"PK\x03\x04"),
    lambda export: (export / certificate.KEPT).write_bytes(pickle.dumps(Dangerous())),
    lambda export: np.savez_compressed(export / certificate.KEPT, **np.load(export / certificate.KEPT)),
    lambda export: (export / certificate.FILE).write_text(
        (export / certificate.FILE).read_text("utf-8").replace('"images_dir"', '"x"'), encoding="utf-8"
    ),
    without_keras,
    one_row_less,
]


@pytest.mark.parametrize("spoil", BAD_EXPORTS)
def test_a_damaged_export_is_one_line(taken_away, capsys, spoil):
    spoil(taken_away[0])
    with pytest.raises(UserError, match="已损坏"):
        verify(*taken_away)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda model: (model / "predictions.csv").unlink(), "缺 .*predictions.csv"),
        (lambda model: (model / "model.keras").write_bytes(b"x"), "打不开 .*model.keras，多半已损坏"),
        (lambda model: (model / "metrics.json").write_text("{", encoding="utf-8"), "metrics.json 不见了，或读不懂"),
    ],
)
def test_a_half_deleted_model_folder_is_one_line_and_nothing_is_written(model_dir, tmp_path, spoil, said):
    model = shutil.copytree(model_dir, tmp_path / "model")
    spoil(model)
    with pytest.raises(UserError, match=said):
        hello_export.main([str(model), "--out", str(tmp_path / "out"), "--formats", "litert"])
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_serving_would_receive_is_answered(exported, capsys):
    hello_export.main(["--verify", str(exported), "--serve-check"])
    said = capsys.readouterr().out
    assert '"signature_name": "serving_default", "instances": [[[[' in said
    assert '"signature_name": "jpeg", "instances": [{"b64": "' in said
    assert said.count('应答：{"predictions": [{') == 2 and "答案都与证书里的相同" in said


def test_missing_packages_leave_the_other_formats(monkeypatch, capsys):
    monkeypatch.setattr(runtimes, "missing_packages", lambda format: ["onnxruntime"] if format == "onnx" else [])
    assert hello_export.usable(["litert", "onnx"]) == ["litert"]
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(UserError, match="都缺包"):
        hello_export.usable(["onnx"])
