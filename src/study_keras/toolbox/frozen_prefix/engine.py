"""怎样运行冻结部分：CPU 上每个核一个单线程的 LiteRT 解释器，GPU 上成批交给 Keras。"""

import hashlib
import json
from pathlib import Path

import numpy as np

from toolbox.frozen_prefix.store import ELSEWHERE
from toolbox.litert_model import LiteRTModel, convert_graph
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import write_aside
from toolbox.terminal.tensorflow_start import without_native_messages

_LAYER_NAMES = ("name", "keras_history", "input_layers", "output_layers")  # config 的这几项里是层的名字
RELATIVE_TOLERANCE = 1e-4  # 转换后与 Keras 的输出最多差这么多（相对于最大的输出）


def choose(kind):
    """auto 换成实际用的引擎：TensorFlow 看得见 GPU 就用 keras，否则用 litert。"""
    if kind != "auto":
        return kind
    import tensorflow as tf

    return "keras" if tf.config.list_physical_devices("GPU") else "litert"


def fingerprint(prefix):
    """结构与权重的 SHA-256。层的名字（会随建模的先后变）与 trainable 不影响结果，不算在内。"""
    config = json.loads(prefix.to_json())
    names = {}
    _collect_layer_names(config, names)
    digest = hashlib.sha256(json.dumps(_rename(config, names), sort_keys=True).encode())
    for weight in prefix.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


def _collect_layer_names(config, names):
    inner = config.get("config", {})
    names.setdefault(inner.get("name"), f"#{len(names)}")
    for layer in inner.get("layers", ()):
        _collect_layer_names(layer, names)


def _rename(value, names, key=None):
    """config 里层的名字换成编号；别处恰与层同名的文字（如激活函数 relu）不动。"""
    if isinstance(value, dict):
        return {key: _rename(item, names, key) for key, item in value.items() if key != "trainable"}
    if isinstance(value, list):
        return [_rename(item, names, key) for item in value]
    return names.get(value, value) if key in _LAYER_NAMES and isinstance(value, str) else value


class KerasEngine:
    """由 Keras 自己算（GPU，或需要与 Keras 逐位一致时）。"""

    batch_size = 32

    def __init__(self, prefix, folder):
        import tensorflow as tf

        self.image_size = prefix.input_shape[1:3]
        image = tf.TensorSpec((None, *prefix.input_shape[1:]), tf.float32)
        self._call = tf.function(lambda images: prefix(images, training=False), input_signature=[image])

    def run(self, pixels):
        """uint8 照片 (n, 高, 宽, 3) -> float32 输出 (n, ...)；几个线程可以同时调用。"""
        return self._call(_to_input(pixels)).numpy()


class LiteRTEngine:
    """转换成 LiteRT，由 XNNPACK 运行；转换的结果放在 folder 里，下次直接用。"""

    batch_size = 1  # 成批并不更快：一张照片就已装满一个核

    def __init__(self, prefix, folder):
        self.image_size = prefix.input_shape[1:3]
        with without_native_messages():
            self._model = LiteRTModel(_kept_conversion(folder) or _convert(prefix, folder))

    def run(self, pixels):
        """同 KerasEngine.run，一次一张。"""
        return _run(self._model, pixels)


def new_engine(kind, prefix, folder):
    """kind：choose 的结果。"""
    return {"keras": KerasEngine, "litert": LiteRTEngine}[kind](prefix, folder)


def _to_input(pixels):
    """[0, 255] 换算到 [-1, 1]，与 MobileNetV2 的 preprocess_input 逐位相同。"""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


def _run(model, pixels):
    (output,) = model(_to_input(pixels[0])).values()
    return output[None]


def _kept_conversion(folder):
    """以前转换好的；文件名里有内容的哈希，对不上的（损坏的）删掉。"""
    for path in sorted(Path(folder).glob("prefix-*.tflite")):
        content = path.read_bytes()
        if path.stem == f"prefix-{_short_hash(content)}":
            return content
        path.unlink(missing_ok=True)
    return None


def _short_hash(content):
    return hashlib.sha256(content).hexdigest()[:16]


def _convert(prefix, folder):
    """转换并与 Keras 比对。"""
    import tensorflow as tf

    content = convert_graph(prefix)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *prefix.input_shape[1:]), np.uint8)
    expected = prefix(tf.constant(_to_input(pixels)), training=False).numpy()
    error = np.abs(_run(LiteRTModel(content), pixels) - expected).max()
    if not error <= RELATIVE_TOLERANCE * np.abs(expected).max():
        raise UserError(f"转换后的冻结部分与 Keras 的输出相差 {error:.2g}。请用 --engine keras。")
    path = Path(folder) / f"prefix-{_short_hash(content)}.tflite"
    with disk_errors(folder, ELSEWHERE):
        write_aside(path, content, reproducible=True)
    return content
