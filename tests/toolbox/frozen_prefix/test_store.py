"""仓库经得起损坏、强行结束、同时写：结果总是同样的字节。"""

import dataclasses
import io
import pickle
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import prefix_worker
from conftest import save_jpeg
from prefix_models import images_of, new_base, photos_in, with_head
from prefix_worker import RecordedPrefix
from toolbox import frozen_prefix
from toolbox.frozen_prefix.store import PrefixStore
from toolbox.terminal.errors import UserError, recognized

WORKER = Path(prefix_worker.__file__)


@dataclasses.dataclass
class Setting:
    """一次从头算到底的结果，其余各测试都与它比。"""

    photos: list
    model: keras.Model
    prefix: RecordedPrefix
    store: Path

    def new_cache(self, cache_dir):
        """一个新的缓存文件夹，其中只有转换好的模型。"""
        folder = cache_dir / self.store.name
        folder.mkdir(parents=True)
        for path in self.store.glob("*.tflite"):
            shutil.copy(path, folder)
        return cache_dir

    def start(self, cache_dir, *args):
        """另起一个进程来算。"""
        task = cache_dir.parent / f"{cache_dir.name}.pickle"
        task.write_bytes(
            pickle.dumps({"photos": self.photos, "cache_dir": cache_dir, "prefix": dataclasses.astuple(self.prefix)})
        )
        command = [sys.executable, str(WORKER), str(task), *args]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def compute(self, cache_dir):
        return frozen_prefix.compute(self.prefix, self.photos, cache_dir=cache_dir, engine="litert")


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    for i in range(150):
        save_jpeg(root / "photos" / ("daisy", "roses")[i % 2] / f"{i:03}.jpg", seed=i)
    photos = photos_in(root / "photos")
    prefix, _ = frozen_prefix.split_model(with_head(new_base(images_of(photos[:16], (96, 96)))))
    frozen_prefix.compute(prefix, photos, cache_dir=root / "cache", engine="litert")
    recorded = RecordedPrefix(prefix.input_shape, prefix.output_shape, prefix.to_json(), prefix.get_weights())
    return Setting(photos, prefix, recorded, next((root / "cache").iterdir()))


def contents(cache_dir):
    files = [path for path in cache_dir.rglob("*") if path.is_file()]
    return {path.relative_to(cache_dir).as_posix(): path.read_bytes() for path in files}


def assert_complete(setting, cache_dir):
    assert contents(cache_dir) == contents(setting.store.parent)


def wait(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return int(output.split()[-1])


@pytest.mark.slow
def test_killed_at_any_moment_then_finished(setting, tmp_path):
    """杀 20 次，每次都在写了若干份之后；接着算完，仓库与训练出的模型都相同。"""
    head = keras.Sequential([keras.Input((1280,)), keras.layers.Dense(2, activation="softmax")])
    head.compile("sgd", "sparse_categorical_crossentropy")
    start = head.get_weights()
    labels = np.arange(len(setting.photos)) % 2

    def train(outputs):
        head.set_weights(start)
        head.fit(outputs.batches(labels, shuffle=True), shuffle=False, verbose=0)
        return head.get_weights()

    expected = train(setting.compute(setting.store.parent))
    moments = random.Random(0)
    segments = len(list(setting.store.glob("*.rows")))
    killed_midway = 0
    for k in range(20):
        cache_dir = setting.new_cache(tmp_path / str(k))
        process = setting.start(cache_dir)
        enough = moments.randrange(segments)
        while process.poll() is None and len(list(cache_dir.glob("*/*.rows"))) < enough:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.005))
        process.kill()
        process.communicate()
        kept = len(list(cache_dir.glob("*/*.rows")))
        killed_midway += 0 < kept < segments
        outputs = setting.compute(cache_dir)
        assert outputs.computed < len(setting.photos) or kept == 0
        assert_complete(setting, cache_dir)
        for one, other in zip(train(outputs), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert killed_midway > 0


def test_two_at_once_write_the_same_store(setting, tmp_path):
    cache_dir = setting.new_cache(tmp_path / "cache")
    for process in [setting.start(cache_dir) for _ in range(2)]:
        wait(process)
    assert_complete(setting, cache_dir)


def test_three_shards_at_once_fill_one_store(setting, tmp_path):
    cache_dir = setting.new_cache(tmp_path / "cache")
    computed = [wait(process) for process in [setting.start(cache_dir, f"{i}/3") for i in (1, 2, 3)]]
    assert sum(computed) == len(setting.photos) and min(computed) > 0
    assert_complete(setting, cache_dir)
    assert setting.compute(cache_dir).computed == 0


def test_one_shard_alone_says_what_is_missing(setting, tmp_path):
    cache_dir = setting.new_cache(tmp_path / "cache")
    outputs = frozen_prefix.compute(setting.prefix, setting.photos, cache_dir=cache_dir, engine="litert", shard=(1, 3))
    assert 0 < outputs.computed < len(setting.photos)
    with pytest.raises(UserError, match="不带 --shard"):
        outputs.batches(np.zeros(len(setting.photos)))
    with pytest.raises(UserError, match="--shard"):
        outputs[np.arange(len(setting.photos))]


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "model"])
def test_damage_is_noticed_and_repaired(setting, tmp_path, harm, capsys):
    cache_dir = tmp_path / "cache"
    shutil.copytree(setting.store.parent, cache_dir)
    path = sorted(cache_dir.glob("*/*.rows"))[7]
    if harm == "model":
        path.unlink()
        path = next(cache_dir.glob("*/*.tflite"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"truncate": data[:-100], "empty": b""}.get(harm, data))
    outputs = frozen_prefix.compute(setting.model, setting.photos, cache_dir=cache_dir, engine="litert")
    assert ("1 个损坏的文件" in capsys.readouterr().out) == (harm != "model")
    assert 0 < outputs.computed < 10
    assert_complete(setting, cache_dir)


