"""把缓存的特征一批批交给 Keras；随时只有几批在内存里。"""

import itertools
import math

import numpy as np
import tensorflow as tf


def new_dataset(features, rows, labels, batch_size, shuffle, seed):
    """见 CachedFeatures.batches。rows：各样本的行号，一维，或二维（每一轮从每一行里任选一个）。

    经 tf.numpy_function 逐批读取：同样的批，经 Dataset.from_generator（Keras 的 PyDataset 也用它）要慢半秒多。
    """
    if len(labels) != len(rows):
        raise ValueError(f"{len(rows)} 张照片，标签却有 {len(labels)} 个")
    epochs = _epochs(rows, shuffle, seed)
    order = drawn = None

    def read(batch):
        nonlocal order, drawn
        if batch == 0:  # 从头读起就是新的一轮
            order, drawn = next(epochs)
        chosen = order[batch * batch_size : (batch + 1) * batch_size]
        return features[drawn[chosen]], labels[chosen]

    types = [np.float32, labels.dtype]
    shapes = [features.shape[1:], labels.shape[1:]]

    def load(batch):
        arrays = tf.numpy_function(read, [batch], types)
        return tuple(tf.ensure_shape(array, (None, *shape)) for array, shape in zip(arrays, shapes, strict=True))

    return tf.data.Dataset.range(math.ceil(len(rows) / batch_size)).map(load).prefetch(1)


def _epochs(rows, shuffle, seed):
    """依次给出各轮的 (样本的顺序, 各样本的行号)，只由 (seed, 第几轮) 决定。"""
    samples = np.arange(len(rows))
    for epoch in itertools.count(1):
        random = np.random.default_rng((seed, epoch))
        order = random.permutation(samples) if shuffle else samples
        yield order, rows if rows.ndim == 1 else rows[samples, random.integers(rows.shape[1], size=len(samples))]
