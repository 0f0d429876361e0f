"""找出内容相同或几乎相同的照片。这是防泄漏的一道关，不是真理：它只决定哪些照片不能分到两部分。"""

from array import array
from collections import defaultdict

import numpy as np
from PIL import Image

from toolbox.terminal.progress import Progress

NEAR_DUPLICATE_BITS = 6  # 感知哈希（perceptual hash）64 位中最多差几位算“几乎相同”
NEAR_DUPLICATE_COLOR = 9  # 同时，4×4 格里每一格的平均红、绿、蓝最多差多少（0 至 255）
FINGERPRINT_BYTES = 56
_MOST_COMPARED = 2048  # 一张照片在一段里最多与这么多个组比较：再怪的文件夹，花的时间也只与张数成正比
_ALMOST_ALL = 2 / 3  # 一类里几乎相同的照片超过这个比例，就没法按组划分


def fingerprint(image):
    """56 字节：64 位感知哈希（pHash，ImageHash 库），与 4×4 格的平均颜色。

    缩放、重新压缩之后几乎不变。感知哈希只看明暗，所以另看颜色：红灯与绿灯、深浅不同的纯色是不同的照片。
    """
    import imagehash

    colors = np.asarray(image.resize((4, 4), Image.Resampling.BOX))
    return int(str(imagehash.phash(image)), 16).to_bytes(8, "big") + colors.tobytes()


def group_near_duplicates(sha256s, class_names, fingerprints):
    """给每张照片一个组名，并返回几乎全是同一个画面的类别：(组名的列表, {类别: 这个画面有几张})。

    内容完全相同的照片同组，跨类别也如此；几乎相同的只在同一类里并成组，而且每一张都与组里的第一张
    几乎相同（星形，不会一张接一张地越连越远）。“第一张”指 SHA-256 最小的，与文件名、顺序无关，组名就是它。
    一类里若一个画面超过三分之二（例如固定的相机），按组就没法划分：这个画面的照片各自成组，由调用者说清楚。
    """
    of_class = defaultdict(dict)  # {类别: {SHA-256: 指纹}}
    for sha256, class_name, print_ in zip(sha256s, class_names, fingerprints, strict=True):
        of_class[class_name].setdefault(sha256, print_)
    group_of, too_alike = {}, {}
    parent = {}
    with Progress("比较照片", total=sum(map(len, of_class.values()))) as progress:
        for class_name in sorted(of_class):
            leader_of, count = _stars(of_class[class_name], progress)
            if count:
                too_alike[class_name] = count
            for sha256, leader in leader_of.items():
                group_of.setdefault(sha256, leader)
                _join(parent, group_of[sha256], leader)  # 同一张照片也在别的类别里：两个组并成一个
    return [_first(parent, group_of[sha256]) for sha256 in sha256s], too_alike


def _stars(prints, progress):
    """一类之内：{SHA-256: 组里第一张的 SHA-256}，与拆散了的大组的张数（没有拆则为 0）。"""
    names = sorted(prints)
    rows = np.frombuffer(b"".join(prints[name] for name in names), np.uint8).reshape(-1, FINGERPRINT_BYTES)
    leaders = nearest_leaders(rows, progress)
    sizes = np.bincount(leaders)
    largest = int(sizes.argmax())
    count = int(sizes[largest])
    if count < 3 or count <= _ALMOST_ALL * len(names):
        count = 0
    return {
        name: name if count and leader == largest else names[leader]
        for name, leader in zip(names, leaders.tolist(), strict=True)
    }, count


def nearest_leaders(prints, progress):
    """每一行指纹归哪一行：前面最早的、几乎相同的组首；没有就自己作组首。

    把 64 位切成 8 段，至多差 7 位的两个必有一段相同（抽屉原理），所以只与有一段相同的组首比较。

    Args:
        prints: uint8 数组，形状 (张数, 56)，各行是 fingerprint 的结果。
        progress: 每比完一行 update 一次。

    Returns:
        整数数组，形状 (张数,)。
    """
    bits = np.ascontiguousarray(prints[:, :8]).view(np.uint64).ravel()
    colors = prints[:, 8:]
    with_segment = defaultdict(lambda: array("i"))
    leaders = np.arange(len(prints))
    for i, segments in enumerate(prints[:, :8]):
        buckets = [with_segment[key] for key in enumerate(segments.tolist())]
        others = np.concatenate([np.frombuffer(bucket, np.int32)[-_MOST_COMPARED:] for bucket in buckets])
        others = np.unique(others[np.bitwise_count(bits[others] ^ bits[i]) <= NEAR_DUPLICATE_BITS])
        if len(others):
            difference = np.abs(colors[others].astype(np.int16) - colors[i]).max(axis=1)
            others = others[difference <= NEAR_DUPLICATE_COLOR]
        if len(others):
            leaders[i] = others[0]
        else:
            for bucket in buckets:
                bucket.append(i)
        progress.update()
    return leaders


def _first(parent, name):
    while name in parent:
        name = parent[name]
    return name


def _join(parent, a, b):
    a, b = sorted((_first(parent, a), _first(parent, b)))
    if a != b:
        parent[b] = a
