"""经典做法里的十个坑，每个一段可运行的证明；docs/pitfalls.md 讲解它们，代码与数字都取自这里。

测试用当场生成的小图，不需要网络。页面里的数字这样记录（要真实照片与预训练权重）：
    python tests/test_pitfalls.py 照片文件夹
"""

import itertools
import math
import re
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from PIL import Image
from tensorflow.keras.applications import MobileNetV2
from tensorflow.keras.preprocessing.image import ImageDataGenerator

PROJECT_DIR = Path(__file__).resolve().parents[1]


# ---- 证明：每个函数返回一个小字典，页面引用它 ----


def duplicate_daisy(folder):
    """标签清单里有两个 daisy，flow_from_directory 就把那个文件夹读两遍。"""
    lines = (PROJECT_DIR / "ImageNetLabels.txt").read_text(encoding="utf-8").splitlines()
    labels = lines[1:]  # 去掉 background：ImageNet 的 1,000 类，再加 5 种花
    generator = ImageDataGenerator(validation_split=0.2)
    counts = {}
    for name, classes in (("photos", None), ("reported", labels)):
        parts = [generator.flow_from_directory(folder, classes=classes, subset=s) for s in ("training", "validation")]
        counts[name] = [part.samples for part in parts]
    return {**counts, "labels": len(labels), "class_indices": len(parts[0].class_indices)}


