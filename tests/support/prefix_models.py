"""测试冻结部分时共用的小模型与照片清单。"""

import hashlib

import keras
import numpy as np

from toolbox.photos.folder import Photo
from toolbox.photos.read import read_photo


def new_base(images, alpha=0.35):
    """随机权重的 MobileNetV2。

    批归一化的统计量取自 images，否则各张照片的输出几乎一样，什么也检验不出；方差再乘 2，
    否则随机的网络是混沌的：1e-7 的舍入到最后一层会放大到 1e-5，训练时放大得更多。
    """
    keras.utils.set_random_seed(0)
    base = keras.applications.MobileNetV2(weights=None, include_top=False, alpha=alpha, input_shape=images.shape[1:])
    normalizations = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    base(images, training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum
        layer.moving_variance.assign(layer.moving_variance * 2)
    base.trainable = False
    return base


def unfreeze_from(base, name):
    """从名为 name 的层起可以训练，批归一化除外。"""
    names = [layer.name for layer in base.layers]
    base.trainable = True
    for i, layer in enumerate(base.layers):
        layer.trainable = i >= names.index(name) and not isinstance(layer, keras.layers.BatchNormalization)


def with_head(base, classes=3, dropout=0.0):
    """base 上接平均池化与两层全连接。"""
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(16, activation="relu")]
    if dropout:
        layers.append(keras.layers.Dropout(dropout, seed=7))
    return keras.Sequential(
        [keras.Input(base.input_shape[1:]), base, *layers, keras.layers.Dense(classes, activation="softmax")]
    )


def photos_in(folder):
    """folder 下各照片的 Photo，不做检查。"""
    return [
        Photo(str(path), path.parent.name, hashlib.sha256(path.read_bytes()).hexdigest(), "")
        for path in sorted(folder.rglob("*.jpg"))
    ]


def images_of(photos, size):
    """照片的像素，取值 [-1, 1] 的 float32，(n, 高, 宽, 3)。"""
    pixels = np.stack([read_photo(photo.path, size) for photo in photos])
    return (pixels / 127.5 - 1).astype(np.float32)
