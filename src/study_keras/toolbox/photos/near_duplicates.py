"""找出内容相同或几乎相同的照片。"""

import numpy as np

NEAR_DUPLICATE_BITS = 6  # 感知哈希（perceptual hash）64 位中最多差几位算“几乎相同”


def perceptual_hash(image):
    """64 位感知哈希（pHash，ImageHash 库）：缩放、重新压缩、轻微调色后几乎不变。"""
    import imagehash

    return int(str(imagehash.phash(image)), 16)


def group_near_duplicates(sha256s, fingerprints):
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
