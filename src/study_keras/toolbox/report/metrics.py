"""报告里的各个数：混淆矩阵、每一类的指标与区间、校准、可疑的标签。只用 NumPy。"""

import numpy as np

from toolbox.none_of_these import BINS

Z95 = 1.959964  # 标准正态分布的 97.5% 分位数：95% 的区间


def confusion_matrix(true, predicted, count):
    """行是真实类别，列是认成的类别，整数数组 (count, count)。true、predicted 是类别的编号。"""
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def wilson(successes, trials):
    """二项比例的 95% 区间 (低, 高)；一次也没有则为 (0, 1)。

    Wilson 的得分区间（E. B. Wilson, JASA 22:209, 1927）：次数少、比例接近 0 或 1 时也可靠。
    """
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, Z95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 * np.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return float(min(share, max(0, middle - half))), float(max(share, min(1, middle + half)))  # 舍入不使值落在区间外


def f1_interval(both, either):
    """F1 的 95% 区间 (低, 高)。

    F1 = 2J / (1 + J)，J = both / either 是 Jaccard 系数；给定 either 张，both 服从二项分布，所以由 J 的 Wilson
    区间换算。一张也没有错的类别也有不退化的区间，自助法（bootstrap）那时只会给出 1 至 1。

    Args:
        both: 是这一类、也认成这一类的张数（TP）。
        either: 是这一类、或认成这一类的张数（TP + FP + FN）。
    """
    low, high = wilson(both, either)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def per_class(matrix):
    """每一类一个字典：photos（真有几张）、predicted（认成几张），precision、recall、f1 各是 (值, 低, 高)。

    没有照片的类别没有召回率，没有认成过的没有精确率：值为 None。
    """
    rows = []
    for i, right in enumerate(np.diag(matrix).tolist()):
        photos, predicted = int(matrix[i].sum()), int(matrix[:, i].sum())
        either = photos + predicted - right
        row = {"photos": photos, "predicted": predicted}
        for name, trials in (("precision", predicted), ("recall", photos)):
            row[name] = (right / trials if trials else None, *wilson(right, trials))
        row["f1"] = (2 * right / (photos + predicted), *f1_interval(right, either))
        rows.append(row)
    return rows


def reliability(confidence, right):
    """可靠性图的各格：[{"photos", "confidence", "accuracy", "low", "high"}]，空的格略去。

    Args:
        confidence: 最大的概率，(n,)；等宽分成 BINS 格，与 none_of_these.calibration_error 相同。
        right: 认对了没有，bool (n,)。
    """
    cells = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    rows = []
    for cell in np.unique(cells):
        inside = cells == cell
        low, high = wilson(int(right[inside].sum()), int(inside.sum()))
        mean = {"confidence": float(confidence[inside].mean()), "accuracy": float(right[inside].mean())}
        rows.append({"photos": int(inside.sum()), **mean, "low": low, "high": high})
    return rows


def doubtful_labels(probabilities, labels):
    """可疑的标签：各行的序号，自信度（self-confidence，标签那一类的概率）最低的在前。

    自信学习（confident learning，Northcutt 等，JAIR 70, 2021）：某一类的门槛是标着它的照片属于它的平均概率；
    一张照片属于另一类的概率过了那一类的门槛，而且比过了门槛的别的类都大，它的标签就可疑。

    Args:
        probabilities: 没有参加训练的照片的概率 (n, 类别数)。
        labels: 标签的编号 (n,)。
    """
    count = probabilities.shape[1]
    have = np.bincount(labels, minlength=count)
    sums = np.bincount(labels, probabilities[np.arange(len(labels)), labels], count)
    thresholds = np.where(have > 0, sums / np.maximum(have, 1), np.inf)
    passed = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)
    best = passed.argmax(axis=1)
    doubtful = np.flatnonzero((passed.max(axis=1) >= 0) & (best != labels))
    return doubtful[np.argsort(probabilities[doubtful, labels[doubtful]], kind="stable")]


def confused_pairs(matrix, most=3):
    """最常混的几对：[(一类, 另一类, 两个方向一共几张)]，多的在前。"""
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(i, both.shape) for i in order if both.flat[i]]
    return [(int(a), int(b), int(both[a, b])) for a, b in pairs]
