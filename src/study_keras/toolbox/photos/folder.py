"""照片文件夹：逐张检查、正确读取、按内容划分。一个子文件夹就是一个类别，子文件夹里可以再分层。"""

import hashlib
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from toolbox.photos import given_split as given
from toolbox.photos.check import check_all
from toolbox.photos.near_duplicates import group_near_duplicates
from toolbox.photos.read import IMAGE_SIZE, SHORTEST_SIDE, PhotoError, decode, read_file
from toolbox.photos.report import print_report, warnings_about
from toolbox.photos.views import CLEAN
from toolbox.photos.walk import Walk
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import absolute
from toolbox.terminal.text import visible


@dataclass(frozen=True, slots=True)
class Photo:
    """一张能读的照片。group：内容相同或几乎相同的照片有同一个 group。part：给定的划分里它在哪一部分，没有则为 None。"""

    file: str  # 不是 Path：几万张时，Path 占的内存是字符串的四倍
    class_name: str
    sha256: str
    group: str
    part: str | None = None

    @property
    def path(self):
        return Path(self.file)


@dataclass
class PhotoFolder:
    """检查过的照片文件夹。

    Attributes:
        problems: 不能用、已排除的文件与文件夹：(路径, 原因)。
        notes: {照片的 file: (读时转换了什么, ...)}，只有要说的照片在内。
        ignored: {名字: 几处}，系统文件夹、隐藏文件之类。
        warnings: 该让人知道的事，一条一句：跟进去的链接、一张照片两个标签、几乎全是同一画面的类别。
    """

    root: Path
    class_names: list[str]
    photos: list[Photo]
    problems: list[tuple[Path, str]] = field(default_factory=list)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    splits: dict = field(default_factory=dict, init=False, repr=False, compare=False)  # split_folder 记下做过的划分

    def name(self, photo):
        """照片相对于文件夹的路径，用 / 分隔，写进 predictions.csv。"""
        return photo.path.relative_to(self.root).as_posix()

    def report(self):
        """打印每一类的张数，并逐个说出排除了哪些文件、为什么。"""
        print_report(self)


def open_folder(images_dir, smallest_class=2, given_split=False):
    """检查整个文件夹，返回 PhotoFolder；照片按类别与文件名排序。

    每个文件要么是一张照片，要么在 problems 或 ignored 里；读不出来的不会被别的照片顶替。指向外面的链接跟进去一次。

    Args:
        given_split: 最上一层是 train、val（valid、validation）、test，照它划分；同一张照片（或几乎相同的）出现在
            几份里是泄漏，只留在测试（其次验证）里，别处的记入 problems。

    Raises:
        UserError: 文件夹不存在或不是文件夹、少于两个类别、某一类能读的照片少于 smallest_class 张、
            名字没法写进结果、里面有模型文件夹、是分好的几份而没有说照它划分。
    """
    root = find_root(images_dir)
    walk = Walk(root)
    class_names, sources = class_folders(root, walk, given_split)
    files = [(path, name, part) for folder, name, part in sources for path in walk.files_below(folder)]
    walk.refuse_bad_names(class_names)
    checked = list(zip(files, check_all([path for path, *_ in files]), strict=True))
    readable = [(file, result) for file, result in checked if len(result) > 1]
    problems = walk.problems + [(file[0], result[0]) for file, result in checked if len(result) == 1]
    _refuse_small_classes(root, class_names, readable, problems, smallest_class)
    photos, too_alike = _grouped(readable)
    notes = {str(file[0]): tuple(map(sys.intern, result[2])) for file, result in readable if result[2]}
    if given_split:
        photos, leaks = given.without_leaks(photos)
        problems += [(photo.path, reason) for photo, reason in leaks]
    folder = PhotoFolder(root, class_names, photos, problems, notes, dict(walk.ignored))
    folder.warnings += warnings_about(folder, walk.followed, too_alike)
    return folder


def _grouped(readable):
    """(Photo 的列表, {几乎全是同一个画面的类别: 张数})。"""
    sha256s = [result[0] for _, result in readable]
    class_names = [name for (_, name, _), _ in readable]
    groups, too_alike = group_near_duplicates(sha256s, class_names, [result[1] for _, result in readable])
    return [
        Photo(str(path), name, sha256, group, part)
        for ((path, name, part), _), sha256, group in zip(readable, sha256s, groups, strict=True)
    ], too_alike


def find_root(images_dir):
    """照片文件夹的绝对路径。

    Raises:
        UserError: 不存在，或不是文件夹。
    """
    root = absolute(images_dir)
    try:
        os.stat(root)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"照片文件夹 {visible(root)} 不存在。请检查路径。") from None
    except PermissionError:
        raise UserError(f"没有权限打开 {visible(root)}。请修改它的权限，或换一个文件夹。") from None
    except OSError:
        raise UserError(f"{visible(images_dir)} 打不开：是指回自己的链接，或路径不对。请检查路径。") from None
    if not root.is_dir():
        raise UserError(f"{visible(root)} 是一个文件，不是文件夹。这里要的是装着各类别子文件夹的文件夹。")
    return root


