"""花照片的背景：草地、天空、泥土、墙、木板、光斑、叶丛。与花的类别无关。"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from toolbox.flower_painting.brushes import gradient, pick, solid, to_image
from toolbox.flower_painting.heads import GREEN, ORANGE, PINK, PURPLE, RED, WHITE, YELLOW


def paint_background(rng, width, height):
    """随机选一种背景，虚化程度也随机；返回 RGB 图。"""
    paint_one = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    return blur(paint_one(rng, width, height), rng.choice([0, 1, 3, 6]) * rng.uniform(0.5, 1))


def blur(image, radius):
    """高斯模糊；半径大时先缩小一半再做，快四倍，看不出差别。"""
    if radius < 1.2:
        return image.filter(ImageFilter.GaussianBlur(float(radius))) if radius else image
    return blur(image.reduce(2), radius / 2).resize(image.size, Image.Resampling.BILINEAR)


def clouds(rng, width, height, cells, octaves=3):
    """柔和的随机起伏，float32 (h, w)，均值约 0，幅度约 1。"""
    total = np.zeros((height, width), np.float32)
    for k in range(octaves):
        grid = rng.normal(0, 0.6**k, (cells * 2**k + 1, cells * 2**k + 1)).astype(np.float32)
        total += np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return total


def draw_leaf(draw, root, direction, length, width, green, rng):
    """一片叶：direction 是偏离正上方的弧度；两半明暗不同，中间一条叶脉。"""
    t = np.linspace(0, 1, 14)
    bend = rng.normal(0, 0.5)
    axis = direction + bend * t
    spine = root + length * np.stack([np.sin(axis) * t, -np.cos(axis) * t], 1)
    normal = np.stack([np.cos(axis), np.sin(axis)], 1) * (width * np.sin(np.pi * t**0.8) / 2)[:, None]
    shade = rng.uniform(0.7, 1.2)
    for side, light in ((1, 1.0), (-1, 0.85)):
        outline = np.concatenate([spine, (spine + side * normal)[::-1]])
        draw.polygon([tuple(p) for p in outline], solid(green * shade * light))
    draw.line([tuple(p) for p in spine], solid(green * shade * 1.25), max(int(width / 22), 1))


def _blend(base, other, amount):
    """两色按 (h, w) 的比例混合成 RGB 图。"""
    return to_image(gradient(base, other, np.clip(amount, 0, 1)))


def _meadow(rng, width, height):
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    far, near = pick(rng, [(150, 170, 90), (90, 120, 60), (170, 160, 100)], [1, 1, 0.5]), pick(rng, [(50, 84, 30)], [1])
    photo = _blend(far, near, rows + 0.2 * clouds(rng, width, height, 4))
    draw = ImageDraw.Draw(photo)
    for x, y, reach in rng.uniform(0, 1, (int(rng.integers(60, 220)), 3)):
        root, length = (x * width, (0.2 + 0.9 * y) * height), (0.1 + 0.25 * reach) * height
        tip = root[0] + rng.normal(0, 0.3) * length, root[1] - length
        draw.line([root, tip], solid(near * rng.uniform(0.7, 2.0))[:3], int(rng.integers(1, 4)))
    return photo


def _sky(rng, width, height):
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    blue = pick(rng, [(70, 130, 210), (120, 165, 215), (190, 195, 205), (225, 150, 110)], [3, 2, 1, 0.6])
    sky = np.asarray(_blend(blue, (225, 232, 240), rows * 0.6 + 0.35 * clouds(rng, width, height, 3)))
    ground = pick(rng, [GREEN, (60, 90, 50), (130, 110, 70)], [3, 2, 1])
    ridge = rng.uniform(0.55, 1.3) + 0.04 * clouds(rng, width, 1, 4)
    land = ground * (1.3 - 0.5 * rows[..., None])
    return Image.fromarray(np.where((rows > ridge)[..., None], land, sky).astype(np.uint8))


def _soil(rng, width, height):
    earth = pick(rng, [(96, 70, 48), (130, 104, 80), (60, 46, 38), (120, 116, 110)], [3, 2, 2, 1])
    grain = 0.5 + 0.25 * clouds(rng, width, height, 8, 4) + 0.12 * rng.standard_normal((height, width), np.float32)
    return _blend(earth * 0.55, earth * 1.35, grain)


def _wall(rng, width, height):
    plaster = pick(rng, [(205, 198, 185), (150, 80, 60), (120, 130, 140), (190, 150, 100), (60, 60, 70)], np.ones(5))
    light = 0.5 + 0.3 * clouds(rng, width, height, 2) + 0.05 * rng.standard_normal((height, width), np.float32)
    if rng.random() < 0.5:  # 砖缝
        step = int(rng.integers(16, 40))
        rows, columns = np.mgrid[:height, :width]
        joint = (rows % step < 2) | ((columns + rows // step % 2 * step) % (2 * step) < 2)
        light = light - 0.6 * joint
    return _blend(plaster * 0.7, plaster * 1.15, light)


def _wood(rng, width, height):
    plank = pick(rng, [(150, 104, 62), (96, 62, 38), (190, 160, 120), (130, 128, 124)], np.ones(4))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    grain = np.sin(rows / rng.uniform(2, 5) + 3 * clouds(rng, width, height, 2) + columns / 60)
    gap = rows % int(rng.integers(40, 90)) < 2
    photo = _blend(plank * 0.75, plank * 1.2, 0.5 + 0.25 * grain - 0.8 * gap + 0.1 * clouds(rng, width, height, 3))
    return photo if rng.random() < 0.5 else photo.rotate(90, expand=True).resize((width, height))


def _bokeh(rng, width, height):
    dark = pick(rng, [(30, 44, 26), (20, 20, 26), (70, 90, 50), (110, 100, 90)], np.ones(4))
    photo = _blend(dark * 0.6, dark * 1.5, 0.5 + 0.4 * clouds(rng, width, height, 2))
    draw = ImageDraw.Draw(photo, "RGBA")
    palette = [GREEN, YELLOW, WHITE, PINK, RED, ORANGE, PURPLE, (150, 190, 100)]
    for _ in range(int(rng.integers(5, 40))):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.02, 0.12) * width
        colour = solid(pick(rng, palette, [4, 1, 1, 1, 1, 1, 1, 3]))[:3]
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour + (int(rng.uniform(30, 120)),))
    return photo


def _foliage(rng, width, height):
    green = pick(rng, [(30, 56, 24), (50, 84, 36), (74, 92, 60)], np.ones(3))
    photo = Image.new("RGB", (width, height), solid(green * 0.5)[:3])
    draw = ImageDraw.Draw(photo)
    for _ in range(int(rng.integers(25, 60))):
        root = np.array([rng.uniform(0, width), rng.uniform(0, height * 1.1)])
        length, tone = rng.uniform(0.12, 0.32) * width, green * rng.uniform(0.7, 1.6)
        draw_leaf(draw, root, rng.uniform(-3, 3), length, length * rng.uniform(0.3, 0.6), tone, rng)
    return photo


BACKGROUNDS = (_meadow, _sky, _soil, _wall, _wood, _bokeh, _foliage)
