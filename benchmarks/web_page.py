"""第 7 课的网页有多快：在无头的 Chromium 里打开，到第一个答案要多久，以后每张多久；记进 docs/results/web_page.json。

用法：python benchmarks/web_page.py 网页应用的文件夹 照片文件夹
每一遍都是新的浏览器（缓存是空的）；服务器是 hello_web_page.py --serve 的那一个，在同一台机器上。
"""

import os
import re
import statistics
import sys
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT_DIR / folder) for folder in ("src/study_keras", "tests/support")]

from browser import chromium, served
from toolbox import model_folder
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main

ANSWERED = "其中模型"
PHOTOS = 30  # 第一张之后再认这么多张


def one_visit(url, photos):
    """一遍：{"first_answer_seconds": 从打开到第一个答案, "milliseconds": [以后每张], "model_milliseconds": [模型]}。"""
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        start = time.monotonic()
        page.goto(url)
        page.locator("#status", has_text="准备好了。").wait_for()
        page.set_input_files("#files", photos[0])
        page.locator("#status", has_text=ANSWERED).wait_for()
        visit = {"first_answer_seconds": time.monotonic() - start, "milliseconds": [], "model_milliseconds": []}
        for photo in photos[1:]:
            page.evaluate("document.querySelector('#status').textContent = ''")
            page.set_input_files("#files", photo)
            page.locator("#status", has_text=ANSWERED).wait_for()
            numbers = re.search(r"用了 (\d+) 毫秒，其中模型 (\d+) 毫秒", page.inner_text("#status"))
            visit["milliseconds"].append(int(numbers[1]))
            visit["model_milliseconds"].append(int(numbers[2]))
    return visit


def main(argv=None):
    parser = ArgumentParser("第 7 课的网页有多快。")
    parser.add_argument("app", type=Path, help="hello_web_page.py 做的文件夹")
    parser.add_argument("photos", type=Path, help="照片文件夹")
    parser.add_argument("--repeats", type=positive_int, default=3, metavar="N", help="做几遍，取中位数")
    file = PROJECT_DIR / "docs" / "results" / "web_page.json"
    parser.add_argument("--json", type=Path, default=file, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    every = sorted(args.photos.rglob("*.jpg"))
    photos = every[:: max(1, len(every) // (PHOTOS + 1))][: PHOTOS + 1]
    with served(args.app) as url:
        visits = [one_visit(url, photos) for _ in range(args.repeats)]
    result = {"cores": os.cpu_count(), "photos": len(photos) - 1, "visits": visits}
    result["first_answer_seconds"] = statistics.median(visit["first_answer_seconds"] for visit in visits)
    for key in ("milliseconds", "model_milliseconds"):
        result[key] = statistics.median(value for visit in visits for value in visit[key])
    print({key: value for key, value in result.items() if key != "visits"})
    model_folder.write_json(args.json, result)


if __name__ == "__main__":
    run_main(main)
