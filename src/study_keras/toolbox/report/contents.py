"""报告里写什么：挑出要看的照片，把各个数整理成网页模板要的样子。"""

from dataclasses import dataclass

import numpy as np

from toolbox import none_of_these
from toolbox.report import metrics
from toolbox.report.answers import Answers
from toolbox.terminal.text import some_of, visible

MOST_MISTAKES = 12
MOST_RIGHT = 12
MOST_PAIRS = 3
MOST_IN_A_PAIR = 4  # 每一对的每个方向
MOST_DOUBTS = 60
MOST_ON_MAP = 1000


@dataclass
class Chosen:
    """要看的照片：各是留出的照片的序号。

    Attributes:
        mistakes: 错得最有把握的。
        right: 认对的，每一类最有把握的一两张。
        doubts: 标签可疑的；doubtful 是一共几张。
        pairs: 最常混的几对：[(一类, 另一类, 一共几张, [一类认成另一类的], [另一类认成一类的])]。
        on_map: 画在二维图上的。
    """

    mistakes: np.ndarray
    right: np.ndarray
    doubts: np.ndarray
    doubtful: int
    pairs: list
    on_map: np.ndarray

    def mistakes_to_look_at(self, answers):
        """look 的参数：照片，与要看的两个类别（认成的、真实的）。"""
        rows = [answers.held_out.rows[i] for i in self.mistakes]
        return _photos(answers, self.mistakes), [[row.predicted for row in rows], [row.true for row in rows]]

    def right_to_look_at(self, answers):
        return _photos(answers, self.right), [[answers.held_out.rows[i].true for i in self.right]]


@dataclass
class Studied:
    """看过照片之后的一切；各数组的含义见 hello_report.study_photos。"""

    answers: Answers
    chosen: Chosen
    mistake_maps: list
    right_maps: list
    neighbours: np.ndarray
    points: np.ndarray


def _photos(answers, chosen):
    return [answers.photos[i] for i in chosen]


def choose(answers):
    """挑出要看的照片，返回 Chosen。"""
    by_confidence = np.argsort(-answers.confidence, kind="stable")
    wrong = by_confidence[~answers.right[by_confidence]]
    doubts = metrics.doubtful_labels(answers.probabilities, answers.true)
    random = np.random.default_rng(0)
    count = len(answers.photos)
    on_map = np.sort(random.permutation(count)[:MOST_ON_MAP])
    right = _best_of_each_class(answers, by_confidence)
    return Chosen(wrong[:MOST_MISTAKES], right, doubts[:MOST_DOUBTS], len(doubts), _pairs(answers, wrong), on_map)


def _best_of_each_class(answers, by_confidence):
    """每一类最有把握地认对的，轮流各取一张，直到 MOST_RIGHT 张。"""
    of_class = [
        [i for i in by_confidence if answers.right[i] and answers.true[i] == k] for k in range(len(answers.class_names))
    ]
    rounds = [rows[turn] for turn in range(2) for rows in of_class if len(rows) > turn]
    return np.array(rounds[:MOST_RIGHT], int)


def _pairs(answers, wrong):
    matrix = metrics.confusion_matrix(answers.true, answers.predicted, len(answers.class_names))

    def mistaken(a, b):
        return [i for i in wrong if answers.true[i] == a and answers.predicted[i] == b][:MOST_IN_A_PAIR]

    pairs = metrics.confused_pairs(matrix, MOST_PAIRS)
    return [(a, b, count, mistaken(a, b), mistaken(b, a)) for a, b, count in pairs]


def numbers(run):
    """由 predictions.csv 得来的：混淆矩阵、每一类的指标、总的准确率；照片不在了也有。"""
    names = run.class_names
    index = {name: i for i, name in enumerate(names)}
    true = [index[row.true] for row in run.rows]
    matrix = metrics.confusion_matrix(true, [index[row.predicted] for row in run.rows], len(names))
    right = int(np.trace(matrix))
    accuracy = {"right": right, "photos": len(run.rows), "share": right / len(run.rows)}
    accuracy["low"], accuracy["high"] = metrics.wilson(right, len(run.rows))
    return {"names": names, "matrix": matrix, "classes": metrics.per_class(matrix), "accuracy": accuracy}


def calibration(answers):
    """可靠性图的各数：在测试照片上（没有测试就在验证照片上）校准之前与之后。"""
    part = "test" if answers.held_out.where("test").any() else "validation"
    inside = answers.held_out.where(part)
    outputs, right = answers.outputs[inside], answers.right[inside]
    result = {"part": part, "photos": len(right), "temperature": answers.temperature, "accuracy": right.mean()}
    result |= {"from": answers.temperature_from, "before": _reliability(outputs, right), "after": None}
    if answers.temperature is not None:
        result["after"] = _reliability(none_of_these.calibrated(outputs, answers.temperature), right)
    return result


def _reliability(outputs, right):
    confidence = outputs.max(axis=1)
    rows = metrics.reliability(confidence, right)
    error = sum(row["photos"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / len(right)
    return {"rows": rows, "error": error, "mean": float(confidence.mean())}


def summarize(run, studied, held_out, target, stage):
    """打印：准确率、可疑的标签、不见的照片、报告在哪里、接下来做什么。"""
    accuracy = numbers(run)["accuracy"]
    print("\n===== 小结 =====")
    print("没有参加训练的 {photos} 张照片，准确率 {share:.3f}（95% 区间 {low:.3f} 至 {high:.3f}）".format(**accuracy))
    for what, names in (("不在了", held_out.gone), ("内容改过", held_out.changed)):
        if names:
            print(f"{what}的照片 {len(names)} 张，报告里没有：{some_of(names)}")
    if held_out.why:
        print(f"找不到照片：{held_out.why}要看照片，请用 --images-dir 指出它们现在在哪里。")
    if studied:
        print(f"标签可疑的照片 {studied.chosen.doubtful} 张：在网页里逐张标记，再下载改动清单。")
    print("各步用时：" + "，".join(f"{name} {seconds:.1f} 秒" for name, seconds in stage.seconds.items()))
    print(f"报告：{visible(target / 'report.html')}（用浏览器打开）")
    print("接下来：标记可疑的照片，照网页里写的命令改正（第 8 课），再训练一次；或用 hello_predict.py 认新照片。")
