"""各个格式由它自己的运行环境打开：一个函数，uint8 像素 (224, 224, 3) 进，概率 (类别数,) 出。"""

import time
from importlib import metadata
from pathlib import Path

import numpy as np

from toolbox.terminal import packages
from toolbox.terminal.stopwatch import peak_memory_mb
from toolbox.terminal.tensorflow_start import load_tensorflow
from toolbox.terminal.workers import process_pool

FILES = {
    "savedmodel": "saved_model",
    "litert": "model.tflite",
    "litert-fp16": "model.tflite",
    "litert-int8": "model.tflite",
    "onnx": "model.onnx",
}
RUNTIMES = {"savedmodel": "tensorflow", "onnx": "onnxruntime"}  # 其余是 ai-edge-litert
NEEDED = {"onnx": ("tf2onnx", "onnx", "onnxruntime")}  # 不在 requirements.txt 里的包


def missing_packages(format):
    """这个格式还缺哪些包。"""
    return packages.missing(**{name: name for name in NEEDED.get(format, ())})


def runtime_name(format):
    """运行环境的名字与版本，如 onnxruntime 1.32.0。"""
    package = RUNTIMES.get(format, "ai-edge-litert")
    return f"{package} {metadata.version(package)}"


def open_model(format, folder):
    """打开 folder 里导出的模型，返回那个函数。"""
    path = Path(folder) / FILES[format]
    if format == "savedmodel":
        return _saved_model(path)
    return _onnx(path) if format == "onnx" else _litert(path)


def _saved_model(path):
    tf = load_tensorflow()
    call = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda pixels: call(photo=tf.constant(pixels[None], tf.float32))["probabilities"].numpy()[0]


def _litert(path):
    from toolbox.litert_model import LiteRTModel

    model = LiteRTModel(path.read_bytes())
    ((name, made),) = model.outputs.items()  # 只有概率这一个输出
    scale, zero = made["quantization"]

    def run(pixels):
        answer = model(pixels)[name]
        return (answer.astype(np.float32) - zero) * scale if scale else answer

    return run


def _onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # 各个格式都用一个线程，才好比
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"photo": pixels[None].astype(np.float32)})[0][0]


def measure(format, folder, pixels_file):
    """另起一个进程，在每张照片上运行：返回 (概率 (n, 类别数), 一张的毫秒数（中位数）, 内存的最大值 MB)。"""
    with process_pool(1) as pool:
        return pool.submit(_measure, format, folder, pixels_file).result()


def _measure(format, folder, pixels_file):
    pixels = np.load(pixels_file, mmap_mode="r")
    run = open_model(format, folder)
    run(np.asarray(pixels[0]))  # 第一次要准备，不算
    probabilities, milliseconds = [], []
    for photo in pixels:
        photo = np.asarray(photo)
        start = time.perf_counter()
        probabilities.append(run(photo))
        milliseconds.append(1000 * (time.perf_counter() - start))
    return np.stack(probabilities), float(np.median(milliseconds)), peak_memory_mb()
