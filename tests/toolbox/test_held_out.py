"""找回留出的照片：与训练时的划分相同，不见的、改过的都点名。"""

import shutil
from pathlib import Path

import numpy as np
import pytest

import hello_fine_tuning
from toolbox.held_out import find_held_out, without_changed
from toolbox.photos.folder import open_folder, photo_list_hash
from toolbox.photos.split import split_photos
from toolbox.saved_run import Row, SavedRun
from toolbox.terminal.errors import UserError

SPLITS = {  # settings.json 里写的 -> 训练时的 (验证, 测试)
    "lesson_1": ({"validation_split": 0.2, "test_split": 0.25}, (0.2 * 0.75, 0.25)),
    "lesson_3": ({"unfreeze_from": "block_13_expand"}, (hello_fine_tuning.VALIDATION, hello_fine_tuning.TEST)),
}


def recorded(photo_dir, settings, shares):
    """(SavedRun, 各部分)：像训练过一样。"""
    folder = open_folder(photo_dir)
    parts = split_photos(folder.photos, *shares, seed=5)
    held_out = [*parts["validation"], *parts["test"]]
    rows = sorted((folder.name(photo), photo.class_name) for photo in held_out)
    rows = [Row(name, label, label, 0.75) for name, label in rows]
    settings = settings | {"images_dir": str(photo_dir), "seed": 5, "photos_sha256": photo_list_hash(folder.photos)}
    return SavedRun(Path("m"), settings, folder.class_names, {"test": {}}, {}, rows, None), parts


@pytest.mark.parametrize("lesson", SPLITS)
def test_parts_are_those_of_the_training_run(photo_dir, lesson):
    run, parts = recorded(photo_dir, *SPLITS[lesson])
    held_out = find_held_out(run)
    assert held_out.same_list and held_out.gone == [] and len(held_out.photos) == len(run.rows)
    assert set(held_out.training) == set(parts["train"])
    for part in ("validation", "test"):
        inside = held_out.where(part)
        assert {photo for photo, here in zip(held_out.photos, inside, strict=True) if here} == set(parts[part])


def test_gone_photos_are_named_and_a_new_place_can_be_given(photo_dir, tmp_path):
    run, _ = recorded(photo_dir, *SPLITS["lesson_1"])
    moved = tmp_path / "moved"
    shutil.move(photo_dir, moved)
    for row in run.rows[:2]:
        (moved / row.file).unlink()
    nothing = find_held_out(run)
    assert nothing.photos == [] and nothing.gone == [row.file for row in run.rows] and "不存在" in nothing.why
    held_out = find_held_out(run, moved)
    assert held_out.gone == [row.file for row in run.rows[:2]] and held_out.rows == run.rows[2:]
    assert not held_out.same_list and set(held_out.parts) == {"validation", "test"}


def test_a_wrong_place_is_an_error(photo_dir, tmp_path):
    run, _ = recorded(photo_dir, *SPLITS["lesson_1"])
    with pytest.raises(UserError, match="不存在"):
        find_held_out(run, tmp_path / "nowhere")
    for name in ("a", "b"):
        shutil.copytree(photo_dir / "roses", tmp_path / "other" / name)
    with pytest.raises(UserError, match="没有这个模型留出的照片"):
        find_held_out(run, tmp_path / "other")


def test_photos_answered_differently_are_changed(photo_dir):
    run, _ = recorded(photo_dir, *SPLITS["lesson_1"])
    held_out = find_held_out(run)
    probability = np.full(len(held_out.photos), 0.751)
    probability[1] = 0.3
    kept, rest = without_changed(held_out, probability)
    assert np.flatnonzero(~kept).tolist() == [1] and rest.changed == [run.rows[1].file]
    assert rest.rows == run.rows[:1] + run.rows[2:] and len(rest.photos) == len(rest.parts) == len(run.rows) - 1
    assert rest.training == held_out.training


def test_without_a_recorded_folder_the_place_with_the_photos_is_taken(photo_dir, tmp_path, monkeypatch):
    """训练时照片下载不到，用了画的花；后来真花下载好了，留出的照片仍在画的花里。"""
    run, _ = recorded(photo_dir, *SPLITS["lesson_1"])
    run.settings.pop("images_dir")
    shutil.copytree(photo_dir, tmp_path / "drawn_flowers")
    for name in ("lilies", "orchids"):
        shutil.copytree(photo_dir / "roses", tmp_path / "flower_photos" / name)
    monkeypatch.setattr("toolbox.held_out.DATA_DIR", tmp_path)
    held_out = find_held_out(run)
    assert held_out.root == tmp_path / "drawn_flowers" and held_out.gone == []
