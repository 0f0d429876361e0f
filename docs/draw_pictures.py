"""画页面里的示意图：python docs/draw_pictures.py，写到 docs/images/。"""

import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

from toolbox.terminal.plots import pyplot

FROZEN, TRAINED, STORE = "#b8cfe5", "#f4b183", "#c6e0b4"


def box(axis, x, y, width, text, colour):
    from matplotlib.patches import FancyBboxPatch

    axis.add_patch(FancyBboxPatch((x, y), width, 0.7, boxstyle="round,pad=0.02", facecolor=colour, edgecolor="#555555"))
    axis.text(x + width / 2, y + 0.35, text, ha="center", va="center", fontsize=11)


def arrow(axis, start, end):
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#555555"})


def draw_frozen_prefix(path):
    """经典做法与“冻结的只算一次”的对比。"""
    plt = pyplot()
    figure, axes = plt.subplots(2, 1, figsize=(9, 5.4), layout="constrained")
    for axis, title in zip(axes, ("经典做法：每一轮都从照片算起", "本课：冻结的部分每张照片只算一次"), strict=True):
        axis.set(xlim=(-0.2, 10.2), ylim=(-0.3, 2.3), title=title)
        axis.axis("off")
    for row, label in enumerate(("第 1 轮", "第 5 轮")):
        y = 1.3 - 1.2 * row
        axes[0].text(0.0, y + 0.35, label, va="center", fontsize=11)
        box(axes[0], 1.0, y, 1.2, "照片", "white")
        box(axes[0], 2.8, y, 4.2, "冻结的部分（答案每次都一样）", FROZEN)
        box(axes[0], 7.6, y, 1.6, "要训练的", TRAINED)
        arrow(axes[0], (2.25, y + 0.35), (2.75, y + 0.35))
        arrow(axes[0], (7.05, y + 0.35), (7.55, y + 0.35))
    axes[0].text(5, 1.0, "……", ha="center", va="center", fontsize=12)
    box(axes[1], 0.0, 0.65, 1.0, "照片", "white")
    box(axes[1], 1.5, 0.65, 2.9, "冻结的部分，算一次", FROZEN)
    box(axes[1], 4.9, 0.65, 2.0, "切分点处的输出\n（留在磁盘上）", STORE)
    arrow(axes[1], (1.05, 1.0), (1.45, 1.0))
    arrow(axes[1], (4.45, 1.0), (4.85, 1.0))
    for row, label in enumerate(("第 1 轮", "……", "第 5 轮")):
        y = 1.4 - 0.75 * row
        axes[1].text(9.35, y + 0.35, label, va="center", fontsize=11)
        if row != 1:
            box(axes[1], 7.6, y, 1.6, "要训练的", TRAINED)
            arrow(axes[1], (6.95, 1.0), (7.55, y + 0.35))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_prediction(path):
    """第 4 课：一张照片怎样得到答案。"""
    figure, axis = pyplot().subplots(figsize=(9, 3.2), layout="constrained")
    axis.set(xlim=(-0.1, 11.1), ylim=(-0.3, 2.6))
    axis.axis("off")
    box(axis, 0.0, 0.8, 1.5, "照片", "white")
    box(axis, 2.1, 0.8, 1.7, "转正、缩放到\n224×224", "white")
    box(axis, 4.4, 0.8, 1.7, "model.tflite", FROZEN)
    box(axis, 6.8, 1.6, 1.9, "特征\n1280 个数", STORE)
    box(axis, 6.8, 0.0, 1.9, "概率\n每类一个", TRAINED)
    box(axis, 9.3, 1.6, 1.7, "像训练照片吗\n不像：都不像", "white")
    box(axis, 9.3, 0.0, 1.7, "最大的几个\nroses 100%", "white")
    for start, end in (((1.55, 1.15), (2.05, 1.15)), ((3.85, 1.15), (4.35, 1.15)), ((6.15, 1.25), (6.75, 1.85))):
        arrow(axis, start, end)
    for start, end in (((6.15, 1.05), (6.75, 0.45)), ((8.75, 1.95), (9.25, 1.95)), ((8.75, 0.35), (9.25, 0.35))):
        arrow(axis, start, end)
    figure.savefig(path, dpi=110)
    pyplot().close(figure)


if __name__ == "__main__":
    draw_frozen_prefix(PROJECT_DIR / "docs" / "images" / "frozen_prefix.png")
    draw_prediction(PROJECT_DIR / "docs" / "images" / "prediction.png")
