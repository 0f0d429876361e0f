"""用户能改正的错误，以及把异常说成一句中文。"""

import errno
import re
import shutil
import tempfile
import time
from contextlib import contextmanager

from toolbox.terminal.text import visible

_FULL = ("ENOSPC", "EDQUOT")
_NEARLY_FULL = 100_000  # 字节
_OLDEST_CLOCK = 2025  # 年；比课程还早，就是时钟没有校准


class UserError(Exception):
    """用户能改正的错误。文字是一句中文：哪里不对，该怎么办。"""


@contextmanager
def disk_errors(folder, elsewhere):
    """里面的 OSError 说成一句中文的 UserError：是写 folder 时的，elsewhere 是换一个地方的办法。"""
    try:
        yield
    except OSError as error:
        if not error.filename and not _temporary_folder_is_full(error):
            error.filename = str(folder)
        raise UserError(explain(error, elsewhere)) from error


def explain(error, elsewhere=None):
    """把异常说成一句中文：哪里不对，该怎么办；elsewhere 是换一个地方的办法，不知道是哪里就是 None。"""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "内存不够。请调小 --batch-size，或关掉别的程序。"
    known = {
        "ENOSPC": ("磁盘满了", "腾出空间"),
        "EDQUOT": ("磁盘配额用完了", "腾出空间"),
        "EROFS": ("这个磁盘是只读的", "让它能写"),
        "EACCES": ("没有权限", "换一个能读写的文件夹，或修改它的权限"),
        "EPERM": ("没有权限", "换一个能读写的文件夹，或修改它的权限"),
        "ENOENT": ("找不到文件或文件夹", "检查路径"),
        "ENOTDIR": ("路径中有一段是文件，不是文件夹", "检查路径"),
        "EISDIR": ("这里要的是文件，给的是文件夹", "检查路径"),
        "EEXIST": ("已经有同名的文件", "换个名字，或先移走它"),
        "EMFILE": ("打开的文件太多", "先运行 ulimit -n 4096 再试"),
    }
    code = errno.errorcode.get(error.errno)
    what, remedy = known.get(code, (f"系统报告：{error.strerror or error}", "检查路径与磁盘"))
    filename = getattr(error, "filename", None)
    if _temporary_folder_is_full(error):
        filename, elsewhere = tempfile.gettempdir(), "把环境变量 TMPDIR 设成别处的文件夹"
    where = f"（{visible(filename)}）" if filename else ""
    if not elsewhere and code in (*_FULL, "EROFS"):
        elsewhere = "用 --output-dir、--cache-dir 换一个磁盘"
    return f"{what}{where}。请{remedy}" + (f"，或{elsewhere}。" if elsewhere else "。")


def wrong_clock():
    """电脑的时钟早得不可能就说出来（一句话，不带句号），否则返回空的。"""
    year = time.localtime().tm_year
    if year >= _OLDEST_CLOCK:
        return ""
    return f"这台电脑的时钟是 {year} 年，证书会因此不被信任，模型也存不成；请先校准它"


def recognized(error):
    """别的库的异常里认得出的，换成 UserError、OSError 或 MemoryError；认不出就原样。"""
    text = str(error)
    if isinstance(error, (UserError, OSError, MemoryError)):
        return error
    if found := re.search(r"\bUserError: (.+)", text):  # TensorFlow 在自己的线程里运行我们的函数，它成了其中的一行
        return UserError(found[1].strip())
    if "OOM when allocating" in text or "MemoryError" in text:  # 内存或显存不够，报的不是 MemoryError
        return MemoryError()
    if re.search("No space left on device|Dis[ck] quota exceeded", text):  # TensorFlow 自己写文件时，不是 OSError
        return OSError(errno.ENOSPC, "disk full")
    return error


def _temporary_folder_is_full(error):
    """没有说哪个文件的“磁盘满了”，是不是临时文件夹满了：那里的文件没有名字。"""
    if error.filename or errno.errorcode.get(error.errno) not in _FULL:
        return False
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free < _NEARLY_FULL
    except OSError:
        return True
