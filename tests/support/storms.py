"""在随机的（由种子决定的）时刻强行结束一个进程，再运行同一条命令，看结果与一次做完的是否相同。"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import storm_child
from flower_archives import ARCHIVE
from loopback_server import LoopbackServer

CHILD = Path(storm_child.__file__)
TEMPFILE_PROBE = b"blat"  # tempfile._get_default_tempdir


class Storm:
    """一件事（storm_child.OPERATIONS 之一）：先一次做完，作为标准；之后每次 kill 都与它比。"""

    def __init__(self, operation, folder, server):
        self.operation, self.folder, self.server = operation, folder, server
        whole = self._start(folder / "whole").communicate()[0]
        self.moments = int(whole.split()[-1])
        self.expected = contents(folder / "whole")
        assert self.expected and self.moments > 1

    def _start(self, folder, *moment):
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        if not (folder / "a.tgz").exists():
            (folder / "a.tgz").write_bytes(ARCHIVE)
        environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "STORM_URL": f"{self.server.url}/a.tgz"}
        environment["NO_PROXY"] = "127.0.0.1"  # 读者机器上的代理不相干
        command = [sys.executable, str(CHILD), self.operation, str(folder), *map(str, moment)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kill_and_go_on(self, random, number):
        """杀一次，再做完；返回杀到了没有。结果不同就 AssertionError。

        第 0 次就在改动磁盘的那一刻杀，总杀得到；以后的可能再过几毫秒才杀，那时也许已经做完了。
        """
        folder = self.folder / str(number)
        moment, later = random.randint(1, self.moments), random.choice((0, 0, 1, 3, 10, 30))
        process = self._start(folder, moment, later if number else 0)
        process.communicate()
        was_killed = process.returncode == -signal.SIGKILL
        assert was_killed or process.returncode == 0
        process = self._start(folder)
        _, error = process.communicate()
        assert process.returncode == 0, error
        assert contents(folder) == self.expected, f"{self.operation} 第 {number} 次：结果不同或有多余的文件"
        return was_killed


def contents(folder):
    """{相对路径: 字节，文件夹则是 None}，隐藏的也在内。

    Python 的 tempfile 第一次用到 TMPDIR 时，先在里面写一个 4 字节的文件试试、马上删掉；恰好杀在这一刻，
    它就留下了。那不是课程写的，也认不出是谁的，所以不算（仍须是这 4 个字节）。
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else None
        if path.parent != folder / "tmp" or content != TEMPFILE_PROBE:
            found[path.relative_to(folder).as_posix()] = content
    return found


def new_server():
    return LoopbackServer({"/a.tgz": ARCHIVE})
