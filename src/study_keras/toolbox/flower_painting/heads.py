"""画一朵花的花头：雏菊、蒲公英（开花与绒球）、玫瑰、向日葵、郁金香。

多数由同一种笔画 `draw_petal` 叠成（画家算法：后画的盖住先画的）；蒲公英的细丝太多，用线段画。花头画在正方形的
透明画布上，由 painter 贴到照片里。比例与颜色是对照真花、看着样张调出来的，没有别的来源。
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from toolbox.flower_painting.brushes import draw_disc, draw_petal, draw_ring, pick, solid, to_image

WHITE, CREAM, YELLOW, GOLD, ORANGE = (244, 243, 236), (246, 232, 176), (250, 214, 32), (240, 170, 16), (235, 120, 25)
RED, WINE, PINK, ROSE, PURPLE = (200, 22, 32), (120, 14, 36), (242, 152, 182), (222, 60, 120), (128, 58, 148)
GREEN, BROWN = (84, 128, 50), (70, 42, 22)


@dataclass(frozen=True)
class Species:
    """一种花：怎样画花头，怎样长。长度以花头直径为单位。"""

    paint: Callable  # (canvas, rng) -> None
    flattest: float  # 斜看时最多压扁到几倍
    upright: bool  # 花头朝上的侧面（郁金香），不能随意自转
    leaves: int  # 每茎最多几片叶
    leaf_length: tuple[float, float]
    leaf_aspect: float  # 叶的宽 / 长


def draw_head(species, rng, size):
    """画一个花头，返回 size 见方的 RGBA 图，花以外透明。"""
    canvas = np.zeros((4, size, size), np.float32)
    species.paint(canvas, rng)
    return to_image(canvas, "RGBa").convert("RGBA")


def _daisy(canvas, rng):
    radius = canvas.shape[1] * 0.47
    tip = pick(rng, [WHITE, PINK, CREAM, YELLOW, PURPLE, ROSE], [9, 3, 2, 0.8, 1, 1])
    base = tip * rng.uniform(0.8, 1.0)
    count, disc = int(rng.integers(12, 30)), radius * rng.uniform(0.2, 0.32)
    width = 2 * np.pi * radius * rng.uniform(0.55, 0.8) / count
    for _ in range(rng.integers(1, 3)):
        draw_ring(canvas, rng, count, disc * 0.6, radius, width, base, tip, shape=(0.35, rng.uniform(0.12, 0.3)))
    core = pick(rng, [YELLOW, GOLD, ORANGE, BROWN], [6, 4, 1, 0.3])
    draw_disc(canvas, rng, disc, core, core * 0.8, 0.25)


def _sunflower(canvas, rng):
    radius = canvas.shape[1] * 0.47
    tip = pick(rng, [YELLOW, GOLD, ORANGE, CREAM, WINE], [8, 5, 1.5, 0.8, 0.8])
    base = tip * rng.uniform(0.75, 0.95) if rng.random() < 0.8 else np.asarray(WINE, np.float32)
    count, disc = int(rng.integers(14, 26)), radius * rng.uniform(0.38, 0.6)
    width = 2 * np.pi * radius * rng.uniform(0.6, 0.85) / count
    for scale in (1.0, rng.uniform(0.85, 0.95)):
        draw_ring(canvas, rng, count, disc * 0.8, radius * scale, width, base, tip * scale, shape=(0.45, 0.75))
    core = pick(rng, [BROWN, (38, 24, 16), (110, 74, 30), (120, 120, 40)], [5, 4, 2, 0.5])
    draw_disc(canvas, rng, disc, core * rng.uniform(0.6, 1.5), core, 0.55)


def _dandelion(canvas, rng):
    (_seed_head if rng.random() < 0.35 else _dandelion_flower)(canvas, rng)


def _dandelion_flower(canvas, rng):
    """六圈细舌状花，由外向内；每一根先画一道暗的，再在上面画亮的。"""
    size = canvas.shape[1]
    layer = Image.new("RGBA", (2 * size, 2 * size))
    draw = ImageDraw.Draw(layer)
    colour, thick = pick(rng, [YELLOW, GOLD, CREAM], [8, 4, 0.5]), size * rng.uniform(0.03, 0.055)
    for scale in np.linspace(1, rng.uniform(0.15, 0.3), 6):
        for angle in np.linspace(0, 2 * np.pi, int(rng.integers(44, 64) * scale**0.5)) + rng.uniform(0, 2 * np.pi):
            angle, reach = angle + rng.normal(0, 0.06), size * 0.92 * scale * (1 + rng.normal(0, 0.07))
            end = size + reach * np.cos(angle), size + reach * np.sin(angle)
            shade = (0.75 + 0.25 * scale) * rng.uniform(0.85, 1.08)
            for width, light in ((thick * 1.5, 0.68), (thick, 1.0)):
                draw.line([size, size, *end], solid(colour * shade * light), max(int(width), 1))
    canvas[:] = np.asarray(layer.reduce(2).convert("RGBa"), np.float32).transpose(2, 0, 1)


def _seed_head(canvas, rng):
    """白色绒球：从中心射出的细丝，末端是小星；有的被风吹掉一块。"""
    size = canvas.shape[1]
    layer = Image.new("RGBA", (2 * size, 2 * size))
    draw = ImageDraw.Draw(layer)
    tone = solid(pick(rng, [WHITE, (214, 208, 196)], [3, 1]))[:3]
    gone, cut = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.6)  # 朝 gone 方向、余弦大于 cut 的种子已经飞走
    draw.ellipse([size * 0.1, size * 0.1, size * 1.9, size * 1.9], fill=(*tone, int(rng.uniform(15, 60))))
    for _ in range(int(rng.integers(90, 170))):
        angle, reach = rng.uniform(0, 2 * np.pi), size * 0.83 * np.sqrt(rng.uniform(0.25, 1))
        if np.cos(angle - gone) > cut:
            continue
        x, y = size + reach * np.cos(angle), size + reach * np.sin(angle)
        draw.line([size, size, x, y], fill=(*tone, 120), width=max(size // 90, 1))
        for spoke in np.linspace(-1.3, 1.3, 6) + angle:
            end = x + size * 0.13 * np.cos(spoke), y + size * 0.13 * np.sin(spoke)
            draw.line([x, y, *end], fill=(*tone, 190), width=max(size // 80, 1))
    core = size * rng.uniform(0.08, 0.16)
    draw.ellipse([size - core, size - core, size + core, size + core], fill=(112, 92, 60, 230))
    canvas[:] = np.asarray(layer.reduce(2).convert("RGBa"), np.float32).transpose(2, 0, 1)


def _rose(canvas, rng):
    """由外向内，一片压一片，按黄金角（137.5 度）转着排；花心缩向一侧，像斜看的杯子。"""
    centre, radius = canvas.shape[1] / 2, canvas.shape[1] * 0.46
    colour = pick(rng, [RED, WINE, PINK, ROSE, WHITE, CREAM, YELLOW, ORANGE, PURPLE], [5, 1, 4, 3, 3, 2, 3, 2, 0.7])
    rim, count = np.clip(colour * rng.uniform(1.05, 1.25) + rng.uniform(5, 30), 0, 255), int(rng.integers(12, 21))
    toward = rng.uniform(0, 2 * np.pi)
    lean = radius * rng.uniform(0, 0.3) * np.array([np.cos(toward), np.sin(toward)])
    start, cup = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.4)
    for k in range(count):
        near = k / count  # 0 最外，1 花心
        reach = radius * (1 - near) ** 0.8 + radius * 0.08
        x, y = centre + lean * near
        angle, shade = start + k * 2.4 + rng.normal(0, 0.12), rng.uniform(0.88, 1.05)
        draw_petal(
            canvas,
            x - cup * reach * np.cos(angle),
            y - cup * reach * np.sin(angle),
            angle,
            reach * (1 + cup),
            reach * rng.uniform(1.3, 1.7),
            colour * (0.62 - 0.2 * near) * shade,
            rim * shade,
            shape=(0.5, rng.uniform(0.3, 0.45)),
            vein=0.015,
            edge=0.08,
            bend=rng.normal(0, 0.1),
            shadow=0.28,
        )


def _tulip(canvas, rng):
    size = canvas.shape[1]
    palette = [RED, YELLOW, PINK, WHITE, PURPLE, ORANGE, ROSE, WINE, CREAM]
    colour = pick(rng, palette, [4, 4, 3, 3, 2, 2, 2, 1, 1])
    tip = pick(rng, palette, np.ones(9)) if rng.random() < 0.25 else np.clip(colour * 1.12 + 8, 0, 255)
    x, y, up, spread = size / 2, size * 0.93, -np.pi / 2, rng.uniform(0.1, 0.3)
    height, width = size * rng.uniform(0.75, 0.88), size * rng.uniform(0.3, 0.42)
    shape = (rng.uniform(0.4, 0.55), rng.uniform(0.4, 0.75))
    for side, scale, shade in ((-0.5, 0.95, 0.75), (0.5, 0.95, 0.7), (-1, 0.97, 0.92), (1, 0.97, 0.88), (0, 0.9, 1.02)):
        draw_petal(
            canvas,
            x + side * width * 0.12,
            y,
            up + side * spread,
            height * scale * rng.uniform(0.95, 1.04),
            width * rng.uniform(0.95, 1.1),
            colour * shade * 0.8,
            tip * shade,
            shape,
            -side * rng.uniform(0.2, 0.6),
            vein=0.04,
            shadow=0.35,
        )


SPECIES = {
    "daisy": Species(_daisy, 0.4, False, 1, (0.3, 0.6), 0.5),
    "dandelion": Species(_dandelion, 0.55, False, 2, (0.8, 1.6), 0.25),
    "roses": Species(_rose, 0.6, False, 4, (0.35, 0.7), 0.75),
    "sunflowers": Species(_sunflower, 0.45, False, 4, (0.5, 1.0), 0.9),
    "tulips": Species(_tulip, 0.85, True, 3, (1.2, 3.0), 0.2),
}
