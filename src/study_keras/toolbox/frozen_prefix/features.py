"""缓存的特征（cached features）：在磁盘的哪里，怎样一批批读出来训练。"""

import itertools
import math
from collections import defaultdict

import numpy as np

from toolbox.photos.views import row_key
from toolbox.terminal.errors import UserError
from toolbox.terminal.text import visible
from toolbox.terminal.workers import map_in_threads


class CachedFeatures:
    """各张照片的各个视图的特征，留在磁盘上。行号 = 照片的序号 * 视图数 + 视图的序号。

    features[[3, 0, 5]] 从磁盘读出这几行：float32 数组，形状 (3, ...)。

    Attributes:
        shape: (行数, ...)。
        computed: 这一次新算了多少行；其余是磁盘上已有的。
    """

    def __init__(self, store, photos, views, temporary=None):
        self.store = store
        self.shape = (len(photos) * len(views), *store.row_shape)
        self.computed = 0
        self._photos, self._views, self._temporary = photos, views, temporary
        self._photos_in_bucket = defaultdict(list)  # 按内容哈希的前两位十六进制数，分到 256 个桶（bucket）
        for i, photo in enumerate(photos):
            self._photos_in_bucket[photo.sha256[:2]].append(i)
        self._segments = {}  # {段文件: 编号}；每行只记它在第几号的哪个字节，-1 表示还没有
        self._segment = np.full(len(self), -1, np.int32)
        self._offset = np.zeros(len(self), np.int64)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        rows = np.asarray(rows)
        self._check_computed(rows)
        paths = list(self._segments)
        return self.store.read([paths[i] for i in self._segment[rows]], self._offset[rows].tolist())

    def _check_computed(self, rows):
        if (self._segment[rows] < 0).any():
            raise UserError("缓存的特征还不全。请不带 --shard 再运行一次，补上缺的。")

    def buckets(self, shard=None):
        """各桶的名字；shard 为 (i, n) 时只有 n 份中的第 i 份。"""
        i, n = shard or (1, 1)
        return [bucket for bucket in sorted(self._photos_in_bucket) if int(bucket, 16) % n == i - 1]

    def missing(self, bucket):
        """一个桶里还没有的：{键: (照片, 视图)}；内容相同的照片只算一张。"""
        absent = {key: rows[0] for key, rows in self._rows(bucket).items() if self._segment[rows[0]] < 0}
        count = len(self._views)
        return {key: (self._photos[row // count], self._views[row % count]) for key, row in absent.items()}

    def _rows(self, bucket):
        """一个桶里的 {键: 行号的列表}。"""
        rows = defaultdict(list)
        for i in self._photos_in_bucket[bucket]:
            for j, view in enumerate(self._views):
                rows[row_key(self._photos[i], view)].append(i * len(self._views) + j)
        return rows

    def find(self, buckets):
        """在缓存里找这几个桶的各行，同时校验；损坏的段文件丢弃，其中的行就成了缺的。"""
        segments = self.store.segments()
        for path in itertools.chain.from_iterable(segments[bucket] for bucket in buckets):
            self._segments.setdefault(path, len(self._segments))

        def find(bucket):
            rows = self._rows(bucket)
            places, damaged = self.store.find(segments[bucket], rows.keys())
            for key, (path, offset) in places.items():
                self._segment[rows[key]], self._offset[rows[key]] = self._segments[path], offset
            return damaged

        if damaged := sum(map_in_threads(find, buckets)):
            print(f"{visible(self.store.folder)} 里有 {damaged} 个损坏的文件，已丢弃，其中的内容重新计算。")

    def batches(self, labels, batch_size=32, *, shuffle=False, augmented=False, seed=0):
        """一批批读出来训练或评估：tf.data.Dataset，每批 (特征, 标签)，最后不足一批的也保留。

        每从头读一遍就是新的一轮；第 k 轮的顺序只看 (seed, k)。交给 fit 时写 fit(..., shuffle=False)，免得 Keras 警告。

        Args:
            labels: 数组，每张照片一个标签（编号或独热）。
            shuffle: 每一轮重新打乱。
            augmented: 每一轮从每张照片的各个视图里任选一个；否则总用第一个视图（原样的）。

        Raises:
            ValueError: 标签与照片的个数不同。
            UserError: 其中有还没有算的行。
        """
        rows = np.arange(len(self)).reshape(len(self._photos), len(self._views))
        if not augmented:
            rows = rows[:, 0]
        self._check_computed(rows)  # 现在就说，不要等到训练中途
        return _dataset(self, rows, np.asarray(labels), batch_size, shuffle, seed)


def _dataset(features, rows, labels, batch_size, shuffle, seed):
    """见 CachedFeatures.batches。rows：各样本的行号，一维，或二维（每一轮从每一行里任选一个）。

    经 tf.numpy_function 逐批读取：同样的批，经 Dataset.from_generator（Keras 的 PyDataset 也用它）要慢半秒多。
    """
    import tensorflow as tf

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
