"""与本课程比较的几种做法，同样的分类头、同样的轮数，从照片文件夹到存好的模型。

用法：python benchmarks/recipes.py 做法 照片文件夹 权重 轮数 存到哪里     （由 frozen_prefix.py 调用）
"""

import sys
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

from toolbox.photos.read import IMAGE_SIZE as SIZE
from toolbox.weights import find


def classic(images_dir, weights, epochs, save_to):
    """走读里的代码，只换掉今天的 Keras 已经没有的 fit_generator。"""
    from tensorflow.keras.applications.mobilenet_v2 import preprocess_input
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    image_generator = ImageDataGenerator(preprocessing_function=preprocess_input, validation_split=0.2)
    common = {"target_size": SIZE, "batch_size": 32, "seed": 0}
    train = image_generator.flow_from_directory(images_dir, subset="training", **common)
    validation = image_generator.flow_from_directory(images_dir, subset="validation", **common)
    model = build_model(weights, train.num_classes)
    model.fit(train, validation_data=validation, epochs=epochs, verbose=2, callbacks=[seconds_of_epochs()])
    model.save(save_to)


def seconds_of_epochs():
    """回调：每一轮（连同验证）结束时打印它用了几秒。"""
    from tensorflow import keras

    began = []
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: began.append(time.monotonic()),
        on_epoch_end=lambda epoch, logs: print(f"第 {epoch + 1} 轮：{time.monotonic() - began[-1]:.3f} 秒", flush=True),
    )


def tutorial(images_dir, weights, epochs, save_to):
    """Keras 教程的数据管线：image_dataset_from_directory、prefetch，预处理在模型里。"""
    import tensorflow as tf
    from tensorflow import keras

    train, validation = keras.utils.image_dataset_from_directory(
        images_dir, validation_split=0.2, subset="both", seed=0, image_size=SIZE, label_mode="categorical"
    )
    model = build_model(weights, len(train.class_names), rescaling=True)
    train, validation = (dataset.prefetch(tf.data.AUTOTUNE) for dataset in (train, validation))
    model.fit(train, validation_data=validation, epochs=epochs, verbose=2)
    model.save(save_to)


def build_model(weights, num_classes, rescaling=False):
    """冻结的 MobileNetV2 加第 1 课的分类头。"""
    from tensorflow import keras
    from tensorflow.keras import layers

    base = keras.applications.MobileNetV2(input_shape=(*SIZE, 3), include_top=False, weights=weights)
    base.trainable = False
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            *([layers.Rescaling(1 / 127.5, offset=-1)] if rescaling else []),
            base,
            layers.GlobalAveragePooling2D(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def pytorch(images_dir, weights, epochs, save_to):
    """PyTorch 教程的做法：torchvision 的 MobileNetV2，冻结 features，每一轮都从照片算起。"""
    import torch
    from torchvision import datasets, models, transforms

    photos = datasets.ImageFolder(
        images_dir,
        transforms.Compose(
            [transforms.Resize(SIZE), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
        ),
    )
    train, _ = torch.utils.data.random_split(photos, [0.8, 0.2], torch.Generator().manual_seed(0))
    model = models.mobilenet_v2(weights=None).to(memory_format=torch.channels_last)  # 权重不影响速度
    model.features.requires_grad_(False)
    model.classifier = torch.nn.Sequential(
        torch.nn.Linear(1280, 1024),
        torch.nn.ReLU(),
        torch.nn.Linear(1024, 512),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(512, len(photos.classes)),
    )
    optimizer, loss = torch.optim.Adam(model.classifier.parameters()), torch.nn.CrossEntropyLoss()
    model.features.eval()
    for _ in range(epochs):
        for images, labels in torch.utils.data.DataLoader(train, 32, shuffle=True):
            optimizer.zero_grad()
            loss(model(images.to(memory_format=torch.channels_last)), labels).backward()
            optimizer.step()
    torch.save(model.state_dict(), save_to)


if __name__ == "__main__":
    name, images_dir, weights, epochs, save_to = sys.argv[1:]
    recipe = {"classic": classic, "tutorial": tutorial, "pytorch": pytorch}[name]
    recipe(images_dir, find.find_weights(weights).path, int(epochs), save_to)
