"""迭代器：对普通照片与 Keras 的 flow_from_directory 逐位相同，并改掉它的错。"""

import numpy as np
import pytest
from PIL import Image
from tensorflow.keras.applications.mobilenet_v2 import preprocess_input
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from toolbox.frozen_prefix.compute import _pixels
from toolbox.photos import folder as photo_folder
from toolbox.photos import split
from toolbox.photos.folder import open_folder
from toolbox.photos.iterator import flow_from_folder
from toolbox.photos.read import read_photo
from toolbox.photos.split import split_photos
from toolbox.photos.views import CLEAN
from toolbox.terminal.arguments import LARGEST_SEED
from toolbox.terminal.errors import UserError


def test_same_pixels_and_labels_as_keras(photo_dir):
    generator = ImageDataGenerator(preprocessing_function=preprocess_input)
    theirs = generator.flow_from_directory(
        str(photo_dir), target_size=(224, 224), interpolation="bilinear", shuffle=False, batch_size=10
    )
    ours = flow_from_folder(generator, open_folder(photo_dir), shuffle=False, batch_size=10)
    assert ours.class_indices == theirs.class_indices and len(ours) == len(theirs) == 4
    for i in range(4):
        for a, b in zip(ours[i], theirs[i], strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_largest_seed_lasts_for_every_batch(photo_dir):
    """Keras 的迭代器每一批把种子加一，NumPy 的种子却只有 32 位。"""
    batches = flow_from_folder(ImageDataGenerator(), open_folder(photo_dir), batch_size=10, seed=LARGEST_SEED)
    assert sum(len(batches[i][0]) for i in range(len(batches))) == 36


def test_subsets_cover_everything_once(photo_dir):
    generator = ImageDataGenerator(validation_split=0.25)
    folder = open_folder(photo_dir)
    subsets = [
        flow_from_folder(generator, folder, subset=name, test_split=0.2) for name in ("train", "validation", "test")
    ]
    names = [folder.name(photo) for subset in subsets for photo in subset.photos]
    assert sorted(names) == sorted(folder.name(photo) for photo in folder.photos)
    assert len(set(names)) == len(names) == 36


def test_a_folder_is_split_once_for_all_its_subsets(photo_dir, monkeypatch, capsys):
    """几万张时一次划分要几秒；差得远的张数也只说一遍。"""
    made = []
    monkeypatch.setattr(split, "split_photos", lambda *args: made.append(args) or split_photos(*args))
    for path in photo_dir.glob("*/0[1-9].jpg"):
        path.unlink()  # 每类剩三张，要的比例得不到
    generator, folder = ImageDataGenerator(validation_split=0.25), open_folder(photo_dir)
    subsets = [flow_from_folder(generator, folder, name, test_split=0.2) for name in ("validation", "train", "test")]
    assert len(made) == 1 and capsys.readouterr().out.count("差一成以上") == 1
    expected = split_photos(folder.photos, 0.25 * 0.8, 0.2)
    assert [subset.photos for subset in subsets] == [expected[part] for part in ("validation", "train", "test")]
    flow_from_folder(generator, folder, "train", test_split=0.2, seed=1)  # 别的种子是另一种划分
    assert len(made) == 2


def test_sparse_ids_continue_imagenet_and_count_each_photo_once(photo_dir):
    labels = [f"c{i}" for i in range(1000)] + ["daisy", "roses", "tulips"]
    labels[985] = "daisy"  # ImageNet 自己的 daisy
    folder = open_folder(photo_dir)
    photos = flow_from_folder(ImageDataGenerator(), folder, classes=labels, class_mode="sparse", shuffle=False)
    assert photos.class_indices == {"daisy": 1000, "roses": 1001, "tulips": 1002}
    assert photos.num_classes == 1003 and len(photos.photos) == 36
    np.testing.assert_array_equal(photos.targets, np.repeat([1000, 1001, 1002], 12))
    np.testing.assert_array_equal(np.concatenate([photos[i][1] for i in range(len(photos))]), photos.targets)
    with pytest.raises(UserError, match="roses"):
        flow_from_folder(ImageDataGenerator(), folder, classes=["daisy", "tulips"])


def test_shuffling_keeps_each_label_with_its_photo(photo_dir):
    folder = open_folder(photo_dir)
    photos = flow_from_folder(ImageDataGenerator(), folder, class_mode="sparse", batch_size=7, seed=3)
    label_of = {read_photo(photo.path).tobytes(): folder.class_names.index(photo.class_name) for photo in folder.photos}
    seen = []
    for i in range(len(photos)):  # 最后一批只有 1 张，也在内
        images, labels = photos[i]
        for image, label in zip(images, labels, strict=True):
            key = image.astype(np.uint8).tobytes()
            assert label_of[key] == label
            seen.append(key)
    assert len(seen) == len(set(seen)) == 36


def test_photos_that_keras_would_read_wrong(photo_dir):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40), "red").save(photo_dir / "daisy" / "turned.jpg", exif=exif)
    folder = open_folder(photo_dir)
    photos = flow_from_folder(ImageDataGenerator(), folder, shuffle=False, batch_size=64)
    i = [photo.path.name for photo in photos.photos].index("turned.jpg")
    np.testing.assert_array_equal(photos[0][0][i], read_photo(photo_dir / "daisy" / "turned.jpg"))


def test_a_photo_that_has_gone_is_named(photo_dir):
    folder = open_folder(photo_dir)
    photos = flow_from_folder(ImageDataGenerator(), folder, shuffle=False, batch_size=64)
    (photo_dir / "daisy" / "05.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="05.jpg"):
        photos[0]


def test_a_photo_changed_after_its_check_is_noticed(photo_dir):
    """否则新的像素会记在旧的键下，一直留在磁盘上。"""
    photos = open_folder(photo_dir).photos
    pixels = next(_pixels([(photos[3], CLEAN)], (224, 224)))
    np.testing.assert_array_equal(pixels, read_photo(photos[3].path))
    Image.new("RGB", (60, 40), "red").save(photos[3].path)
    with pytest.raises(UserError, match="03.jpg 检查之后被改过"):
        next(_pixels([(photos[3], CLEAN)], (224, 224)))
    photos[4].path.write_bytes(b"")
    with pytest.raises(UserError, match="04.jpg 读不出来了"):
        next(_pixels([(photos[4], CLEAN)], (224, 224)))


def test_a_photo_too_large_for_the_memory_is_named(photo_dir, monkeypatch):
    def fail(path):
        raise MemoryError

    photos = open_folder(photo_dir).photos
    monkeypatch.setattr(photo_folder, "read_file", fail)
    with pytest.raises(UserError, match=r"00\.jpg 读不出来了（内存放不下）"):
        photo_folder.open_checked(photos[0])
