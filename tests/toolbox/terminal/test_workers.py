"""工作进程：一个意外结束了要说清楚；出错时不再做剩下的；父进程被杀后不留孤儿。"""

import os
import subprocess
import sys
import time

import pytest

from conftest import LESSONS_DIR
from toolbox.terminal.errors import UserError
from toolbox.terminal.workers import process_pool


def test_ended_worker_is_one_chinese_sentence():
    with pytest.raises(UserError, match="工作进程意外结束了"), process_pool(2) as pool:
        list(pool.map(os._exit, [1, 1]))


def test_error_cancels_what_has_not_begun():
    with pytest.raises(KeyboardInterrupt), process_pool(1) as pool:
        futures = [pool.submit(time.sleep, 0.5) for _ in range(100)]
        raise KeyboardInterrupt
    assert sum(future.cancelled() for future in futures) > 90


def test_workers_end_with_a_killed_parent():
    script = f"""
import sys, time
sys.path.insert(0, {str(LESSONS_DIR)!r})
from toolbox.terminal.workers import process_pool
with process_pool(2) as pool:
    pool.submit(print, "开工", flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONUTF8": "1"}
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, encoding="utf-8", env=environment)
    assert parent.stdout.readline() == "开工\n"  # 是工作进程写的：它也拿着这根管道
    parent.kill()
    assert parent.communicate(timeout=60)[0] == ""  # 还有一个工作进程活着，就读不到头
