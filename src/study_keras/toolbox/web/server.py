"""在本机打开一个文件夹的网页：标准库的服务器，只给这个文件夹里的文件，不列目录。"""

import http.server
import os
import socket
from functools import partial

from toolbox.terminal.errors import UserError

TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".tflite": "application/octet-stream"}


class Handler(http.server.SimpleHTTPRequestHandler):
    """只读；不说自己是什么程序，不往终端写每个请求。"""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | TYPES  # Windows 的注册表会把 .js 说成文本
    server_version, sys_version = "study_keras", ""

    def list_directory(self, path):
        self.send_error(404)

    def end_headers(self):
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")  # 重新做过的页面，刷新就看得到
        super().end_headers()

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # 结束后马上再开，端口还没有放开；Windows 上的“重用”却让两个程序占同一个

    def handle_error(self, request, client_address):
        """浏览器半路走了，不必说。"""


def new_server(folder, host="127.0.0.1", port=8000):
    """绑好地址的服务器；port 是 0 就由系统挑一个。用完 server_close。

    Raises:
        UserError: 地址用不了。
    """
    try:
        _Server.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return _Server((host, port), partial(Handler, directory=str(folder)))
    except OSError as error:
        reason = f"{host} 的 {port} 端口用不了（{error.strerror or error}）"
        raise UserError(f"{reason}。请用 --port 换一个，或检查 --host。") from None
    except (OverflowError, UnicodeError):
        raise UserError(f"没有 {host}:{port} 这样的地址。请检查 --host 与 --port。") from None
