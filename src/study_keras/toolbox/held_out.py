"""一次训练留出的照片现在在哪里：照 predictions.csv 与 settings.json 找回来，不见的、改过的都点名。"""

from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path

import numpy as np

from toolbox.photos.folder import Photo, PhotoFolder, is_same_list, open_folder
from toolbox.photos.split import split_photos
from toolbox.saved_run import Row
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import DATA_DIR

FINE_TUNING_SHARES = (0.15, 0.15)  # 第 3 课的验证、测试比例；settings.json 里没有写
SAME_PROBABILITY = 0.02  # 同一张照片再算一次，概率至多差这么多：用 --end-to-end 训练的是 Keras 算的，这里是 LiteRT


@dataclass
class HeldOut:
    """还在的、没有参加训练的照片，以及训练照片。

    Attributes:
        photos, rows, parts: 一一对应：照片，它在 predictions.csv 里的一行，它属于 "validation" 还是 "test"。
        training: 训练照片。
        gone: 不在了、读不出来了的文件名。
        changed: 内容改过的文件名（答案与训练时不同）；先要有答案，见 without_changed。
        why: 一张也没有找到时，为什么。
    """

    root: Path | None = None
    photos: list[Photo] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    training: list[Photo] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    same_list: bool = False
    why: str = ""

    def where(self, part):
        """各张照片是不是属于 part，bool 数组。"""
        return np.array([own == part for own in self.parts], bool)


def find_held_out(run, images_dir=None):
    """照 run（SavedRun）找回留出的照片，返回 HeldOut。

    Args:
        images_dir: 照片文件夹现在在哪里；None 表示还在训练时的地方，那里打不开也不算错，只记下原因。

    Raises:
        UserError: images_dir 打不开，或其中一张留出的照片也没有。
    """
    try:
        folder = open_folder(images_dir or _recorded_folder(run), 1, bool(run.settings.get("given_split")))
        folder.report()
        held_out = _found(run, folder)
    except UserError as error:
        if images_dir:
            raise
        return HeldOut(gone=[row.file for row in run.rows], why=str(error))
    if images_dir and not held_out.photos:
        raise UserError(f"--images-dir {folder.root} 里没有这个模型留出的照片，如 {run.rows[0].file}。请检查路径。")
    return held_out


def _recorded_folder(run):
    """训练时的照片文件夹；没有给 --images-dir 的，是下载的或画的花：留出的照片在哪里，就是哪一个。"""
    if run.settings.get("images_dir"):
        return run.settings["images_dir"]
    drawn, real = DATA_DIR / "drawn_flowers", DATA_DIR / "flower_photos"
    places = [drawn, real] if run.settings.get("drawn") or not real.exists() else [real, drawn]
    return next((place for place in places if (place / run.rows[0].file).is_file()), places[0])


def _found(run, folder: PhotoFolder):
    photos = {folder.name(photo): photo for photo in folder.photos}
    part_of = _parts(run, folder)
    default = "test" if "test" in run.metrics else "validation"  # 照片变了，重新划分的结果可能不同
    rows = list({row.file: row for row in run.rows if row.file in photos}.values())
    gone = [row.file for row in run.rows if row.file not in photos]
    found = [photos.pop(row.file) for row in rows]
    parts = [part_of.get(photo, default) for photo in found]
    same_list = is_same_list(run.settings, folder.photos)
    return HeldOut(folder.root, found, rows, parts, list(photos.values()), gone, same_list=same_list)


def _parts(run, folder):
    """照训练时的种子与比例再划分一次：{留出的照片: 部分}；照片少了、分不成时为空。"""
    validation, test = FINE_TUNING_SHARES
    if "validation_split" in run.settings:
        test = run.settings.get("test_split", 0.0)
        validation = run.settings["validation_split"] * (1 - test)
    try:
        parts = split_photos(folder.photos, validation, test, run.settings.get("seed", 0))
    except UserError:
        return {}
    return {photo: part for part in ("validation", "test") for photo in parts[part]}


def without_changed(held_out, probability):
    """返回 (各行要不要留下的 bool 数组, 去掉改过的照片之后的 HeldOut)。

    Args:
        probability: 数组，每张照片现在属于“训练时认成的那一类”的概率；与记下的不同，就不是那时的照片了。
    """
    recorded = np.array([row.probability for row in held_out.rows])
    kept = np.abs(recorded - probability) <= SAME_PROBABILITY

    changed = [row.file for row in compress(held_out.rows, ~kept)]
    lists = {name: list(compress(getattr(held_out, name), kept)) for name in ("photos", "rows", "parts")}
    return kept, replace(held_out, changed=changed, **lists)
