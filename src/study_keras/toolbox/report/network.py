"""模型拆成报告要用的几段：照片 → 特征图 → 池化的特征 → 各类的得分。各段共用同一份权重。"""

import os
from pathlib import Path

import numpy as np

from toolbox import frozen_prefix
from toolbox.frozen_prefix.cut import pooling, trace
from toolbox.frozen_prefix.options import CACHE_DIR
from toolbox.later import keras
from toolbox.model_folder_reader import MODEL_FILE, load_keras_model
from toolbox.photos.folder import checked_pixels
from toolbox.terminal.errors import UserError


class Network:
    """一个训练好的分类模型：特征图经全局平均池化与几个全连接层，最后 softmax。

    Attributes:
        image_size: 模型要的照片大小 (高, 宽)。
        to_map: Keras 模型，照片 (n, 高, 宽, 3) -> 最后一张特征图 (n, h, w, c)。
        head: Keras 模型，特征图 -> 各类的得分（softmax 之前的，score，也叫 logit），(n, 输出数)。
    """

    def __init__(self, model):
        image, steps, probabilities = trace(model)
        feature_map, pooled, last_layer, last_input = _landmarks(steps)
        self.image_size = model.input_shape[1:3]
        self.to_map = keras.Model(image, feature_map)
        self.head = keras.Model(feature_map, _without_softmax(last_layer)(last_input))
        self._to_pooled = keras.Model(image, pooled)
        self._from_pooled = keras.Model(pooled, probabilities)

    def features(self, photos, cache):
        """每张照片池化的特征，float32 (n, d)；算过的在缓存里，不再算。

        到池化为止，训练好的模型都不会再变，整段当作冻结的部分交给 frozen_prefix.compute：第 1 课的顺序模型训练时
        存下的正是它；别的模型第一次写报告时算一遍，以后直接用。

        Args:
            photos: Photo 的列表。
            cache: cache_options 的结果。
        """
        cached = frozen_prefix.compute(self._to_pooled, photos, **cache)
        return cached[np.arange(len(photos))]

    def probabilities(self, features):
        """池化的特征 (n, d) -> 各个输出的概率 (n, 输出数)。"""
        return np.asarray(self._from_pooled(features))

    def feature_maps(self, photos):
        """每张照片最后的特征图，(n, h, w, c)；照片现读，要的不多。"""
        pixels = np.stack([checked_pixels(photo, self.image_size) for photo in photos])
        return np.asarray(self.to_map(pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)))


def load_network(folder):
    """读模型文件夹里的 model.keras，返回 Network；安全模式（safe mode），不运行模型文件带来的代码。

    Raises:
        UserError: 文件读不出来，或模型的末尾不是报告懂得的样子。
    """
    return Network(load_keras_model(folder / MODEL_FILE))


def cache_options(settings):
    """frozen_prefix.compute 的关键字参数：用训练时的缓存，它不在了就用默认的。"""
    recorded = settings.get("cache_dir")
    exists = isinstance(recorded, str) and Path(os.path.expanduser(recorded)).is_dir()
    return {"cache_dir": Path(recorded) if exists else CACHE_DIR, "keep": not settings.get("no_cache")}


def _landmarks(steps):
    """(特征图, 池化的特征, 最后的全连接层, 它的输入)。"""
    pooled = pooling(steps)
    last_layer, last_inputs, _ = steps[-1]
    if pooled is None or not isinstance(last_layer, keras.layers.Dense) or last_layer.activation.__name__ != "softmax":
        raise UserError("这个模型不是“全局平均池化、全连接层、softmax”结尾的，画不出报告。请用第 1 课或第 3 课的模型。")
    return *pooled, last_layer, last_inputs[0]


def _without_softmax(layer):
    """与 layer 权重相同、没有 softmax 的全连接层。"""
    linear = keras.layers.Dense(layer.units, name="scores")
    linear.build((None, layer.kernel.shape[0]))
    linear.set_weights(layer.get_weights())
    return linear
