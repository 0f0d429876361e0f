"""报告里的小图：缩略图、叠上热力图的照片；都写成 data: 地址，网页不必再取别的文件。"""

import base64
import io

import numpy as np
from PIL import Image, ImageOps

from toolbox.photos.folder import open_checked
from toolbox.terminal.workers import map_in_threads

LARGE, SMALL = 260, 48  # 像素：看得清的缩略图的长边；二维图上的小方块


def thumbnails(photos, large=()):
    """每张照片只读一次，返回 ({file: 小方块}, {file: 大的缩略图})，都是 PIL.Image。

    Args:
        photos: 要小方块的照片。
        large: 要大的缩略图的照片，可以不在 photos 里。
    """
    wanted_small, wanted_large = {photo.file for photo in photos}, {photo.file for photo in large}
    every = list({photo.file: photo for photo in [*photos, *large]}.values())

    def shrink(photo):
        image = open_checked(photo, LARGE if photo.file in wanted_large else 2 * SMALL)
        big = image.copy() if photo.file in wanted_large else None
        if big:
            big.thumbnail((LARGE, LARGE), Image.Resampling.BILINEAR)
        return big, ImageOps.fit(image, (SMALL, SMALL)) if photo.file in wanted_small else None

    shrunk = dict(zip([photo.file for photo in every], map_in_threads(shrink, every), strict=True))
    small = {file: pair[1] for file, pair in shrunk.items() if pair[1]}
    return small, {file: pair[0] for file, pair in shrunk.items() if pair[0]}


def data_uri(image, quality=82):
    """PIL.Image -> data:image/jpeg;base64,……"""
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")


def overlay(image, heat):
    """照片变成灰的，越热的地方越亮、越黄。

    Args:
        image: PIL.Image。
        heat: 类激活图 (h, w)，不小于 0；模型看的是整张照片压成的方形，所以放大到照片的大小就对得上。
    """
    from matplotlib import colormaps

    heat = Image.fromarray((heat / max(heat.max(), 1e-12)).astype(np.float32))
    heat = np.clip(np.asarray(heat.resize(image.size, Image.Resampling.BICUBIC)), 0, 1)
    gray = np.asarray(ImageOps.grayscale(image), np.float32)[..., None]
    colours = colormaps["inferno"](heat)[..., :3].astype(np.float32) * 255
    share = (0.1 + 0.6 * heat)[..., None]
    return Image.fromarray((gray * (1 - share) + colours * share).astype(np.uint8))
