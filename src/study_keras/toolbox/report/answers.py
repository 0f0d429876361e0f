"""模型对每张留出的照片的答案。"""

from dataclasses import dataclass

import numpy as np

from toolbox.held_out import HeldOut, without_changed
from toolbox.none_of_these import best_temperature
from toolbox.report.network import cache_options


@dataclass
class Answers:
    """每张照片一行；类别的编号是它在 class_names 里的位置。

    Attributes:
        held_out: 还在、没有改过的照片。
        features: 池化的特征，(n, d)。
        outputs: 模型各个输出的概率，(n, 输出数)；sparse 时输出比类别多。
        probabilities: 其中真的出现的各类的，(n, 类别数)。
        true, predicted: 类别的编号，(n,)。
        temperature: 校准的温度；temperature_from 说它从哪里来。验证照片一张也没有时为 None。
    """

    class_names: list[str]
    held_out: HeldOut
    features: np.ndarray
    outputs: np.ndarray
    probabilities: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    temperature: float | None
    temperature_from: str

    @property
    def confidence(self):
        """认成的那一类的概率，(n,)。"""
        return self.probabilities[np.arange(len(self.predicted)), self.predicted]

    @property
    def right(self):
        return self.true == self.predicted

    @property
    def photos(self):
        return self.held_out.photos


def answer(network, run, held_out):
    """算出每张照片的答案，认出改过的照片。返回 (Answers, 训练照片池化的特征)。

    Args:
        network: Network。
        run: SavedRun。
        held_out: HeldOut，至少有一张照片。
    """
    cache = cache_options(run.settings)
    every = network.features([*held_out.photos, *held_out.training], cache)
    features, training = every[: len(held_out.photos)], every[len(held_out.photos) :]
    outputs = network.probabilities(features)
    index = {name: i for i, name in enumerate(run.class_names)}
    output = run.output_of
    predicted = np.array([output[row.predicted] for row in held_out.rows])
    kept, held_out = without_changed(held_out, outputs[np.arange(len(predicted)), predicted])
    true = np.array([index[row.true] for row in held_out.rows], int)
    predicted = np.array([index[row.predicted] for row in held_out.rows], int)
    outputs = outputs[kept]
    probabilities = outputs[:, [output[name] for name in run.class_names]]
    temperature = _temperature(run, outputs, held_out)
    return Answers(
        run.class_names, held_out, features[kept], outputs, probabilities, true, predicted, *temperature
    ), training


def _temperature(run, outputs, held_out):
    """(温度, 它从哪里来)；只看验证照片。"""
    if run.temperature is not None:
        return run.temperature, "训练时的验证照片"
    validation = held_out.where("validation")
    if not validation.any():
        return None, ""
    labels = np.array([run.output_of[row.true] for row in held_out.rows])
    return best_temperature(outputs[validation], labels[validation]), f" {validation.sum()} 张验证照片"
