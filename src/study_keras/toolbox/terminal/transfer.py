"""复制或移动一个文件：从不覆盖，移动是先有新的，再删旧的，中途被杀也不丢。"""

import filecmp
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from toolbox.terminal.files import flush_folder
from toolbox.terminal.leftovers import aside_of

OCCUPIED = "已有同名的文件"


def transfer(source, target, move):
    """把文件 source 复制（move 为假）或移动到 target，可以在另一个磁盘上。任何时候至少有一份完整的。

    Raises:
        FileExistsError: 已有 target；从不覆盖。
        OSError: 读不了、写不下。
    """
    mode = os.stat(source).st_mode
    target.parent.mkdir(parents=True, exist_ok=True)
    if move and _linked(source, target):
        _remove_moved(source, target)
        _keep_read_only(target, mode)
        return
    aside = aside_of(target.with_name(target.name[:40]))  # 加上临时的前后缀，名字也不会太长
    try:
        with open(source, "rb") as read, open(aside, "xb") as write:
            shutil.copyfileobj(read, write)
            write.flush()
            os.fsync(write.fileno())
        with suppress(OSError):  # 有的网络硬盘、手机不让改时间与权限
            shutil.copystat(source, aside)
        if not _linked(aside, target):  # 这个文件系统没有硬链接
            if target.exists():
                raise FileExistsError(str(target))
            os.rename(aside, target)
    finally:
        if aside.exists():
            remove(aside)
    _keep_read_only(target, mode)
    if move:
        flush_folder(target.parent)  # 旧的在另一个磁盘上：新的名字先落到磁盘，才能删它
        _remove_moved(source, target)


def put_back(path, origin):
    """把移走或复制来的 path 收回原处 origin；收不回就不动，返回为什么（OCCUPIED 或系统的话），收回了是空的。

    原处有同样的一份（复制来的；或移动到一半被杀），只删掉 path。
    """
    try:
        if not os.path.lexists(origin):
            transfer(path, origin, move=True)
        elif not (path.is_file() and origin.is_file() and filecmp.cmp(path, origin, shallow=False)):
            return OCCUPIED
        elif os.path.realpath(path) != os.path.realpath(origin):
            remove(path)
    except OSError as error:  # 原处的磁盘不在，不让写
        return error.strerror or str(error)
    return ""


def _remove_moved(source, target):
    """移动的最后一步：删掉旧的。删不掉（不让写的文件夹；Windows 上正被别的程序开着）就收回新的，像没有动过。"""
    try:
        remove(source)
    except OSError:
        if not os.path.lexists(source):  # 已经没有了：别的程序删的，或网络硬盘删成了却报错；只剩新的这一份
            return
        with suppress(OSError):  # 也删不掉（Windows 上，一个文件的两个名字都被占着）：两个都在，再来一次就移完
            remove(target)
        raise


def remove(path):
    """删掉文件 path；Windows 上只读的（相机锁定的、光盘上抄来的）先去掉只读。"""
    path = Path(path)
    try:
        path.unlink()
    except PermissionError:
        mode = path.stat().st_mode
        if mode & stat.S_IWRITE:  # 不是因为只读
            raise
        path.chmod(mode | stat.S_IWRITE)
        try:
            path.unlink()
        except OSError:
            path.chmod(mode)
            raise


def _keep_read_only(path, mode):
    """去掉只读才删得掉的旧名字，与新的名字是同一个文件：新的照旧只读。mode：原来的。"""
    if not mode & stat.S_IWRITE:
        os.chmod(path, mode)


def _linked(source, target):
    """让 target 成为 source 的另一个名字（硬链接）；做不到就返回 False。与改名不同，它从不覆盖。"""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        return False
    return True
