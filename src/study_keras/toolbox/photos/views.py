"""照片的各种样子（视图 view）：原样的，或增强的。"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from toolbox.photos.read import resized


@dataclass(frozen=True)
class View:
    """照片的一种样子。

    Attributes:
        key: 名字；同一张照片的不同视图，名字不同。
        render: 函数 (PIL.Image, (高, 宽), seed) -> uint8 数组 (高, 宽, 3)。seed 由照片的内容与 key 决定，
            随机的增强只能用它作种子：同一张照片的同一个视图永远相同。
        source: render 的源代码；改了它，缓存里以前的行就不再用。
    """

    key: str
    render: Callable
    source: str = ""


CLEAN = View("clean", lambda image, size, seed: resized(image, size))  # 与 read.read_photo 相同


def row_key(photo, view):
    """一行在缓存里的键（16 字节）：只看照片的内容与视图（它的名字与源代码）。"""
    return hashlib.sha256(f"{photo.sha256}:{view.key}{view.source}".encode()).digest()[:16]


def view_seed(photo, view):
    """随机增强的种子：只看照片的内容与视图的名字。"""
    return int.from_bytes(hashlib.sha256(f"{photo.sha256}:{view.key}".encode()).digest()[:8], "big")
