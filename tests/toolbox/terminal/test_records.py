"""小记录：整个换掉或不动；被改坏的读成“没有”；名字进出 CSV 不走样，也不成为公式。"""

import json
import os

import pytest

from toolbox.terminal.errors import UserError
from toolbox.terminal.records import read_csv, read_json, write_csv, write_json

NOT_OBJECTS = [
    b"",
    b"null",
    b"[1]",
    b"3",
    b'"x"',
    b'{"a": ',
    b"\xff\xfe{}",
    b'{"a": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("content", NOT_OBJECTS, ids=range(len(NOT_OBJECTS)))
def test_what_is_no_json_object_is_read_as_nothing(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    assert read_json(tmp_path / "x.json") is None


def test_what_is_no_ordinary_file_is_read_as_nothing(tmp_path):
    assert read_json(tmp_path / "missing") is None and read_json(tmp_path) is None
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(10**10)
    assert read_json(tmp_path / "huge") is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # 打开它会一直等下去
        assert read_json(tmp_path / "pipe") is None


def test_json_keeps_every_name_and_is_replaced_whole(tmp_path, monkeypatch):
    value = {"文件夹": "/照片/\udcff\udcb7 \u2028\x1b", "n": [1.5, None]}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value == json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "broken")))
    with pytest.raises(OSError):
        write_json(tmp_path / "x.json", {})
    assert read_json(tmp_path / "x.json") == value and os.listdir(tmp_path) == ["x.json"]


NAMES = ["=1+1", "+1", "-1", "@SUM(A1)", "'x", "''=x", "＝1+1", "猫", "a,b", '"q"', "=cmd|' /C calc'!A0/图.jpg", ""]


def test_no_name_becomes_a_formula_and_every_name_comes_back(tmp_path):
    write_csv(tmp_path / "x.csv", ["file", "n"], [(name, -0.5) for name in NAMES])
    text = (tmp_path / "x.csv").read_text(encoding="utf-8")
    cells = [line.strip('"') for line in text.splitlines()[1:]]
    assert not any(cell.startswith(tuple("=+-@＝")) for cell in cells)
    assert "猫,-0.5" in cells  # 寻常的名字与数照写
    assert read_csv(tmp_path / "x.csv") == [{"file": name, "n": "-0.5"} for name in NAMES]


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b'a\n"x', b"a\n\xff\n", b"a\n" + b"x" * 200_000])
def test_a_damaged_csv_is_one_clear_line(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.csv 读不懂"):
        read_csv(tmp_path / "x.csv")
