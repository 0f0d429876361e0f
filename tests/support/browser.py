"""在真的 Chromium 里打开网页的测试：没有浏览器就跳过并说明。"""

import base64
import shutil
import threading
from contextlib import contextmanager

import pytest

from toolbox.web.server import new_server

FAKE_CAMERA = ["--use-fake-device-for-media-stream=device-count=2", "--use-fake-ui-for-media-stream"]


@contextmanager
def chromium(*flags, **launch):
    """给出无头的 Chromium；launch 是 playwright 的 launch 的其他参数。"""
    api = pytest.importorskip("playwright.sync_api", reason="没有装 playwright（requirements/test.txt）")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("没有找到 Chromium，跳过要用浏览器的测试")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", *flags], **launch)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(folder):
    """在本机的一个空闲端口上打开 folder，给出地址。"""
    server = new_server(folder, port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def as_data(content):
    """字节变成能交给 page.evaluate 的文字。"""
    return base64.b64encode(content).decode()
