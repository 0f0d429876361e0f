"""第 7 课页面上的截图：在无头的 Chromium 里打开做好的应用，画的花当照片。

python src/study_keras/hello_web_page.py && python docs/draw_web_page.py output/web_page
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

DOCS_DIR = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS_DIR.parent / folder) for folder in ("src/study_keras", "tests/support")]

from browser import FAKE_CAMERA, chromium, served
from toolbox import drawn_flowers
from toolbox.terminal.plots import pyplot

TAUGHT = "hello_web_page_teach.png"
EACH = 10  # 现学时每样几张
SCREENS = {"hello_web_page.png": (960, 760), "hello_web_page_phone.png": (390, 844)}


def draw(app):
    """每种屏幕一张截图，存进 docs/images。"""
    with tempfile.TemporaryDirectory() as data, served(app) as url:
        (Path(data) / "fonts").mkdir()
        shutil.copy(font_file(), Path(data) / "fonts")  # 没有中文字体的机器上也不成方框
        environment = {**os.environ, "XDG_DATA_HOME": data}
        with chromium(*FAKE_CAMERA, env=environment) as browser:
            for name, (width, height) in SCREENS.items():
                take(browser.new_page(viewport={"width": width, "height": height}), url, DOCS_DIR / "images" / name)
            teach(browser.new_page(viewport={"width": 960, "height": 760}), url, DOCS_DIR / "images" / TAUGHT)


def take(page, url, path):
    """认一张画的花，等类激活图出来，截下整页。"""
    page.goto(url)
    page.locator("#status", has_text="准备好了。").wait_for(timeout=300_000)
    for sample in (1, 9):  # 第一张要等模型准备，慢一些；截下第二张
        page.evaluate("document.querySelector('#status').textContent = ''")
        page.click(f"#samples li:nth-child({sample}) button")
        page.locator("#status", has_text="毫秒。").wait_for(timeout=300_000)
    page.locator("#map").wait_for(timeout=300_000)
    shoot(page, path)


def teach(page, url, path):
    """现学两样：画的雏菊与玫瑰各十张，再考一张没有见过的，截下整页。"""
    with tempfile.TemporaryDirectory() as folder:
        drawn_flowers.draw_folder(folder, per_class=EACH + 1, seed=3)
        page.goto(url + "teach.html")
        page.locator("#status", has_text="准备好了。").wait_for(timeout=300_000)
        for number, (name, kind) in enumerate({"雏菊": "daisy", "玫瑰": "roses"}.items()):
            card = page.locator("#classes > li").nth(number)
            card.locator("input[type=text]").fill(name)
            card.locator("input[type=file]").set_input_files(sorted(Path(folder, kind).iterdir())[:EACH])
            card.locator("img").nth(EACH - 1).wait_for(timeout=300_000)
        page.click("#learn")
        page.locator("#report li").nth(2).wait_for(timeout=300_000)
        page.set_input_files("#try", sorted(Path(folder, "roses").iterdir())[EACH])
        page.locator("#bars li").first.wait_for(timeout=300_000)
        shoot(page, path)


def shoot(page, path):
    """截下整页，存成 256 色的 PNG。"""
    from PIL import Image

    page.screenshot(path=path, full_page=True)
    Image.open(path).convert("RGB").quantize(256).save(path, "PNG", optimize=True)


def font_file():
    """zhplot 包自带的思源黑体。"""
    from matplotlib import font_manager

    family = pyplot().rcParams["font.family"][0]
    return next(font.fname for font in font_manager.fontManager.ttflist if font.name == family)


if __name__ == "__main__":
    draw(sys.argv[1])
