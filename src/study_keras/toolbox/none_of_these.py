"""都不像（none of these）：照片与训练照片都不像时认得出来；以及让概率名副其实的校准（calibration）。

认生的办法：照片的特征与第 k 近的训练照片有多像（余弦相似度，cosine similarity；Sun 等，2022，“Out-of-Distribution
Detection with Deep Nearest Neighbors”，ICML），加上最大的概率乘一个权重，不够高就是都不像。比之前特征先开平方
（power normalization；Perronnin 等，2010，“Improving the Fisher Kernel for Large-Scale Image Classification”，ECCV）：
少数几个特别大的数就不再说了算。校准的办法：温度缩放（temperature scaling），log 概率除以同一个温度再 softmax，
谁排第一不变（Guo 等，2017，“On Calibration of Modern Neural Networks”，ICML）。门槛与温度只看验证照片；权重照验证
照片换算，SHARE、POWER、NEIGHBOURS 是设计时定的。预测时只用 NumPy，不需要 TensorFlow。
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolbox.terminal.errors import UserError
from toolbox.terminal.records import read_arrays, read_json, write_json
from toolbox.terminal.text import visible

THRESHOLDS_FILE = "thresholds.json"
FEATURES_FILE = "training_features.npz"
NEIGHBOURS = 5
POWER = 0.5  # 特征取这个次幂；以前的模型文件夹没有记，是 1
REFUSED = 0.05  # 验证照片里最多这么大一份被说成都不像
SHARE = 0.5  # 最大的概率占的分量：在验证照片上，它的标准差乘权重之后是相似度的这么多倍（benchmarks/none_of_these.py）
PROTOTYPES = 2000  # 各类合起来大约最多留这么多张训练照片的特征，每类一样多
MARGIN = 1e-4  # 门槛放低一点：同一张照片由 Keras 与由 LiteRT 算出的相似度差不到这么多
SMALLEST_SPREAD = 0.01  # 概率的标准差再小也当作它，免得权重大得离谱
TEMPERATURES = (0.05, 20.0)  # 只在这个范围里找
SMALLEST = float(np.finfo(np.float32).tiny)  # 概率是 0 时当作它，log 才有意义
BINS = 15  # Guo 等（2017）算校准误差时分的格数
_NUMBERS = ("temperature", "weight", "familiarity", "power", "refused_validation")
ROWS = 1024  # 一次比这么多张照片，占用的内存就有上限


@dataclass(frozen=True)
class Knowledge:
    """模型见过什么。

    Attributes:
        temperature: 校准用的温度，交给 calibrated。
        weight, familiarity: 权重与门槛；相似度 + weight * 最大的概率 低于 familiarity 就是都不像。
        neighbours: 看第几近的。
        power: 比之前，特征取几次幂。
        features: float16 (n, d)，留下的训练照片的特征，取过幂，各行长度为 1。
        refused_validation: 验证照片里被说成都不像的比例。
    """

    temperature: float
    weight: float
    familiarity: float
    neighbours: int
    power: float
    features: np.ndarray
    refused_validation: float

    def similarity_of(self, features):
        """每张照片与第 neighbours 近的训练照片的余弦相似度，float32 (张数,)；features 是 (张数, d)，没有取过幂。"""
        return _kth_similarity(features, self.features, self.neighbours, self.power)

    def familiarity_of(self, features, probabilities):
        """每张照片有多面熟 (张数,)：相似度 + weight * 最大的概率；probabilities 是模型给的、没有校准的。"""
        return self.similarity_of(features) + self.weight * np.max(probabilities, axis=1)

    def is_known(self, features, probabilities):
        """每张照片像不像训练照片，bool (张数,)；参数同 familiarity_of。"""
        return self.familiarity_of(features, probabilities) >= self.familiarity

    def save(self, folder):
        """写进模型文件夹：thresholds.json 与 training_features.npz。"""
        thresholds = {name: getattr(self, name) for name in (*_NUMBERS, "neighbours")}
        write_json(Path(folder) / THRESHOLDS_FILE, thresholds)
        np.savez(Path(folder) / FEATURES_FILE, features=self.features)


def fit(train_features, train_labels, validation_features, validation_probabilities, validation_labels):
    """由训练照片的特征定下 Knowledge；门槛与温度由验证照片定，最多 REFUSED 的验证照片被说成都不像。

    看第 NEIGHBOURS 近的；有一类的照片比这还少，就看第“最少那一类的张数”近的，免得照片少的类别总被说成都不像。
    验证照片不到 1 / REFUSED（20）张时，一张也不拒绝：门槛就是其中最不面熟的那一张。

    Args:
        train_features, validation_features: (张数, d)，池化之后的特征。
        train_labels, validation_labels: (张数,)，类别的编号。
        validation_probabilities: (张数, 类别数)。
    """
    features = _comparable(_thinned(train_features, train_labels), POWER).astype(np.float16)
    neighbours = int(min(NEIGHBOURS, np.unique(train_labels, return_counts=True)[1].min()))
    similarities = _kth_similarity(validation_features, features, neighbours, POWER)
    confidences = np.max(validation_probabilities, axis=1)
    weight = float(SHARE * similarities.std() / max(confidences.std(), SMALLEST_SPREAD))
    familiarities = similarities + weight * confidences
    familiarity = float(np.sort(familiarities)[int(REFUSED * len(familiarities))]) - MARGIN
    return Knowledge(
        temperature=best_temperature(validation_probabilities, validation_labels),
        weight=weight,
        familiarity=familiarity,
        neighbours=neighbours,
        power=POWER,
        features=features,
        refused_validation=float((familiarities < familiarity).mean()),
    )


def _comparable(features, power):
    """各个数取 power 次幂（正负号不变），各行再除以自己的长度，float32；全是 0 的行不动。"""
    features = np.asarray(features, np.float32)
    features = np.sign(features) * np.abs(features) ** power
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), SMALLEST)


def _kth_similarity(features, prototypes, k, power):
    prototypes = prototypes.astype(np.float32, copy=False).T  # predictor 已经换成了 float32，不必每张照片再换一遍
    similarities = np.empty(len(features), np.float32)
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        similarities[rows] = -np.partition(-_comparable(features[rows], power) @ prototypes, k - 1, axis=1)[:, k - 1]
    return similarities


def _thinned(features, labels):
    """features 里，每类最多留 PROTOTYPES / 类别数 张（但不少于 NEIGHBOURS 张），随机取，每次取的相同。"""
    random = np.random.default_rng(0)
    classes = np.unique(labels)
    most = max(NEIGHBOURS, PROTOTYPES // len(classes))
    kept = [random.permutation(np.flatnonzero(labels == label))[:most] for label in classes]
    return features[np.sort(np.concatenate(kept))]


def calibrated(probabilities, temperature):
    """校准之后的概率 softmax(log 概率 / 温度)，float32，形状不变；谁排第一也不变。"""
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def best_temperature(probabilities, labels):
    """使这些照片的负对数似然（negative log-likelihood）最小的温度，在 TEMPERATURES 之内，误差不到千分之一。

    一张也没有认错时，温度越低似然越高，没有尽头。那时像 Platt（1999）那样给每个答案留 1 / (张数 + 2) 的余地，
    平分给其余的类别：照片越少余地越大，越不敢说十拿九稳。

    Args:
        probabilities: (张数, 类别数)。
        labels: (张数,)，真实类别的编号。
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
    doubt = 1 / (len(labels) + 2) if (logits.argmax(axis=1) == labels).all() else 0
    true = np.arange(len(labels)), np.asarray(labels)

    def loss(log_temperature):
        scaled = logits / math.exp(log_temperature)
        highest = scaled.max(axis=1, keepdims=True)
        scaled -= highest + np.log(np.exp(scaled - highest).sum(axis=1, keepdims=True))
        others = (scaled.sum(axis=1) - scaled[true]) / max(1, scaled.shape[1] - 1)
        return -np.mean((1 - doubt) * scaled[true] + doubt * others)

    return math.exp(_golden_section(loss, *map(math.log, TEMPERATURES)))


