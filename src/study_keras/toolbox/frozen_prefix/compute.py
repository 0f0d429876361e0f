"""对每张照片的每个视图运行冻结的部分，输出留在磁盘上；磁盘上已有的不再算。"""

import functools
import hashlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from toolbox.frozen_prefix.engine import choose, fingerprint, new_engine
from toolbox.frozen_prefix.features import CachedFeatures
from toolbox.frozen_prefix.options import CACHE_DIR, CACHE_LIMIT_GB
from toolbox.frozen_prefix.store import ELSEWHERE, PrefixStore
from toolbox.photos.folder import open_checked
from toolbox.photos.views import CLEAN, view_seed
from toolbox.terminal.errors import UserError
from toolbox.terminal.progress import Progress
from toolbox.terminal.workers import map_in_threads

DECODING_VERSION = 2  # 改了照片的读法或缩放，就加一：旧的输出不再能用


class FeatureExtractor:
    """把 prefix 备好，供几次计算（训练、验证、测试）共用：内容的哈希只算一次，换成 LiteRT 也至多一次。

    Args:
        prefix: split_model 的特征提取部分；或别的模型（tf_keras 的也行）：输入 [-1, 1] 的 (n, 高, 宽, 3)，一个输出。
        keep: False 表示写在临时文件夹里，最后用到它的特征不再用时删掉。
        limit_gb: cache_dir 最多用多少 GB（10 的 9 次方字节）。
        engine: "auto"（有 GPU 时用 keras）、"litert" 或 "keras"。
        shard: (i, n) 表示只算 n 份中的第 i 份（1 到 n），供 n 台机器分头算；之后不带 shard 再算一次就齐了。
    """

    def __init__(self, prefix, *, cache_dir=CACHE_DIR, keep=True, limit_gb=CACHE_LIMIT_GB, engine="auto", shard=None):
        self._prefix, self._kind, self._shard = prefix, choose(engine), shard
        self._limit_gb = limit_gb if keep else float("inf")
        self._temporary = None
        if not keep:
            self._temporary = tempfile.TemporaryDirectory(prefix="study_keras-", ignore_cleanup_errors=True)
        self._root = Path(os.path.expanduser(cache_dir)) if keep else Path(self._temporary.name)
        self._row_shape = prefix.output_shape[1:]
        content = f"{fingerprint(prefix)} {self._kind} {DECODING_VERSION}"
        name = f"{'x'.join(map(str, self._row_shape))}-{self._kind}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        self._folder = self._root / name

    @functools.cached_property
    def _engine(self):
        return new_engine(self._kind, self._prefix, self._folder)

    def compute(self, photos, views=(CLEAN,)):
        """对每张照片的每个视图运行 prefix，返回 CachedFeatures；磁盘上已有的不再算。

        每个核一个线程，各自读照片、运行 prefix、把输出写进缓存；占用的内存与照片数无关。随时可以中断或被杀，
        再运行一次就接着算；几个进程、几台机器可以同时写同一个 cache_dir。

        Args:
            photos: Photo 的列表。

        Raises:
            UserError: 超过 limit_gb、磁盘放不下，或有照片读不出来。
        """
        features = CachedFeatures(PrefixStore(self._folder, self._row_shape), photos, views, self._temporary)
        features.find(features.buckets())
        missing = {bucket: n for bucket in features.buckets(self._shard) if (n := len(features.missing(bucket)))}
        features.computed = sum(missing.values())
        if missing:
            _check_space(self._root, features.computed * features.store.row_bytes, self._limit_gb)
            with Progress("计算冻结的部分", total=features.computed) as progress:
                compute_bucket = functools.partial(_compute_bucket, features, self._engine, progress)
                for _ in map_in_threads(compute_bucket, missing):
                    pass
            features.find(list(missing))
        return features


def compute(prefix, photos, *, views=(CLEAN,), **options):
    """只算一次的写法：FeatureExtractor(prefix, **options).compute(photos, views)。"""
    return FeatureExtractor(prefix, **options).compute(photos, views)


def _check_space(root, needed, limit_gb):
    used = sum(path.stat().st_size for path in root.rglob("*.rows"))
    free = shutil.disk_usage(root).free
    sizes = f"冻结部分的输出还要写 {needed / 1e9:.2f} GB"
    if used + needed > limit_gb * 1e9:
        raise UserError(
            f"{sizes}，加上 {root} 里已有的 {used / 1e9:.2f} GB，超过上限 {limit_gb:g} GB。"
            "请删掉这个文件夹里不再用的，或调大 --cache-limit。"
        )
    if needed > free:
        raise UserError(f"{sizes}，而 {root} 所在的磁盘只剩 {free / 1e9:.2f} GB。请{ELSEWHERE}。")


def _compute_bucket(features, engine, progress, bucket):
    """算出一个桶里缺的行，写成一个段文件。"""
    store, records = features.store, features.missing(bucket)
    keys = sorted(records, key=lambda key: (records[key][0].sha256, records[key][1].key))  # 同一张照片的视图相邻
    if store.segment(bucket, keys).exists():  # 同时运行的另一个进程刚刚算好
        progress.update(len(keys))
        return
    with store.writing(bucket, keys) as append:
        pixels = _pixels((records[key] for key in keys), engine.image_size)
        while batch := list(itertools.islice(pixels, engine.batch_size)):
            append(engine.run(np.stack(batch)))
            progress.update(len(batch))


def _pixels(records, size):
    """依次给出各个视图的 uint8 像素；同一张照片只读一次。"""
    for photo, group in itertools.groupby(records, key=lambda record: record[0]):
        image = open_checked(photo, 2 * max(size))
        for _, view in group:
            yield view.render(image, size, view_seed(photo, view))
