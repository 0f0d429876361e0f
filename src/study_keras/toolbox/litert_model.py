"""把 Keras 模型转换成 LiteRT 文件，再逐张照片与 Keras 比对。LiteRT 只管预测：文件小，启动快，不需要 TensorFlow。

model.tflite 的输入 photo 是一张 RGB 照片，float32 (1, 高, 宽, 3)，取值 0 至 255（预处理在模型里）；三个输出按名字取：
probabilities (1, 类别数)，features (1, d) 是全局平均池化的输出，feature_map (1, 高, 宽, d) 是它的输入。
"""

import hashlib
import queue

import numpy as np

from toolbox.model_folder_reader import load_keras_model
from toolbox.photos.folder import checked_pixels
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import write_aside
from toolbox.terminal.tensorflow_start import without_native_messages
from toolbox.terminal.text import visible
from toolbox.terminal.workers import map_in_threads

INPUT = "photo"
OUTPUTS = ("probabilities", "features", "feature_map")
TOLERANCE = 1e-3  # 转换后的概率与 Keras 的最多差这么多
CLEAR_LEAD = 0.01  # 最大的两个概率差得比这还少，谁排第一不算数


def convert(model):
    """整个 Keras 3 模型的 LiteRT 文件（bytes），输入与输出见本模块的开头。

    Args:
        model: 单输入、单输出的分类模型，输入取值 [-1, 1]，以一次全局平均池化把特征图变成向量。

    Raises:
        UserError: 模型里没有 GlobalAveragePooling2D。
    """
    import keras

    from toolbox.frozen_prefix.cut import pooling, trace

    image, steps, probabilities = trace(model)
    pooled = pooling(steps)
    if pooled is None:
        raise UserError("模型里没有全局平均池化（GlobalAveragePooling2D），写不出 model.tflite。")
    feature_map, features = pooled
    outputs = keras.Model(image, [probabilities, features, feature_map])
    with without_native_messages():
        return convert_graph(outputs, preprocess=lambda photo: photo / 127.5 - 1, names=OUTPUTS)


def convert_graph(model, preprocess=None, names=(), configure=None):
    """模型的 LiteRT 文件（bytes），固定一次一张；preprocess 放在模型之前，names 是各个输出的名字。

    configure(converter) 在转换之前再设转换器的选项，例如量化。
    """
    import tensorflow as tf

    # 用接受计算图的那个转换器（compat.v1）：from_concrete_functions 会把变量再冻结一遍
    converter = tf.compat.v1.lite.TFLiteConverter(*_graph_of_constants(model, preprocess, names))
    converter.exclude_conversion_metadata = True  # 不写转换环境的说明：为了写它要把整个文件拆开再拼一遍
    if configure:
        configure(converter)
    return converter.convert()


def _graph_of_constants(model, preprocess, names):
    """model 的计算图，权重都成了常数：(GraphDef, [输入], [各个输出])。权重仍是变量的话，转换出的文件里就没有它们。"""
    import tensorflow as tf

    shape = (1, *model.input_shape[1:])
    if hasattr(model, "stateless_call"):  # Keras 3：权重可以当参数传进去，不必先有变量再换成常数，快一倍
        parts = [[v.numpy() for v in part] for part in (model.trainable_variables, model.non_trainable_variables)]
        with tf.Graph().as_default() as graph:
            photo = tf.compat.v1.placeholder(tf.float32, shape, name=INPUT)
            constants = [[tf.constant(value) for value in part] for part in parts]
            image = preprocess(photo) if preprocess else photo
            outputs = tf.nest.flatten(model.stateless_call(*constants, image, training=False)[0])
            if names:
                outputs = [tf.identity(output, name) for output, name in zip(outputs, names, strict=True)]
        return graph.as_graph_def(), [photo], outputs

    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # tf_keras

    function = tf.function(lambda images: model(images, training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec(shape)))
    return frozen.graph.as_graph_def(), frozen.inputs, frozen.outputs


def new_interpreter(content):
    """一个单线程的 LiteRT 解释器，已经分配好内存。

    Args:
        content: 模型文件的内容（bytes），不是路径：LiteRT 在 Windows 上打不开路径里有中文的文件。
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


class LiteRTModel:
    """LiteRT 模型，像函数一样调用；几个线程同时调用，就各用各的解释器。

    Args:
        content: 模型文件的内容（bytes）。

    Raises:
        ValueError: 不是 LiteRT 模型，或已损坏。
    """

    def __init__(self, content):
        self._content = content
        self._idle = queue.SimpleQueue()
        with without_native_messages():  # 第一次建立解释器时 LiteRT 会写一行英文
            interpreter = new_interpreter(content)
        self._idle.put(interpreter)
        self.image_size = tuple(interpreter.get_input_details()[0]["shape"][1:3].tolist())
        self.outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}

    def __call__(self, pixels):
        """uint8 照片 (高, 宽, 3) -> {输出的名字: float32 数组}，没有批那一维。"""
        try:
            interpreter = self._idle.get_nowait()
        except queue.Empty:
            interpreter = new_interpreter(self._content)
        interpreter.tensor(interpreter.get_input_details()[0]["index"])()[0] = pixels
        interpreter.invoke()
        answer = {name: interpreter.get_tensor(detail["index"])[0] for name, detail in self.outputs.items()}
        self._idle.put(interpreter)
        return answer


def run_on_photos(model, photos):
    """每张照片的 (probabilities, features)，两个数组，行与 photos（Photo 的列表）对应；用上每个核。"""

    def answer(photo):
        made = model(checked_pixels(photo, model.image_size))
        return made["probabilities"], made["features"]

    probabilities, features = zip(*map_in_threads(answer, photos), strict=True)
    return np.stack(probabilities), np.stack(features)


def differing(probabilities, expected, tolerance=TOLERANCE):
    """哪几行与 Keras 的答案不同，返回行号：概率相差超过 tolerance，或排第一的类别不同而领先超过 CLEAR_LEAD。

    Args:
        probabilities, expected: 转换后的与 Keras 的概率，(张数, 类别数)。
        tolerance: 概率最多差多少；再验（--verify）时第一名与概率分开看，是 np.inf。
    """
    second, first = np.sort(expected, axis=1)[:, -2:].T
    close = np.abs(probabilities - expected).max(axis=1) <= tolerance  # NaN 也算不同
    same_class = probabilities.argmax(axis=1) == expected.argmax(axis=1)
    return np.flatnonzero(~(close & (same_class | (first - second <= CLEAR_LEAD))))


def convert_file(keras_file, litert_file):
    """把 model.keras 转换成 litert_file；用随机的像素与 Keras 比对过才写出来，返回它的 SHA-256。要导入 TensorFlow。

    Raises:
        UserError: 打不开 model.keras，或转换后答得不一样。
    """
    model = load_keras_model(keras_file)
    content = convert(model)
    converted = LiteRTModel(content)
    pixels = np.random.default_rng(0).integers(0, 256, (8, *converted.image_size, 3), np.uint8)
    expected = model.predict(pixels / np.float32(127.5) - 1, verbose=0)
    if len(differing(np.stack([converted(photo)["probabilities"] for photo in pixels]), expected)):
        raise UserError(f"{visible(keras_file)} 转换之后与 Keras 的答案不同。请照 requirements.txt 重装各个包再试。")
    write_aside(litert_file, content)
    return hashlib.sha256(content).hexdigest()
