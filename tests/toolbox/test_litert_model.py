"""model.tflite：与 Keras 一样的概率，三个输出按名字取，对不上的不写。"""

import keras
import numpy as np
import pytest

from conftest import random_pixels
from prefix_models import new_base, with_head
from toolbox import litert_model, model_folder
from toolbox.photos.folder import checked_pixels, open_folder
from toolbox.terminal.errors import UserError

SIZE = (96, 96)
PHOTOS = np.stack([random_pixels(seed, *SIZE) for seed in range(6)])
IMAGES = (PHOTOS / 127.5 - 1).astype(np.float32)


def functional(base):
    """第 1 课 --model model 的样子：特征图之后还有自己的卷积与批归一化。"""
    x = keras.layers.Conv2D(24, 1, use_bias=False)(base.output)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    return keras.Model(base.input, keras.layers.Dense(1005, activation="softmax")(x))


@pytest.fixture(scope="module")
def base():
    return new_base(IMAGES)


@pytest.mark.parametrize("build", [with_head, lambda base: with_head(base, dropout=0.5), functional])
def test_three_outputs_equal_keras(base, build):
    model = build(base)
    converted = litert_model.LiteRTModel(litert_model.convert(model))
    assert set(converted.outputs) == set(litert_model.OUTPUTS) and converted.image_size == SIZE
    expected = model(IMAGES, training=False).numpy()
    for pixels, probabilities in zip(PHOTOS, expected, strict=True):
        answer = converted(pixels)
        np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
        np.testing.assert_allclose(answer["feature_map"].mean((0, 1)), answer["features"], atol=1e-4)
    assert answer["feature_map"].ndim == 3 and answer["probabilities"].shape == model.output_shape[1:]


def test_input_is_one_photo_with_values_to_255(base):
    interpreter = litert_model.new_interpreter(litert_model.convert(with_head(base)))
    (photo,) = interpreter.get_input_details()
    assert (photo["name"], photo["dtype"], tuple(photo["shape"])) == ("photo", np.float32, (1, *SIZE, 3))


def test_a_model_without_pooling_is_refused():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(image)))
    with pytest.raises(UserError, match="GlobalAveragePooling2D"):
        litert_model.convert(model)


def test_differing_names_exactly_the_rows_that_differ():
    expected = np.array([[0.9, 0.1], [0.9, 0.1], [0.5004, 0.4996], [0.5004, 0.4996], [0.6, 0.4]])
    given = np.array([[0.9, 0.1], [0.898, 0.102], [0.4997, 0.5003], [0.52, 0.48], [np.nan, 0.4]])
    assert litert_model.differing(given, expected).tolist() == [1, 3, 4]


def test_of_a_quantized_model_only_a_clear_other_first_class_and_nan_differ():
    """量化的不看概率差多少；NaN 无论如何不放过，哪怕 Keras 的前两名很近。"""
    clear, close = [0.9, 0.05, 0.05], [0.5, 0.495, 0.005]
    expected = np.array([close, clear, clear, clear, close])
    given = np.array([[0.495, 0.5, 0.005], clear, [0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [np.nan] * 3])
    assert litert_model.differing(given, expected, np.inf).tolist() == [3, 4]


def test_a_conversion_that_differs_is_not_written(base, photo_dir, tmp_path):
    """与 Keras 答得不同的一张照片就够了：点名，什么也不写。"""
    photos = open_folder(photo_dir)
    some, model = photos.photos[:4], with_head(base, classes=len(photos.class_names))
    pixels = np.stack([checked_pixels(photo, SIZE) for photo in some])
    expected = model.predict((pixels / 127.5 - 1).astype(np.float32), verbose=0)
    model_folder.write_litert(tmp_path, model, {"test": some}, {"test": expected}, photos)
    (tmp_path / "model.tflite").unlink()
    expected[2] = expected[2][::-1] + [0.01, 0, -0.01]
    with pytest.raises(UserError, match=rf"4 张中有 1 张，如 {photos.name(some[2])}。没有写出"):
        model_folder.write_litert(tmp_path, model, {"test": some}, {"test": expected}, photos)
    assert not (tmp_path / "model.tflite").exists()
