"""可以断点续传的下载：断了接着下，核对 SHA-256 之后才改成正式的名字。

续传用 HTTP 的 Range 与 If-Range（RFC 9110 第 13.1.5、14 节）；代理与证书由 requests 按环境变量处理。
"""

import hashlib
import json
import os
import queue
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from toolbox.terminal.progress import Progress

CHUNK = 1 << 18
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


def sha256_of(path):
    """文件的 SHA-256，十六进制小写。"""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url, target, sha256, timing=DEFAULT_TIMING, slow_hint=""):
    """把 url 下载成 target；未完成的部分在 target.part，下次（也可以是另一个地址）接着下。

    Args:
        url: http:// 或 https:// 地址。
        target: 目标文件；只有内容的 SHA-256 等于 sha256 才会出现。
        sha256: 应有的 SHA-256，十六进制小写。
        timing: 等多久、重试几次。
        slow_hint: 太慢时补充的一句话。

    Raises:
        Unavailable: 连不上、一再中断、给的不是文件，或内容不符（这时删掉已下载的）。
        OSError: 写不了磁盘。
    """
    part = _Part(Path(target))
    for is_last in (False, True):
        try:
            _receive_all(url, part, timing, slow_hint)
        except Unavailable:
            if not part.size or sha256_of(part.path) != sha256:  # 服务器报错了长度，内容其实全了，也算成
                raise
        except KeyboardInterrupt:
            print(f"\n已下载的 {part.size / 1e6:.1f} MB 留在 {part.path}，再次运行会接着下载。", flush=True)
            raise
        if sha256_of(part.path) == sha256:
            os.replace(part.path, target)
            part.discard()
            return
        was_pieced_together = part.pieces > 1
        part.discard()
        if is_last or not was_pieced_together:
            raise Unavailable("内容的 SHA-256 不符，已删除")
        print("  接起来的内容 SHA-256 不符，从头再下载一次。", flush=True)


class _Part:
    """未完成的下载：target.part 是内容，target.part.json 记着它从哪里来、全长多少。"""

    def __init__(self, target):
        self.path = target.with_name(target.name + ".part")
        self._notes_path = target.with_name(target.name + ".part.json")
        try:
            self.notes = json.loads(self._notes_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.notes = {}
        self.pieces = 1 if self.size else 0  # 内容是分几次得来的
        self.received = 0  # 这次运行得到的字节数
        self.hinted = False

    @property
    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def total(self):
        return self.notes.get("total")

    def discard(self):
        self.path.unlink(missing_ok=True)
        self._notes_path.unlink(missing_ok=True)
        self.notes, self.pieces = {}, 0

    def start_over(self, url, response):
        self.discard()
        length = response.headers.get("Content-Length", "")
        self.notes = {"url": url, "validator": _validator(response), "total": int(length) if length.isdigit() else None}
        self._notes_path.write_text(json.dumps(self.notes), encoding="utf-8")

    def request_headers(self, url):
        headers = {"Accept-Encoding": "identity"}  # 要原样的字节，不要途中再压缩
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            if self.notes.get("url") == url and self.notes.get("validator"):
                headers["If-Range"] = self.notes["validator"]
        return headers

    def is_continued_by(self, url, response):
        """206 的应答是否正好接在后面，而且还是同一个文件。"""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != self.size or self.total not in (None, int(found[2])):
            return False
        return self.notes.get("url") != url or self.notes.get("validator") in (None, _validator(response))


def _validator(response):
    """能放进 If-Range 的：强 ETag，其次是 Last-Modified。"""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _receive_all(url, part, timing, slow_hint):
    """一次次接着下，直到完整。从没给过内容的地址只等 timing.answer 秒。"""
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
            print(f"  {error}；{pause} 秒后再试。", flush=True)
            time.sleep(pause)
            failures += 1


def _receive(url, part, wait, timing, slow_hint):
    """发一次请求，把得到的内容接在 part 后面。"""
    response, chunk = _first_chunk(url, part.request_headers(url), wait, timing.answer)
    with response:
        if _already_complete(response, part):
            return
        _check_answer(url, response, part)
        if response.status_code == 200:
            part.start_over(url, response)
        else:
            part.notes["total"] = int(response.headers["Content-Range"].rpartition("/")[2])
        part.pieces += 1
        start, before = time.monotonic(), part.received
        remaining = part.total and part.total - part.size
        label = f"下载（从 {part.size / 1e6:.1f} MB 处继续）" if part.size else "下载"
        with open(part.path, "ab") as file, Progress(label, remaining, "B", unit_scale=True) as progress:
            while chunk:
                file.write(chunk)
                part.received += len(chunk)
                progress.update(len(chunk))
                got, seconds = part.received - before, time.monotonic() - start
                if remaining and seconds > timing.slow_after:
                    _hint_if_slow(part, (remaining - got) * seconds / got, timing, slow_hint)
                chunk = _read(response)
    if part.total is not None and part.size < part.total:
        raise _Interrupted("连接在中途断开")


def _first_chunk(url, headers, wait, stall):
    """应答与第一块内容。在另一个线程里等：解析域名、逐个试 IP 都没有总的时限，这样才有。"""
    import requests

    answers = queue.SimpleQueue()

    def ask():
        try:
            response = requests.get(url, headers=headers, stream=True, timeout=stall)
            answers.put((response, _read(response)))
        except (_Interrupted, requests.RequestException, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=max(wait, 0))
    except queue.Empty:
        raise _Interrupted("没有应答") from None
    if isinstance(answer, _Interrupted):
        raise answer
    if isinstance(answer, Exception):
        raise _Interrupted(_reason(answer)) from answer
    return answer


def _read(response):
    """接下来的一块内容，原样的字节；完了是 b""。"""
    import urllib3

    try:
        return response.raw.read1(CHUNK, decode_content=False)
    except urllib3.exceptions.TimeoutError as error:
        raise _Interrupted("下载停住了") from error
    except urllib3.exceptions.HTTPError as error:
        raise _Interrupted("连接在中途断开") from error


def _already_complete(response, part):
    """416 并报出同样的全长，说明已经下载完了。"""
    return response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{part.size}"


def _check_answer(url, response, part):
    status = response.status_code
    if status == 416 or (status == 206 and not (part.size and part.is_continued_by(url, response))):
        part.discard()
        raise _Interrupted("服务器上的文件变了，从头下载")
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


def _reason(error):
    import requests

    reasons = (
        (requests.exceptions.SSLError, "加密连接没有建立，证书不被信任"),
        (requests.exceptions.ProxyError, "代理不通，请检查 HTTP_PROXY、HTTPS_PROXY"),
        (requests.Timeout, "没有应答"),
        (requests.ConnectionError, "连不上"),
    )
    return next((text for kind, text in reasons if isinstance(error, kind)), f"请求失败（{type(error).__name__}）")
