"""第 2 课的测试共用：在新进程里运行它（它会让整个进程的 tf.keras 变成 Keras 2）。"""

import json
import os
import re
import subprocess
import sys
from collections import deque

from conftest import LESSONS_DIR, hear_ctrl_c

TIMEOUT = 600  # 秒；再久就是卡住了
SCRIPT = LESSONS_DIR / "hello_transfer_learning_2.py"


def options(photos, cache_dir, output_dir, *more):
    common = ["--images-dir", photos, "--cache-dir", cache_dir, "--output-dir", output_dir, "--batch-size", 8]
    return [str(option) for option in (*common, *more)]


def start(*arguments, **environment):
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **environment}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # 测试自己设的，读者没有
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments], env=environment, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=None if os.name == "nt" else hear_ctrl_c,
    )  # fmt: skip


def run(*arguments):
    """运行到正常结束，返回全部输出。"""
    process = start(*arguments)
    shown, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, shown[-3000:]
    return shown


def read_until(stream, text):
    """读到含 text 的一行为止，返回读到的全部行。"""
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"没有等到 {text!r}：{''.join(deque(lines, 30))}")


def metrics_of(output_dir):
    return json.loads((output_dir / "mobilenetv2_estimator" / "metrics.json").read_text(encoding="utf-8"))


def checkpoint_steps(shown):
    """输出里报告过的各检查点的步数。"""
    return [int(step) for step in re.findall(r"检查点：第 (\d+) 步", shown)]