def test_leftovers_of_killed_processes_are_removed(setting, tmp_path):
    cache_dir = setting.new_cache(tmp_path / "cache")
    process = setting.start(cache_dir)
    while not list(cache_dir.glob("*/*.writing")) and process.poll() is None:
        pass
    process.kill()
    process.communicate()
    setting.compute(cache_dir)
    assert not list(cache_dir.rglob("*.writing"))


def test_a_file_that_shrinks_while_in_use_is_not_read_as_something_else(setting, tmp_path):
    cache_dir = tmp_path / "cache"
    shutil.copytree(setting.store.parent, cache_dir)
    outputs = setting.compute(cache_dir)
    path = sorted(cache_dir.glob("*/*.rows"))[7]
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=f"{path.name} 在用的时候变短了"):
        outputs[np.arange(len(setting.photos))]
    head = keras.Sequential([keras.Input((1280,)), keras.layers.Dense(2, activation="softmax")])
    head.compile("sgd", "sparse_categorical_crossentropy")
    batches = outputs.batches(np.zeros(len(setting.photos), int))
    for said in ("变短了", "不见了"):  # 训练时由 TensorFlow 的线程来读，错误到了读者眼前仍是这一句
        with pytest.raises(Exception) as failure:
            head.fit(batches, shuffle=False, verbose=0)
        assert f"{path.name} 在用的时候{said}" in str(recognized(failure.value))
        path.unlink(missing_ok=True)
    assert setting.compute(cache_dir).computed > 0
    assert_complete(setting, cache_dir)


def test_reads_that_give_less_than_asked_for_are_continued(tmp_path, monkeypatch):
    """网络文件系统、被信号打断的一次读取，都可以给得比要的少；不能把内存里原有的当作读到的。"""
    rows = np.arange(24, dtype=np.float32).reshape(4, 6)
    store, keys = PrefixStore(tmp_path, (6,)), [bytes([i]) * 16 for i in range(4)]
    with store.writing("00", keys) as append:
        append(rows)
    places, _ = store.find(store.segments()["00"], set(keys))

    class OneByteAtATime(io.FileIO):
        def readinto(self, buffer):
            return super().readinto(memoryview(buffer)[:1])

    def one_byte_at_a_time(path, mode="r", buffering=-1, **_):
        return OneByteAtATime(path) if buffering == 0 else io.BufferedReader(OneByteAtATime(path))

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", one_byte_at_a_time)
        read = store.read([places[key].file for key in keys], [places[key].offset for key in keys])
    np.testing.assert_array_equal(read, rows)


def test_every_damaged_byte_of_a_segment_is_noticed(tmp_path):
    """逐个字节弄坏：没有一个能读成别的内容。"""
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    store, keys = PrefixStore(tmp_path, (2,)), [bytes([i]) * 16 for i in range(3)]
    with store.writing("00", keys) as append:
        append(rows)
    path = store.segment("00", keys)
    good = path.read_bytes()
    for place in range(len(good)):
        for damaged in (bytes([good[place] ^ 1]), bytes([good[place] ^ 255]), b"", good[place : place + 1] * 2):
            path.write_bytes(good[:place] + damaged + good[place + 1 :])
            assert store.find([path], set(keys)) == ({}, 1) and not path.exists(), place


def test_a_segment_whose_keys_are_damaged_does_not_block_its_own_repair(tmp_path):
    """键全都变了，就没有一行是要的；它若还占着名字，算好的行就永远写不进去。"""
    store, keys = PrefixStore(tmp_path, (1,)), [bytes([i]) * 16 for i in range(3)]
    with store.writing("00", keys) as append:
        append(np.zeros((3, 1), np.float32))
    path = store.segment("00", keys)
    data = path.read_bytes()
    path.write_bytes(data[:16] + bytes(255 - byte for byte in data[16:64]) + data[64:])
    assert store.find([path], set(keys)) == ({}, 1) and not path.exists()
