"""模型文件夹没有拿来训练的照片（predictions.csv 里的），以及训练过的照片。"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolbox import model_folder_reader
from toolbox.photos.folder import open_checked, open_folder
from toolbox.photos.views import CLEAN
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import DATA_DIR, absolute
from toolbox.terminal.records import read_csv
from toolbox.terminal.text import visible
from toolbox.terminal.workers import map_in_threads

SIZE = (224, 224)
_SAY_WHERE = "请用 --images-dir 指明训练时的照片文件夹。"


@dataclass(frozen=True)
class HeldOut:
    """留出的照片。

    Attributes:
        names: 相对于照片文件夹的文件名，顺序同 predictions.csv。
        true: int (n,)，真实类别是模型的第几个输出。
        photos: Photo 的列表，顺序同 names。
        training: 训练过的照片，Photo 的列表。
    """

    names: list
    true: np.ndarray
    photos: list
    training: list

    def pixels(self):
        """uint8 (n, 224, 224, 3)，与训练时读法相同。"""
        return np.stack(list(map_in_threads(pixels_of, self.photos)))


def pixels_of(photo):
    """一张 Photo 的像素，uint8 (224, 224, 3)。"""
    return CLEAN.render(open_checked(photo), SIZE, 0)


def find(folder, images_dir=None):
    """按模型文件夹找到它留出的照片。

    Args:
        folder: 模型文件夹。
        images_dir: 照片文件夹；None 表示训练时用的那个。

    Raises:
        UserError: 找不到照片，或少了几张；点名。
    """
    rows = read_csv(Path(folder) / "predictions.csv")
    settings = model_folder_reader.read_settings(folder)
    names = [row["file"] for row in rows]
    found = open_folder(
        _root(images_dir or settings.get("images_dir"), names), given_split=settings.get("given_split", False)
    )
    by_name = {found.name(photo): photo for photo in found.photos}
    missing = [name for name in names if name not in by_name]
    if missing:
        shown = "、".join(map(visible, missing[:5]))
        raise UserError(f"{visible(found.root)} 里少了 {len(missing)} 张留出的照片，如 {shown}。{_SAY_WHERE}")
    class_names, outputs = model_folder_reader.classes(folder)
    number = dict(zip(class_names, outputs, strict=True))
    held_out = set(names)
    return HeldOut(
        names,
        np.array([number[row["true"]] for row in rows]),
        [by_name[name] for name in names],
        [photo for name, photo in by_name.items() if name not in held_out],
    )


def _root(images_dir, names):
    places = [images_dir] if images_dir else [DATA_DIR / "flower_photos", DATA_DIR / "drawn_flowers"]
    for place in map(absolute, places):
        if (place / names[0]).is_file():
            return place
    shown = "、".join(map(visible, places))
    raise UserError(f"在 {shown} 里没有 {visible(names[0])}。{_SAY_WHERE}")
