"""模型文件夹：完整或不存在，不删别人的东西。"""

import os
import subprocess
import sys

import pytest

from conftest import LESSONS_DIR
from toolbox import model_folder
from toolbox.terminal.errors import UserError
from toolbox.terminal.records import read_csv

HISTORY = {"accuracy": [0.5, 0.7], "val_accuracy": [0.4, 0.6], "loss": [1.0, 0.8], "val_loss": [1.1, 0.9]}


def write_something(output_dir, name="m", text="1"):
    with model_folder.writing(output_dir, name) as folder:
        (folder / model_folder.SETTINGS_FILE).write_text(text, encoding="utf-8")
        assert not (output_dir / name / model_folder.SETTINGS_FILE).exists() or text != "1"


def test_appears_whole_and_is_replaced_whole(tmp_path):
    write_something(tmp_path / "新 文件夹", text="1")
    assert os.listdir(tmp_path / "新 文件夹") == ["m"]
    write_something(tmp_path / "新 文件夹", text="2")
    assert os.listdir(tmp_path / "新 文件夹") == ["m"]
    assert (tmp_path / "新 文件夹" / "m" / "settings.json").read_text(encoding="utf-8") == "2"


def test_an_error_leaves_the_old_one(tmp_path):
    write_something(tmp_path)
    with pytest.raises(KeyboardInterrupt), model_folder.writing(tmp_path, "m") as folder:
        (folder / "settings.json").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m" / "settings.json").read_text(encoding="utf-8") == "1"


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    script = (
        f"import os, sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        "from toolbox import model_folder\n"
        f"with model_folder.writing({str(tmp_path)!r}, 'm'): os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    assert [name.endswith(".writing") for name in os.listdir(tmp_path)] == [True]
    write_something(tmp_path)
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\nb", "\x1b[31m", "a\u2028b", "\udcff", "\0"])
def test_name_must_be_a_plain_folder_name(tmp_path, name):
    with pytest.raises(UserError, match="--name"), model_folder.writing(tmp_path, name):
        pass
    assert os.listdir(tmp_path) == []


def test_other_peoples_folders_are_never_replaced(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "论文.txt").write_text("重要", encoding="utf-8")
    with pytest.raises(UserError, match="不是模型文件夹"), model_folder.writing(tmp_path, "m"):
        pass
    assert (tmp_path / "m" / "论文.txt").exists()


def test_files_read_back(tmp_path):
    labels = ["小 雏菊", "roses"]
    model_folder.write_labels(tmp_path, labels)
    assert model_folder.read_labels(tmp_path) == labels
    model_folder.write_history(tmp_path, HISTORY)
    lines = (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "epoch,accuracy,val_accuracy,loss,val_loss" and lines[2].startswith("2,0.700000,0.600000")
    model_folder.write_predictions(tmp_path, [("小 雏菊/图,1.jpg", "小 雏菊", "roses", 0.75)])
    assert '"小 雏菊/图,1.jpg",小 雏菊,roses,0.750000' in (tmp_path / "predictions.csv").read_text(encoding="utf-8")


def test_curves_show_chinese(tmp_path, recwarn):
    model_folder.write_history(tmp_path, HISTORY)
    assert (tmp_path / "curves.png").stat().st_size > 5000
    assert not [str(w.message) for w in recwarn if "missing from" in str(w.message)]  # 缺字会有 Glyph ... missing


def test_incomplete_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="model.keras、labels.txt、settings.json"):
        model_folder.find(tmp_path)


def test_a_name_too_long_for_the_file_system_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="--name 太长（84 个字）"):
        model_folder.target_folder(tmp_path, "花" * 84)
    assert model_folder.target_folder(tmp_path, "花" * 60) == tmp_path / ("花" * 60)
    with model_folder.writing(tmp_path, "花" * 60) as folder:
        (folder / "settings.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["花" * 60]


def test_a_class_called_like_a_formula_does_not_become_one(tmp_path):
    rows = [("=1+1/a.jpg", "=1+1", "-甲", 0.75), ("甲/b.jpg", "甲", "甲", 0.5)]
    model_folder.write_predictions(tmp_path, rows)
    lines = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["'=1+1/a.jpg,'=1+1,'-甲,0.750000", "甲/b.jpg,甲,甲,0.500000"]
    read = [tuple(row.values()) for row in read_csv(tmp_path / "predictions.csv")]
    assert read == [(*names, f"{probability:.6f}") for *names, probability in rows]
