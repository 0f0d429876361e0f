"""画页面里的示意图与样张：python docs/draw_pictures.py，写到 docs/images/。不需要照片，用自己画的花。

由记录下来的结果画的图在 benchmarks/draw_results.py。
"""

import sys
import tempfile
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
IMAGES_DIR = PROJECT_DIR / "docs" / "images"
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import numpy as np
from PIL import Image, ImageFilter

from toolbox import drawn_flowers
from toolbox.terminal.plots import pyplot

FROZEN, TRAINED, STORE, PLAIN, LINE = "#b8cfe5", "#f4b183", "#c6e0b4", "#ffffff", "#555555"


def canvas(width, height, size):
    """一张没有坐标轴的白底图，坐标从 0 到 width、0 到 height。返回 (图, 轴)。"""
    figure, axis = pyplot().subplots(figsize=size, layout="constrained")
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    return figure, axis


def save(figure, name):
    """写到 docs/images/；白底不透明，浅色与深色的页面上都看得清。"""
    figure.savefig(IMAGES_DIR / name, dpi=110, facecolor="white")
    pyplot().close(figure)


def box(axis, x, y, width, text, colour, height=0.8):
    from matplotlib.patches import FancyBboxPatch

    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02", facecolor=colour, edgecolor=LINE)
    axis.add_patch(shape)
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=11)


def arrow(axis, start, end):
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": LINE})


def chain(axis, y, boxes, gap=0.35, height=0.8):
    """从左到右一串框，中间是箭头。boxes：[(宽, 文字, 颜色, 框下面的形状)]。"""
    x = 0.1
    for width, text, colour, shape in boxes:
        if x > 0.1:
            arrow(axis, (x - gap + 0.05, y + height / 2), (x - 0.05, y + height / 2))
        box(axis, x, y, width, text, colour, height)
        axis.text(x + width / 2, y - 0.14, shape, ha="center", va="top", fontsize=10, color="#333333")
        x += width + gap


def draw_frozen_prefix():
    """经典做法与“冻结的部分只算一次”的对比。"""
    figure, axis = canvas(10.4, 5.3, (9, 4.9))
    axis.text(0.1, 5.0, "经典做法：每一轮都从照片算起", fontsize=12)
    for y, label in ((3.9, "第 1 轮"), (2.8, "第 5 轮")):
        axis.text(0.1, y + 0.4, label, va="center", fontsize=11)
        box(axis, 1.1, y, 1.6, "照片\n224×224×3", PLAIN)
        box(axis, 3.2, y, 4.0, "冻结的部分（每一轮的输出都一样）", FROZEN)
        box(axis, 7.7, y, 2.4, "要训练的几层", TRAINED)
        arrow(axis, (2.75, y + 0.4), (3.15, y + 0.4))
        arrow(axis, (7.25, y + 0.4), (7.65, y + 0.4))
    axis.text(5.2, 3.75, "……", ha="center", va="center", fontsize=12)
    axis.text(0.1, 2.2, "本课：冻结的部分每张照片只算一次", fontsize=12)
    y = 0.75
    box(axis, 0.1, y, 1.6, "照片\n224×224×3", PLAIN)
    box(axis, 2.1, y, 2.4, "冻结的部分", FROZEN)
    box(axis, 4.9, y, 2.3, "缓存的特征\n1280，在磁盘上", STORE)
    arrow(axis, (1.75, y + 0.4), (2.05, y + 0.4))
    arrow(axis, (4.55, y + 0.4), (4.85, y + 0.4))
    for y_target, label in ((1.35, "第 1 轮"), (0.1, "第 5 轮")):
        box(axis, 7.7, y_target, 2.4, f"要训练的几层（{label}）", TRAINED)
        arrow(axis, (7.25, y + 0.4), (7.65, y_target + 0.4))
    axis.text(8.9, 1.17, "……", ha="center", va="center", fontsize=12)
    save(figure, "frozen_prefix.png")


def draw_lesson_1_network():
    """第 1 课的两种网络，与各处的形状。"""
    figure, axis = canvas(11.4, 4.3, (10, 3.9))
    axis.text(0.1, 4.05, "做法一，顺序模型", fontsize=12)
    head = [(1.5, "全连接\n1024", TRAINED, "1024"), (1.5, "全连接\n512", TRAINED, "512")]
    pooled = (1.5, "全局\n平均池化", PLAIN, "1280")
    photo = (1.0, "照片", PLAIN, "224×224×3")
    base = (2.7, "MobileNetV2（冻结）", FROZEN, "7×7×1280")
    chain(axis, 2.95, [photo, base, pooled, *head, (1.3, "softmax", TRAINED, "5 类的概率")])
    axis.text(0.1, 1.95, "做法二，函数式模型，在 block_16_project_BN 切开", fontsize=12)
    base = (2.7, "MobileNetV2 到\nblock_16_project_BN（冻结）", FROZEN, "7×7×320")
    convolution = (2.5, "自己的卷积、\n批归一化、ReLU", TRAINED, "7×7×1280")
    chain(axis, 0.85, [photo, base, convolution, pooled, (1.3, "softmax", TRAINED, "5 类的概率")])
    axis.text(0.1, 0.15, "蓝色：冻结，训练时不变    橙色：要训练", fontsize=10, color="#333333")
    save(figure, "lesson_1_network.png")


