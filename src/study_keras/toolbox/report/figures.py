"""报告里由 matplotlib 画的图：一份 PNG 存成文件，一份 SVG 放进网页，跟着网页的明暗变色。"""

import colorsys
import io
import re

import numpy as np

INK = "#20303c"  # 文字与坐标轴；SVG 里换成 currentColor
BLUE, ORANGE = "#3f87c9", "#e0873a"  # 深色与浅色的底上都看得清
COLOURS = ["#3f87c9", "#e0873a", "#46a05a", "#d1495b", "#8d6bc0", "#9a6b4f", "#d873b6", "#7f8790", "#b5a42c", "#2fa9b5"]

_MOST_IN_LEGEND = 60


def colours(count):
    """count 个类别的颜色，各不相同：十个以内是 COLOURS，再多就按色相分开，相邻的深浅也不同。"""
    if count <= len(COLOURS):
        return COLOURS[:count]
    shades = (colorsys.hsv_to_rgb(k / count, 0.75, 0.9 - 0.3 * (k % 2)) for k in range(count))
    return ["#" + "".join(f"{round(255 * value):02x}" for value in shade) for shade in shades]


def new_figure(width, height, columns=1):
    """(pyplot, figure, axes)：坐标轴与文字用 INK，类别名里的 $ 不当作公式。"""
    from toolbox.terminal.plots import pyplot

    plt = pyplot()
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plt.rcParams.update(dict.fromkeys(names, INK) | {"text.parse_math": False, "svg.fonttype": "none"})
    plt.rcParams["svg.hashsalt"] = "study_keras"  # 同样的图给出同样的 SVG
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return plt, figure, axes[0]


def save(plt, figure, path):
    """存成 PNG。"""
    figure.savefig(path, dpi=130)
    plt.close(figure)


def save_with_svg(plt, figure, path):
    """存成 PNG，另外返回能放进网页的 SVG（Markup）。"""
    from markupsafe import Markup  # 随 Jinja2 装的；没有装时，--help 与那句提示仍要能用

    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    save(plt, figure, path)
    image = text.getvalue()[text.getvalue().find("<svg") :]
    image = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", image, count=1)
    image = re.sub(r'<svg ([^>]*?)height="[^"]*"', r'<svg role="img" \1', image, count=1)
    image = re.sub(r"<(metadata|style)\b.*?</\1>", "", image, flags=re.DOTALL)  # 样式在 page.css 里：这里的没有放行
    return Markup(image.replace(INK, "currentColor"))  # 文字由 matplotlib 转义过


def draw_curves(history, path):
    """每一轮的准确率与损失，分几段训练的看得出各段。history：SavedRun.history。"""
    from toolbox.terminal import plots

    plt, figure, axes = new_figure(8.4, 3, columns=2)
    for axis in axes:
        axis.set_prop_cycle(color=[BLUE, ORANGE])
    plots.draw_curves(axes, history)
    return save_with_svg(plt, figure, path)


def draw_reliability(calibration, path):
    """校准之前与之后的可靠性图。calibration：contents.calibration 的结果。"""
    panels = [("校准之前", calibration["before"]["rows"], BLUE)]
    if calibration["after"]:
        panels.append(("校准之后", calibration["after"]["rows"], ORANGE))
    plt, figure, axes = new_figure(4.2 * len(panels), 3.6, columns=len(panels))
    for axis, (title, rows, colour) in zip(axes, panels, strict=True):
        confidence = np.array([row["confidence"] for row in rows])
        accuracy = np.array([row["accuracy"] for row in rows])
        low, high = (np.array([row[key] for row in rows]) for key in ("low", "high"))
        photos = np.array([row["photos"] for row in rows])
        axis.plot([0, 1], [0, 1], "--", color=INK, alpha=0.5, linewidth=1)
        errors = np.maximum([accuracy - low, high - accuracy], 0)
        axis.errorbar(confidence, accuracy, errors, fmt="none", ecolor=colour, alpha=0.6)
        axis.scatter(confidence, accuracy, 12 + 260 * photos / photos.sum(), color=colour, zorder=3)
        axis.set(title=title, xlabel="模型说的概率", ylabel="真的对了多少", xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return save_with_svg(plt, figure, path)


def draw_confusion(matrix, names, path):
    """混淆矩阵：格里是张数，颜色是占那一行（真实类别）的比例。只存 PNG，网页里是一张表。"""
    side = min(max(3.5, 0.6 * len(names) + 1.8), 30)
    plt, figure, (axis,) = new_figure(side, side)
    axis.grid(False)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(matrix):
        if count:
            axis.text(j, i, count, ha="center", va="center", color="white" if share[i, j] > 0.55 else INK)
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="认成", ylabel="真实类别")
    save(plt, figure, path)


def draw_map(points, images, classes, names, path):
    """二维图的 PNG：每张照片一个小方块，边框的颜色是真实类别。

    Args:
        points: (n, 2)，0 至 1。
        images: 小方块（PIL.Image）。
        classes: 真实类别的编号 (n,)。
    """
    from PIL import Image, ImageOps

    width, height = 1500, 1000
    canvas = Image.new("RGB", (width, height), "white")
    colour = colours(len(names))
    for (x, y), image, k in zip(points, images, classes, strict=True):
        framed = ImageOps.expand(image, 3, colour[k])
        canvas.paste(framed, (int(x * (width - framed.width)), int(y * (height - framed.height))))
    plt, figure, (axis,) = new_figure(10, 7.2)
    axis.imshow(canvas)
    axis.axis("off")
    if len(names) <= _MOST_IN_LEGEND:  # 再多就盖住了图；网页里另有一份
        for name, each in zip(names, colour, strict=True):
            axis.plot([], [], "s", color=each, label=name)
        figure.legend(loc="outside lower center", ncols=6, frameon=False)
    save(plt, figure, path)
