"""陌生的图片：几个包自带的图片与画的花纹，用来看模型会不会说都不像。只用来量，门槛从不看它们。"""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

SHIPPED = {  # 包: 它的图片在哪里。SciPy 的图片要另外下载，不在安装包里，所以不用
    "sklearn": "datasets/images",
    "skimage": "data",
    "matplotlib": "mpl-data/sample_data",
}
PICTURES = (".jpg", ".png")
FLOWER = "flower.jpg"  # sklearn 的这一张是花：不算陌生，单独报告
SMALLEST = 64  # 像素；再小的是图标
SIZE = 256


def shipped_pictures(folder):
    """把装着的包自带的图片写进 folder/shipped（那张花写进 folder/flower_picture），返回 {包: 几张}。

    每张图片写原样一份，边长够 2 * SMALLEST 的再写四个角各一份：四分之一张风景还是陌生的。
    """
    counts = {}
    for package, place in SHIPPED.items():
        spec = importlib.util.find_spec(package)
        paths = sorted((Path(spec.origin).parent / place).glob("*.*")) if spec else []
        pictures = [path for path in paths if path.suffix in PICTURES]
        counts[package] = sum(_write_with_corners(path, package, folder) for path in pictures)
    return counts


def _write_with_corners(path, package, folder):
    """写出一张图片与它的四个角；太小的不写。返回写了（1）没有（0）。"""
    with Image.open(path) as image:
        image = image.convert("RGB")
    if min(image.size) < SMALLEST:
        return 0
    target = folder / ("flower_picture" if path.name == FLOWER else "shipped")
    target.mkdir(parents=True, exist_ok=True)
    image.save(target / f"{package}_{path.stem}.png")
    if min(image.size) >= 2 * SMALLEST:
        half = image.width // 2, image.height // 2
        for corner, (left, top) in enumerate(((0, 0), (half[0], 0), (0, half[1]), half)):
            image.crop((left, top, left + half[0], top + half[1])).save(target / f"{package}_{path.stem}_{corner}.png")
    return 1


def draw_textures(folder, count):
    """往 folder/textures 画 count 张花纹：条纹、格子、云、噪点、色块、渐变、圆点，轮流来；只由序号决定。"""
    (folder / "textures").mkdir(parents=True, exist_ok=True)
    for i in range(count):
        random = np.random.default_rng(i)
        pixels = TEXTURES[i % len(TEXTURES)](random, *np.mgrid[:SIZE, :SIZE] / SIZE)
        Image.fromarray(np.uint8(255 * pixels.clip(0, 1))).save(folder / "textures" / f"{i:03}.png")


def _between(random, mask):
    """按 mask（0 至 1）在两种任选的颜色之间调色。"""
    first, second = random.random((2, 3))
    return first + mask[..., None] * (second - first)


def _stripes(random, y, x):
    angle, count = random.uniform(0, np.pi), random.uniform(3, 30)
    return _between(random, 0.5 + 0.5 * np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle))))


def _checks(random, y, x):
    across, down = random.integers(2, 20, size=2)
    return _between(random, ((x * across).astype(int) + (y * down).astype(int)) % 2)


def _clouds(random, y, x):
    coarse = Image.fromarray(random.integers(0, 256, (*random.integers(3, 12, size=2), 3), np.uint8))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) / 255


def _noise(random, y, x):
    return random.uniform(0, 1) + random.uniform(0.05, 0.5) * random.normal(size=(SIZE, SIZE, 3))


def _patches(random, y, x):
    pixels = np.broadcast_to(random.random(3), (SIZE, SIZE, 3)).copy()
    for _ in range(random.integers(3, 25)):
        top, left = random.integers(0, SIZE - 8, size=2)
        height, width = random.integers(8, SIZE // 2, size=2)
        pixels[top : top + height, left : left + width] = random.random(3)
    return pixels


def _gradient(random, y, x):
    corners = random.random((4, 3))
    weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=-1)
    return weights @ corners


def _dots(random, y, x):
    count = random.integers(2, 15)
    distance = np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5)
    return _between(random, (distance < random.uniform(0.15, 0.45)).astype(float))


TEXTURES = (_stripes, _checks, _clouds, _noise, _patches, _gradient, _dots)