def sparse_labels():
    """标签是 1000 至 1004，输出却只有 5 个。"""
    images, labels = np.zeros((10, 8), np.float32), np.tile(np.arange(1000, 1005), 2)
    results = {}
    for outputs in (5, 1005):
        model = keras.Sequential([keras.layers.Dense(outputs, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        try:
            loss = model.fit(images, labels, verbose=0).history["loss"][0]
            results[f"outputs_{outputs}"] = f"损失 {loss:.2f}"
        except tf.errors.InvalidArgumentError as error:
            results[f"outputs_{outputs}"] = re.search(r"Received a label value of .*?\[.*?\)", str(error))[0]
    return results


def small_base(framework):
    """两组“卷积、批归一化、ReLU”，当作基础模型；framework 是 keras 或 tf_keras。"""
    framework.utils.set_random_seed(0)
    layers = framework.layers
    x = inputs = framework.Input((8, 8, 3))
    for i in (1, 2):
        x = layers.Conv2D(4, 3, name=f"conv{i}")(x)
        x = layers.BatchNormalization(name=f"bn{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(x)
    return framework.Model(inputs, x)


def changed_by_training(framework, base, **call):
    """给基础模型接上分类头，训练一轮，返回基础模型中变了的权重的名字。"""
    inputs = framework.Input((8, 8, 3))
    x = framework.layers.GlobalAveragePooling2D()(base(inputs, **call))
    model = framework.Model(inputs, framework.layers.Dense(5, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    random = np.random.default_rng(0)
    before = base.get_weights()
    model.fit(random.normal(size=(32, 8, 8, 3)), random.integers(0, 5, 32), verbose=0)
    names = [f"{layer.name}/{w.name.split('/')[-1].removesuffix(':0')}" for layer in base.layers for w in layer.weights]
    return [
        name for name, old, new in zip(names, before, base.get_weights(), strict=True) if not np.array_equal(old, new)
    ]


def frozen_container(framework):
    """先冻结整个基础模型，再把最后三层改回可训练。"""
    base = small_base(framework)
    base.trainable = False
    for layer in base.layers[-3:]:
        layer.trainable = True
    return {"reported": len(base.trainable_weights), "changed": changed_by_training(framework, base, training=False)}


def batch_normalization():
    """解冻基础模型，以 training=False 调用；再看每个批归一化都冻结时。"""
    unfrozen, held = small_base(keras), small_base(keras)
    for layer in held.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    return {
        "training_false": [name for name in changed_by_training(keras, unfrozen, training=False) if "moving" in name],
        "bn_frozen": [name for name in changed_by_training(keras, held) if name.startswith("bn")],
    }


def colour_photos(folder):
    """红、绿、蓝各 11 张：有一个模型能全部认对它们。"""
    for i, name in enumerate(("blue", "green", "red")):
        Path(folder, name).mkdir()
        for k in range(11):
            pixels = np.zeros((8, 8, 3), np.uint8)
            pixels[..., 2 - i] = 200 + k
            Image.fromarray(pixels).save(Path(folder, name, f"{k:02}.png"))


def shuffled_predictions():
    """模型全对，用打乱的迭代器预测，再与 generator.classes 比，就像是随机猜测。"""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)[:, ::-1])  # 三个数：蓝、绿、红
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        colour_photos(folder)
        for name, shuffle in (("shuffled", True), ("in_order", False)):
            options = {"target_size": (8, 8), "batch_size": 10, "shuffle": shuffle, "seed": 0}
            generator = ImageDataGenerator().flow_from_directory(folder, **options)
            predicted = model.predict(generator, verbose=0).argmax(axis=1)
            results[name] = float((predicted == generator.classes).mean())
        tail_lost = model.predict(generator, steps=generator.samples // generator.batch_size, verbose=0)
    return results | {"photos": generator.samples, "predicted": len(tail_lost)}


def endless_loop():
    """for batch in generator 不会停；这里只好用 islice 在取够五轮时叫停。"""
    generator = ImageDataGenerator().flow(np.zeros((10, 8, 8, 3)), batch_size=4)
    taken = sum(1 for _ in itertools.islice(generator, 5 * len(generator)))
    return {"batches_per_epoch": len(generator), "taken": taken}


def last_five_layers():
    """“最后五层都要训练”，其中有几层根本没有权重？"""
    base = MobileNetV2(input_shape=(224, 224, 3), include_top=False, weights=None)
    x = base.get_layer("block_16_project_BN").output
    x = keras.layers.Conv2D(1280, 1, name="conv")(x)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    model = keras.Model(base.input, keras.layers.Dense(5, activation="softmax", name="softmax")(x))
    last = model.layers[-5:]
    return {
        "layers": [layer.name for layer in last],
        "without_weights": [layer.name for layer in last if not layer.weights],
    }


def burst_photos(folder):
    """两类，各四组连拍，一组三张几乎相同（只是压缩程度不同）。"""
    random = np.random.default_rng(0)
    for name, burst in itertools.product(("daisy", "roses"), range(4)):
        Path(folder, name).mkdir(exist_ok=True)
        scene = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize((120, 90))
        for shot in range(3):
            scene.save(Path(folder, name, f"{burst}{shot}.jpg"), quality=95 - shot)


def contiguous_split(folder):
    """validation_split 取每个文件夹里按名字排在最前的一段；数一数验证集中有几张在训练集里有双胞胎。"""
    from toolbox.photos.folder import open_folder
    from toolbox.photos.split import split_photos

    photos = open_folder(folder).photos
    options = {"subset": "validation", "shuffle": False}
    keras_files = ImageDataGenerator(validation_split=0.2).flow_from_directory(folder, **options).filepaths
    first = []
    for _, same_class in itertools.groupby(photos, key=lambda photo: photo.class_name):
        names = sorted(str(photo.path) for photo in same_class)
        first += names[: int(0.2 * len(names))]
    ours = [str(photo.path) for photo in split_photos(photos)["validation"]]

    def twins(validation):
        training = {photo.group for photo in photos if str(photo.path) not in validation}
        return sum(photo.group in training for photo in photos if str(photo.path) in validation)

    keras_files = {str(Path(file).resolve()) for file in keras_files}
    return {
        "validation": len(keras_files),
        "is_first_by_name": keras_files == set(first),
        "twins": twins(keras_files),
        "twins_ours": twins(set(ours)),
    }


def gone_functions():
    """老教程里的这些名字，今天还在不在？"""
    names = [(keras.Model, f"{verb}_generator") for verb in ("fit", "evaluate", "predict")] + [(tf, "estimator")]
    return {name: hasattr(owner, name) for owner, name in names}


def nearest_interpolation():
    """一像素宽的黑白条纹，缩小一半。该是均匀的灰；最近邻只取到其中一种颜色。"""
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 255
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stripes").mkdir()
        Image.fromarray(stripes).save(Path(folder, "stripes", "0.png"))
        results = {}
        for name, options in (("default", {}), ("bilinear", {"interpolation": "bilinear"})):
            images, _ = ImageDataGenerator().flow_from_directory(folder, target_size=(224, 224), **options)[0]
            results[name] = float(images[0, 2:-2, 2:-2].mean())  # 边上两像素受边界影响，不算
    return results


def interpolation_accuracy(folder):
    """同一批照片、同一个预训练基础模型，只换缩放的方法，池化特征上的逻辑回归（5 折，重复 3 次）。"""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from tensorflow.keras.applications.mobilenet_v2 import preprocess_input

    from toolbox.weights import find

    weights = find.find_weights("auto").path
    base = MobileNetV2(input_shape=(224, 224, 3), include_top=False, weights=weights, pooling="avg")
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=3, random_state=0)
    results = {}
    for interpolation in ("nearest", "bilinear"):
        photos = ImageDataGenerator(preprocessing_function=preprocess_input).flow_from_directory(
            folder, target_size=(224, 224), shuffle=False, interpolation=interpolation
        )
        features = base.predict(photos, verbose=0)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        results[interpolation] = float(cross_val_score(classifier, features, photos.classes, cv=folds).mean())
    return results | {"photos": photos.samples}


# ---- 测试 ----


def test_duplicate_daisy_line(photo_dir):
    from toolbox.photos.folder import open_folder
    from toolbox.photos.iterator import flow_from_folder
    from toolbox.weights.imagenet_labels import imagenet_labels

    result = duplicate_daisy(photo_dir)
    assert result["photos"] == [30, 6]
    assert result["reported"] == [40, 8]  # 多出一个 daisy 文件夹
    assert (result["labels"], result["class_indices"]) == (1005, 1002)
    folder = open_folder(photo_dir)
    labels = imagenet_labels()[1:] + folder.class_names
    ours = flow_from_folder(ImageDataGenerator(validation_split=0.2), folder, classes=labels, class_mode="sparse")
    assert len(ours.photos) == 36
    assert set(ours.classes) == {1000, 1001, 1002}


def test_sparse_labels_need_as_many_outputs():
    result = sparse_labels()
    assert result["outputs_5"].startswith("Received a label value of 100")
    assert math.isclose(float(result["outputs_1005"].split()[1]), math.log(1005), abs_tol=0.01)  # 还没学：均匀猜


def test_frozen_container_reports_the_opposite_of_what_happens():
    in_keras_3, in_keras_2 = frozen_container(keras), frozen_container(tf_keras)
    last = ["conv2/kernel", "conv2/bias", "bn2/gamma", "bn2/beta", "bn2/moving_mean", "bn2/moving_variance"]
    assert in_keras_3 == {"reported": 0, "changed": last}
    assert in_keras_2 == {"reported": 0, "changed": []}


def test_training_false_does_not_hold_batch_normalization():
    moving = [f"bn{i}/moving_{name}" for i in (1, 2) for name in ("mean", "variance")]
    assert batch_normalization() == {"training_false": moving, "bn_frozen": []}


def test_shuffled_predictions_match_no_file():
    result = shuffled_predictions()
    assert result["in_order"] == 1.0
    assert result["shuffled"] < 0.6
    assert (result["photos"], result["predicted"]) == (33, 30)


def test_loop_over_a_generator_does_not_end():
    assert endless_loop() == {"batches_per_epoch": 3, "taken": 15}


def test_two_of_the_last_five_layers_have_no_weights():
    assert last_five_layers()["without_weights"] == ["relu", "flatten"]


def test_contiguous_split_separates_near_identical_shots(tmp_path):
    burst_photos(tmp_path)  # 每类 12 张，验证集取前 2 张，第一组连拍于是被拆开
    assert contiguous_split(tmp_path) == {"validation": 4, "is_first_by_name": True, "twins": 4, "twins_ours": 0}


def test_old_functions_are_gone():
    assert not any(gone_functions().values())
    assert hasattr(keras.Model, "fit")  # 取代它们的还在


def test_default_interpolation_aliases():
    result = nearest_interpolation()
    assert result["default"] in (0, 255)
    assert abs(result["bilinear"] - 127.5) < 2


def record(folder):
    """在真实照片上运行全部证明，返回 {名字: 结果}。"""
    with tempfile.TemporaryDirectory() as bursts:
        burst_photos(bursts)
        split_of_bursts = contiguous_split(bursts)
    return {
        "duplicate_daisy": duplicate_daisy(folder),
        "sparse_labels": sparse_labels(),
        "frozen_container": {kind.__name__: frozen_container(kind) for kind in (keras, tf_keras)},
        "batch_normalization": batch_normalization(),
        "shuffled_predictions": shuffled_predictions(),
        "endless_loop": endless_loop(),
        "last_five_layers": last_five_layers(),
        "contiguous_split": {"bursts": split_of_bursts, "real": contiguous_split(folder)},
        "gone_functions": gone_functions(),
        "nearest_interpolation": nearest_interpolation(),
        "interpolation_accuracy": interpolation_accuracy(folder),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "tf_keras": tf_keras.__version__},
    }


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))
    from toolbox.model_folder import write_json

    write_json(PROJECT_DIR / "docs" / "results" / "pitfalls.json", record(sys.argv[1]))
