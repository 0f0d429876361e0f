"""别人的文件：要整个换掉的文件夹里，哪些不是课程写的。"""

import fnmatch
import os
import re
from pathlib import Path

from toolbox.terminal.errors import UserError
from toolbox.terminal.leftovers import is_leftover
from toolbox.terminal.text import some_of, visible

SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}  # 操作系统自己放进文件夹的
_LEFT_BY_OTHERS = re.compile(  # 还有网络硬盘、笔记本、正开着文件的办公软件
    rf"{'|'.join(SYSTEM_FILES)}|\.ds_store|\._.*|\.directory|@eadir|\.ipynb_checkpoints|\.~lock\..*#|~\$.*", re.I
)


def refuse_foreign(target, mark, written, kind, remedy):
    """target 要整个换掉：它若不是课程写的，或里面还有别的东西，就拒绝，免得弄丢。

    Args:
        target: 文件夹；没有、是空的都行。
        mark: 课程写的文件夹里必有的文件。
        written: 课程会写在里面的，同 foreign_names；None 表示不看有没有别的。
        kind: 它该是什么，如“模型文件夹”。
        remedy: 该怎么办，一句话。

    Raises:
        UserError: target 是文件，没有 mark，或有课程不会写的东西。
    """
    if target.is_file():
        raise UserError(f"{visible(target)} 是一个文件，不是{kind}。{remedy}")
    if target.is_dir() and any(map(_somebodys, os.listdir(target))) and not (target / mark).exists():
        raise UserError(f"{visible(target)} 已存在，而且不是{kind}。{remedy}")
    if written is not None and (foreign := foreign_names(target, written)):
        found = f"{visible(target)} 里有不是课程写的东西（{some_of(foreign, 3)}）"
        raise UserError(f"{found}，换掉整个文件夹会弄丢它们。{remedy}")


def foreign_names(folder, written):
    """folder 里（连同各层子文件夹）课程不会写的文件，相对路径，排好序；没有 folder 就是空的。

    Args:
        written: 课程会写的相对路径，用 / 分隔，可以有通配符（* 也代表 /）。系统与别的程序顺手放的、写了一半的不算。
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=_unless_missing):
        inside = Path(place).relative_to(folder)
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = filter(_somebodys, folders)
        found += [(inside / name).as_posix() for name in filter(_somebodys, files + links)]
    return sorted(path for path in found if not any(fnmatch.fnmatchcase(path, pattern) for pattern in written))


def _unless_missing(error):
    if not isinstance(error, FileNotFoundError):
        raise error


def _somebodys(name):
    return not is_leftover(name) and not _LEFT_BY_OTHERS.fullmatch(name)
