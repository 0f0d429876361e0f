"""由 docs/results/ 里的记录画图：python benchmarks/draw_results.py，写到 docs/images/。"""

import json
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import numpy as np

from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.plots import pyplot
from toolbox.terminal.run import run_main

WAYS = {
    "lesson_3": "第 3 课，微调",
    "lesson_1_model": "第 1 课，函数式模型",
    "lesson_1_seq": "第 1 课，顺序模型",
    "random_weights": "第 1 课，基础模型随机初始化",
    "from_scratch": "整个网络从头训练",
}
CURVES = {
    "lesson_3": "第 3 课",
    "moving_batch_norm": "错法：批归一化在动",
    "cached_augmentation": "错法：缓存了增强",
}


def load(name):
    return json.loads((PROJECT_DIR / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def draw_accuracy_against_seconds(path):
    """每种做法一个点：横轴是每个种子的 CPU 秒（两个核合计），竖轴（断开成两段）是测试准确率的平均，竖线是范围。"""
    plt = pyplot()
    heights = {"height_ratios": [3, 1]}
    figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(7, 4.6), layout="constrained", gridspec_kw=heights)
    for way, label in WAYS.items():
        result = load(way)
        test = result["test"]
        errors = [[test["mean"] - test["lowest"]], [test["highest"] - test["mean"]]]
        for axis in (upper, lower):
            axis.errorbar(result["cpu_seconds"]["mean"], test["mean"], errors, marker="o", capsize=4, label=label)
    upper.set(xscale="log", xlim=(10, 2000), ylim=(0.82, 0.97), ylabel="测试准确率（accuracy）")
    lower.set(ylim=(0, 0.78), xlabel="每个种子的 CPU 秒（从进程启动到存好模型，对数刻度）")
    for axis in (upper, lower):
        axis.grid(alpha=0.3)
    upper.spines.bottom.set_linestyle(":")  # 竖轴在这里断开
    lower.spines.top.set_linestyle(":")
    upper.legend(loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_wrong_ways(path):
    """第 3 课与两种错法（种子 0）每一轮的验证准确率。"""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for (way, label), style in zip(CURVES.items(), ("-", "-", "--"), strict=True):
        accuracy = load(way)["history"]["val_accuracy"]
        axis.plot(range(1, len(accuracy) + 1), accuracy, style, marker="o", label=label)
    axis.axvline(10.5, color="gray", linestyle=":")
    axis.text(10.4, 0.95, "只训练分类头", ha="right", transform=axis.get_xaxis_transform())
    axis.text(10.6, 0.95, "解冻之后", transform=axis.get_xaxis_transform())
    axis.set(title="种子 0 的一次训练", xlabel="轮（epoch）", ylabel="验证准确率（accuracy）")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_lesson_1_curves(path):
    """第 1 课（顺序模型，种子 0）每一轮的训练与验证准确率。"""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
    history = load("lesson_1_seq")["history"]
    for key, label, marker in (("accuracy", "训练", "o"), ("val_accuracy", "验证", "s")):
        axis.plot(range(1, len(history[key]) + 1), history[key], marker=marker, label=label)
    axis.set(xlabel="轮（epoch）", ylabel="准确率（accuracy）")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_none_of_these(path):
    """两种分数在留出的真照片与陌生的图片上的分布。"""
    plt = pyplot()
    groups = load("none_of_these")["lesson_1_seq"]["histograms"]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    titles = {"max_probability": "最大的概率", "similarity": "与第五近的训练照片的相似度"}
    for axis, (score, title) in zip(axes, titles.items(), strict=True):
        known = groups["shipped"][score]
        strange = np.sum([groups[name][score]["strangers"] for name in ("shipped", "textures")], axis=0)
        edges = np.linspace(0, 1, len(strange) + 1)
        for counts, colour, label in ((known["test"], "#b8cfe5", "留出的真花"), (strange, "#f4b183", "陌生的图片")):
            axis.stairs(np.divide(counts, np.sum(counts)), edges, fill=True, color=colour, alpha=0.8, label=label)
        axis.axvline(known["threshold"], color="#555555", linestyle="--", label="门槛：验证照片的 5%")
        lowest = edges[np.flatnonzero(np.add(known["test"], strange))[0]]
        axis.set(title=title, yticks=[], xlim=(lowest, 1))  # 空着的一头不画
        axis.legend(fontsize=8, loc="upper center" if score == "max_probability" else "upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(argv=None):
    ArgumentParser("由 docs/results/ 里的记录画图，写到 docs/images/。").parse_args(argv)
    images = PROJECT_DIR / "docs" / "images"
    draw_accuracy_against_seconds(images / "accuracy_against_seconds.png")
    draw_wrong_ways(images / "fine_tuning_wrong_ways.png")
    draw_lesson_1_curves(images / "lesson_1_curves.png")
    draw_none_of_these(images / "none_of_these.png")


if __name__ == "__main__":
    run_main(main)
