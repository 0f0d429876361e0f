"""把好的输入随机弄坏，交给读它的代码：只许读对，或照约定拒绝。test_fuzz.py 试得少，benchmarks/storms.py 试得多。

TARGETS[名字] 是 (make, check)：make(random) 给出一份输入，check(输入, 文件夹) 返回结局的名字，
有一点不合约定就抛出异常。
"""

import contextlib
import gzip
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import tempfile
import types
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from flower_archives import pack
from toolbox import experiments
from toolbox.downloads import archive
from toolbox.estimator import checkpoints, cluster_task, tf_config
from toolbox.frozen_prefix.store import PrefixStore
from toolbox.photos.read import PhotoError, decode
from toolbox.terminal.errors import UserError
from toolbox.weights import torchvision
from toolbox.weights.find import Weights

WEIGHTS = Weights("random", None, None)
NO_PHOTOS = types.SimpleNamespace(photos=[], class_names=["甲", "乙"])
EXTREMES = [b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\0" * 16, b"\xff" * 8]


def mutated(random, data):
    """data 的几处换成别的：翻转一位、换一个字节、极端的数、删去、重复、插入、截断。"""
    data = bytearray(data)
    for _ in range(random.randint(1, 6)):
        place = random.randrange(len(data) + 1)
        end = min(len(data), place + random.randint(1, 40))
        kind = random.randrange(7)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[place : place + 1] = bytes([random.randrange(256)])
        elif kind == 2:
            extreme = random.choice(EXTREMES)
            data[place : place + len(extreme)] = extreme
        elif kind == 3:
            del data[place:end]
        elif kind == 4:
            data[place:place] = data[place:end] * random.randint(1, 3)
        elif kind == 5:
            data[place:place] = bytes(random.randrange(256) for _ in range(end - place))
        elif random.randrange(4) == 0:
            del data[place:]
    return bytes(data)


# ---- 照片 ----


@cache
def _photos():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    images = {"RGB": Image.fromarray(pixels)}
    images |= {mode: images["RGB"].convert(mode) for mode in ("L", "P", "RGBA", "CMYK", "1")}
    wanted = {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "P", "RGBA", "1"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("P",),
        "BMP": ("RGB",),
        "TIFF": ("RGB", "CMYK"),
        "JPEG2000": ("RGB",),
        "AVIF": ("RGB",),
    }
    made = []
    for kind, modes in wanted.items():
        for mode in modes:
            buffer = io.BytesIO()
            images[mode].save(buffer, kind)
            made.append(buffer.getvalue())
    return made


def make_photo(random):
    return mutated(random, random.choice(_photos()))


def check_photo(data, folder):
    try:
        image = decode(data)
    except PhotoError as error:
        assert str(error)
        return "拒绝"
    assert image.mode == "RGB" and min(image.size) > 0 and np.asarray(image).dtype == np.uint8
    return "读对"


# ---- torchvision 的权重文件（pickle） ----


@cache
def _pth():
    """与 torch 旧格式同样的小文件：五段 pickle 与两个存储块。"""

    def dump(value):
        return pickle.dumps(value, protocol=2)

    storage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0{}X\x03\0\0\0cpuK\x06Nt"
    table = b"\x80\x02ccollections\nOrderedDict\n)R("
    for key in "01":
        table += b"X\x02\0\0\0w" + key.encode() + b"ctorch._utils\n_rebuild_tensor_v2\n("
        table += storage.format(key).encode("latin-1") + b"QK\0K\x02K\x03\x86K\x03K\x01\x86\x89"
        table += b"ccollections\nOrderedDict\n)RtR"
    table += b"u."
    numbers = np.arange(6, dtype="<f4").tobytes()
    blocks = b"".join(struct.pack("<q", 6) + numbers for _ in range(2))
    head = dump(0x1950A86A20F9469CFC6C) + dump(1001) + dump({"little_endian": True})
    return head + table + dump(["0", "1"]) + blocks


def make_pickle(random):
    return _pth() if random.randrange(50) == 0 else mutated(random, _pth())


def check_pickle(data, folder):
    try:
        tensors = torchvision.read_pth(data)
    except torchvision.WeightsUnavailable:
        assert data != _pth()
        return "拒绝"
    assert all(isinstance(array, np.ndarray) and array.size <= 6 for array in tensors.values())
    return "读对"


# ---- 压缩包 ----


@cache
def _tar():
    long_name = tarfile.TarInfo("flower_photos/roses/" + 50 * "长")
    noted = tarfile.TarInfo("flower_photos/daisy/b.jpg")
    noted.pax_headers = {"comment": "x", "mtime": "1.5"}
    names = ["flower_photos/LICENSE.txt", "flower_photos/daisy/a.jpg"]
    members = [(tarfile.TarInfo(name), name.encode() * 9) for name in names]
    return gzip.decompress(pack([*members, (noted, b"b" * 700), (long_name, b"c")]))


def make_archive(random):
    if random.randrange(8) == 0:
        return mutated(random, gzip.compress(_tar(), 1))
    return gzip.compress(_tar() if random.randrange(20) == 0 else mutated(random, _tar()), 1)


def check_archive(data, folder):
    """解压出完整的一个文件夹，或什么也没有；别处没有多出、没有少了什么。"""
    root = folder / "archive"
    target = root / "data" / "flower_photos"
    target.parent.mkdir(parents=True, exist_ok=True)
    (root / "outside").write_bytes(b"mine")
    (root / "a.tgz").write_bytes(data)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            archive.extract(root / "a.tgz", target, lambda found: (found / "daisy").is_dir())
        outcome = "解开"
    except UserError:
        assert not target.exists()
        outcome = "拒绝"
    assert sorted(os.listdir(root)) == ["a.tgz", "data", "outside"] and (root / "outside").read_bytes() == b"mine"
    assert os.listdir(target.parent) == ["flower_photos"] * target.exists()
    assert not any(path.is_symlink() for path in root.rglob("*"))
    shutil.rmtree(target, ignore_errors=True)
    return outcome


# ---- TF_CONFIG 与各种记录：任意的 JSON，或弄坏的字节 ----


def any_json(random, depth=0):
    if depth < 4 and random.randrange(2):
        size = random.randrange(4)
        if random.randrange(2):
            return [any_json(random, depth + 1) for _ in range(size)]
        return {random.choice(WORDS): any_json(random, depth + 1) for _ in range(size)}
    return random.choice([*WORDS, None, True, 0, -1, 1.5, 10**400, float("nan"), "", "\ud800", "a:1", ":80", "a:99999"])


WORDS = ["cluster", "task", "type", "index", "chief", "worker", "ps", "evaluator", "照片", "权重", "seed", "seconds"]
WORDS += ["train", "validation", "test", "accuracy", "a:80"]


def _json_bytes(random, good):
    """good 换掉其中一处，或弄坏它的字节，或任意的、极深的 JSON。"""
    kind = random.randrange(8)
    if kind == 0:
        return json.dumps(any_json(random)).encode()
    if kind == 1:
        return random.choice([b"[", b'{"cluster":']) * random.randint(1, 20_000)
    if kind < 5:
        return mutated(random, json.dumps(good).encode())
    changed = json.loads(json.dumps(good))
    place = changed
    while isinstance(place, (dict, list)) and place:
        key = random.choice(sorted(place)) if isinstance(place, dict) else random.randrange(len(place))
        if random.randrange(2) or not isinstance(place[key], (dict, list)):
            place[key] = any_json(random)
            break
        place = place[key]
    return json.dumps(changed).encode()


CLUSTER = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "b:2"], "ps": ["c:1"]}, "task": {"type": "ps", "index": 0}}


