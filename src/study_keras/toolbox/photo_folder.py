"""照片文件夹：逐张检查、正确读取、按内容划分。一个子文件夹就是一个类别，子文件夹里可以再分层。"""

import hashlib
import io
import math
import os
import warnings
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from toolbox.command_line import Progress, UserError
from toolbox.worker_processes import process_pool

IMAGE_SIZE = (224, 224)  # MobileNetV2 的标准输入：高、宽（像素）
SHORTEST_SIDE = 2 * max(IMAGE_SIZE)  # 大 JPEG 缩小解码后，短边至少还有这么多像素
NEAR_DUPLICATE_BITS = 6  # 感知哈希（perceptual hash）64 位中最多差几位算“几乎相同”
_PHOTOS_PER_TASK = 16  # 一张一项的话，排队的几万项比照片清单还占内存
_BYTES_WORTH_A_WORKER = 20e6  # 照片总共不到这么多字节时，启动工作进程的时间比检查的时间还长
_BYTES_PER_WORKER = 120e6  # 主进程载入 TensorFlow 的那段时间里，一个工作进程大约能检查这么多；再多一个只会争用 CPU
_NOT_PHOTOS = {"thumbs.db", "desktop.ini"}  # 操作系统自己放进来的文件


class PhotoError(Exception):
    """一张照片读不出来；文字是中文原因。"""


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
    groups = _groups([sha256 for *_, sha256, _ in readable], [fingerprint for *_, fingerprint in readable])
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
        image = _decode(data, shortest_side=32)  # 以 1/8 大小解码，足以发现截断，快得多
        return hashlib.sha256(data).hexdigest(), _perceptual_hash(image)
    except PhotoError as error:
        return (str(error),)
    except OSError as error:
        return (f"读不了文件：{error.strerror or error}",)


def open_image(path, shortest_side=SHORTEST_SIDE):
    """打开一张照片，返回正立的 8 位 RGB 图像（PIL.Image）。

    按 EXIF 转正；透明处填白；16 位缩放到 8 位；CMYK、灰度、调色板都转成 RGB；动图取第一帧。
    很大的 JPEG 直接以 1/2、1/4、1/8 解码（短边仍不小于 shortest_side 像素），快而省内存。

    Raises:
        PhotoError: 空文件、截断、不是图片、太大等。
    """
    return _decode(Path(path).read_bytes(), shortest_side)


def read_photo(path, size=IMAGE_SIZE):
    """读一张照片并以双线性插值缩放，返回 uint8 数组，形状 (高, 宽, 3)，取值 0 到 255。"""
    height, width = size
    return np.asarray(open_image(path, 2 * max(size)).resize((width, height), Image.Resampling.BILINEAR))


def _decode(data, shortest_side):
    if not data:
        raise PhotoError("空文件")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 大图与 EXIF 的警告：能读就读，不能读下面会说
            image = Image.open(io.BytesIO(data))
            image.draft(None, (shortest_side, shortest_side))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except UnidentifiedImageError:
        if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheif"):
            raise PhotoError("HEIC 格式，请先转成 JPEG") from None
        raise PhotoError("不是能识别的图片") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"像素太多（超过 {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} 百万）") from None
    except MemoryError:
        raise PhotoError("太大，内存放不下") from None
    except Exception as error:  # 各格式的解码器对坏数据抛出的异常五花八门
        reason = "文件不完整" if "truncated" in str(error).lower() else f"数据损坏（{error}）"
        raise PhotoError(reason) from None


def _to_rgb(image):
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image, np.float32), image.mode))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(pixels, mode):
    """16 位（或更宽）的灰度缩放到 0 至 255；convert("RGB") 只会截断，得到一片白。"""
    if mode.startswith("I;16") or pixels.max() > 255:
        pixels = pixels / 257  # 65535 / 255
    elif mode == "F" and pixels.max() <= 1:
        pixels = pixels * 255
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _perceptual_hash(image):
    """64 位感知哈希（pHash，ImageHash 库）：缩放、重新压缩、轻微调色后几乎不变。"""
    import imagehash

    return int(str(imagehash.phash(image)), 16)


def _groups(sha256s, fingerprints):
    """给每张照片一个组名：内容相同，或感知哈希至多差 NEAR_DUPLICATE_BITS 位的照片同组（可传递）。

    组名取组内最小的 SHA-256，与照片的顺序无关。把 64 位切成 8 段，至多差 7 位的两张必有一段相同
    （抽屉原理），所以只比较有一段相同的照片，不必两两比较。
    """
    bits = np.array(fingerprints, np.uint64)
    parent = list(range(len(bits)))

    def find(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i, j):
        parent[find(i)] = find(j)

    first_with = {}
    for i, sha256 in enumerate(sha256s):
        join(i, first_with.setdefault(sha256, i))
    for segment in bits.view(np.uint8).reshape(-1, 8).T:
        order = np.argsort(segment, kind="stable")
        for same in np.split(order, np.flatnonzero(np.diff(segment[order])) + 1):
            for k, i in enumerate(same[:-1]):
                others = same[k + 1 :]
                for j in others[np.bitwise_count(bits[others] ^ bits[i]) <= NEAR_DUPLICATE_BITS]:
                    join(i, int(j))
    names = {}
    for i, sha256 in enumerate(sha256s):
        names[find(i)] = min(sha256, names.get(find(i), sha256))
    return [names[find(i)] for i in range(len(bits))]


def split(photos, validation=0.2, test=0.0, seed=0):
    """把照片划分成 {"train": [...], "validation": [...], "test": [...]}，各保持原来的顺序。

    每张照片去哪一部分只由它的内容（group）与 seed 决定：与文件名、文件夹、机器、别的照片都无关，
    添加照片不会让旧照片换部分，相同与几乎相同的照片总在一起。只有一类照片太少、某一部分一张也没有时，
    才把位置最接近的一组移过去。

    Raises:
        UserError: 某一类分不出每部分至少一组照片。
    """
    shares = {"test": test, "validation": validation, "train": 1 - validation - test}
    names = [name for name, share in shares.items() if share > 0]
    bounds = np.cumsum([shares[name] for name in names])
    position = {photo.group: _position(photo.group, seed) for photo in photos}
    part = {group: names[np.searchsorted(bounds[:-1], p, "right")] for group, p in position.items()}
    for class_name in sorted({photo.class_name for photo in photos}):
        groups = sorted({photo.group for photo in photos if photo.class_name == class_name}, key=position.get)
        if len(groups) < len(names):
            few = f"类别 {class_name} 只有 {len(groups)} 张互不相同的照片"
            raise UserError(f"{few}，分不成 {len(names)} 部分。请添加照片，或移走这一类。")
        for i, name in enumerate(names):
            if all(part[group] != name for group in groups):
                part[groups[i if name != "train" else -1]] = name
    return {name: [photo for photo in photos if part[photo.group] == name] for name in ("train", "validation", "test")}


def _position(group, seed):
    """[0, 1) 中的一个数，看上去随机，但只由 group 与 seed 决定。"""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64


def photo_list_hash(photos):
    """照片清单的 SHA-256：类别与内容都相同，才有相同的值；与顺序、文件名无关。"""
    lines = sorted(f"{photo.class_name}\t{photo.sha256}\n" for photo in photos)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
