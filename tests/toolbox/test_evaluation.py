"""评估：池化之后的特征与概率，在哪里切开都一样；门槛与温度记得对。"""

import keras
import numpy as np
import pytest

from conftest import random_pixels
from prefix_models import new_base, unfreeze_from, with_head
from toolbox import evaluation, litert_model
from toolbox.frozen_prefix import split_model

SIZE = (96, 96)
PHOTOS = np.stack([random_pixels(seed, *SIZE) for seed in range(12)])
IMAGES = (PHOTOS / 127.5 - 1).astype(np.float32)
LABELS = np.arange(12) % 3


class Batches:
    """像照片的迭代器：按编号取批，用 for 没有尽头。"""

    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return self.images[i % 3 :: 3], self.targets[i % 3 :: 3]


@pytest.fixture(scope="module")
def base():
    return new_base(IMAGES)


@pytest.mark.parametrize("first_trainable", [None, "block_16_expand"], ids=["切在池化之后", "切在池化之前"])
def test_features_of_the_suffix_equal_those_of_model_tflite(base, first_trainable):
    model = with_head(base, dropout=0.5)
    if first_trainable:
        unfreeze_from(base, first_trainable)
    prefix, suffix = split_model(model)
    features, probabilities = evaluation.with_features(suffix)(prefix(IMAGES), training=False)
    base.trainable = False
    assert features.shape == (12, 1280) and (len(suffix.input_shape) == 2) == (first_trainable is None)
    whole = evaluation.with_features(model)(IMAGES, training=False)
    np.testing.assert_allclose(features, whole[0], atol=1e-4)
    np.testing.assert_allclose(probabilities, model(IMAGES, training=False), atol=1e-5)
    converted = litert_model.LiteRTModel(litert_model.convert(model))
    for pixels, row in zip(PHOTOS, np.asarray(features), strict=True):
        np.testing.assert_allclose(converted(pixels)["features"], row, atol=1e-3)


@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("test_part", [True, False])
def test_limits_come_from_validation_and_are_measured_on_test(base, one_hot, test_part, capsys):
    prefix, suffix = split_model(with_head(base))
    rows = np.asarray(prefix(IMAGES))
    targets = np.eye(3, dtype=np.float32)[LABELS] if one_hot else LABELS
    data = {"train": Batches(rows, targets), "validation": keras_dataset(rows, targets)}
    if test_part:
        data["test"] = Batches(-rows, targets)  # 方向相反：一张也不像
    knowledge, limits = evaluation.learn_limits(suffix, data)
    order = np.concatenate([np.arange(12)[i::3] for i in range(3)])
    roots = np.sign(rows) * np.sqrt(np.abs(rows))
    unit = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    np.testing.assert_allclose(knowledge.features, unit[order], atol=1e-3)
    assert limits["refused"] == {"validation": 0.0} | ({"test": 1.0} if test_part else {})
    assert limits["calibration"]["part"] == ("test" if test_part else "validation")
    assert limits["calibration"]["temperature"] == knowledge.temperature
    assert ("测试" if test_part else "验证") in capsys.readouterr().out


def keras_dataset(rows, targets):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((rows, targets)).batch(5)


def test_features_of_a_functional_model_are_the_pooled_ones(base):
    x = keras.layers.Conv2D(24, 1, name="head_conv")(base.output)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(base.input, keras.layers.Dense(3, activation="softmax")(pooled))
    features, _ = evaluation.with_features(model)(IMAGES, training=False)
    maps = keras.Model(base.input, x)(IMAGES, training=False).numpy()
    np.testing.assert_allclose(features, maps.mean((1, 2)), atol=1e-4)


def test_the_loss_counts_photos_not_batches():
    probabilities = np.float32([[0.5, 0.5], [0.9, 0.1], [0, 1]])
    labels = np.array([0, 0, 0])
    expected = keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)
    assert evaluation.cross_entropy(list(probabilities), labels) == pytest.approx(float(expected), rel=1e-5)
