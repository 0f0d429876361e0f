"""命令行上写的各种“照片”：文件、文件夹、通配符、网址、标准输入里的清单，逐张找出来。"""

import codecs
import errno
import glob
import locale
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from toolbox.photos.formats import FORMAT_OF_SUFFIX, RAW_SUFFIXES
from toolbox.photos.read import PhotoError
from toolbox.photos.walk import Walk
from toolbox.prediction.fetch import fetch
from toolbox.terminal.files import absolute

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)  # 一个字母的是 Windows 的盘符
_UNREACHABLE = {errno.ENAMETOOLONG: "名字太长", errno.EACCES: "没有权限看它所在的文件夹"}
PHOTO_SUFFIXES = FORMAT_OF_SUFFIX.keys() | RAW_SUFFIXES


@dataclass(frozen=True)
class Source:
    """一张待认的照片。file：显示与写进结果的名字；problem：还没读就知道不行的原因；linked：要经过链接才到得了。"""

    file: str
    problem: str = ""
    linked: bool = False

    @property
    def path(self):
        """文件的路径；来自网址的是 None。"""
        return None if _ADDRESS.match(self.file) else Path(self.file)

    def load(self):
        """交给 Predictor.predict 的东西：路径，或下载来的字节。

        Raises:
            PhotoError: 早知道不行，或下载不到。
        """
        if self.problem:
            raise PhotoError(self.problem)
        return fetch(self.file) if self.path is None else self.path


def _decoded(line):
    """清单的一行。Windows 的命令行给出的不是 UTF-8，而是系统自己的编码，如 GBK；有的字两种都说得通，看哪个文件在。"""
    line = line.strip(b"\r\n").removeprefix(codecs.BOM_UTF8)
    local = line.decode(locale.getencoding(), errors="replace")
    try:
        text = os.fsdecode(line)
    except UnicodeDecodeError:
        return local
    return local if local != text and os.path.lexists(local) and not os.path.lexists(text) else text


def _outermost(names):
    """去掉已在别的文件夹之下的：** 既给出文件夹，又给出里面的文件，不能算两次。"""
    folders = {Path(name) for name in names if os.path.isdir(name)}
    return [name for name in names if folders.isdisjoint(Path(name).parents)]


def is_mistyped_folder(text):
    """text 像一个文件夹，却没有这样的东西：多半是写错了的模型文件夹。"""
    path = Path(os.path.expanduser(text))
    return not (path.suffix or text == "-" or glob.has_magic(text) or _ADDRESS.match(text) or os.path.lexists(path))


def is_linked(path):
    """绝对路径 path 要不要经过链接。"""
    return os.path.realpath(path) != str(path)


@dataclass
class Sources:
    """逐张给出 Source，顺序就是写的顺序；边找边给，不必等找完。

    Attributes:
        inputs: 命令行上写的。
        leave_out: 这个文件夹里的不算（--sort-into 的文件夹）；没有就是 None。
        ignored: {名字: 几处}，文件夹里不是照片的。
    """

    inputs: list[str]
    leave_out: Path | None = None
    ignored: Counter = field(default_factory=Counter)

    def __iter__(self):
        for text in self.inputs:
            if text == "-":
                for line in sys.stdin.buffer:
                    line = _decoded(line)
                    yield from self._expand(line) if line else ()
            else:
                yield from self._expand(text)

    def _expand(self, text):
        address = _ADDRESS.match(text)
        if address:
            known = address[1].lower() in ("http", "https")
            yield Source(text, "" if known else "网址只认 http:// 与 https://")
            return
        path = Path(os.path.expanduser(text))
        try:
            is_folder, exists = path.is_dir(), os.path.lexists(path)
        except (ValueError, OSError) as error:  # 有空字符；名字太长，没有权限看
            yield Source(text, _UNREACHABLE.get(getattr(error, "errno", None), "不是文件名"))
            return
        if is_folder:
            yield from self._below(path)
        elif exists:
            yield Source(str(path), linked=path.is_symlink())
        elif glob.has_magic(text):  # Windows 的命令行不展开通配符
            found = _outermost(sorted(glob.glob(str(path), recursive=True)))
            for name in found:
                yield from self._expand(name)
            if not found:
                yield Source(text, "没有匹配的文件")
        else:
            yield Source(text, "没有这个文件或文件夹")

    def _below(self, folder):
        """文件夹里（含各层子文件夹）的照片。"""
        root = absolute(folder)
        walk = Walk(root)
        for path in walk.files_below(root):
            if self.leave_out and path.is_relative_to(self.leave_out):
                self.ignored["--sort-into 的文件夹里的"] += 1
            elif path.suffix.lower() in PHOTO_SUFFIXES:
                yield Source(str(folder / path.relative_to(root)), linked=is_linked(path))
            else:
                self.ignored["不是照片的文件"] += 1
        for path, reason in walk.problems:
            yield Source(str(folder / path.relative_to(root)), reason)
        self.ignored += walk.ignored
