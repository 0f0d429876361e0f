"""第 3 课的几种变样：三种常见的错法，以及不用预训练权重、从头训练。其余与第 3 课完全相同，选项也相同。

用法：python benchmarks/wrong_ways.py 错法 第 3 课的选项    （由 record_results.py 调用）
"""

import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import hello_fine_tuning as lesson
from toolbox import experiments
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.run import run_main
from toolbox.terminal.tensorflow_start import load_tensorflow

lesson_unfreeze, lesson_fit, lesson_kept_outputs = lesson.unfreeze, lesson.fit, lesson.kept_outputs


def moving_batch_norm():
    """解冻时连批归一化也解冻：均值与方差跟着每一批移动。"""

    def unfreeze(base, first_layer=None):
        lesson_unfreeze(base, first_layer)
        if first_layer is not None:
            first = [layer.name for layer in base.layers].index(first_layer)
            for layer in base.layers[first:]:
                layer.trainable = True

    lesson.unfreeze = unfreeze


def cached_augmentation():
    """增强之后缓存（如 dataset.map(augment).cache()）：每张照片只抽一次增强，每一轮都是同一张。"""
    from toolbox.photos.views import CLEAN, View

    lesson.make_views = lambda count: [CLEAN] if count == 1 else [View("augment-1 1", lesson.augment)]


def stopping_on_test():
    """每一轮都看测试集，报告最好的一轮。同一次训练里也有诚实的数：测试集只在验证集选出的那一轮读一次。"""
    from tensorflow import keras

    seen, test = [], {}

    class Peek(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.evaluate(test["batches"], verbose=0)[1])

    def kept_outputs(*args):
        clean, data = lesson_kept_outputs(*args)
        test["batches"] = clean["test"]
        return clean, data

    def fit(network, data, epochs, balance, callbacks=()):
        peek = [Peek()] if callbacks else []  # 只有训练最后几块时才给回调
        return lesson_fit(network, data, epochs, balance, [*callbacks, *peek])

    def movement(model, before):
        return {**experiments_movement(model, before), "best_test_epoch": max(seen)}

    experiments_movement = experiments.movement
    lesson.kept_outputs, lesson.fit, experiments.movement = kept_outputs, fit, movement


def from_scratch():
    """整个网络随机初始化、从头训练，批归一化也训练。"""

    def unfreeze(base, first_layer=None):
        for layer in base.layers:
            layer.trainable = True
            layer.momentum = 0.9  # 批归一化的默认值 0.999 在这么少的步数里跟不上

    lesson.unfreeze = unfreeze
    lesson.HEAD_EPOCHS = 1  # 没有底座可保护


WAYS = {way.__name__: way for way in (moving_batch_norm, cached_augmentation, stopping_on_test, from_scratch)}


def main(argv=None):
    parser = ArgumentParser("把第 3 课故意做错一处；后面跟第 3 课的选项。")
    parser.add_argument("way", choices=list(WAYS), help="哪一种错法")
    args, options = parser.parse_known_args(argv)
    load_tensorflow()
    WAYS[args.way]()
    lesson.main(options)


if __name__ == "__main__":
    run_main(main)