def _golden_section(function, low, high, tolerance=1e-3):
    """黄金分割法（golden-section search）：单谷函数在 [low, high] 里的最低点；SciPy 也有，可导入它要 0.3 秒。"""
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > tolerance:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if function(left) < function(right):
            high = right
        else:
            low = left
    return (low + high) / 2


def calibration_error(probabilities, labels):
    """校准误差（expected calibration error，ECE；Guo 等，2017）：最大的概率从 0 到 1 等分成 BINS 格，
    各格里平均概率与准确率之差，按张数加权平均。

    Args:
        probabilities: (张数, 类别数)。
        labels: (张数,)，真实类别的编号。
    """
    confidence = np.max(probabilities, axis=1).astype(np.float64)
    right = np.argmax(probabilities, axis=1) == labels
    cell = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(cell, weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def load(folder):
    """读回 Knowledge；folder 是以前的版本写的，两个文件都没有，就返回 None。

    Raises:
        UserError: 只有一个文件，或文件损坏。
    """
    thresholds, features = Path(folder) / THRESHOLDS_FILE, Path(folder) / FEATURES_FILE
    if not thresholds.exists() and not features.exists():
        return None
    try:
        read = read_json(thresholds)
        if "similarity" in read:  # 格式 2 的文件夹
            read.setdefault("power", 1)
        numbers = {name: float(read[name]) for name in _NUMBERS} | {"neighbours": int(read["neighbours"])}
        knowledge = Knowledge(**numbers, features=read_arrays(features)["features"])
        _check(knowledge)
    except Exception as error:  # 坏的 zip 与 npy 会给出各式各样的异常；--debug 看得见是哪一个
        raise UserError(
            f"{visible(folder)} 里的 {THRESHOLDS_FILE} 与 {FEATURES_FILE} 缺了一个，或已损坏。请重新训练，"
            "或两个都删掉：那样不再说都不像，概率也不校准。"
        ) from error
    return knowledge


def _check(knowledge):
    """各个数都说得通；说不通则 ValueError。"""
    features, numbers = knowledge.features, [getattr(knowledge, name) for name in _NUMBERS]
    rows = features.dtype == np.float16 and features.ndim == 2 and 1 <= knowledge.neighbours <= len(features)
    if not (rows and knowledge.temperature > 0 and 0 < knowledge.power <= 1 and np.isfinite(numbers).all()):
        raise ValueError("形状、类型或数值不对")
    if not np.isfinite(features).all():
        raise ValueError("特征里有不是有限大小的数")
