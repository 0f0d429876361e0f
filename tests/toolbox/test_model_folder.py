"""模型文件夹：完整或不存在，不删别人的东西。"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import LESSONS_DIR
from toolbox import course, model_folder, model_folder_reader
from toolbox.photos.folder import Photo, PhotoFolder, open_folder
from toolbox.terminal.errors import UserError
from toolbox.terminal.plots import training_curves
from toolbox.terminal.records import read_csv, read_json
from toolbox.weights.find import Weights

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
    assert len(list(tmp_path.glob(".*.writing"))) == 1 and not (tmp_path / "m").exists()
    write_something(tmp_path)
    assert os.listdir(tmp_path) == ["m"]


def run_of(tmp_path, **changes):
    """(选项, 照片, 权重)，如同一课的一次运行。"""
    options = {"output_dir": str(tmp_path), "name": "m", "replace": False, "seed": 0, "epochs": 5, "no_cache": False}
    photos = [Photo("a.jpg", "a", "0" * 64, "g")]
    weights = Weights("torchvision", Path("w.h5"), changes.pop("sha256", "1" * 64))
    return argparse.Namespace(**{**options, **changes}), PhotoFolder(Path("."), ["a"], photos), weights


def write_run(tmp_path, **changes):
    """写一个只有 settings.json 的模型文件夹，返回它的名字。"""
    args, photos, weights = run_of(tmp_path, **changes)
    with course.results_folder(args, photos, weights) as folder:
        model_folder.write_settings(folder, vars(args), weights, photos)
    return args.name


def test_other_settings_never_replace_a_model(tmp_path, capsys):
    assert write_run(tmp_path) == "m" and capsys.readouterr().out == ""
    assert write_run(tmp_path, no_cache=True) == "m"  # 只是算的办法不同，得到同样的模型：照旧换掉
    first = (tmp_path / "m" / "settings.json").read_bytes()
    assert write_run(tmp_path, sha256=None) == "m_2"  # 练习里的随机权重
    shown = capsys.readouterr().out
    assert "（不同的有：权重）" in shown and str(tmp_path / "m_2") in shown and "--replace" in shown
    assert write_run(tmp_path, epochs=9) == "m_3"
    assert write_run(tmp_path, sha256=None) == "m_2"  # 再做一遍，换掉的是它自己的
    assert sorted(os.listdir(tmp_path)) == ["m", "m_2", "m_3"]
    assert (tmp_path / "m" / "settings.json").read_bytes() == first
    assert write_run(tmp_path, epochs=9, replace=True) == "m"
    assert sorted(os.listdir(tmp_path)) == ["m", "m_2", "m_3"]
    assert (tmp_path / "m" / "settings.json").read_bytes() != first


def test_a_damaged_or_older_model_is_kept(tmp_path):
    write_run(tmp_path)
    settings = tmp_path / "m" / "settings.json"
    settings.write_text("{", encoding="utf-8")
    assert write_run(tmp_path) == "m_2" and settings.read_text(encoding="utf-8") == "{"
    settings.write_text("{}", encoding="utf-8")
    assert write_run(tmp_path, seed=1) == "m_3" and settings.read_text(encoding="utf-8") == "{}"


def test_a_second_run_on_one_name_is_refused_while_the_first_writes(tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        "from toolbox import model_folder\n"
        f"with model_folder.writing({str(tmp_path)!r}, 'm') as folder:\n"
        "    (folder / 'settings.json').write_text('first')\n"
        "    print('writing', flush=True); sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as first:
        assert first.stdout.readline() == "writing\n"
        with pytest.raises(UserError, match="另一次运行正在写.*--name"):
            write_something(tmp_path, text="second")
        with pytest.raises(UserError, match="另一次运行正在写.*--name"):  # 各课一开始就问，不等到训练之前
            model_folder.refuse_if_being_written(tmp_path / "m")
        write_something(tmp_path, name="other")
        first.stdin.close()
    assert first.returncode == 0 and (tmp_path / "m" / "settings.json").read_text() == "first"
    (tmp_path / ".m.lock").touch()  # 写它的进程被 kill -9 时留下的
    model_folder.refuse_if_being_written(tmp_path / "m")
    write_something(tmp_path, text="2")
    assert sorted(os.listdir(tmp_path)) == ["m", "other"]


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
    (tmp_path / "m" / "settings.json").write_text("{}")  # 别的程序也叫它 settings.json
    with pytest.raises(UserError, match="论文.txt.*弄丢"), model_folder.writing(tmp_path, "m"):
        pass
    assert (tmp_path / "m" / "论文.txt").read_text(encoding="utf-8") == "重要"
    (tmp_path / "m" / "论文.txt").unlink()
    for place in ("logs", "report", "新建"):  # 里层的也一样
        (tmp_path / "m" / place).mkdir()
        (tmp_path / "m" / place / "我的.png").touch()
        with pytest.raises(UserError, match=f"{place}/我的.png.*弄丢"), model_folder.writing(tmp_path, "m"):
            pass
        (tmp_path / "m" / place / "我的.png").unlink()
    for name in ("Thumbs.db", ".DS_Store", "._labels.txt", "@eaDir", ".~lock.predictions.csv#", "~$x.csv"):
        (tmp_path / "m" / name).touch()  # 系统与别的程序顺手放的不算
    write_something(tmp_path, text="2")
    assert not (tmp_path / "m" / "Thumbs.db").exists()


def test_settings_know_where_the_photos_are_from_any_folder(tmp_path, monkeypatch, photo_dir):
    """--images-dir 常是相对的路径；在别的文件夹里运行后面的课，也要找得到。"""
    monkeypatch.chdir(photo_dir.parent)
    photos = open_folder(photo_dir.name)
    settings = {"images_dir": photo_dir.name, "cache_dir": Path("缓存")}
    model_folder.write_settings(tmp_path, settings, Weights("random", None, None), photos)
    written = read_json(tmp_path / "settings.json")
    assert written["images_dir"] == str(photo_dir.resolve())
    assert written["cache_dir"] == str(photo_dir.resolve().parent / "缓存")


def test_files_read_back(tmp_path):
    labels = ["小 雏菊", "roses"]
    model_folder.write_labels(tmp_path, labels)
    assert model_folder_reader.read_labels(tmp_path) == labels
    model_folder.write_history(tmp_path, HISTORY)
    lines = (tmp_path / "history.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "epoch,accuracy,val_accuracy,loss,val_loss" and lines[2].startswith("2,0.700000,0.600000")
    model_folder.write_predictions(tmp_path, [("小 雏菊/图,1.jpg", "小 雏菊", "roses", 0.75)])
    predictions = (tmp_path / "predictions.csv").read_text(encoding="utf-8-sig")
    assert '"小 雏菊/图,1.jpg",小 雏菊,roses,0.750000' in predictions
    for name in ("history.csv", "predictions.csv"):  # 没有 BOM，中文的 Excel 当成 GBK
        assert (tmp_path / name).read_bytes().startswith(b"\xef\xbb\xbf")


def test_curves_mark_where_each_phase_begins(tmp_path):
    figure = training_curves({**HISTORY, "phase": ["训练分类头", "训练最后几块"]})
    for axis in figure.axes:
        assert [(text.get_text(), text.get_position()[0]) for text in axis.texts] == [
            ("训练分类头", 0.6),
            ("训练最后几块", 1.6),
        ]
        assert [line.get_xdata()[0] for line in axis.lines if len(set(line.get_xdata())) == 1] == [1.5]
    assert not any(axis.texts for axis in training_curves(HISTORY).axes)
    model_folder.write_history(tmp_path, {**HISTORY, "phase": ["训练分类头", "训练最后几块"]})
    lines = (tmp_path / "history.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].endswith(",phase") and lines[2].endswith(",训练最后几块")


def test_curves_show_chinese(tmp_path, recwarn):
    model_folder.write_history(tmp_path, HISTORY)
    assert (tmp_path / "curves.png").stat().st_size > 5000
    assert not [str(w.message) for w in recwarn if "missing from" in str(w.message)]  # 缺字会有 Glyph ... missing


def test_incomplete_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="model.tflite、labels.txt、settings.json"):
        model_folder_reader.find(tmp_path)


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
