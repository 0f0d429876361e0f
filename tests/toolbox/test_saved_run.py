"""读回一次训练：完整的读得回，损坏的一句话说清楚。"""

import json

import pytest

from toolbox.saved_run import open_run
from toolbox.terminal.errors import UserError

ROWS = "file,true,predicted,probability\nb/1.jpg,b,b,0.9\nc/2.jpg,c,b,0.600000\n"


@pytest.fixture
def folder(tmp_path):
    """一个模型文件夹，model.keras 是空的：这里用不着。"""
    (tmp_path / "model.keras").touch()
    (tmp_path / "labels.txt").write_text("b\na\nc\nb\n", encoding="utf-8")
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 3}), encoding="utf-8")
    (tmp_path / "metrics.json").write_text(json.dumps({"validation": {"photos": 2}}), encoding="utf-8")
    (tmp_path / "history.csv").write_text(
        "epoch,accuracy,loss,val_accuracy,val_loss\n1,0.5,1.0,0.4,1.1\n", encoding="utf-8"
    )
    (tmp_path / "predictions.csv").write_text(ROWS, encoding="utf-8")
    return tmp_path


def test_only_classes_that_occur_are_listed(folder):
    run = open_run(folder)
    assert run.class_names == ["c", "b"] and run.output_of == {"b": 3, "a": 1, "c": 2}  # 重名的取后一个
    assert [row.probability for row in run.rows] == [0.9, 0.6] and run.temperature is None
    assert run.history == {"accuracy": [0.5], "val_accuracy": [0.4], "loss": [1.0], "val_loss": [1.1]}


def test_a_csv_marked_for_excel_reads_the_same(folder):
    (folder / "predictions.csv").write_text(ROWS, encoding="utf-8-sig")
    assert open_run(folder).rows[0].file == "b/1.jpg"


def test_phases_of_the_history_are_read_too(folder):
    text = "epoch,phase,accuracy,loss,val_accuracy,val_loss\n1,训练分类头,0.5,1,0.4,1\n2,训练最后几块,0.6,1,0.5,1\n"
    (folder / "history.csv").write_text(text, encoding="utf-8")
    assert open_run(folder).history["phase"] == ["训练分类头", "训练最后几块"]


def test_history_is_optional(folder):
    (folder / "history.csv").unlink()
    assert open_run(folder).history == {}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("predictions.csv", None, "缺"),
        ("predictions.csv", "file,true\nb/1.jpg,b\n", "列应是"),
        ("predictions.csv", ROWS.replace("0.9", "很大"), "列应是"),
        ("predictions.csv", ROWS.replace("0.9", "nan"), "不在 0 与 1 之间"),
        ("predictions.csv", ROWS.splitlines()[0] + "\n", "一张照片也没有"),
        ("predictions.csv", ROWS.replace("c/2.jpg,c,b", "c/2.jpg,d,b"), "类别 d 不在 labels.txt"),
        ("metrics.json", "{", "读不懂"),
        ("metrics.json", "[]", "读不懂"),
        ("settings.json", None, "缺 settings.json"),
        ("history.csv", "epoch,loss\n1,0.5\n", "没有 accuracy"),
        ("thresholds.json", '{"temperature": 1}', "thresholds.json"),
    ],
)
def test_damaged_folders_are_one_clear_line(folder, name, content, words):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words) as error:
        open_run(folder)
    assert "\n" not in str(error.value)
