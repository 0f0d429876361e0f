"""各步的秒数累加；内存的最大值是进程自己的，与启动它的进程无关。"""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import LESSONS_DIR
from toolbox.terminal import stopwatch
from toolbox.terminal.stopwatch import Stopwatch, peak_memory_mb

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="只在 Linux 上读 /proc")
CODE = "from toolbox.terminal.stopwatch import peak_memory_mb; {}; print(peak_memory_mb())"


def in_a_child(work):
    command = [sys.executable, "-c", CODE.format(work)]
    done = subprocess.run(command, env={"PYTHONPATH": str(LESSONS_DIR)}, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_stage_that_comes_twice_is_added_up(capsys, monkeypatch):
    stage, clock = Stopwatch(), iter([10, 12, 20, 25])
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    for _ in range(2):
        with stage("数据"):
            pass
    assert stage.seconds == {"数据": (12 - 10) + (25 - 20)}
    assert capsys.readouterr().out.count("—— 数据 ——") == 2


@needs_linux
def test_memory_of_a_child_is_its_own():
    filled = np.ones(400 << 20, np.uint8)  # 启动它的进程占着 400 MB
    assert peak_memory_mb() > 400 and filled.any()
    assert in_a_child("pass") < 200 < 300 < in_a_child("x = b'x' * (300 << 20)")


def test_a_sandbox_that_does_not_say_its_memory_loses_no_training(monkeypatch):
    monkeypatch.setattr(stopwatch.Path, "read_text", lambda path: "Name:\tpython\nState:\tR (running)\n")
    monkeypatch.setattr(stopwatch.Path, "exists", lambda path: True)
    assert stopwatch.peak_memory_mb() is None
