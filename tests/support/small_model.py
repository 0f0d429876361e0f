"""一个小小的、没有训练过的模型文件夹：写得快，样样俱全，供只看“怎样用”的测试。"""

import json

import keras
import numpy as np

from conftest import random_pixels
from prefix_models import new_base, with_head
from toolbox import litert_model, model_folder, none_of_these
from toolbox.terminal.files import sha256_of

SIZE = (96, 96)
LABELS = ["雏菊", "roses", "tulips"]


def write_small_model_folder(folder):
    """在 folder 里写出一个模型文件夹，三个类别；认得的是 random_pixels 那样的图。返回 Keras 模型。"""
    photos = np.stack([random_pixels(seed, *SIZE) for seed in range(24)])
    images = (photos / 127.5 - 1).astype(np.float32)
    model = with_head(new_base(images), classes=len(LABELS))
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    content = litert_model.convert(model)
    (folder / "model.tflite").write_bytes(content)
    model_folder.write_labels(folder, LABELS)
    settings = {"format": model_folder.FORMAT, "class_names": LABELS}
    model_folder.write_json(
        folder / "settings.json", settings | {model_folder.LITERT_HASH: sha256_of(folder / "model.tflite")}
    )
    converted = litert_model.LiteRTModel(content)
    made = [converted(pixels) for pixels in photos]
    features = np.stack([each["features"] for each in made])
    probabilities = np.stack([each["probabilities"] for each in made])
    numbers = np.arange(24) % len(LABELS)
    none_of_these.fit(features, numbers, features, probabilities, numbers).save(folder)
    return model


def make_old(folder):
    """变成这一课之前写的样子：没有 model.tflite，settings.json 里没有格式与类别，没有记下训练照片。"""
    for name in ("model.tflite", "thresholds.json", "training_features.npz"):
        (folder / name).unlink()
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    for name in ("format", "class_names", model_folder.LITERT_HASH):
        settings.pop(name, None)
    model_folder.write_json(folder / "settings.json", settings)


def keras_probabilities(model_file, photos):
    """Keras 自己对 uint8 照片 (n, 高, 宽, 3) 的概率。"""
    model = keras.models.load_model(model_file)
    return model.predict((photos / 127.5 - 1).astype(np.float32), verbose=0)