def refuse_among_photos(option, path, images_dir):
    """选项 option 给的 path 在照片文件夹里，下次就成了一个类别。images_dir：照片文件夹，没有则为 None。

    Raises:
        UserError
    """
    if images_dir and absolute(path).is_relative_to(absolute(images_dir)):
        raise UserError(f"{option} {visible(path)} 在照片文件夹里，会被当成照片的类别。请换一个文件夹。")


def class_folders(root, walk, given_split):
    """(类别名, [(文件夹, 类别, 部分或 None), ...])。

    Raises:
        UserError: 少于两个类别，或是分好的几份而没有说照它划分。
    """
    names = walk.subfolders(root)
    parts = given.parts_in(root, names, _subfolders)
    if given_split:
        walk.problems += [(root / name, "不属于给定的划分") for name in names if parts and name not in parts]
        names, sources = given.sources(root, parts, walk)
    elif parts:
        given.refuse(root, parts)
    else:
        sources = [(root / name, name, None) for name in names]
    if len(names) < 2:
        why = "".join(f"（{visible(path.name)}：{reason}）" for path, reason in walk.problems[:1])
        found = f"{visible(root)} 里只有 {len(names)} 个类别子文件夹{why}"
        raise UserError(f"{found}，分类至少要两个。{_where_the_classes_are(root)}")
    return names, sources


def _subfolders(folder):
    return Walk(folder).subfolders(folder)


def _where_the_classes_are(root):
    """常见的错：指到了上一层或下一层。"""
    inner = [name for name in _subfolders(root) if len(_subfolders(root / name)) >= 2]
    if inner:
        return f"是不是该用 {visible(root / inner[0])} ？"
    return "请把每一类照片放进一个以类别命名的子文件夹。"


def _refuse_small_classes(root, class_names, readable, problems, smallest_class):
    counts = Counter(name for (_, name, _), _ in readable)
    for name in class_names:
        if counts[name] < smallest_class:
            bad = [path for path, _ in problems if name in path.relative_to(root).parts]
            why = f"（另有 {len(bad)} 个不能用，如 {visible(bad[0].name)}）" if bad else ""
            raise UserError(
                f"类别 {visible(name)} 只有 {counts[name]} 张能读的照片{why}，少于 {smallest_class} 张，"
                f"没法划分训练与验证。请添加照片，或移走 {visible(root / name)}。"
            )


def photo_list_hash(photos):
    """照片清单的 SHA-256：类别与内容都相同，才有相同的值；与顺序、文件名无关。"""
    lines = sorted(f"{photo.class_name}\t{photo.sha256}\n" for photo in photos)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


SPLIT_HASH = "given_split_sha256"  # 它在 settings.json 里的名字


def given_split_hash(photos):
    """给定的划分的 SHA-256：照片移到另一份里就变了；没有给定划分的，是空的。"""
    lines = sorted(f"{photo.sha256}\t{photo.part}\n" for photo in photos if photo.part)
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def is_same_list(settings, photos):
    """photos 与 settings（settings.json）记下的是不是同样的照片、同样的给定的划分；以前没有记划分。"""
    split = given_split_hash(photos)
    same = settings.get("photos_sha256") == photo_list_hash(photos)
    return same and settings.get(SPLIT_HASH, split) == split


def open_checked(photo, shortest_side=SHORTEST_SIDE):
    """打开检查过的照片（Photo），并确认它还是检查时的那些字节，返回正立的 8 位 RGB 图像。

    Raises:
        UserError: 读不出来了，或检查之后被改过；点名。
    """
    try:
        data = read_file(photo.path)
        image = decode(data, shortest_side)
    except (PhotoError, OSError, MemoryError) as error:
        reason = visible(error) or "内存放不下"
        raise UserError(f"照片 {visible(photo.path)} 读不出来了（{reason}）。请检查它，再运行同一条命令。") from None
    if hashlib.sha256(data).hexdigest() != photo.sha256:  # 新的像素不能记在旧的键下
        raise UserError(f"照片 {visible(photo.path)} 检查之后被改过，内容不同了。请再运行同一条命令。")
    return image


def checked_pixels(photo, size=IMAGE_SIZE):
    """检查过的照片（Photo）与训练时一样读成的像素：uint8 (高, 宽, 3)，size 是 (高, 宽)。Raises 同 open_checked。"""
    return CLEAN.render(open_checked(photo), size, 0)
