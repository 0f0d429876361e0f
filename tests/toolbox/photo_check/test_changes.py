"""改动清单来自外面：有一项不对，就什么也不动。"""

import json
import os

import pytest

from toolbox.photo_check.changes import read_changes
from toolbox.photo_check.moving import Move
from toolbox.terminal.errors import UserError


@pytest.fixture
def root(tmp_path):
    for name in ("roses/a.jpg", "roses/深/b.jpg", "tulips/a.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "secret.txt").write_bytes(b"x")
    return tmp_path / "photos"


@pytest.fixture
def read(root, tmp_path):
    def read(*changes, **content):
        path = tmp_path / "list.json"
        content = {"version": 1, "folder": str(root), "changes": list(changes), **content}
        path.write_text(json.dumps(content), encoding="utf-8")
        return read_changes(path, root, [(root / name, name, None) for name in ("roses", "tulips")])

    return read


def test_each_action(read, capsys):
    moves = read(
        {"file": "roses/a.jpg", "action": "relabel", "label": "tulips"},
        {"file": "tulips/a.jpg", "action": "leave_out"},
        {"file": "roses/深/b.jpg", "action": "right"},
    )
    assert moves == [Move("relabel", "roses/a.jpg", "tulips/a.jpg"), Move("leave_out", "tulips/a.jpg", "tulips/a.jpg")]
    assert read({"file": "roses/a.jpg", "action": "relabel", "label": "roses"}) == []
    assert capsys.readouterr().out == ""
    read(folder="/别处")
    assert "/别处" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../secret.txt", "action": "leave_out"},
        {"file": "roses/../../secret.txt", "action": "leave_out"},
        {"file": "/etc/passwd", "action": "leave_out"},
        {"file": "roses/none.jpg", "action": "leave_out"},
        {"file": "roses", "action": "leave_out"},
        {"file": "roses/a.jpg", "action": "delete"},
        {"file": "roses/a.jpg", "action": "relabel"},
        {"file": "roses/a.jpg", "action": "relabel", "label": "../tulips"},
        {"file": "roses/a.jpg", "action": "relabel", "label": "lilies"},
        {"file": "roses/a.jpg", "action": "relabel", "label": ["tulips"]},
        {"file": ["roses/a.jpg"], "action": "leave_out"},
        {"file": "tulips/a.jpg", "action": "leave_out"},
        {"action": "leave_out"},
        "roses/a.jpg",
    ],
)
def test_one_wrong_item_and_nothing_is_done(read, change):
    with pytest.raises(UserError, match="第 2 项") as error:
        read({"file": "tulips/a.jpg", "action": "right"}, change)
    assert str(error.value).isprintable()


@pytest.mark.skipif(os.name == "nt", reason="Windows 上要管理员才能建链接")
def test_links_are_refused(read, root, tmp_path):
    (root / "roses" / "link.jpg").symlink_to(tmp_path / "secret.txt")
    (root / "roses" / "out").symlink_to(tmp_path)
    for name in ("roses/link.jpg", "roses/out/secret.txt"):
        with pytest.raises(UserError, match="经过链接"):
            read({"file": name, "action": "leave_out"})


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2, "changes": []}', '{"version": 1, "changes": {}}', "[" * 9999]
)
def test_what_is_no_list(root, tmp_path, text):
    (tmp_path / "list.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="不是改动清单"):
        read_changes(tmp_path / "list.json", root, [])
