"""第 8 课：检查照片要多久（与经典做法的一轮比），内存怎样随张数变。

用法：python benchmarks/photo_check.py --images-dir 照片文件夹 --work-dir 放画的花与缓存的文件夹
      [--json docs/results/photo_check.json]

各种运行轮流做 --repeats 遍，取中位数。经典做法的一轮：训练两轮，第二轮（连同验证）的秒数。画的花从最多的规模开始，
画好的留在 --work-dir 里。--only 只做其中几样，--json 里其余的不动。
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import numpy as np
from frozen_prefix import RECIPES, anonymous_memory_mb
from PIL import Image, ImageFilter

import hello_photo_check as lesson
from toolbox import drawn_flowers, model_folder
from toolbox.photos.folder import open_folder
from toolbox.photos.read import read_photo
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.records import read_json
from toolbox.terminal.run import run_main

LESSON = PROJECT_DIR / "src" / "study_keras" / "hello_photo_check.py"
COUNTS = [4000, 64000]
FINDINGS = 3  # 有发现时的退出码
PARTS = ("times", "memory", "found")


def check(images_dir, *options):
    """运行一次第 8 课，返回 {"seconds", "peak_memory_mb"}；内存含工作进程，只有 Linux 上量得到。"""
    start = time.monotonic()
    command = [sys.executable, LESSON, images_dir, *options]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_memory_mb(process.pid))
        time.sleep(0.05)
    if process.returncode not in (0, FINDINGS):
        raise RuntimeError(f"{command} 没有成功（退出码 {process.returncode}）")
    return {"seconds": time.monotonic() - start, "peak_memory_mb": peak or None}


def classic_epoch(args):
    """经典做法的一轮要几秒；第一轮还要编译，所以看第二轮。"""
    command = [sys.executable, RECIPES, "classic", args.images_dir, args.weights, 2, args.work_dir / "classic.keras"]
    options = {"stdout": subprocess.PIPE, "text": True, "encoding": "utf-8", "check": True}
    shown = subprocess.run(list(map(str, command)), env={**os.environ, "PYTHONUTF8": "1"}, **options).stdout
    return float(re.search(r"第 2 轮：([\d.]+) 秒", shown)[1])


def against_one_epoch(args):
    """各种运行的秒数与经典做法一轮的秒数：{名字: [各遍的秒数]}。"""
    seconds = {}
    for repeat in range(args.repeats):
        cache = args.work_dir / f"cache{repeat}"
        shutil.rmtree(cache, ignore_errors=True)
        options = ["--weights", args.weights, "--cache-dir", cache]
        measured = {
            "epoch": classic_epoch(args),
            "check": check(args.images_dir, "--no-cache")["seconds"],
            "labels": check(args.images_dir, "--labels", *options)["seconds"],  # 特征也从头算
            "labels again": check(args.images_dir, "--labels", *options)["seconds"],
        }
        for name, value in measured.items():
            seconds.setdefault(name, []).append(value)
        print("，".join(f"{name} {value:.1f} 秒" for name, value in measured.items()), flush=True)
    return seconds


def at_each_count(args):
    """各个规模的用时与内存：[{"photos", "seconds", "peak_memory_mb"}, ...]，从少到多。"""
    results = []
    for count in sorted(args.counts, reverse=True):  # 画花只会删去多出的，不必重画
        photos = drawn_flowers.draw_folder(args.work_dir / "photos", count // len(drawn_flowers.CLASS_NAMES))
        results.append({"photos": count, **check(photos, "--no-cache")})
        print("{photos:>6} 张：{seconds:.0f} 秒，内存 {peak_memory_mb:.0f} MB".format(**results[-1]), flush=True)
    return results[::-1]


def sharpness_of_blurred(images_dir):
    """真实的照片再模糊几个像素，有多大比例会被当成模糊：{半径: 比例}；0 是原样。每五张取一张。"""
    found = {}
    for photo in open_folder(images_dir).photos[::5]:
        pixels = Image.fromarray(read_photo(photo.path))
        for radius in (0, 1, 2, 3):
            sharpness = lesson.measure(np.asarray(pixels.filter(ImageFilter.GaussianBlur(radius))))[1]
            found.setdefault(radius, []).append(sharpness < lesson.BLURRED)
    return {radius: float(np.mean(values)) for radius, values in found.items()}


def found_in(args):
    """在照片文件夹里找到几处：{种类: 处数}。"""
    options = ["--labels", "--format", "json", "--weights", args.weights, "--cache-dir", args.work_dir / "cache0"]
    command = [sys.executable, LESSON, args.images_dir, *options]
    output = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=False).stdout
    return Counter(finding["kind"] for finding in json.loads(output)["findings"])


def main(argv=None):
    parser = ArgumentParser("检查照片要多久，内存怎样随张数变。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="画的花与缓存放在哪里")
    parser.add_argument("--weights", default="auto", metavar="W", help="基础模型的权重")
    parser.add_argument("--repeats", type=positive_int, default=3, metavar="N", help="运行几遍，取中位数")
    parser.add_argument("--counts", type=positive_int, nargs="+", default=COUNTS, help="量内存的各个张数")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="只做哪几样；不写就是全部%(default).0s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    results = (args.json and read_json(args.json)) or {}
    results["photos"] = len(open_folder(args.images_dir).photos)
    results.setdefault("ratios", {})
    if "times" in args.only:
        results["all_seconds"] = seconds = against_one_epoch(args)
        results["seconds"] = median = {name: statistics.median(values) for name, values in seconds.items()}
        results["ratios"] |= {name: median[name] / median["epoch"] for name in median}
    if "memory" in args.only:
        results["scale"] = scale = at_each_count(args)
        if scale[0]["peak_memory_mb"]:
            results["ratios"]["memory"] = scale[-1]["peak_memory_mb"] / scale[0]["peak_memory_mb"]
    if "found" in args.only:
        results |= {"found": found_in(args), "share_found_blurred": sharpness_of_blurred(args.images_dir)}
    print(f"是经典做法一轮的几倍（memory：最多的规模的内存是最少的几倍）：{results['ratios']}")
    if args.json:
        model_folder.write_json(args.json, results)


if __name__ == "__main__":
    run_main(main)
