"""盯着一个文件夹：照片来了就给出来。隔一会儿看一眼，各个系统、网络硬盘都一样。"""

import sys
import time
from pathlib import Path

from toolbox.photos.walk import UNREADABLE_FILE, UNREADABLE_FOLDER, Walk
from toolbox.prediction.sources import PHOTO_SUFFIXES, Source, is_linked
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import absolute
from toolbox.terminal.text import visible

SECONDS = 1.0  # 隔多久看一眼


def arriving(folder, seconds=SECONDS):
    """没有尽头地给出新来的照片：每看一眼给出一个列表（Source）。开始时就有的不算；还在变大的，等它不变了再给。

    Raises:
        UserError: 不是文件夹。
    """
    folder = absolute(folder)
    if not folder.is_dir():
        raise UserError(f"--watch {visible(folder)} 不是文件夹。请检查路径。")
    (done, unseen), identity = _look(folder), _identity(folder)
    never_seen = set(unseen)  # 一次也没有看清的：看清时里面有的，就是开始时有的
    print(f"盯着 {visible(folder)}，来一张认一张；按 Ctrl-C 结束。", file=sys.stderr, flush=True)
    before = dict(done)
    while True:
        time.sleep(seconds)
        unseen_before = unseen
        now, unseen = _look(folder)
        if _identity(folder) != identity:  # 如网络硬盘断开了，原处是个空文件夹
            unseen |= never_seen | {folder}
        if unseen and not unseen_before:
            print(f"现在看不全 {visible(folder)}，接着等；原来就有的不会当成新来的。", file=sys.stderr)
        for place in never_seen - unseen:
            done.update((path, state) for path, state in now.items() if Path(path).is_relative_to(place))
        never_seen &= unseen
        steady = [path for path, state in now.items() if done.get(path) != state == before.get(path)]
        done.update((path, now[path]) for path in steady)
        if not unseen:  # 没有看全时，不见了的可能只是暂时看不到
            done = {path: state for path, state in done.items() if path in now}
        before = now
        yield [Source(path, linked=is_linked(path)) for path in steady]


def _identity(folder):
    """是不是原来那个文件夹；已经没有了就是 None。"""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _look(folder):
    """({照片的路径: (字节数, 修改时间)}, 看不了的文件与文件夹的集合)；空文件还没有开始写，不算。"""
    found, unseen = {}, set()
    walk = Walk(folder)
    for path in walk.files_below(folder):
        if path.suffix.lower() in PHOTO_SUFFIXES:
            try:
                status = path.stat()
            except FileNotFoundError:  # 刚刚走了
                continue
            except OSError:
                unseen.add(path)
                continue
            if status.st_size:
                found[str(path)] = status.st_size, status.st_mtime_ns
    unseen |= {path for path, reason in walk.problems if reason.startswith((UNREADABLE_FOLDER, UNREADABLE_FILE))}
    return found, unseen
