"""让 ImageDataGenerator 读得了人们真有的照片，且划分时不泄漏。

与 Keras 的 flow_from_directory 相比只有四处不同：每张照片由 photos/read.py 读（EXIF 转正、16 位、
透明）；划分看照片内容而不看文件名；缩放用双线性插值；类别编号按名字对应，一个文件夹只读一次。
对普通照片，给出的像素与 flow_from_directory(interpolation="bilinear") 逐位相同
（见 tests/toolbox/photos/test_iterator.py）。
"""

from toolbox.photos.split import split_folder


def flow_from_folder(
    image_generator,
    folder,
    subset=None,
    classes=None,
    class_mode="categorical",
    batch_size=32,
    shuffle=True,
    seed=0,
    test_split=0.0,
):
    """照 ImageDataGenerator.flow_from_directory 的样子，从检查过的文件夹取一部分照片。

    Args:
        image_generator: keras 的 ImageDataGenerator；它的 validation_split 决定验证集的比例。
        folder: open_folder 的结果。
        subset: "train"、"validation"、"test"，或 None（全部照片）。
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
        photos = split_folder(folder, validation, test_split, seed)[subset]
    labels = folder.class_names if classes is None else classes
    from toolbox.photos.photo_iterator import PhotoIterator  # 要导入 TensorFlow；--help 不必等它

    return PhotoIterator(image_generator, photos, labels, folder.class_names, class_mode, batch_size, shuffle, seed)
