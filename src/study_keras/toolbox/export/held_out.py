"""模型文件夹没有拿来训练的照片（predictions.csv 里的），以及训练过的照片。"""

from dataclasses import dataclass

import numpy as np

from toolbox.held_out import find_held_out
from toolbox.photos.folder import checked_pixels
from toolbox.saved_run import open_run
from toolbox.terminal.errors import UserError
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
    return checked_pixels(photo, SIZE)


def find(folder, images_dir=None):
    """按模型文件夹找到它留出的照片。

    Args:
        folder: 模型文件夹。
        images_dir: 照片文件夹；None 表示训练时用的那个。

    Raises:
        UserError: 找不到照片，或少了几张；点名。
    """
    run = open_run(folder)
    found = find_held_out(run, images_dir)
    if found.why:
        raise UserError(f"{found.why}{_SAY_WHERE}")
    if found.gone:
        shown = "、".join(map(visible, found.gone[:5]))
        raise UserError(f"{visible(found.root)} 里少了 {len(found.gone)} 张留出的照片，如 {shown}。{_SAY_WHERE}")
    true = np.array([run.output_of[row.true] for row in found.rows])
    return HeldOut([row.file for row in found.rows], true, found.photos, found.training)
