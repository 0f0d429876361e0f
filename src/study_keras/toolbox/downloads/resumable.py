"""可以断点续传的下载：断了接着下，内容核对过才改成正式的名字。

续传用 HTTP 的 Range（RFC 9110 第 14 节）。服务器上的文件在两次之间变了，全长不同当场就知道；全长相同，
接起来的内容核对不过，从头再下载一次。代理与证书由 requests 按环境变量处理。
"""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from toolbox.downloads.requesting import in_time, reason
from toolbox.terminal.progress import Progress
from toolbox.terminal.text import visible

CHUNK = 1 << 18
CHANGED = "服务器上的文件变了，从头下载"
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}  # 服务器一时的毛病；别的 4xx 再试也没有用


@dataclass(frozen=True)
class Timing:
    """各种等待，单位是秒。"""

    answer: float = 8.0  # 从没应答过的地址最多等这么久；下载途中最多停顿这么久
    pauses: tuple = (0.5, 1, 2, 4, 8)  # 断了之后隔多久再试；有新内容下来就从头数
    slow: float = 600.0  # 剩余时间超过它，就提示一次
    slow_after: float = 5.0  # 下载这么久以后，速度才算数


DEFAULT_TIMING = Timing()


class Unavailable(Exception):
    """这个地址不行，换一个。文字是原因。"""


class _Interrupted(Exception):
    """这一次断了，可以再试。"""


def download(url, target, problem_with, size=None, timing=DEFAULT_TIMING, slow_hint=""):
    """把 url 下载成 target；未完成的部分在 target.part，下次（也可以是另一个地址）接着下。

    Args:
        url: http:// 或 https:// 地址。
        target: 目标文件；内容核对过才会出现。
        problem_with: 核对内容的函数，参数是文件，返回 None 或哪里不对。
        size: 应有的字节数；不知道就是 None，按服务器说的全长。
        timing: 等多久、重试几次。
        slow_hint: 太慢时补充的一句话。

    Raises:
        Unavailable: 连不上、一再中断、给的不是文件，或内容不对（这时删掉已下载的）。
        OSError: 写不了磁盘。
    """
    part = _Part(Path(target), size)
    may_be_complete = part.size and size in (None, part.size)  # 上次刚下全、还没改名就被结束
    if not may_be_complete or problem_with(part.path):
        _fill(url, part, problem_with, timing, slow_hint)
    part.finish(target)


def _fill(url, part, problem_with, timing, slow_hint):
    """下载到 part，直到核对得过；接起来的内容不对，从头再来一次。"""
    for is_last in (False, True):
        try:
            _receive_all(url, part, timing, slow_hint)
        except Unavailable:
            if not part.size or problem_with(part.path):  # 服务器报错了长度，内容其实全了，也算成
                raise
        except KeyboardInterrupt:
            print(f"\n已下载的 {part.size / 1e6:.1f} MB 留在 {visible(part.path)}，再次运行会接着下载。", flush=True)
            raise
        problem = problem_with(part.path)
        if problem is None:
            return
        was_pieced_together = part.is_pieced_together
        part.start_over()
        if is_last or not was_pieced_together:
            raise Unavailable(f"内容不对（{problem}），已删除")
        print("  接起来的内容不对，从头再下载一次。", flush=True)


class _Part:
    """未完成的下载 target.part，它应有多长，是不是分几次得来的。"""

    def __init__(self, target, size):
        self.path = target.with_name(target.name + ".part")
        self.right_size = self.total = size
        self.is_pieced_together = self.size > 0
        self.received = 0  # 这次运行得到的字节数
        self.hinted = False

    @property
    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def start_over(self):
        self.path.unlink(missing_ok=True)
        self.total, self.is_pieced_together = self.right_size, False

    def finish(self, target):
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, target)

    def accept(self, response):
        """核对应答说的位置与全长，准备接收。"""
        if response.status_code == 200:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else self.right_size
            if self.right_size not in (None, total):
                raise Unavailable(f"文件有 {total} 字节，应当是 {self.right_size} 字节")
            self.start_over()
        else:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
            total = int(found[2]) if found else None
            if not found or int(found[1]) != self.size or self.total not in (None, total):
                self.start_over()
                raise _Interrupted(CHANGED)
            self.is_pieced_together = True
        self.total = total