def make_tf_config(random):
    return _json_bytes(random, CLUSTER)


def check_tf_config(data, folder):
    text = data.decode("utf-8", "replace").replace("\0", "")
    before = os.environ.get("TF_CONFIG")
    os.environ["TF_CONFIG"] = text.encode("utf-8", "replace").decode()
    try:
        task = cluster_task.read()
    except UserError as error:
        assert "TF_CONFIG" in str(error)
        return "拒绝"
    finally:
        os.environ.pop("TF_CONFIG")
        if before is not None:
            os.environ["TF_CONFIG"] = before
    if task is not None:
        assert task.role in tf_config.ROLES and isinstance(task.name, str)
        assert (task.shard is not None) == (task.role in ("chief", "worker"))
    return "没有集群" if task is None else "读对"


SETTINGS = {"epochs": 3, "seed": 7, "weights_sha256": None, "photos_sha256": experiments.photo_list_hash([])}
METRICS = {part: {"photos": 3, "accuracy": 0.5, "loss": 1.0} for part in ("train", "validation", "test")}
METRICS |= {"seconds": {"训练": 1.0}, "seed": 7}


def make_records(random):
    return [_json_bytes(random, good) if random.randrange(2) else None for good in (SETTINGS, METRICS, {"种子": 0})]


def check_records(contents, folder):
    """坏的记录：实验再做一遍，检查点来历不明；不坏的认得出。"""
    model = folder / "m"
    model.mkdir(exist_ok=True)
    settings, metrics, made_from = contents
    (model / "settings.json").write_bytes(json.dumps(SETTINGS).encode() if settings is None else settings)
    (model / "metrics.json").write_bytes(json.dumps(METRICS).encode() if metrics is None else metrics)
    args = types.SimpleNamespace(output_dir=folder, name="m", epochs=3, seed=7)
    found = experiments.finished(args, NO_PHOTOS, WEIGHTS)
    if found is None:
        assert settings is not None or metrics is not None
    else:
        with contextlib.redirect_stdout(io.StringIO()):
            experiments.report_repeats(args, [found])
    _claim(made_from, folder / "checkpoints")
    return "认出做完的" if found else "再做一遍"


