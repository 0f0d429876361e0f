"""给读者看的命令：在他此刻的文件夹里照抄就能运行，用的是对的那个 Python，文件名按 shell 的规矩加引号。

这里与 packages.py 在没有装包的、老的 Python 里也要能运行：只用标准库，不用新的语法。
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from toolbox.terminal.text import visible

LESSONS_DIR = Path(__file__).resolve().parents[2]


def command(script, *arguments, python=None):
    """运行 script 的一行命令。

    Args:
        script: 脚本；相对路径从 LESSONS_DIR 算起，如 "toolbox/flower_photos.py"。
        arguments: 各个参数；Path 会写成从此刻的文件夹看的路径。
        python: 用哪个 Python（Path）；None 表示正在运行的这一个。
    """
    return " ".join([python_command(python), quoted(LESSONS_DIR / script), *map(quoted, arguments)])


def python_command(python=None):
    """python 在命令里怎样写：PATH 里的 python 就是它，便写 python；否则写路径。"""
    python = os.path.abspath(python or sys.executable)
    for name in ("python", "python3"):
        if os.path.abspath(shutil.which(name) or "") == python:
            return name
    path = _from_here(python)
    return _quote(path if os.sep in path else os.path.join(".", path))


def quoted(argument):
    """一个参数；Path 写成从此刻的文件夹看的路径。"""
    return _quote(_from_here(argument) if isinstance(argument, Path) else str(argument))


def _from_here(path):
    """从此刻的文件夹看的路径；绝对路径更短（或在别的盘上）就用绝对路径。"""
    path = os.path.abspath(path)
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):  # 在 Windows 的另一个盘上；此刻的文件夹已经删掉了
        return path
    if relative.startswith("-"):  # 否则会被当成选项
        relative = os.path.join(".", relative)
    return min(relative, path, key=len)


def _quote(text):
    return visible(subprocess.list2cmdline([text]) if os.name == "nt" else shlex.quote(text))
