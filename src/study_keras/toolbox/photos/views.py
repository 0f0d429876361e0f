"""照片的各种样子（视图 view）：原样的，或增强的。"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from toolbox.photos.read import resized


@dataclass(frozen=True)
class View:
    """照片的一种样子。

    Attributes:
        key: 名字；render 有任何不同，名字就要不同。
        render: 函数 (PIL.Image, (高, 宽), seed) -> uint8 数组 (高, 宽, 3)。seed 由照片的内容与 key 决定，
            随机的增强只能用它作种子：同一张照片的同一个视图永远相同。
    """

    key: str
    render: Callable


CLEAN = View("clean", lambda image, size, seed: resized(image, size))  # 与 read.read_photo 相同


def row_key(photo, view):
    """一行在缓存里的键（16 字节），也是随机增强的种子的来源：只看照片的内容与视图的名字。"""
    return hashlib.sha256(f"{photo.sha256}:{view.key}".encode()).digest()[:16]
