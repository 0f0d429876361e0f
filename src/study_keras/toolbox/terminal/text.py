"""来自文件系统、模型文件夹或网络的文字：显示之前，让看不见、会捣乱的字符现出原形。"""

import codecs
import os
import re
import sys
import unicodedata
from contextlib import suppress

_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # 控制符、双向与零宽的格式符、非 UTF-8 的字节、行与段的分隔符
_JOINERS = "\u200c\u200d"  # 零宽连字与断字：表情符号和一些文字里正当地用着


def console_bytes(text):
    """交给 os.write(2, …) 的字节。它绕过 Python，Windows 的控制台便按自己的编码（中文系统上是 GBK）来认。"""
    encoding = sys.stderr.encoding or "utf-8"
    if sys.platform == "win32" and os.isatty(2):
        import ctypes

        with suppress(LookupError):  # 没有控制台，或 Python 不认得的编码
            encoding = codecs.lookup(f"cp{ctypes.windll.kernel32.GetConsoleOutputCP()}").name
    return text.encode(encoding, "replace")


def visible(text):
    """返回可以放心打印的一行文字：看不见或会改变显示的字符写成 \\n、\\x1b、\\u202e 这样的转义。

    不是 UTF-8 的文件名里，Python 用代理 U+DC80 至 U+DCFF 代表读不懂的字节，这里写回 \\x80 至 \\xff。
    """
    return "".join(map(_visible_character, str(text)))


def _visible_character(character):
    if unicodedata.category(character) not in _INVISIBLE or character in _JOINERS:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def some_of(names, most=5):
    """名单的开头几个，看得见的写法；没有说全，就说一共几个。"""
    shown = "、".join(map(visible, names[:most]))
    return f"{shown} 等 {len(names)} 个" if len(names) > most else shown


def breaks_a_line(text):
    """文字里有没有控制符、行或段的分隔符、不是 UTF-8 的字节：写进 labels.txt、CSV 就读不回来。"""
    return any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text)


def columns(text):
    """文字在终端里占几列：汉字与全角标点各占两列，组合用的符号不占（Unicode 标准附件 11）。"""
    return sum(map(_character_width, text))


def _character_width(character):
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text, width, right=False, keep_end=False):
    """恰好占 width 列的文字：不够的补空格，超出的截断，用 … 代替。

    Args:
        right: 靠右，空格补在左边。
        keep_end: 截掉开头，留下末尾。
    """
    if columns(text) > width:
        kept, room = "", width - 1
        for character in reversed(text) if keep_end else text:
            room -= _character_width(character)
            if room < 0:
                break
            kept += character
        text = ("…" + kept[::-1] if keep_end else kept + "…") if width > 0 else ""
    spaces = " " * (width - columns(text))
    return spaces + text if right else text + spaces


def wrapped(text, width):
    """按终端的列数折行，返回各行：汉字之间可以折，英文的词不拆开，行首没有后半边的标点。"""
    lines = [""]
    for piece in re.findall(r"(?:[!-~]+|.)[，。；：、）”]*", " ".join(text.split())):
        if columns(lines[-1] + piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip() for line in lines]
