"""PhotoIterator：ImageDataGenerator 的迭代器，照片由本课程读取、检查、划分；由 iterator.flow_from_folder 建立。"""

import numpy as np
from tensorflow.keras.preprocessing.image import Iterator  # ImageDataGenerator 各迭代器的公共基类

from toolbox.photos.folder import checked_pixels
from toolbox.terminal.errors import UserError


class PhotoIterator(Iterator):
    """按批给出 (照片, 标签) 的迭代器，可直接交给 fit、evaluate、predict。

    Attributes:
        photos: 照片清单（Photo），顺序即不打乱时的预测顺序。
        classes: 每张照片的类别编号，int32 数组。
        class_indices: {类别名: 编号}。
        num_classes: 输出要有多少个单元；sparse 时大于照片的类别数。
    """

    def __init__(self, image_generator, photos, labels, class_names, class_mode, batch_size, shuffle, seed):
        self.image_generator = image_generator
        self.photos = photos
        self.class_mode = class_mode
        last = {label: i for i, label in enumerate(labels)}  # 同名标签（如两个 daisy）取后一个
        missing = [name for name in class_names if name not in last]
        if missing:
            raise UserError(f"标签清单里没有这些类别：{'、'.join(missing)}。请把它们加到清单末尾。")
        self.class_indices = {name: last[name] for name in class_names}
        self.num_classes = len(labels)
        self.classes = np.array([self.class_indices[photo.class_name] for photo in photos], np.int32)
        super().__init__(len(photos), batch_size, shuffle, seed % 2**31)  # 它每一批加一，不能超出 32 位

    @property
    def targets(self):
        """全部照片的标签，顺序同 photos：(张数,) 的编号，或 (张数, 类别数) 的独热向量，float32。"""
        return self._targets(self.classes)

    def _targets(self, ids):
        if self.class_mode == "sparse":
            return ids.astype(np.float32)
        return np.eye(self.num_classes, dtype=np.float32)[ids]

    def _get_batches_of_transformed_samples(self, index_array):
        """index_array 指定的照片与标签：(批, 高, 宽, 3) 的 float32，与 (批,) 或 (批, 类别数) 的标签。"""
        images = np.stack([self._image(self.photos[i]) for i in index_array])
        return images, self._targets(self.classes[index_array])

    def _image(self, photo):
        pixels = checked_pixels(photo).astype(np.float32)
        pixels = self.image_generator.apply_transform(pixels, self.image_generator.get_random_transform(pixels.shape))
        return self.image_generator.standardize(pixels)
