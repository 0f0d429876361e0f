"""走遍照片文件夹：每个文件要么算一张照片，要么说得出为什么不算。"""

import errno
import os
import stat
from collections import Counter
from pathlib import Path

from toolbox.photos.formats import FORMAT_OF_SUFFIX, RAW_SUFFIXES
from toolbox.terminal.errors import UserError
from toolbox.terminal.foreign_files import SYSTEM_FILES
from toolbox.terminal.text import breaks_a_line, some_of, visible

_SYSTEM_FOLDERS = {  # 操作系统、压缩软件、网络硬盘自己放进来的
    *("__macosx", "$recycle.bin", "recycler", "system volume information", "@eadir", "#recycle", "lost+found"),
}
_SEEN = "链接指回已经看过的文件夹，没有再进去"
UNREADABLE_FOLDER, UNREADABLE_FILE = "打不开这个文件夹", "读不了文件"
_MOST_NAME_BYTES = 200  # 类别名写成文件名时，还要留地方给临时的名字；文件系统最多 255 字节


class Walk:
    """走一遍，记下看到的。

    Attributes:
        problems: 不能用的：(路径, 原因)。
        ignored: {名字: 几处}，系统文件夹、隐藏文件之类，只说一声。
        followed: 跟进去了的链接。
    """

    def __init__(self, root):
        self.root = root
        self.problems = []
        self.ignored = Counter()
        self.followed = []
        self._entered = set()
        self._bad_names = []

    def subfolders(self, folder):
        """folder 下面的子文件夹的名字，排好序；散落的照片记入 problems。最上一层与 train/、val/ 这一层都用它。"""
        folders, files = self._entries(folder)
        for path in files:
            if path.suffix.lower() in FORMAT_OF_SUFFIX or path.suffix.lower() in RAW_SUFFIXES:
                self.problems.append((path, "放在类别文件夹之外，不知道属于哪一类"))
            else:
                self.ignored[path.name] += 1
        return [path.name for path in folders]

    def files_below(self, folder):
        """folder 下（含各层子文件夹）的全部文件，顺序固定；从别的链接已经进去过的，不再进去。"""
        if os.path.realpath(folder) in self._entered:
            self.problems.append((folder, _SEEN))
            return
        if _is_link(folder):
            self.followed.append(folder)
        folders, files = self._entries(folder)
        yield from files
        for subfolder in folders:
            yield from self.files_below(subfolder)

    def refuse_bad_names(self, class_names):
        """名字写进 labels.txt、predictions.csv 会读不回来的：一次说清楚。

        Raises:
            UserError
        """
        bad = [name for name in class_names if breaks_a_line(name)]
        bad += [path.relative_to(self.root).as_posix() for path in self._bad_names]
        if bad:
            raise UserError(
                f"这些名字里有换行、控制符，或不是 UTF-8（多半是旧压缩包里的 GBK）：{some_of(bad)}。"
                "写进结果会读不回来，请先改名。GBK 的名字可以用 convmv -f gbk -t utf8 -r --notest 文件夹 改正。"
            )
        for name in class_names:
            if len(name.encode()) > _MOST_NAME_BYTES:
                long = f"类别名 {visible(name[:20])}… 有 {len(name.encode())} 字节"
                raise UserError(f"{long}，最多 {_MOST_NAME_BYTES}（约 {_MOST_NAME_BYTES // 3} 个汉字）。请改短。")

    def _entries(self, folder):
        """一个文件夹里的 (子文件夹, 文件)，各自排好序；不能用的、略过的已经记下。"""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append((folder, f"{UNREADABLE_FOLDER}：{error.strerror or error}"))
            return [], []
        self._entered.add(os.path.realpath(folder))
        _refuse_model_folder(folder, {entry.name for entry in entries})
        folders, files = [], []
        for entry in entries:
            path = Path(folder, entry.name)
            mode = self._mode(entry, path)
            if mode is None:
                continue
            if stat.S_ISDIR(mode):
                folders += [path] if self._may_enter(path) else []
            elif not stat.S_ISREG(mode):
                self.problems.append((path, "不是普通文件（是管道、设备之类）"))
            elif entry.is_symlink() and self._is_inside(os.path.realpath(path)):
                self.problems.append((path, "链接指向这个照片文件夹里的另一张照片，那一张已经算过"))
            else:
                files.append(path)
                if breaks_a_line(entry.name):
                    self._bad_names.append(path)
        return folders, files

    def _mode(self, entry, path):
        """文件的类型；略过的、链接断了的为 None。"""
        if entry.name.startswith("."):
            self.ignored["隐藏的文件与文件夹"] += 1
            return None
        if entry.name.casefold() in _SYSTEM_FOLDERS | SYSTEM_FILES:
            self.ignored[entry.name] += 1
            return None
        try:
            return entry.stat().st_mode
        except OSError as error:
            reason = {errno.ELOOP: "链接指回它自己", errno.ENOENT: "链接指向的文件不在了"}.get(error.errno)
            self.problems.append((path, reason or f"{UNREADABLE_FILE}：{error.strerror or error}"))
            return None

    def _may_enter(self, path):
        real = os.path.realpath(path)
        if Path(real) in [self.root, *self.root.parents]:
            self.problems.append((path, _SEEN))
            return False
        if _is_link(path) and self._is_inside(real):
            self.problems.append((path, "链接指向这个照片文件夹里的另一处，那里的照片已经算过"))
            return False
        return True

    def _is_inside(self, real):
        """real 在照片文件夹里面，而且自己就会被走到（不在隐藏的或系统的文件夹里）。"""
        try:
            names = Path(real).relative_to(self.root).parts
        except ValueError:
            return False
        return not any(name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS for name in names)


def _is_link(folder):
    """folder 自己是不是链接；Windows 的 junction 也算。"""
    return os.path.realpath(folder) != os.path.join(os.path.realpath(folder.parent), folder.name)


def _refuse_model_folder(folder, names):
    has_model = "labels.txt" in names or any(name.endswith((".keras", ".tflite")) for name in names)
    if "settings.json" in names and has_model:
        raise UserError(
            f"{visible(folder)} 是课程写出的模型文件夹，不是照片。请把它移出照片文件夹，"
            "并用 --output-dir 指到照片文件夹之外。"
        )
