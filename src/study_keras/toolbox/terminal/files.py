"""文件与文件夹：课程的几个固定位置，写在旁边再改名，SHA-256。"""

import os
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[4]
DATA_DIR = PROJECT_DIR / "data"
OUTPUT_DIR = PROJECT_DIR / "output"


def is_running(pid):
    """本机上编号为 pid 的进程还在不在；Windows 上不便查，一律当作还在。"""
    if sys.platform == "win32":  # 在 Windows 上 os.kill 会真的结束进程
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
