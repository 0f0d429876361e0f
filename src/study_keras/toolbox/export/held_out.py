"""没有拿来训练的照片：导出时由模型文件夹找到，再验时由导出的文件夹里留下的清单找到。"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolbox.held_out import find_held_out
from toolbox.photos.folder import Photo, checked_pixels, find_root
from toolbox.photos.read import IMAGE_SIZE
from toolbox.saved_run import open_run
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import sha256_of
from toolbox.terminal.text import some_of, visible
from toolbox.terminal.workers import map_in_threads

_SAY_WHERE = "请用 --images-dir 指明训练时的照片文件夹。"


@dataclass(frozen=True)
class HeldOut:
    """留出的照片。

    Attributes:
        root: 照片文件夹。
        names: 相对于照片文件夹的文件名，顺序同 predictions.csv。
        true: int (n,)，真实类别是模型的第几个输出。
        photos: Photo 的列表，顺序同 names。
        training: 训练过的照片，Photo 的列表；再验时为空。
    """

    root: Path
    names: list
    true: np.ndarray
    photos: list
    training: list

    def write_pixels(self, path):
        """把各张的像素写进 path：.npy，uint8 (n, 224, 224, 3)，与训练时读法相同；占的内存与张数无关。"""
        shape = (len(self.photos), *IMAGE_SIZE, 3)
        with open(path, "wb") as file:  # 不用内存映射：磁盘满了，写它的进程会被系统杀掉
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for pixels in map_in_threads(checked_pixels, self.photos):
                file.write(np.ascontiguousarray(pixels).data)


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
        lost = f"{len(found.gone)} 张留出的照片，如 {some_of(found.gone)}"
        raise UserError(f"{visible(found.root)} 里少了 {lost}。{_SAY_WHERE}")
    if not found.same_list:
        print("注意：照片与训练时不同（添过、删过或改过），证书里的准确率未必还是训练时的。", file=sys.stderr)
    true = np.array([run.output_of[row.true] for row in found.rows])
    return HeldOut(found.root, [row.file for row in found.rows], true, found.photos, found.training)


def find_again(kept, images_dir):
    """按导出时留下的清单找到同样的照片，不需要模型文件夹：在另一台机器上也能再验。

    Args:
        kept: certificate.read 的第二项：names、true、sha256。
        images_dir: 照片文件夹现在在哪里。

    Raises:
        UserError: 少了几张，或内容不同；点名。
    """
    root = find_root(images_dir)
    sha256_of_name = dict(zip(kept["names"].tolist(), kept["sha256"].tolist(), strict=True))
    different = [
        name
        for name, sha256 in sha256_of_name.items()
        if not (root / name).is_file() or sha256_of(root / name) != sha256
    ]
    if different:
        shown = some_of(different)
        raise UserError(f"{visible(root)} 里有 {len(different)} 张照片不见了或变了，如 {shown}。{_SAY_WHERE}")
    photos = [Photo(str(root / name), "", sha256, sha256) for name, sha256 in sha256_of_name.items()]
    return HeldOut(root, [*sha256_of_name], kept["true"], photos, [])