def _receive_all(url, part, timing, slow_hint):
    """一次次接着下，直到完整。从没给过内容的地址只等 timing.answer 秒，也不说每次重试。"""
    deadline, best, failures = time.monotonic() + timing.answer, part.size, 0
    while part.total is None or part.size != part.total:
        wait = timing.answer if part.received else deadline - time.monotonic()
        try:
            return _receive(url, part, wait, timing, slow_hint)
        except _Interrupted as error:
            if part.size > best:
                best, failures = part.size, 0
            pauses = timing.pauses if part.received else timing.pauses[:2]
            pause = pauses[failures] if failures < len(pauses) else None
            if pause is None or (not part.received and time.monotonic() + pause >= deadline):
                raise Unavailable(str(error)) from error
            if part.received:
                print(f"  {error}；{pause} 秒后再试。", flush=True)
            time.sleep(pause)
            failures += 1


def _receive(url, part, wait, timing, slow_hint):
    """发一次请求，把得到的内容接在 part 后面；不收超过全长的。"""
    headers = {"Accept-Encoding": "identity"}  # 要原样的字节，不要途中再压缩
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
    response, chunk = _first_chunk(url, headers, wait, timing.answer)
    with response:
        if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{part.size}":
            return  # 已经下载完了
        _check_answer(response, part)
        part.accept(response)
        start, got = time.monotonic(), 0
        remaining = part.total and part.total - part.size
        label = f"下载（从 {part.size / 1e6:.1f} MB 处继续）" if part.size else "下载"
        with open(part.path, "ab") as file, Progress(label, remaining, "B") as progress:
            while chunk and got != remaining:
                chunk = chunk[: remaining and remaining - got]
                file.write(chunk)
                got += len(chunk)
                part.received += len(chunk)
                progress.update(len(chunk))
                seconds = time.monotonic() - start
                if remaining and seconds > timing.slow_after:
                    _hint_if_slow(part, (remaining - got) * seconds / got, timing, slow_hint)
                chunk = _read(response)
    if part.total is not None and part.size < part.total:
        raise _Interrupted("连接在中途断开")


def _first_chunk(url, headers, wait, stall):
    """应答与第一块内容。"""
    import requests

    def ask():
        response = requests.get(url, headers=headers, stream=True, timeout=stall)
        return response, _read(response)

    try:
        return in_time(wait, ask)
    except _Interrupted:
        raise
    except TimeoutError:
        raise _Interrupted("没有应答") from None
    except Exception as error:
        raise _Interrupted(reason(error)) from error


def _read(response):
    """接下来的一块内容，原样的字节；完了是 b""。"""
    import urllib3

    try:
        return response.raw.read1(CHUNK, decode_content=False)
    except urllib3.exceptions.TimeoutError as error:
        raise _Interrupted("下载停住了") from error
    except urllib3.exceptions.HTTPError as error:
        raise _Interrupted("连接在中途断开") from error


def _check_answer(response, part):
    status = response.status_code
    if status == 416 or (status == 206 and not part.size):
        part.start_over()
        raise _Interrupted(CHANGED)
    if status in RETRY_STATUS:
        raise _Interrupted(f"服务器答复 {status}")
    if status not in (200, 206):
        raise Unavailable(f"服务器答复 {status}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise Unavailable("给的是网页，不是文件")


def _hint_if_slow(part, seconds_left, timing, slow_hint):
    if seconds_left > timing.slow and not part.hinted:
        part.hinted = True
        print(f"\n按现在的速度还要约 {seconds_left / 60:.0f} 分钟。{slow_hint}", flush=True)
