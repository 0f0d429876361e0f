"""画花的笔：渐变、花瓣、一圈花瓣、花盘。画布是 float32 数组 (4, 高, 宽)，预乘过透明度。"""

import numpy as np
from PIL import Image


def pick(rng, colours, weights):
    """按权重选一个颜色，再各自偏一点。"""
    colour = colours[rng.choice(len(colours), p=np.divide(weights, sum(weights)))]
    return np.clip(np.asarray(colour, np.float32) * rng.uniform(0.88, 1.08) + rng.normal(0, 8, 3), 0, 255)


def solid(colour):
    """颜色 -> ImageDraw 要的整数四元组（不透明）。"""
    return (*np.clip(colour, 0, 255).astype(int).tolist(), 255)


def to_image(planes, mode="RGB"):
    """(通道, h, w) 的浮点数组 -> PIL.Image。"""
    return Image.merge(mode, [Image.fromarray(plane) for plane in planes.clip(0, 255).astype(np.uint8)])


def draw_petal(
    canvas, x, y, angle, length, width, base, tip, shape=(0.5, 0.5), bend=0.0, vein=0.06, edge=0.22, shadow=0.0
):
    """在画布上画一片花瓣：从 (x, y) 朝 angle 方向长出，颜色由 base 渐变到 tip。

    Args:
        canvas: float32 数组 (4, h, w)，颜色已乘透明度，0 至 255；就地修改。
        shape: (a, b)，半宽按 v^a (1-v)^b 变化，v 从根部 0 到尖端 1；b 越小尖端越圆钝。
        bend: 尖端向一侧弯出多少个半宽。
        vein: 纵向纹路的深浅。
        edge: 两侧边缘暗下去多少。
        shadow: 在身下已有的花瓣上投多深的影子，0 至 1。
    """
    if shadow:
        region, alpha, _, _ = _silhouette(canvas, x, y, angle, length * 1.07, width * 1.12, shape, bend)
        region[:3] *= 1 - shadow * alpha
    region, alpha, u, v = _silhouette(canvas, x, y, angle, length, width, shape, bend)
    light = 1 + vein * np.cos(u * 8) + 0.07 * u - edge * np.square(u * u)
    cover(region, gradient(base, tip, v) * light, alpha)


def _silhouette(canvas, x, y, angle, length, width, shape, bend):
    """一片花瓣的轮廓：(画布上的外接矩形, 遮盖度 0..1, 横向坐标 -1..1, 纵向坐标 0..1)。"""
    cos, sin, (a, b) = np.cos(angle), np.sin(angle), shape
    reach = width * (0.5 + abs(bend) / 2) + 1
    (x0, x1), (y0, y1) = sorted((x, x + length * cos)), sorted((y, y + length * sin))
    x0, y0 = max(int(x0 - reach), 0), max(int(y0 - reach), 0)
    region = canvas[:, y0 : max(int(y1 + reach), 0), x0 : max(int(x1 + reach), 0)]
    dx = np.arange(x0, x0 + region.shape[2], dtype=np.float32) - np.float32(x)
    dy = np.arange(y0, y0 + region.shape[1], dtype=np.float32)[:, None] - np.float32(y)
    cos, sin = np.float32(cos), np.float32(sin)
    along = (dx * cos + dy * sin) / np.float32(length)
    v = np.clip(along, 0.01, 0.99)
    half = v**a * (1 - v) ** b * ((a + b) ** (a + b) / (a**a * b**b))
    u = (dy * cos - dx * sin) * np.float32(2 / width) - np.float32(bend) * v * v
    alpha = np.clip((half - np.abs(u)) * (width / 2) + 0.5, 0, 1)
    alpha *= np.clip(np.minimum(along, 1 - along) * length + 0.5, 0, 1)
    return region, alpha, np.clip(u / half, -1, 1), v


def gradient(start, end, amount):
    """两色之间的渐变：amount (h, w) 取 0 至 1，得 (3, h, w)。"""
    start, end = np.asarray(start, np.float32)[:, None, None], np.asarray(end, np.float32)[:, None, None]
    return start + (end - start) * amount


def cover(region, colour, alpha):
    """把颜色按遮盖度盖到画布的一块上，就地修改。"""
    region *= 1 - alpha
    region[:3] += np.clip(colour, 0, 255) * alpha
    region[3] += 255 * alpha


def draw_ring(canvas, rng, count, start, length, width, base, tip, jitter=0.08, **petal):
    """一圈花瓣：count 片，从离花心 start 处向外长到 length。"""
    centre = canvas.shape[1] / 2
    for k in rng.permutation(count):
        angle = 2 * np.pi * (k + rng.normal(0, 0.18)) / count
        shade = rng.uniform(0.86, 1.06)
        draw_petal(
            canvas,
            centre + start * np.cos(angle),
            centre + start * np.sin(angle),
            angle + rng.normal(0, 0.05),
            (length - start) * (1 + rng.normal(0, jitter)),
            width * rng.uniform(0.85, 1.15),
            np.multiply(base, shade),
            np.multiply(tip, shade),
            bend=rng.normal(0, 0.25),
            **petal,
        )


def draw_disc(canvas, rng, radius, inner, outer, grain):
    """花心：由 inner 渐变到 outer，带两组相反的螺线纹（向日葵籽的排法）与细碎的颗粒。"""
    low, high = int(canvas.shape[1] / 2 - radius) - 1, int(canvas.shape[1] / 2 + radius) + 2
    x = np.arange(low, high, dtype=np.float32) - canvas.shape[1] / 2
    y = x[:, None]
    r, theta = np.hypot(x, y) / radius, np.arctan2(y, x)
    spiral = np.cos(21 * theta + 16 * np.sqrt(r)) * np.cos(34 * theta - 26 * np.sqrt(r))
    light = 1 + grain * (0.6 * spiral + 0.4 * rng.standard_normal(r.shape, np.float32)) - 0.25 * r**6 - 0.1 * y / radius
    colour = gradient(inner, outer, np.clip(r, 0, 1) ** 1.5) * light
    cover(canvas[:, low:high, low:high], colour, np.clip((1 - r) * radius + 0.5, 0, 1))