def draw_fine_tuning_network():
    """第 3 课从哪里解冻。"""
    figure, axis = canvas(12.3, 2.3, (10, 2.1))
    boxes = [
        (1.0, "照片", PLAIN, "224×224×3"),
        (2.8, "第 1 至 12 块（冻结）", FROZEN, "14×14×96"),
        (1.9, "缓存的特征\n4 个视图", STORE, "切分点"),
        (2.3, "第 13 至 16 块、\nConv_1（解冻）", TRAINED, "7×7×1280"),
        (1.2, "全局\n平均池化", PLAIN, "1280"),
        (1.0, "softmax", TRAINED, "各类的概率"),
    ]
    chain(axis, 0.95, boxes)
    axis.text(0.1, 0.1, "解冻的只有卷积；其中的批归一化仍然冻结", fontsize=10, color="#333333")
    save(figure, "fine_tuning_network.png")


def draw_road():
    """README 的图：从照片到用起来的模型。"""
    figure, axis = canvas(11.2, 1.7, (10, 1.6))
    boxes = [
        (1.6, "照片文件夹\n一类一个", PLAIN, ""),
        (1.7, "检查\n第 8 课", FROZEN, "几秒"),
        (1.9, "训练\n第 1、3 课", TRAINED, "十几秒至一分钟"),
        (1.7, "看错在哪里\n第 5 课", FROZEN, ""),
        (1.7, "认新照片\n第 4 课", STORE, "或说“都不像”"),
        (0.9, "带走\n6、7", STORE, ""),
    ]
    chain(axis, 0.6, boxes, gap=0.3, height=0.95)
    save(figure, "road.png")


def tiles(name, photos, titles, columns):
    """把照片排成几列，各有标题。photos：Pillow 图像。"""
    rows = -(-len(photos) // columns)
    figure, axes = pyplot().subplots(rows, columns, figsize=(1.5 * columns, 1.72 * rows), layout="constrained")
    for axis, photo, title in zip(axes.flat, photos, titles, strict=True):
        axis.imshow(photo)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.savefig(IMAGES_DIR / name, dpi=100, facecolor="white", pil_kwargs={"quality": 88})
    pyplot().close(figure)


def draw_flower_pictures(folder):
    """样张、一批带标签的照片、一张照片的几个视图；folder 里是画好的花。"""
    from hello_fine_tuning import augment

    squares = {}
    for name in drawn_flowers.CLASS_NAMES:
        files = sorted((folder / name).glob("*.jpg"))[:6]
        squares[name] = [
            Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR) for file in files
        ]
    samples = [(photo, name) for name, photos in squares.items() for photo in photos]
    tiles("drawn_flowers.jpg", *zip(*samples, strict=True), columns=6)
    order = np.random.default_rng(0).permutation(len(samples))[:10]
    ids = {name: i for i, name in enumerate(squares)}
    batch = [(samples[i][0], f"{ids[samples[i][1]]} {samples[i][1]}") for i in order]
    tiles("labelled_batch.jpg", *zip(*batch, strict=True), columns=5)
    photo = Image.open(sorted((folder / "sunflowers").glob("*.jpg"))[1]).convert("RGB")
    views = [photo.resize((224, 224), Image.Resampling.BILINEAR), *(augment(photo, (224, 224), k) for k in (1, 2, 3))]
    tiles("views.jpg", views, ["原样", "增强 1", "增强 2", "增强 3"], columns=4)


def draw_learning_rate_schedule():
    """第 3 课的学习率：预热，再沿余弦下降。"""
    from hello_fine_tuning import warm_up_and_cosine

    steps = np.arange(200)
    rates = [float(warm_up_and_cosine(5e-4, len(steps))(step)) for step in steps]
    figure, axis = pyplot().subplots(figsize=(6, 2.6), layout="constrained")
    axis.plot(100 * steps / len(steps), rates)
    axis.set(xlabel="训练走完了百分之几", ylabel="学习率")
    axis.grid(alpha=0.3)
    save(figure, "learning_rate_schedule.png")


def draw_prediction():
    """第 4 课：一张照片怎样得到答案。"""
    figure, axis = canvas(11.1, 2.5, (9, 2.3))
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
    save(figure, "prediction.png")


def draw_photo_check(folder):
    """一朵画的花，与它的三种毛病，各自的亮度、清晰度；最后是一张横幅被压成正方形的样子。"""
    from hello_photo_check import measure

    flower = Image.open(folder / "sunflowers" / "0000.jpg").convert("RGB").resize((224, 224))
    wide = Image.new("RGB", (672, 224))
    for i in range(3):
        wide.paste(flower, (224 * i, 0))
    pictures = {
        "原样": flower,
        "模糊（半径 3 像素）": flower.filter(ImageFilter.GaussianBlur(3)),
        "太暗（亮度的五分之一）": flower.point(lambda value: value // 5),
        "3:1 的横幅，压成正方形": wide.resize((224, 224)),
    }
    figure, axes = pyplot().subplots(1, 4, figsize=(11, 3.4), layout="constrained")
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        brightness, sharpness = measure(np.asarray(picture))
        axis.imshow(picture)
        axis.set(xticks=[], yticks=[], title=title, xlabel=f"亮度 {brightness:.0f}，清晰度 {sharpness:.0f}")
    save(figure, "photo_check.png")


def main():
    draw_frozen_prefix()
    draw_lesson_1_network()
    draw_fine_tuning_network()
    draw_road()
    draw_prediction()
    with tempfile.TemporaryDirectory() as folder:
        flowers = drawn_flowers.draw_folder(Path(folder) / "flowers", per_class=6)
        draw_flower_pictures(flowers)
        draw_photo_check(flowers)
    draw_learning_rate_schedule()


if __name__ == "__main__":
    main()
