"""用户能改正的错误，以及把异常说成一句中文。"""

import errno
from contextlib import contextmanager


class UserError(Exception):
    """用户能改正的错误。文字是一句中文：哪里不对，该怎么办。"""


@contextmanager
def disk_errors(folder, elsewhere):
    """里面的 OSError 说成一句中文的 UserError：在写 folder，elsewhere 是换一个地方的办法。"""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(folder)
        raise UserError(explain(error, elsewhere)) from error


def explain(error, elsewhere="用 --output-dir、--cache-dir"):
    """把异常说成一句中文：哪里不对，该怎么办；elsewhere 是换一个地方写的办法。"""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "内存不够。请调小 --batch-size，或关掉别的程序。"
    where = f"（{error.filename}）" if getattr(error, "filename", None) else ""
    known = {
        "ENOSPC": f"磁盘满了{where}。请腾出空间，或{elsewhere}，换一个磁盘。",
        "EDQUOT": f"磁盘配额用完了{where}。请腾出空间，或{elsewhere}，换一个磁盘。",
        "EACCES": f"没有权限{where}。请换一个能读写的文件夹，或修改它的权限。",
        "EPERM": f"没有权限{where}。请换一个能读写的文件夹，或修改它的权限。",
        "EROFS": f"这个磁盘是只读的{where}。请{elsewhere}，换一个能写的文件夹。",
        "ENOENT": f"找不到文件或文件夹{where}。请检查路径。",
        "ENOTDIR": f"路径中有一段是文件，不是文件夹{where}。请检查路径。",
        "EISDIR": f"这里要的是文件，给的是文件夹{where}。请检查路径。",
        "EEXIST": f"已经有同名的文件{where}。请换个名字，或先移走它。",
        "EMFILE": f"打开的文件太多{where}。请先运行 ulimit -n 4096 再试。",
    }
    other = f"系统报告：{error.strerror or error}{where}。请检查路径与磁盘。"
    return known.get(errno.errorcode.get(error.errno), other)