def _claim(record, folder):
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint").touch()
    path = folder / checkpoints.RECORD
    path.unlink(missing_ok=True)
    if record is not None:
        path.write_bytes(record)
    args = types.SimpleNamespace(class_mode="categorical", seed=0, sync=False)
    try:
        checkpoints.claim(str(folder), NO_PHOTOS, WEIGHTS, args)
    except UserError:
        return
    raise AssertionError("来历不明的检查点被接着训练")


# ---- 缓存的特征 ----

ROWS = 5
KEYS = [bytes([i]) * 16 for i in range(ROWS)]
FEATURES = np.arange(ROWS * 6, dtype=np.float32).reshape(ROWS, 2, 3)


@cache
def _segment():
    with tempfile.TemporaryDirectory() as folder:
        store = PrefixStore(folder, (2, 3))
        with store.writing("00", KEYS) as append:
            append(FEATURES)
        return store.segment("00", KEYS).read_bytes()


def make_segment(random):
    return _segment() if random.randrange(20) == 0 else mutated(random, _segment())


def check_segment(data, folder):
    """读出的行都是当初写的；坏的文件丢掉，里面的行就是缺的。"""
    store = PrefixStore(folder / "store", (2, 3))
    path = Path(store.segment("00", KEYS))
    path.write_bytes(data)
    places, damaged = store.find([path], set(KEYS))
    if data == _segment():
        assert len(places) == ROWS and not damaged
    else:
        assert damaged == 1 and not places and not path.exists()
        return "丢弃"
    order = sorted(places)
    rows = store.read([places[key].file for key in order], [places[key].offset for key in order])
    np.testing.assert_array_equal(rows, FEATURES)
    return "读对"


TARGETS = {
    "photos": (make_photo, check_photo),
    "pickle": (make_pickle, check_pickle),
    "archives": (make_archive, check_archive),
    "TF_CONFIG": (make_tf_config, check_tf_config),
    "records": (make_records, check_records),
    "segments": (make_segment, check_segment),
}
