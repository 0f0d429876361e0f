"""哪些文件名换一个系统就会出错：Windows 不许的、只差大小写的、看不见的字符。"""

import os
import re
import unicodedata

from toolbox.terminal.text import breaks_a_line

# Windows 的命名规则：https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
_FORBIDDEN = set('<>:"|?*\\')


def trouble(component):
    """文件或文件夹的一个名字在别的系统上有什么问题：一句话，没有问题则为 None。"""
    if breaks_a_line(component):
        return "有控制符、换行，或不是 UTF-8"
    if forbidden := sorted(_FORBIDDEN.intersection(component)):
        return f"Windows 的名字里不能有 {' '.join(forbidden)}"
    if component[-1:] in (".", " "):
        return "以句点或空格结尾，Windows 会去掉它"
    if _RESERVED.fullmatch(component):
        return "是 Windows 保留的设备名"
    return None


def name_troubles(paths):
    """依次给出各个相对路径里有问题的名字，一个说一次：(到它为止的路径, 问题)；同一处只差大小写（或写法）的也说。

    路径（用 / 分隔）要排好序给：同一个文件夹里的挨在一起，于是只需记住眼下这一条路径上各个文件夹里的名字。
    """
    last, seen = [], []  # seen：各层，{统一了大小写与写法的名字: 第一次见到的名字}
    for path in paths:
        components = path.split("/")
        same = len(os.path.commonprefix([components, last]))
        last = components
        del seen[same + 1 :]
        for depth in range(same, len(components)):
            seen += [{}] * (depth == len(seen))
            name, here = components[depth], "/".join(components[: depth + 1])
            first = seen[depth].setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if reason := trouble(name):
                yield here, reason
            if first != name:
                yield here, f"与 {first} 只差大小写或写法，在 Windows、macOS 上是同一个名字"
