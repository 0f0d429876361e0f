"""没有装课程所需的包，或 Python 的版本不对：一行中文说该用哪个 Python，退出码 2。

读者最常见的第一步就错在这里：用系统的 python 运行脚本，得到英文的 ModuleNotFoundError。
"""

import importlib.util
import os
import sys
from pathlib import Path

from toolbox.terminal.commands import LESSONS_DIR, command, python_command, quoted

PROJECT_DIR = LESSONS_DIR.parents[1]
FIRST, AFTER_LAST = (3, 11), (3, 14)
IMPORTED_AT_ONCE = ("numpy", "PIL")  # 载入脚本就要用的；其余的用到才导入，由 run_main 来说
REQUIRED = {  # requirements.txt 里的包，导入时的名字
    *IMPORTED_AT_ONCE,
    *("tensorflow", "tf_keras", "tensorflow_estimator", "tensorboard", "ai_edge_litert", "scipy", "imagehash"),
    *("matplotlib", "zhplot", "requests", "tqdm", "filelock"),
}


def check():
    """载入 toolbox 时调用：不能继续就说一行，结束进程。"""
    absent = missing(**{name: name for name in IMPORTED_AT_ONCE})
    if not FIRST <= sys.version_info[:2] < AFTER_LAST:
        reason = "这门课要 Python 3.11 至 3.13，现在的是 {}.{}".format(*sys.version_info[:2])
    elif absent:
        reason = lacking(absent[0])
    else:
        return
    print(f"错误：{reason}。{remedy()}", file=sys.stderr)
    raise SystemExit(2)


def lacking(name):
    return f"这个 Python（{sys.executable}）里没有课程所需的包（{name}）"


def remedy(project=PROJECT_DIR):
    """该怎么办，一句话；命令从读者此刻的文件夹就能运行。"""
    own = project / ".venv"
    own_python = own / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = f"-m pip install -r {quoted(project / 'requirements.txt')}"
    if own_python.exists() and Path(sys.prefix).resolve() != own.resolve():
        script = sys.argv[0] if Path(sys.argv[0]).is_file() else LESSONS_DIR / "hello_transfer_learning.py"
        return f"请改用装好的那一个：{command(Path(script).resolve(), *sys.argv[1:], python=own_python)}"
    if own_python.exists() or sys.prefix != sys.base_prefix:  # 正在一个虚拟环境里，只是包没有装（全）
        return f"请先运行 {python_command()} {install}"
    python = python_command() if FIRST <= sys.version_info[:2] < AFTER_LAST else "python3.13"
    return f"请先运行 {python} -m venv {quoted(own)} ，再运行 {python_command(own_python)} {install} ，以后都用它"


def missing(**packages):
    """这些包里还没有装的，安装时的名字；只看在不在，不导入。packages：导入时的名字=安装时的名字。"""
    return [name for module, name in packages.items() if importlib.util.find_spec(module) is None]


def install(requirements):
    """装 requirements（如 "requirements/report.txt"）的命令，在读者此刻的文件夹里照抄就能运行。"""
    return f"{python_command()} -m pip install -r {quoted(PROJECT_DIR / requirements)}"


def require(requirements, **packages):
    """确认只有个别课才要的这些包都装了；只看在不在，不导入。

    Args:
        requirements: 装它们的文件，如 "requirements/report.txt"。
        packages: 导入时的名字=安装时的名字，如 sklearn="scikit-learn"。

    Raises:
        UserError: 缺哪些，怎样装。
    """
    from toolbox.terminal.errors import UserError

    absent = missing(**packages)
    if absent:
        raise UserError(f"还没有装 {'、'.join(absent)}。请先运行 {install(requirements)}")
