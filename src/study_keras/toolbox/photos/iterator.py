"""让 ImageDataGenerator 读得了人们真有的照片，且划分时不泄漏。

与 Keras 的 flow_from_directory 相比只有四处不同：每张照片由 read_photo 读（EXIF 转正、16 位、
透明）；划分看照片内容而不看文件名；缩放用双线性插值；类别编号按名字对应，一个文件夹只读一次。
对普通照片，给出的像素与 flow_from_directory(interpolation="bilinear") 逐位相同
（见 tests/toolbox/photos/test_iterator.py）。
"""

import numpy as np
from tensorflow.keras.preprocessing.image import Iterator  # ImageDataGenerator 各迭代器的公共基类

from toolbox.photos.read import IMAGE_SIZE, PhotoError, read_photo
from toolbox.photos.split import split_photos
from toolbox.terminal.errors import UserError
from toolbox.terminal.text import visible


class PhotoIterator(Iterator):
    """按批给出 (照片, 标签) 的迭代器，可直接交给 fit、evaluate、predict。

    Attributes:
        photos: 照片清单（Photo），顺序即不打乱时的预测顺序。
        classes: 每张照片的类别编号，int32 数组。
        class_indices: {类别名: 编号}。
        num_classes: 输出要有多少个单元；sparse 时大于照片的类别数。
    """

    def __init__(
        self, image_generator, photos, labels, class_names, class_mode, target_size, batch_size, shuffle, seed
    ):
        self.image_generator = image_generator
        self.photos = photos
        self.class_mode = class_mode
        self.target_size = target_size
        last = {label: i for i, label in enumerate(labels)}  # 同名标签（如两个 daisy）取后一个
        missing = [name for name in class_names if name not in last]
        if missing:
            raise UserError(f"标签清单里没有这些类别：{'、'.join(missing)}。请把它们加到清单末尾。")
        self.class_indices = {name: last[name] for name in class_names}
        self.num_classes = len(labels)
        self.classes = np.array([self.class_indices[photo.class_name] for photo in photos], np.int32)
        super().__init__(len(photos), batch_size, shuffle, seed)

    @property
    def filepaths(self):
        return [str(photo.path) for photo in self.photos]

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
        try:
            pixels = read_photo(photo.path, self.target_size).astype(np.float32)
        except (PhotoError, OSError) as error:
            raise UserError(f"照片 {visible(photo.path)} 读不出来了（{error}）。请检查它，再运行同一条命令。") from None
        pixels = self.image_generator.apply_transform(pixels, self.image_generator.get_random_transform(pixels.shape))
        return self.image_generator.standardize(pixels)


def flow_from_folder(
    image_generator,
    folder,
    subset=None,
    classes=None,
    class_mode="categorical",
    target_size=IMAGE_SIZE,
    batch_size=32,
    shuffle=True,
    seed=0,
    test_split=0.0,
):
    """照 ImageDataGenerator.flow_from_directory 的样子，从检查过的文件夹取一部分照片。

    Args:
        image_generator: keras 的 ImageDataGenerator；它的 validation_split 决定验证集的比例。
        folder: open_folder 的结果。
        subset: "training"、"validation"、"test"，或 None（全部照片）。
        classes: 标签清单，类别的编号就是它在清单里（最后一次出现）的位置；None 表示各子文件夹的名字。
        class_mode: "categorical"（独热标签）或 "sparse"（整数标签）。
        seed: 既决定划分，也决定打乱的顺序。
        test_split: 另外留出的测试集比例；留出后，validation_split 是余下照片中的比例。

    Raises:
        UserError: 有类别不在 classes 里，或某一类照片太少、分不开。
    """
    photos = folder.photos
    if subset is not None:
        validation = image_generator._validation_split * (1 - test_split)
        parts = split_photos(photos, validation=validation, test=test_split, seed=seed, quiet=subset != "training")
        photos = parts["train" if subset == "training" else subset]
    labels = folder.class_names if classes is None else classes
    return PhotoIterator(
        image_generator, photos, labels, folder.class_names, class_mode, target_size, batch_size, shuffle, seed
    )
