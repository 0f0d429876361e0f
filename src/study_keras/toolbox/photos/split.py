"""把照片按内容划分成训练、验证、测试。"""

import hashlib

import numpy as np

from toolbox.terminal.errors import UserError


def split_photos(photos, validation=0.2, test=0.0, seed=0):
    """把照片划分成 {"train": [...], "validation": [...], "test": [...]}，各保持原来的顺序。

    每张照片去哪一部分只由它的内容（group）与 seed 决定：与文件名、文件夹、机器、别的照片都无关，
    添加照片不会让旧照片换部分，相同与几乎相同的照片总在一起。只有一类照片太少、某一部分一张也没有时，
    才把位置最接近的一组移过去。

    Raises:
        UserError: 某一类分不出每部分至少一组照片。
    """
    shares = {"test": test, "validation": validation, "train": 1 - validation - test}
    names = [name for name, share in shares.items() if share > 0]
    bounds = np.cumsum([shares[name] for name in names])
    position = {photo.group: _position(photo.group, seed) for photo in photos}
    part = {group: names[np.searchsorted(bounds[:-1], p, "right")] for group, p in position.items()}
    for class_name in sorted({photo.class_name for photo in photos}):
        groups = sorted({photo.group for photo in photos if photo.class_name == class_name}, key=position.get)
        if len(groups) < len(names):
            few = f"类别 {class_name} 只有 {len(groups)} 张互不相同的照片"
            raise UserError(f"{few}，分不成 {len(names)} 部分。请添加照片，或移走这一类。")
        for i, name in enumerate(names):
            if all(part[group] != name for group in groups):
                part[groups[i if name != "train" else -1]] = name
    return {name: [photo for photo in photos if part[photo.group] == name] for name in ("train", "validation", "test")}


def _position(group, seed):
    """[0, 1) 中的一个数，看上去随机，但只由 group 与 seed 决定。"""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64
