"""第 3 课的几种变样：三种常见的错法，以及不用预训练权重、从头训练。其余与第 3 课完全相同，选项也相同。

用法：python benchmarks/wrong_ways.py 错法 第 3 课的选项    （由 record_results.py 调用）
"""

import sys
from pathlib import Path
from unittest import mock

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import hello_fine_tuning as lesson
from toolbox.later import keras
from toolbox.photos.views import CLEAN, View
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.run import run_main

lesson_set_trainable_from = lesson.set_trainable_from
lesson_extract_features = lesson.extract_features
lesson_fit = lesson.fit
lesson_movement = lesson.movement


def moving_batch_norm():
    """解冻时连批归一化也解冻：移动均值与方差跟着每一批改变。"""

    def set_trainable_from(base, first_layer=None):
        lesson_set_trainable_from(base, first_layer)
        if first_layer is not None:
            first = [layer.name for layer in base.layers].index(first_layer)
            for layer in base.layers[first:]:
                layer.trainable = True

    return {"set_trainable_from": set_trainable_from}


def cached_augmentation():
    """增强之后缓存（如 dataset.map(augment).cache()）：每张照片只抽一次增强，每一轮都是同一张。"""
    return {"make_views": lambda count: [CLEAN] if count == 1 else [View("augment-1 1", lesson.augment)]}


def stopping_on_test():
    """每一轮都看测试集，报告最好的一轮。同一次训练里也有可信的结果：测试集只在验证集选出的那一轮读一次。"""
    seen, test = [], {}

    def peek(epoch, logs=None):
        seen.append(test["network"].evaluate(test["batches"], verbose=0)[1])

    def extract_features(*args):
        clean, data = lesson_extract_features(*args)
        test["batches"] = clean["test"]
        return clean, data

    def fit(network, data, epochs, balance, callbacks=()):
        test["network"] = network
        peeks = [keras.callbacks.LambdaCallback(on_epoch_end=peek)] if callbacks else []  # 只有训练最后几块时才给回调
        return lesson_fit(network, data, epochs, balance, [*callbacks, *peeks])

    def movement(model, before):
        return {**lesson_movement(model, before), "best_test_epoch": max(seen)}

    return {"extract_features": extract_features, "fit": fit, "movement": movement}


def from_scratch():
    """整个网络随机初始化、从头训练，批归一化也训练。"""

    def set_trainable_from(base, first_layer=None):
        for layer in base.layers:
            layer.trainable = True
            layer.momentum = 0.9  # 批归一化的默认值 0.999 在这么少的步数里跟不上

    return {"set_trainable_from": set_trainable_from, "HEAD_EPOCHS": 1}  # 没有预训练的基础模型可保护


WAYS = {way.__name__: way for way in (moving_batch_norm, cached_augmentation, stopping_on_test, from_scratch)}


def main(argv=None):
    parser = ArgumentParser("把第 3 课故意做错一处；后面跟第 3 课的选项。")
    parser.add_argument("way", choices=list(WAYS), help="哪一种错法")
    args, options = parser.parse_known_args(argv)
    changed = {"keep_the_better": lambda *_: lesson.PHASES[1], **WAYS[args.way]()}  # 做错了也留着，好看它差多少
    with mock.patch.multiple(lesson, **changed):  # 名字若不在，立刻出错，不会悄悄记下错的数
        lesson.main(options)


if __name__ == "__main__":
    run_main(main)
