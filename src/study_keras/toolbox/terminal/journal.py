"""流水账（journal）：先记一步，落到磁盘，再动手；随时被杀，照着它都能撤销。一行一个 JSON 对象，UTF-8。"""

import json
import os

_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}  # 以前的记录把不是 UTF-8 的文件名原样写着


def new_journal(path):
    """新建一本流水账，返回打开的文件；path 已存在则 FileExistsError。"""
    return open(path, "x", **_ENCODING)


def write_step(journal, step):
    """记一步（字典）；返回时已在磁盘上。"""
    line = json.dumps(step, ensure_ascii=False)
    if any("\ud800" <= character <= "\udfff" for character in line):  # Windows 的文件名里可以有写不成 UTF-8 的半个字
        line = json.dumps(step)
    journal.write(line + "\n")
    journal.flush()
    os.fsync(journal.fileno())


def stays_inside(name):
    """name（来自外面的文字，不可信）是不是一个文件夹里的相对路径：用 / 分隔，没有 . 与 ..。"""
    return not {"", ".", ".."} & set(name.split("/")) and not (os.name == "nt" and set(name) & set("\\:"))


def read_journal(path):
    """(各步的列表, 最后一行是不是没有写完)；没有写完的那一步还没有动手，不在列表里。

    Raises:
        ValueError: 有一行不是 JSON 对象。
    """
    *lines, rest = path.read_text(**_ENCODING).split("\n")
    steps = list(map(json.loads, lines))
    if not all(isinstance(step, dict) for step in steps):
        raise ValueError(path)
    return steps, bool(rest)
