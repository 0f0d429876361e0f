"""MobileNetV2 在 ImageNet 上预训练的权重：找到、下载、检查。文件放在 Keras 的缓存文件夹（KERAS_HOME）里。"""

import hashlib
import os
import queue
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolbox.terminal.errors import UserError
from toolbox.terminal.progress import Progress
from toolbox.weights import torchvision
from toolbox.weights.keras_layers import keras_layers
from toolbox.weights.torchvision import WeightsUnavailable

CHOICES = ("auto", "imagenet", "torchvision", "random")
KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
KERAS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{KERAS_FILE}"
TORCHVISION_FILE = "mobilenet_v2_torchvision_1.0_224_no_top.h5"
GIVE_UP_SECONDS = 8.0  # 这么久没有回音，就当地址不通
LEFTOVER_SECONDS = 600  # 这么久没有再写的临时文件，是被强行结束的运行留下的


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
    if choice == "auto":
        return _find_auto()
    if choice in _SOURCES:
        cached, obtain = _SOURCES[choice]
        try:
            path = cached() or obtain()
        except WeightsUnavailable as error:
            raise WeightsUnavailable(f"{error}{_remedy(choice)}") from None
        return _weights(choice, path)
    return _own_file(choice)


def cache_folder():
    """Keras 放权重的文件夹：KERAS_HOME/models，没有设 KERAS_HOME 就是 ~/.keras/models。"""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"


def problem_with(path):
    """检查一个 .h5 是不是 MobileNetV2 1.0 不带顶层的权重：能打开、层数与每个形状都对。

    Returns:
        None 表示没有问题，否则是中文原因。
    """
    import h5py

    expected = [list(shapes.values()) for name, shapes in keras_layers().items()]
    try:
        with h5py.File(path, "r") as file:  # 截断的文件在这里就打不开
            root = file["model_weights"] if "model_weights" in file else file  # 整个模型存成的 .h5
            groups = [root[name] for name in root.attrs["layer_names"]]
            found = [[group[weight].shape for weight in group.attrs["weight_names"]] for group in groups]
    except (OSError, KeyError, TypeError, AttributeError) as error:
        return f"不是完整的 HDF5 权重文件：{error}".replace("\n", " ")
    found = [shapes for shapes in found if shapes]
    if found == expected:
        return "带着顶层（include_top=True），这里要不带顶层的"
    if found != expected[:-1]:
        return "层数或形状与 MobileNetV2 1.0 不同"
    return None


def _find_auto():
    for name, (cached, _) in _SOURCES.items():
        if path := cached():
            print(f"权重：用缓存里的 {name}（{path}）。")
            return _weights(name, path)
    try:
        print("权重：缓存里没有，先试 Keras 官方文件（imagenet）。", flush=True)
        return _weights("imagenet", _fetch_keras())
    except WeightsUnavailable as error:
        print(f"权重：{error}改用 torchvision 的权重，由 pip 取来。", flush=True)
    return find_weights("torchvision")


def _remedy(choice):
    other = "--weights torchvision（走 pip 的镜像）" if choice == "imagenet" else "--weights imagenet"
    return (
        f"请检查网络，或改用 {other}，或在别的机器上下载 {KERAS_URL} 后用 --weights 文件.h5 指明，"
        "或先用 --weights random（准确率会很低）。"
    )


def _weights(name, path):
    return Weights(name, path, _sha256(path))


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_file(choice):
    path = Path(choice).expanduser().resolve()
    if not path.is_file():
        choices = "、".join(CHOICES)
        raise UserError(f"--weights {choice} 不是 {choices} 之一，也不是一个存在的 .h5 文件。请检查拼写或路径。")
    if path.suffix != ".h5" or path.name.endswith(".weights.h5"):  # Keras 按文件名决定用哪种读法
        raise UserError(f"{path.name} 的文件名要以 .h5 结尾，且不能是 .weights.h5。请换一个文件，或改名。")
    if problem := problem_with(path):
        raise UserError(f"{path} 不能用：{problem}。请用 {KERAS_FILE} 那样的文件。")
    return _weights(path.name, path)


def _cached_keras():
    """缓存里的 Keras 官方文件；Keras 自己不检查，下载到一半的会一直用下去，所以坏的在这里删掉。"""
    path = cache_folder() / KERAS_FILE
    if not path.exists():
        return None
    if problem := problem_with(path):
        print(f"权重：缓存里的 {path} 坏了，已删除（{problem}）。")
        path.unlink()
        return None
    return path


def _fetch_keras():
    import requests

    path = cache_folder() / KERAS_FILE
    try:
        with _written_aside(path) as aside:
            response = _within(GIVE_UP_SECONDS, lambda: requests.get(KERAS_URL, stream=True, timeout=GIVE_UP_SECONDS))
            response.raise_for_status()
            size = int(response.headers.get("Content-Length", 0))
            with open(aside, "wb") as file, Progress("下载权重", size or None, unit="B", unit_scale=True) as progress:
                for chunk in response.iter_content(1 << 16):
                    file.write(chunk)
                    progress.update(len(chunk))
            if size and aside.stat().st_size != size:
                raise WeightsUnavailable(f"Keras 官方权重只收到 {aside.stat().st_size} / {size} 字节。")
            if problem := problem_with(aside):
                raise WeightsUnavailable(f"{KERAS_URL} 给的不是权重（{problem}）。")
    except requests.HTTPError as error:
        raise WeightsUnavailable(f"下载不到 Keras 官方权重（HTTP {error.response.status_code}）。") from None
    except (requests.RequestException, TimeoutError) as error:
        raise WeightsUnavailable(f"下载不到 Keras 官方权重（{type(error).__name__}）。") from None
    return path


def _within(seconds, function):
    """在限定时间内要结果；一个主机名可有许多地址，逐个等到超时会很久。"""
    outcome = queue.Queue()

    def attempt():
        try:
            outcome.put((function(), None))
        except Exception as error:
            outcome.put((None, error))

    threading.Thread(target=attempt, daemon=True).start()
    try:
        value, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error:
        raise error
    return value


def _cached_torchvision():
    """换算好的文件；它的 SHA-256 在换算时记在旁边，对不上就重新换算。"""
    path = cache_folder() / TORCHVISION_FILE
    try:
        return path if _record(path).read_text(encoding="utf-8") == _checksum_line(path) else None
    except OSError:
        return None


def _convert_torchvision():
    path = cache_folder() / TORCHVISION_FILE
    layers = torchvision.convert(torchvision.read_pth(torchvision.fetch()))
    del layers["predictions"]
    with _written_aside(path) as aside:
        torchvision.write_h5(aside, layers)
    with _written_aside(_record(path)) as aside:
        aside.write_text(_checksum_line(path), encoding="utf-8", newline="\n")
    return path


def _record(path):
    return path.with_name(f"{path.name}.sha256")


def _checksum_line(path):
    """sha256sum 命令的格式。"""
    return f"{_sha256(path)}  {path.name}\n"


@contextmanager
def _written_aside(path):
    """给出旁边的一个临时文件名；正常结束时改成正式的名字，出错时删掉。"""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(path.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise UserError(f"权重的缓存文件夹 {path.parent} 写不进去。请把环境变量 KERAS_HOME 设成一个能写的文件夹。")
    for leftover in path.parent.glob(f".{path.name}.*.part"):
        if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
            leftover.unlink(missing_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


_SOURCES = {
    "imagenet": (_cached_keras, _fetch_keras),
    "torchvision": (_cached_torchvision, _convert_torchvision),
}
