"""画一张“花的照片”：背景、茎叶、花头、遮挡、光线与镜头，全部由一个随机数发生器决定。

只用 Pillow 与 NumPy。尺寸、概率等常数是看着样张、对照识别的难易调出来的，没有别的来源。
"""

import numpy as np
from PIL import Image, ImageDraw

from toolbox.flower_painting.backgrounds import blur, clouds, draw_leaf, paint_background
from toolbox.flower_painting.brushes import pick, solid, to_image
from toolbox.flower_painting.heads import GREEN, SPECIES, draw_head


def paint(class_name, rng):
    """画一张照片。

    Args:
        class_name: SPECIES 的一个键。
        rng: numpy.random.Generator；画面只取决于它的状态。

    Returns:
        PIL.Image，RGB，短边 180 至 300 像素，横、竖、方都有。
    """
    short = int(rng.integers(180, 301))
    width, height = round(short * rng.choice([1, 1.2, 1.33, 1.5])), short
    if rng.random() < 0.3:
        width, height = height, width
    photo = paint_background(rng, width, height)
    for depth, flowers in enumerate(_arrange(rng, width, height)):
        if depth:  # 每往近处走一层，身后的一切都再模糊一点：景深
            photo = blur(photo, rng.uniform(0.3, 2.0))
        if flowers:
            _plant(photo, SPECIES[class_name], rng, flowers)
    _foreground(photo, rng)
    return _camera(photo, rng)


def _arrange(rng, width, height):
    """由远及近的几层花；每层是 (x, y, 直径) 的列表。特写、几朵、一片，三种构图。"""
    short, kind = min(width, height), rng.choice(["close", "few", "field"], p=[0.4, 0.4, 0.2])
    if kind == "close":
        layers = [(rng.integers(0, 3), 0.25, 0.5), (1, 0.55, 1.0)]
    elif kind == "few":
        layers = [(rng.integers(0, 4), 0.12, 0.25), (rng.integers(2, 6), 0.35, 0.6)]
    else:
        layers = [(rng.integers(4, 12), 0.07, 0.13), (rng.integers(3, 9), 0.15, 0.28), (rng.integers(1, 4), 0.25, 0.4)]

    def flower(low, high):
        return rng.uniform(0.12, 0.88) * width, rng.uniform(0.18, 0.8) * height, rng.uniform(low, high) * short

    return [[flower(low, high) for _ in range(count)] for count, low, high in layers]


def _plant(photo, species, rng, flowers):
    """把一层花连茎带叶画到照片上。"""
    flowers = sorted(flowers, key=lambda flower: flower[1])
    size = int(np.clip(max(diameter for _, _, diameter in flowers), 40, 210))
    # 同一层的花是一两个品种，轮流用；远处的小花只画一个
    heads = [draw_head(species, rng, size) for _ in range(1 if size < 60 else min(len(flowers), 2))]
    leans = [rng.uniform(-30, 30) for _ in flowers]
    greens = _stems_and_leaves(photo.size, species, rng, flowers, leans)
    photo.paste(greens, mask=greens)
    for k, ((x, y, diameter), lean) in enumerate(zip(flowers, leans, strict=True)):
        spin = 0 if species.upright else rng.uniform(0, 360)
        head = _turned(heads[k % len(heads)], max(int(diameter), 8), spin, rng.uniform(species.flattest, 1), lean)
        photo.paste(head, (int(x - head.width / 2), int(y - head.height / 2)), head)


def _turned(head, side, spin, tilt, lean):
    """花头缩放到 side 像素，自转 spin 度，压扁到 tilt 倍（斜看），再整个转 lean 度。"""
    head = head.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    inverse = _rotation(-spin) @ np.diag([1, 1 / tilt]) @ _rotation(-lean)  # 从结果的坐标找回原图的坐标
    offset = side / 2 - inverse @ [side / 2, side / 2]
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    return head.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _rotation(degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]])


def _stems_and_leaves(size, species, rng, flowers, leans):
    """一层茎叶：两倍大小画出再缩小，边缘就不带锯齿。"""
    layer = Image.new("RGBa", (size[0] * 2, size[1] * 2))
    draw = ImageDraw.Draw(layer)
    t = np.linspace(0, 1, 12)[:, None]
    for (x, y, diameter), lean in zip(flowers, np.radians(leans), strict=True):
        green = pick(rng, [GREEN, (60, 96, 48), (120, 140, 60)], [3, 2, 1])
        knee = x + np.sin(lean) * diameter, y + np.cos(lean) * diameter
        foot = x + rng.normal(0, 0.3) * diameter, size[1] + diameter
        stem = 2 * ((1 - t) ** 2 * [x, y] + 2 * t * (1 - t) * [knee] + t**2 * [foot])
        thick = max(int(diameter * rng.uniform(0.08, 0.16)), 1)
        draw.line([tuple(p) for p in stem], solid(green * 0.9), thick, "curve")
        for _ in range(rng.integers(0, species.leaves + 1)):
            length = 2 * diameter * rng.uniform(*species.leaf_length)
            spread = (0.1, 0.5) if species.leaf_aspect < 0.4 else (0.5, 1.5)  # 长叶直立，阔叶平展
            direction = rng.choice([-1, 1]) * rng.uniform(*spread)
            draw_leaf(draw, stem[rng.integers(3, 11)], direction, length, length * species.leaf_aspect, green, rng)
    return layer.reduce(2).convert("RGBA")


def _foreground(photo, rng):
    """镜头前的草叶，挡住一部分花。"""
    count = rng.choice([0, 0, 1, 3, 7])
    if not count:
        return
    layer = Image.new("RGBa", (photo.width * 2, photo.height * 2))
    draw = ImageDraw.Draw(layer)
    green = pick(rng, [GREEN, (50, 80, 36), (140, 150, 80)], [3, 2, 1])
    for _ in range(count):
        root = np.array([rng.uniform(-0.1, 1.1) * layer.width, layer.height * rng.uniform(0.9, 1.2)])
        length = layer.height * rng.uniform(0.3, 1.0)
        width, tone = length * rng.uniform(0.03, 0.14), green * rng.uniform(0.7, 1.3)
        draw_leaf(draw, root, rng.normal(0, 0.4), length, width, tone, rng)
    layer = blur(layer.reduce(2).convert("RGBA"), rng.choice([0, 1.5, 4]))
    photo.paste(layer, mask=layer)


def _camera(photo, rng):
    """光线与镜头：明暗、方向光、光斑、偏色、饱和度、噪点、虚焦。"""
    photo = blur(photo, rng.choice([0, 0.7, 1.5, 2.5], p=[0.6, 0.28, 0.09, 0.03]))
    width, height = photo.size
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = 1 + rng.normal(0, 0.15) * x + rng.normal(0, 0.15) * y - rng.uniform(0, 0.25) * (x * x + y * y)
    if rng.random() < 0.3:
        light = light * (1 + 0.3 * np.tanh(2 * clouds(rng, width, height, 3)))
    pixels = np.stack([np.asarray(band) * light for band in photo.split()])
    saturation, contrast, brightness = rng.uniform(0.65, 1.2), rng.uniform(0.85, 1.2), rng.uniform(0.95, 1.25)
    grey = pixels.mean(0) * (contrast * (1 - saturation)) + 128 * (brightness - contrast)
    pixels *= contrast * saturation
    pixels += grey + rng.uniform(0, 4) * rng.standard_normal((height, width), np.float32)
    pixels *= np.exp(rng.normal(0, 0.07, (3, 1, 1))).astype(np.float32)
    return to_image(pixels)
