"""第 7 课页面上的截图：在无头的 Chromium 里打开做好的应用，画的花当照片。

python src/study_keras/hello_web_page.py && python docs/draw_web_page.py output/web_page
"""

import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

DOCS_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS_DIR.parent / "src" / "study_keras"))

from toolbox.terminal.plots import pyplot
from toolbox.web.server import new_server

SCREENS = {"hello_web_page.png": (960, 760), "hello_web_page_phone.png": (390, 844)}
CAMERA = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def draw(app, executable):
    """每种屏幕一张截图，存进 docs/images。"""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    server = new_server(app, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        (Path(data) / "fonts").mkdir()
        shutil.copy(font_file(), Path(data) / "fonts")  # 没有中文字体的机器上也不成方框
        environment = {**os.environ, "XDG_DATA_HOME": data}
        browser = playwright.chromium.launch(executable_path=executable, args=CAMERA, env=environment)
        for name, (width, height) in SCREENS.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.locator("#status", has_text="准备好了。").wait_for(timeout=300_000)
            page.click("#samples li:nth-child(9) button")
            page.locator("#status", has_text="毫秒。").wait_for(timeout=300_000)
            page.locator("#map").wait_for(timeout=300_000)
            path = DOCS_DIR / "images" / name
            page.screenshot(path=path, full_page=True)
            Image.open(path).convert("RGB").quantize(256).save(path, "PNG", optimize=True)
        browser.close()
    server.shutdown()


def font_file():
    """zhplot 包自带的思源黑体。"""
    from matplotlib import font_manager

    family = pyplot().rcParams["font.family"][0]
    return next(font.fname for font in font_manager.fontManager.ttflist if font.name == family)


if __name__ == "__main__":
    draw(sys.argv[1], shutil.which("chromium") or shutil.which("google-chrome"))
