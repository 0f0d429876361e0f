"""第 8 课：检查照片。训练失败，十有八九是照片的问题；先花几秒看一遍，免得白训练一小时。

你会学到：照片文件夹里常有什么毛病，怎样用几个简单的数找出太小、太暗、模糊的照片，
         怎样让模型自己说出哪些标签可疑（confident learning），怎样移走照片又随时能移回来。
需要：    两个 CPU 核心就够；--labels 与 --page 另要几个包：pip install -r requirements/photo_check.txt
多久：    两核、1,500 张照片，几秒；加 --labels，约二十秒。
命令：    python src/study_keras/hello_photo_check.py 照片文件夹
预期：    退出码 0 没有发现，3 有发现，2 用法不对。讲解见 docs/study_keras/hello_photo_check.md。
"""

import json
import sys
from contextlib import nullcontext, redirect_stdout

import numpy as np
from PIL import Image

from toolbox.frozen_prefix.options import add_feature_options
from toolbox.photo_check.examine import examine
from toolbox.photo_check.findings import KINDS, class_sizes, find_all
from toolbox.photo_check.results import open_results
from toolbox.photo_check.show import as_json, print_findings
from toolbox.photos.folder import find_root
from toolbox.photos.walk import Walk
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.run import run_main
from toolbox.terminal.text import visible

SMALL = 112  # 像素；短边不到模型输入（224）的一半，放大两倍以上
DARK = 60  # 0 至 255；最亮的 5 % 像素也不到它，就是太暗
BLURRED = 15  # 224×224 的灰度图上拉普拉斯的方差；真实的花都在它以上，再模糊两个像素的九成在它以下（见页面）
PANORAMA = 2.5  # 长边是短边的几倍
BAR = 40  # 条形图最长几格


def measure(pixels):
    """两个数说出一张照片的亮度与清晰度。

    亮度：每个像素取红、绿、蓝中最大的，比 95 % 的像素都亮的那个值，0 至 255。平均值不行：夜里一朵亮的花也是好照片。
    清晰度：灰度图的拉普拉斯（每个像素与上下左右四个的差）的方差。模糊就是相邻的像素差不多，方差就小。
    出处：Pech-Pacheco 等，Diatom autofocusing in brightfield microscopy: a comparative study，ICPR 2000。

    Args:
        pixels: 模型看到的像素，uint8，形状 (高, 宽, 3)。

    Returns:
        (亮度, 清晰度)。
    """
    brightest = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    darker = np.bincount(brightest.ravel(), minlength=256).cumsum()  # 有几个像素不比它亮
    brightness = np.searchsorted(darker, 0.95 * brightest.size)
    gray = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
    around = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
    return brightness, (around - 4 * gray[1:-1, 1:-1]).var()


def suspicious(width, height, brightness, sharpness):
    """一张照片为什么可疑：依次给出 (种类, 说明)。宽高是原图的像素。"""
    if max(width, height) > PANORAMA * min(width, height):
        yield "panorama", f"{width}×{height} 像素"
    if min(width, height) < SMALL:
        yield "small", f"{width}×{height} 像素"
    elif brightness < DARK:
        yield "dark", f"最亮的 5 % 像素也不到 {brightness:.0f}"
    elif sharpness < BLURRED:  # 太小的放大了、太暗的，都必然看着模糊，不必说两遍
        yield "blurred", f"清晰度 {sharpness:.1f}"


def show_classes(sizes):
    """每一类的张数与条形图。sizes：{类别: 张数}。"""
    largest = max(1, *sizes.values())
    print(f"\n{len(sizes)} 类，能读的照片共 {sum(sizes.values())} 张：")
    for name, size in sizes.items():
        bar = "█" * round(BAR * size / largest) or "▏" * bool(size)
        print(f"  {visible(name)}\t{size}\t{bar}")


def parse_arguments(argv):
    parser = ArgumentParser("第 8 课：检查一个照片文件夹，看看哪些照片会坏事。只看不动，除非用 --move-to。")
    add = parser.add_argument
    add("folder", metavar="DIR", help="照片文件夹：一个子文件夹一个类别")
    add("--given-split", action="store_true", help="DIR 里已分好 train、val（与 test）")
    add("--format", choices=["table", "json"], default="table", help="结果写成表，或 JSON")
    add_feature_options(parser, shard=False)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    root = find_root(args.folder)
    with redirect_stdout(sys.stderr) if args.format == "json" else nullcontext():
        walk = Walk(root)
        with open_results(root, args.cache_dir, keep=not args.no_cache) as results:
            class_names, too_alike = examine(results, walk, measure, args.given_split)
            sizes = class_sizes(results, class_names)
            findings = list(find_all(results, walk, class_names, too_alike, suspicious))
    if args.format == "json":
        print(json.dumps(as_json(root, sizes, findings), ensure_ascii=True, indent=2))
    else:
        show_classes(sizes)
        print_findings(findings)
    if any(not KINDS[finding.kind].is_note for finding in findings):
        sys.exit(3)


if __name__ == "__main__":
    run_main(main, when_interrupted="查过的都记下了；重新运行同一条命令会接着查。")
