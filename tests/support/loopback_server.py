"""只听本机的 HTTP 服务器，按吩咐出毛病；也能当 HTTP 代理用。"""

import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """怎样答复一次请求；缺省是一个守规矩的、支持续传的服务器。"""

    status: int | None = None  # 不给就是 200、206 或 416
    body: bytes | None = None  # 不给就是这个路径的文件
    send: int | None = None  # 发这么多字节就不发了
    stall: bool = False  # 不发了以后，断开还是吊着
    silent: bool = False  # 连应答的第一行也不给
    claimed_size: int | None = None  # 谎报的全长
    says_length: bool = True
    accepts_range: bool = True
    range_shift: int = 0  # 206 的起点偏这么多
    largest_range: int | None = None  # 206 最多给这么多
    headers: tuple = ()


@dataclass
class Request:
    target: str  # 请求行里的路径；当代理时是完整的地址
    headers: dict
    sent: int = 0  # 发出的内容字节数


class LoopbackServer:
    """用法：with LoopbackServer({"/a.tgz": data}) as server: 取 server.url + "/a.tgz"

    answers[路径] 是依次用掉的 Answer，用完以后守规矩；requests 记着来过的请求。
    """

    def __init__(self, files):
        self.files, self.answers, self.requests = files, {}, []
        self.stalled, self._closing = threading.Event(), threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self, self._closing))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def sent(self):
        return sum(request.sent for request in self.requests)


def _handler_for(server, closing):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = urlsplit(self.path).path
            request = Request(self.path, dict(self.headers))
            server.requests.append(request)
            planned = server.answers.get(path)
            answer = planned.pop(0) if planned else Answer()
            if answer.silent:
                self._hang()
                return
            body = answer.body if answer.body is not None else server.files.get(path)
            status, start = self._status(answer, body)
            size = len(body or b"") if answer.claimed_size is None else answer.claimed_size
            end = size
            if status == 206 and answer.largest_range:
                end = min(size, start + answer.largest_range)
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start + answer.range_shift}-{end - 1}/{size}")
            elif status == 416:
                self.send_header("Content-Range", f"bytes */{size}")
            if answer.says_length:
                self.send_header("Content-Length", str(0 if status == 416 else end - start))
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            if body and status != 416:
                self._send_body(request, body[start : end if answer.largest_range else None], answer)

        def _status(self, answer, body):
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if answer.status or body is None:
                return answer.status or 404, 0
            if not (found and answer.accepts_range):
                return 200, 0
            start = int(found[1])
            return (206, start) if start < (answer.claimed_size or len(body)) else (416, 0)

        def _send_body(self, request, data, answer):
            data = data if answer.send is None else data[: answer.send]
            request.sent = len(data)  # 先记下：发完时测试可能已经在看了
            try:
                self.wfile.write(data)
            except OSError:  # 对方先走了
                return
            if answer.stall:
                self._hang()

        def _hang(self):
            server.stalled.set()
            closing.wait()

        def log_message(self, *_):
            pass

    return Handler
