"""经典做法的数据：每一轮都重新读照片、重新增强，交给完整的模型，见第 3 课的 --end-to-end。"""

import math

import keras
import numpy as np

from toolbox.photos.folder import open_checked
from toolbox.photos.read import IMAGE_SIZE
from toolbox.photos.views import View, view_seed
from toolbox.terminal.workers import cores


class PhotoBatches(keras.utils.PyDataset):
    """一批批照片：每批 (像素, 标签)，像素是 [-1, 1] 的 float32 数组 (批, 高, 宽, 3)。

    交给 fit 时要写 fit(..., shuffle=False)：第 k 轮的顺序与增强只看 (seed, k)。

    Args:
        photos: Photo 的列表。
        labels: 数组，每张照片一个标签。
        views: photos.views.View 的列表；每一轮从中任选一个，随机的增强每一轮重新抽取。
    """

    def __init__(self, photos, labels, views, batch_size, shuffle=False, seed=0):
        super().__init__(workers=cores(), max_queue_size=4)
        self._photos, self._labels, self._views = photos, labels, views
        self._batch_size, self._shuffle, self._seed, self._epoch = batch_size, shuffle, seed, 0
        self._draw()

    def _draw(self):
        random = np.random.default_rng((self._seed, self._epoch))
        count = len(self._photos)
        self._order = random.permutation(count) if self._shuffle else np.arange(count)
        self._view = random.integers(len(self._views), size=count)

    def __len__(self):
        return math.ceil(len(self._photos) / self._batch_size)

    def __getitem__(self, i):
        chosen = self._order[i * self._batch_size : (i + 1) * self._batch_size]
        pixels = np.stack([self._render(self._photos[k], self._views[self._view[k]]) for k in chosen])
        return pixels.astype(np.float32) / np.float32(127.5) - 1, self._labels[chosen]

    def _render(self, photo, view):
        fresh = View(f"{view.key} {self._seed} {self._epoch}", view.render)
        image = open_checked(photo)
        return view.render(image, IMAGE_SIZE, view_seed(photo, fresh))

    def on_epoch_end(self):
        self._epoch += 1
        self._draw()
