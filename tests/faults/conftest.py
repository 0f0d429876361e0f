"""一个很小的磁盘：真的会满，也可以变成只读。"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class SmallDisk:
    """挂在 path 上的内存文件系统（tmpfs）。"""

    path: Path

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True, capture_output=True)

    def fill(self, free=0):
        """占满，只剩 free 字节（取整到页）。"""
        with open(self.path / "full", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            except OSError:
                pass
        with open(self.path / "full", "rb+") as file:
            file.truncate(max(0, (self.path / "full").stat().st_size - free))


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(字节数) 给出一个这么大的 SmallDisk；不能挂载就跳过。"""
    if not sys.platform.startswith("linux"):
        pytest.skip("小磁盘用 Linux 的 tmpfs，别的系统上跳过")
    mounted = []

    def make(size):
        path = tmp_path / f"disk {len(mounted)}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("不能挂载 tmpfs（要 root），跳过要真的小磁盘的测试")
        mounted.append(path)
        return SmallDisk(path)

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)
