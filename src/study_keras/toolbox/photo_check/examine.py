"""查看文件夹里的每一张照片：用上每个核，结果边查边存。"""

import itertools
import struct
from array import array
from contextlib import nullcontext
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image

from toolbox.photos.check import check_photo
from toolbox.photos.folder import class_folders
from toolbox.photos.formats import sniff
from toolbox.photos.near_duplicates import FINGERPRINT_BYTES, group_near_duplicates, nearest_leaders
from toolbox.photos.read import SHORTEST_SIDE, decode, resized
from toolbox.terminal.progress import Progress
from toolbox.terminal.workers import cores, process_pool

_PHOTOS_PER_TASK = 16
_TASKS_PER_BATCH = 64  # 每查完这么多份，结果落一次磁盘；排队的也只有这么多
_BYTES_WORTH_WORKERS = 20e6  # 要查的照片总共不到这么多字节时，启动工作进程的时间比检查的时间还长


def examine(results, walk, measure, given_split=False):
    """查看 walk.root 下的每个文件，结果存进 results，返回 (类别名单, {几乎全是同一个画面的类别: 这个画面有几张})。

    Args:
        results: Results。
        walk: Walk；看到的不能用的、略过的记在它里面。
        measure: 函数，模型看到的像素（uint8 数组，形状 (高, 宽, 3)）-> (亮度, 清晰度)。在工作进程里调用。
        given_split: 照最上一层的 train、val、test 划分。

    Raises:
        UserError: 不是照片文件夹。
    """
    class_names, sources = class_folders(walk.root, walk, given_split)
    numbers = {name: number for number, name in enumerate(class_names)}
    results.note_files(
        (path, numbers[name], part) for folder, name, part in sources for path in walk.files_below(folder)
    )
    _check_waiting(results, partial(_measure, measure))
    _group_across_classes(results)
    return class_names, _group(results, class_names)


def _check_waiting(results, measure):
    """查还没有查的；以前查过、没有变的说一声。"""
    total = results.count("NOT checked")
    if known := results.count("checked"):
        print(f"以前查过、没有变的 {known} 张，直接用那时的结果；这次查 {total} 张。")
    (size,) = next(results.select("SUM(size)", "WHERE NOT checked"))
    many = (size or 0) >= _BYTES_WORTH_WORKERS and cores() > 1
    after = -1
    with Progress("检查照片", total=total) as progress, process_pool(cores()) if many else nullcontext() as pool:
        while batch := results.waiting(after, _PHOTOS_PER_TASK * _TASKS_PER_BATCH):
            after = batch[-1][0]
            tasks = [batch[i : i + _PHOTOS_PER_TASK] for i in range(0, len(batch), _PHOTOS_PER_TASK)]
            checked = []
            for part in (pool.map if many else map)(partial(_check_some, measure=measure), tasks):
                checked += part
                progress.update(len(part))
            results.keep(checked)


def _check_some(task, measure):
    return [(number, check_photo(path, measure)) for number, path in task]


def _measure(measure, data):
    """(宽, 高, 亮度, 清晰度)：宽高是原图正立时的像素，亮度与清晰度由 measure 看模型看到的像素得出。"""
    image = decode(data)  # 与各课读照片的一步相同
    width, height = image.size
    if min(image.size) >= SHORTEST_SIDE:  # 可能是缩小着读的，文件写明的才是原图的；再小的不会缩小
        width, height = _size(data) or image.size
    if (width < height) != (image.width < image.height):  # 按 EXIF 转正了
        width, height = height, width
    return width, height, *map(float, measure(resized(image)))


def _size(data):
    """文件写明的 (宽, 高)，不解码；读不懂则为 None。"""
    kind = sniff(data)
    if kind == "PNG":
        return struct.unpack_from(">II", data, 16)
    try:
        return Image.open(BytesIO(data), formats=[kind]).size
    except Exception:  # 坏的附加信息，各格式抛出的异常五花八门
        return None


def _group(results, class_names):
    """一类一类地找相同与几乎相同的，存下各张的组；返回 {几乎全是同一个画面的类别: 张数}。"""
    too_alike = {}
    for number, class_name in enumerate(class_names):
        rows = list(results.select("id, sha256, print", "WHERE class = ? AND reason IS NULL", (number,)))
        if rows:
            ids, sha256s, prints = zip(*rows, strict=True)
            same_class = itertools.repeat(class_name, len(rows))
            leaders, alike = group_near_duplicates(sha256s, same_class, prints)
            results.keep_leaders(zip(leaders, ids, strict=True))
            too_alike |= alike
    return too_alike


def _group_across_classes(results):
    """不分类别再找一遍：同一个画面、不同的标签。每种内容一行，只用数组，几万张也不过几 MB。"""
    ids, prints = array("q"), bytearray()
    for number, print_ in results.select("MIN(id), print", "WHERE reason IS NULL GROUP BY sha256 ORDER BY sha256"):
        ids.append(number)
        prints += print_
    prints = np.frombuffer(prints, np.uint8).reshape(-1, FINGERPRINT_BYTES)
    with Progress("不分类别再比较", total=len(prints)) as progress:
        leaders = nearest_leaders(prints, progress)
    results.keep_scenes(zip(leaders.tolist(), ids, strict=True))
