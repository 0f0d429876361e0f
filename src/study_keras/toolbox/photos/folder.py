"""照片文件夹：逐张检查、正确读取、按内容划分。一个子文件夹就是一个类别，子文件夹里可以再分层。"""

import hashlib
import math
import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from toolbox.photos.near_duplicates import group_near_duplicates, perceptual_hash
from toolbox.photos.read import PhotoError, decode
from toolbox.terminal.errors import UserError
from toolbox.terminal.progress import Progress
from toolbox.terminal.workers import process_pool

_PHOTOS_PER_TASK = 16  # 一张一项的话，排队的几万项比照片清单还占内存
_BYTES_WORTH_A_WORKER = 20e6  # 照片总共不到这么多字节时，启动工作进程的时间比检查的时间还长
_BYTES_PER_WORKER = 120e6  # 主进程载入 TensorFlow 的那段时间里，一个工作进程大约能检查这么多；再多一个只会争用 CPU
_NOT_PHOTOS = {"thumbs.db", "desktop.ini"}  # 操作系统自己放进来的文件


@dataclass(frozen=True, slots=True)
class Photo:
    """一张能读的照片。group：内容相同或几乎相同的照片有同一个 group。"""

    file: str  # 不是 Path：几万张时，Path 占的内存是字符串的四倍
    class_name: str
    sha256: str
    group: str

    @property
    def path(self):
        return Path(self.file)


@dataclass
class PhotoFolder:
    """检查过的照片文件夹。problems 是读不出来、已排除的文件：(路径, 原因)。"""

    root: Path
    class_names: list[str]
    photos: list[Photo]
    problems: list[tuple[Path, str]] = field(default_factory=list)

    def name(self, photo):
        """照片相对于文件夹的路径，用 / 分隔，写进 predictions.csv。"""
        return photo.path.relative_to(self.root).as_posix()

    def report(self):
        """打印每一类的张数，并逐个说出排除了哪些文件、为什么。"""
        counts = Counter(photo.class_name for photo in self.photos)
        print(
            f"照片：{self.root}，共 {len(self.photos)} 张：" + "，".join(f"{n} {counts[n]}" for n in self.class_names)
        )
        if self.problems:
            print(f"排除了 {len(self.problems)} 个读不出来的文件：")
        for path, reason in self.problems:
            print(f"  {path.relative_to(self.root).as_posix()}：{reason}")


def open_folder(images_dir, smallest_class=2):
    """检查整个文件夹，返回 PhotoFolder；照片按类别与文件名排序。

    隐藏文件不算照片；读不出来的文件记入 problems，不会被别的照片顶替。

    Raises:
        UserError: 文件夹不存在或不是文件夹、少于两个类别、某一类能读的照片少于 smallest_class 张。
    """
    root = Path(images_dir).expanduser().resolve()
    if not root.exists():
        raise UserError(f"照片文件夹 {root} 不存在。请检查 --images-dir 的路径。")
    if not root.is_dir():
        raise UserError(f"{root} 是一个文件，不是文件夹。--images-dir 要的是装着各类别子文件夹的文件夹。")
    class_names = _subfolders(root)
    if len(class_names) < 2:
        found = f"{root} 里只有 {len(class_names)} 个类别子文件夹"
        raise UserError(f"{found}，分类至少要两个。{_where_the_classes_are(root)}")
    files = [(path, name) for name in class_names for path in _files_below(root / name)]
    results = _check_all([path for path, _ in files])
    readable = [(path, name, *result) for (path, name), result in zip(files, results, strict=True) if len(result) == 2]
    problems = [(path, result[0]) for (path, _), result in zip(files, results, strict=True) if len(result) == 1]
    _refuse_small_classes(root, class_names, readable, problems, smallest_class)
    *_, sha256s, fingerprints = zip(*readable, strict=True)
    groups = group_near_duplicates(sha256s, fingerprints)
    photos = [Photo(str(path), *rest, group) for (path, *rest, _), group in zip(readable, groups, strict=True)]
    return PhotoFolder(root, class_names, photos, problems)


def _subfolders(root):
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files_below(folder):
    """文件夹下（含各层子文件夹）的全部文件，隐藏的除外，顺序固定。"""
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower() not in _NOT_PHOTOS:
                yield Path(parent, name)


def _where_the_classes_are(root):
    """常见的错：指到了上一层或下一层。"""
    inner = [name for name in _subfolders(root) if len(_subfolders(root / name)) >= 2]
    if inner:
        return f"是不是该用 --images-dir {root / inner[0]} ？"
    return "请把每一类照片放进一个以类别命名的子文件夹。"


def _refuse_small_classes(root, class_names, readable, problems, smallest_class):
    for name in class_names:
        count = sum(1 for photo in readable if photo[1] == name)
        if count < smallest_class:
            bad = [path for path, _ in problems if root / name in path.parents]
            why = f"（另有 {len(bad)} 个文件读不出来，如 {bad[0].name}）" if bad else ""
            raise UserError(
                f"类别 {name} 只有 {count} 张能读的照片{why}，少于 {smallest_class} 张，没法划分训练与验证。"
                f"请添加照片，或移走 {root / name}。"
            )


def _check_all(paths):
    """各个文件的 _check。文件多时交给工作进程：一张张小图的活一半在 Python 里，线程之间只会互相等。"""
    tasks = [paths[i : i + _PHOTOS_PER_TASK] for i in range(0, len(paths), _PHOTOS_PER_TASK)]
    results = []
    with Progress("检查照片", total=len(paths)) as progress, ExitStack() as stack:
        size = sum(map(_size, paths))
        workers = math.ceil(size / _BYTES_PER_WORKER) if size >= _BYTES_WORTH_A_WORKER else 0
        run = stack.enter_context(process_pool(workers)).map if workers else map
        for checked in run(_check_some, tasks):
            results += checked
            progress.update(len(checked))
    return results


def _size(path):
    try:
        return path.stat().st_size
    except OSError:  # 例如指向已不在的文件的链接；检查到它时会说明
        return 0


def _check_some(paths):
    return [_check(path) for path in paths]


def _check(path):
    """读一遍照片：能读则返回 (内容的 SHA-256, 感知哈希)，否则返回 (原因,)。"""
    try:
        data = path.read_bytes()
        image = decode(data, shortest_side=32)  # 以 1/8 大小解码，足以发现截断，快得多
        return hashlib.sha256(data).hexdigest(), perceptual_hash(image)
    except PhotoError as error:
        return (str(error),)
    except OSError as error:
        return (f"读不了文件：{error.strerror or error}",)


def photo_list_hash(photos):
    """照片清单的 SHA-256：类别与内容都相同，才有相同的值；与顺序、文件名无关。"""
    lines = sorted(f"{photo.class_name}\t{photo.sha256}\n" for photo in photos)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
