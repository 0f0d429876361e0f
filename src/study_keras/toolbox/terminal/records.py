"""小记录：JSON、CSV 与数组。写在旁边再改名；读的时候不信任，读者与别的程序都可能改过它们。"""

import csv
import json
import os
import zipfile

import numpy as np

from toolbox.terminal.errors import UserError
from toolbox.terminal.files import write_aside
from toolbox.terminal.text import visible

_LARGEST = 10_000_000  # 字节；再大的不是课程写的
FORMULA_STARTS = tuple("=+-@\t\r＝＋－＠")  # 电子表格会把这样开头的格子当公式运行（OWASP: CSV Injection）


def write_json(path, value):
    """写一份 UTF-8 的 JSON；路径之类写成文字。非 UTF-8 的文件名里的字节写成 \\udcXX，读回来还是同一个名字。"""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n"
    write_aside(path, text.encode("utf-8", "backslashreplace"))


def read_json(path):
    """读一个 JSON 对象，返回 dict；没有这个文件，或读不懂（不是 JSON、不是对象、嵌套太深、太大），返回 None。"""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _LARGEST:
            return None
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError):  # UnicodeDecodeError 与数字太长也是 ValueError
        return None
    return value if isinstance(value, dict) else None


def write_csv(path, header, rows):
    """写一份 CSV；名字写进去之后不会被电子表格当成公式，read_csv 读回来还是原样。

    开头带 BOM（utf-8-sig），中文的 Excel 才认得出是 UTF-8；用别的办法读也要用它。
    """
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([cell(value) for value in row] for row in rows)


def read_csv(path):
    """读 write_csv 写的文件，返回各行的 {列名: 文字}。

    Raises:
        UserError: 读不懂。
        OSError: 打不开。
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file, strict=True)
            return [dict(zip(header, (text.removeprefix("'") for text in row), strict=True)) for row in rows]
    except (csv.Error, ValueError):
        raise UserError(f"{visible(path)} 读不懂，可能被改坏了。请用别处的备份，或重新训练。") from None


def read_arrays(path):
    """读 np.savez 写的文件，返回 {名字: 数组}。不允许 pickle；课程写的不压缩，所以内容不会比文件大。

    Raises:
        OSError, ValueError, EOFError, zipfile.BadZipFile 等：打不开，或读不懂；坏的 zip 与 npy 的异常五花八门。
    """
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("压缩过的不是课程写的")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def cell(value):
    """表格里的一格：以 = 之类开头的，前面加一个单引号；本来就以单引号开头的也加，才分得清。数不是名字，照写。"""
    return f"'{value}" if isinstance(value, str) and value.startswith(("'", *FORMULA_STARTS)) else value
