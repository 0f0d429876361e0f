"""在新进程里运行一段用到 Estimator 桥的脚本：导入它会让整个进程的 tf.keras 变成 Keras 2。"""

import os
import subprocess
import sys

from conftest import LESSONS_DIR


def run(code, folder, *arguments):
    """在 folder 里运行 code，返回 CompletedProcess，输出是文字。"""
    environment = {**os.environ, "PYTHONPATH": str(LESSONS_DIR), "PYTHONUTF8": "1"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # 测试自己设的，读者没有
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        encoding="utf-8",
    )  # fmt: skip
