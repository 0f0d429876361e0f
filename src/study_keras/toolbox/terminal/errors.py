"""用户能改正的错误，以及把异常说成一句中文。"""

import errno


class UserError(Exception):
    """用户能改正的错误。文字是一句中文：哪里不对，该怎么办。"""


def explain(error):
    """把异常说成一句中文：哪里不对，该怎么办。"""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "内存不够。请调小 --batch-size，或关掉别的程序。"
    where = f"（{error.filename}）" if getattr(error, "filename", None) else ""
    known = {
        "ENOSPC": "磁盘满了{}。请腾出空间，或用 --output-dir、--cache-dir 换一个磁盘。",
        "EDQUOT": "磁盘配额用完了{}。请腾出空间，或用 --output-dir、--cache-dir 换一个磁盘。",
        "EACCES": "没有权限{}。请换一个能读写的文件夹，或修改它的权限。",
        "EPERM": "没有权限{}。请换一个能读写的文件夹，或修改它的权限。",
        "EROFS": "这个磁盘是只读的{}。请用 --output-dir、--cache-dir 换一个能写的文件夹。",
        "ENOENT": "找不到文件或文件夹{}。请检查路径。",
        "ENOTDIR": "路径中有一段是文件，不是文件夹{}。请检查路径。",
        "EISDIR": "这里要的是文件，给的是文件夹{}。请检查路径。",
        "EEXIST": "已经有同名的文件{}。请换个名字，或先移走它。",
        "EMFILE": "打开的文件太多{}。请先运行 ulimit -n 4096 再试。",
    }
    other = f"系统报告：{error.strerror or error}{{}}。请检查路径与磁盘。"
    return known.get(errno.errorcode.get(error.errno), other).format(where)
