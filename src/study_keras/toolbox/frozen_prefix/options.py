"""各课共同的、关于缓存的特征的命令行选项；不导入 Keras，--help 才快。"""

import argparse
import re
from pathlib import Path

from toolbox.photos.folder import refuse_among_photos
from toolbox.terminal.arguments import positive_float
from toolbox.terminal.files import DATA_DIR, absolute

CACHE_DIR = DATA_DIR / "frozen_prefix"
CACHE_LIMIT_GB = 20.0
ENGINES = ("auto", "litert", "keras")


def add_feature_options(parser, shard=True):
    """给 parser 添上各选项；解析后用 feature_options(args) 取出，交给 frozen_prefix.compute。

    Args:
        shard: 有没有 --shard；没有时 args.shard 总是 None。
    """
    group = parser.add_argument_group("缓存的特征（cached features）")
    group.add_argument("--cache-dir", type=Path, default=CACHE_DIR, help="缓存在这个文件夹，下次直接用")
    group.add_argument("--no-cache", action="store_true", help="不缓存：写在临时文件夹里，用完删掉")
    group.add_argument("--cache-limit", type=positive_float, default=CACHE_LIMIT_GB, help="--cache-dir 最多用多少 GB")
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        metavar="ENGINE",
        help="由谁来算：litert（CPU）或 keras（GPU）；auto 在有 GPU 时用 keras",
    )
    if not shard:
        parser.set_defaults(shard=None)
        return
    group.add_argument("--shard", type=_shard, metavar="i/n", help="只算 n 份中的第 i 份就结束，供 n 台机器分头算")
    parser.not_together("--no-cache", "--shard")


def feature_options(args):
    """frozen_prefix.compute 的各关键字参数。"""
    return {
        "cache_dir": args.cache_dir,
        "keep": not args.no_cache,
        "limit_gb": args.cache_limit,
        "engine": args.engine,
        "shard": args.shard,
    }


def refuse_cache_among_photos(args, images_dir):
    """缓存在照片文件夹里，下次就成了一个类别；在隐藏的文件夹里则不会。

    Raises:
        UserError
    """
    if not images_dir or args.no_cache:
        return
    cache, photos = absolute(args.cache_dir), absolute(images_dir)
    if not any(name.startswith(".") for name in cache.parts[len(photos.parts) :]):
        refuse_among_photos("--cache-dir", cache, photos)


def _shard(text):
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]) <= 256:
        raise argparse.ArgumentTypeError(f"要写成 i/n，如 2/3（1 <= i <= n <= 256），给的是 {text!r}")
    return int(match[1]), int(match[2])
