"""逐张检查照片：读不读得出来，内容的哈希与指纹，有什么要说的；文件多时用上每个核。"""

import hashlib
import math
from contextlib import nullcontext

from toolbox.photos.formats import FORMAT_OF_SUFFIX, sniff
from toolbox.photos.near_duplicates import fingerprint
from toolbox.photos.read import PhotoError, decode, read_file
from toolbox.terminal.progress import Progress
from toolbox.terminal.workers import process_pool

_PHOTOS_PER_TASK = 16  # 一张一项的话，排队的几万项比照片清单还占内存
_BYTES_WORTH_A_WORKER = 20e6  # 照片总共不到这么多字节时，启动工作进程的时间比检查的时间还长
_BYTES_PER_WORKER = 120e6  # 主进程载入 TensorFlow 的那段时间里，一个工作进程大约能检查这么多；再多一个只会争用 CPU
_TINY = 32  # 短边不到这么多像素的，说一声
_CHECKED_SIDE = 64  # 检查时 JPEG 缩小解码，足以发现截断，快得多；更小则指纹在重新压缩后变得太多


def check_all(paths):
    """各个文件的 check_photo。文件多时交给工作进程：一张张小图的活一半在 Python 里，线程之间只会互相等。"""
    tasks = [paths[i : i + _PHOTOS_PER_TASK] for i in range(0, len(paths), _PHOTOS_PER_TASK)]
    results = []
    size = sum(map(_size, paths))
    pool = process_pool(math.ceil(size / _BYTES_PER_WORKER)) if size >= _BYTES_WORTH_A_WORKER else nullcontext()
    with Progress("检查照片", total=len(paths)) as progress, pool as workers:
        for checked in (workers.map if workers else map)(_check_some, tasks):
            results += checked
            progress.update(len(checked))
    return results


def _size(path):
    try:
        return path.stat().st_size
    except OSError:  # 刚刚被删掉了；检查到它时会说明
        return 0


def _check_some(paths):
    return [check_photo(path) for path in paths]


def check_photo(path, measure=None):
    """读一遍照片：能读则返回 (内容的 SHA-256, 指纹, 要说的几句)，否则返回 (原因,)。

    Args:
        measure: 函数，文件的字节 -> 另外要量的；给了就添在最后一项。
    """
    try:
        data = read_file(path)
        notes = []
        image = decode(data, _CHECKED_SIDE, notes)
        measured = () if measure is None else (measure(data),)
    except PhotoError as error:
        return (str(error),)
    except MemoryError:
        return ("太大，内存放不下",)
    except OSError as error:
        return (f"读不了文件：{error.strerror or error}",)
    said = FORMAT_OF_SUFFIX.get(path.suffix.lower())
    actual = sniff(data)
    if said not in (None, actual):
        notes.append(f"名字与内容不符（名字说是 {said}，其实是 {actual}）")
    if min(image.size) < _TINY:  # 缩小解码后短边不会小于 _CHECKED_SIDE，所以原图就这么小
        notes.append(f"很小（{image.size[0]}×{image.size[1]} 像素）")
    return hashlib.sha256(data).hexdigest(), fingerprint(image), tuple(notes), *measured
