"""接下来做什么：适合刚做的事，命令都能照抄。"""

import argparse
import shlex
from pathlib import Path

import pytest

from conftest import LESSONS_DIR, PROJECT_DIR
from toolbox import drawn_flowers, next_steps
from toolbox.photos.folder import PhotoFolder


def steps(tmp_path, capsys, lesson, photos, images_dir):
    """打印出来的各条命令：[(脚本的名字, [参数]), ...]。"""
    args = argparse.Namespace(
        output_dir=str(tmp_path / "output"), name="m", images_dir=images_dir, drawn=not images_dir
    )
    next_steps.show(args, PhotoFolder(photos, ["a", "b"], []), lesson)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    split = [shlex.split(line) for line in lines if "hello_" in line]
    assert all(Path(script).resolve().parent == LESSONS_DIR for _, script, *_ in split)
    return [(Path(script).name, arguments) for _, script, *arguments in split], lines


@pytest.mark.parametrize("lesson", ["hello_transfer_learning.py", "hello_fine_tuning.py"])
def test_own_photos_lead_to_checking_naming_and_the_report(tmp_path, capsys, monkeypatch, lesson):
    photos = tmp_path / "我的 照片"
    photos.mkdir()
    monkeypatch.chdir(tmp_path)
    found, lines = steps(tmp_path, capsys, lesson, photos, "我的 照片")
    expected = [
        ("hello_photo_check.py", ["我的 照片"]),
        ("hello_predict.py", ["output/m", "新照片.jpg"]),
        ("hello_report.py", ["output/m"]),
    ]
    if lesson == "hello_transfer_learning.py":
        expected.append(("hello_fine_tuning.py", ["--images-dir", "我的 照片"]))
    else:
        assert Path(lines[-1]).resolve() == PROJECT_DIR / "docs" / "pitfalls.md"
    assert found == expected


def test_drawn_flowers_lead_to_own_photos(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / drawn_flowers.STAMP).touch()
    for images_dir, same in (None, ["--drawn"]), (str(tmp_path), ["--images-dir", "."]):
        found, _ = steps(tmp_path, capsys, "hello_transfer_learning.py", tmp_path, images_dir)
        assert found == [
            ("hello_report.py", ["output/m"]),
            ("hello_transfer_learning.py", ["--images-dir", "照片文件夹"]),
            ("hello_fine_tuning.py", same),
        ]
