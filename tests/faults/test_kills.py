"""kill -9 在由种子决定的时刻，再运行同一条命令：结果逐字节相同，没有多余的文件。

缓存的特征见 tests/toolbox/frozen_prefix/test_store.py；更多次的见 benchmarks/storms.py 与 benchmarks/kills.py。
"""

import random
import sys

import pytest

from storm_child import OPERATIONS
from storms import Storm, new_server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows 上没有 SIGKILL")
KILLS = 3


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_random_moments_then_finished(operation, tmp_path):
    moments = random.Random(operation)
    with new_server() as server:
        storm = Storm(operation, tmp_path, server)
        killed = sum(storm.kill_and_go_on(moments, number) for number in range(KILLS))
    assert killed > 0
