"""把 PrefixOutputs 一批批交给 Keras；随时只有一批在内存里。"""

import math

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """见 PrefixOutputs.batches。rows：各样本的行号，一维，或二维（每一轮从每一行里任选一个）。"""

    def __init__(self, outputs, rows, targets, batch_size, shuffle, seed):
        super().__init__()
        self._outputs, self._rows, self._batch_size = outputs, rows, batch_size
        self._targets = [np.asarray(target) for target in targets]
        if any(len(target) != len(rows) for target in self._targets):
            raise ValueError(f"{len(rows)} 个样本，标签或权重却有 {[len(target) for target in self._targets]} 个")
        self._shuffle, self._seed, self._epoch = shuffle, seed, 0
        self._draw()

    def _draw(self):
        """这一轮的顺序与各样本的行号，只由 (seed, 第几轮) 决定。"""
        random = np.random.default_rng((self._seed, self._epoch))
        samples = np.arange(len(self._rows))
        self._order = random.permutation(samples) if self._shuffle else samples
        if self._rows.ndim == 1:
            self._drawn = self._rows
        else:
            self._drawn = self._rows[samples, random.integers(self._rows.shape[1], size=len(samples))]

    def __len__(self):
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, batch):
        chosen = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        return self._outputs[self._drawn[chosen]], *(target[chosen] for target in self._targets)

    def on_epoch_end(self):
        self._epoch += 1
        self._draw()
