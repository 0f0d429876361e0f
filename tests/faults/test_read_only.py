"""只读的磁盘：已经有的照样能用；要写的，一句话拒绝，什么也不变。"""

import numpy as np
import pytest

from flower_archives import ARCHIVE, sha256
from storms import contents
from toolbox import flower_photos, model_folder
from toolbox.drawn_flowers import draw_folder
from toolbox.frozen_prefix.store import PrefixStore
from toolbox.terminal.errors import UserError
from toolbox.weights import find


@pytest.fixture
def disk(small_disk):
    return small_disk("40m")


def test_drawn_flowers(disk):
    folder = draw_folder(disk.path / "drawn", 1, seed=7, workers=1)
    before = contents(disk.path)
    disk.remount("ro")
    assert draw_folder(folder, 1, seed=7) == folder
    with pytest.raises(UserError, match="只读|没有权限"):
        draw_folder(folder, 1, seed=8)
    assert contents(disk.path) == before


def test_photos(disk, tmp_path):
    (tmp_path / "a.tgz").write_bytes(ARCHIVE)
    fetched = flower_photos.fetch(disk.path / "data", archive=tmp_path / "a.tgz", sha256=sha256(ARCHIVE))
    disk.remount("ro")
    assert flower_photos.fetch(disk.path / "data") == fetched
    with pytest.raises(UserError, match="只读.*--data-dir"):
        flower_photos.fetch(disk.path / "elsewhere", archive=tmp_path / "a.tgz", sha256=sha256(ARCHIVE))


@pytest.mark.parametrize("is_recorded", [True, False])
def test_weights(disk, monkeypatch, is_recorded):
    monkeypatch.setenv("KERAS_HOME", str(disk.path))
    monkeypatch.setattr(find, "problem_with", lambda path: None)
    path = find.cache_folder() / find.TORCHVISION_FILE
    path.parent.mkdir()
    path.write_bytes(b"weights")
    if is_recorded:
        find.find_weights("torchvision")
    disk.remount("ro")
    assert find.find_weights("torchvision").path == path
    with pytest.raises(UserError, match="只读.*KERAS_HOME"):
        find.find_weights("imagenet")


def test_cached_features(disk):
    store, keys = PrefixStore(disk.path / "store", (2,)), [bytes(16)]
    with store.writing("00", keys) as append:
        append(np.ones((1, 2), np.float32))
    disk.remount("ro")
    store = PrefixStore(disk.path / "store", (2,))
    places, damaged = store.find(store.segments()["00"], set(keys))
    assert len(places) == 1 and not damaged
    with pytest.raises(UserError, match="只读.*--cache-dir"), store.writing("01", keys):
        pass


def test_output(disk):
    disk.remount("ro")
    with pytest.raises(UserError, match="--output-dir"):
        model_folder.target_folder(disk.path, "m")
