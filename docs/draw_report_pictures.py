"""截取一份报告里的几处，作第 5 课页面的插图：python docs/draw_report_pictures.py 报告.html，写到 docs/images/。

要有 playwright 与 Chromium。
"""

import io
import sys
from pathlib import Path

from PIL import Image

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT_DIR / folder) for folder in ("src/study_keras", "tests/support")]

from browser import chromium

IMAGES_DIR = PROJECT_DIR / "docs" / "images"
WIDTH = 1040
PICTURES = {  # 文件 -> (从哪里，到哪里，最多多高，深色还是浅色)
    "report_top.png": ("header", "#run", 900, "light"),
    "report_confusion.png": ("#confusion", "#confusion", 700, "light"),
    "report_calibration.png": ("#calibration", "#calibration", 700, "light"),
    "report_mistakes.png": ("#mistakes", "#mistakes", 560, "dark"),
    "report_map.png": ("#map", "#map", 900, "light"),
    "report_doubts.png": ("#doubts", "#doubts", 620, "light"),
}


def save(data, path):
    """256 色够看，文件小得多。"""
    Image.open(io.BytesIO(data)).convert("RGB").quantize(256).save(path, "PNG", optimize=True)


def main(report):
    with chromium() as browser:
        for name, (first, last, highest, scheme) in PICTURES.items():
            tab = browser.new_page(viewport={"width": WIDTH, "height": 12_000}, color_scheme=scheme)
            tab.set_default_timeout(300_000)  # 毫秒
            tab.goto(Path(report).resolve().as_uri())
            tab.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
            tab.evaluate("document.fonts.ready")
            top, bottom = tab.locator(first).bounding_box(), tab.locator(last).bounding_box()
            height = min(bottom["y"] + bottom["height"] - top["y"], highest)
            clip = {"x": 0, "y": top["y"], "width": WIDTH, "height": height}
            save(tab.screenshot(full_page=True, clip=clip), IMAGES_DIR / name)
            tab.close()


if __name__ == "__main__":
    main(sys.argv[1])
