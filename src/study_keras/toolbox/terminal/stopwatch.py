"""记下每一步用了几秒，以及进程用过的最多内存。"""

import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path


class Stopwatch:
    """用法：with stopwatch("训练"): ...；之后 stopwatch.seconds 是 {"训练": 秒}。"""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def __call__(self, stage):
        print(f"\n—— {stage} ——", flush=True)
        start = time.monotonic()
        yield
        self.seconds[stage] = round(self.seconds.get(stage, 0) + time.monotonic() - start, 2)


def peak_memory_mb():
    """本进程到此刻为止占用物理内存的最大值（MB，含共享库）；量不到（如 Windows 上）则返回 None。"""
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    if status.exists():  # Linux 上 getrusage 不行：启动它的进程那时占多少，也算进它的最大值
        most = re.search(r"^VmHWM:\s*(\d+)", status.read_text(), re.MULTILINE)
        return round(int(most[1]) / 1024) if most else None  # 有的沙箱不说
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)  # macOS，字节
