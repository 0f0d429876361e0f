"""移走与移回：文件一个不少、一个不盖；日志写在移动之前，随时被杀都移得回来。"""

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from toolbox.photo_check import moving
from toolbox.photo_check.findings import Finding
from toolbox.photo_check.moving import Move, aside_folder, carry_out, chosen_files, safe_path, set_aside, undo
from toolbox.terminal import transfer
from toolbox.terminal.errors import UserError

needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows 上要管理员才能建链接")


@pytest.fixture
def root(tmp_path):
    for name in ("roses/a.jpg", "roses/深 处/b.jpg", "tulips/a.jpg", "tulips/c.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path / "photos"


def files(folder):
    """{相对路径: 内容}，日志不算。"""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".jsonl"
    }


def log_in(aside):
    (log,) = aside.glob("moves-*.jsonl")
    return log


def test_what_is_chosen():
    findings = [
        Finding("identical", ("a/1", "a/2", "a/3")),
        Finding("small", ("a/2",)),
        Finding("dark", ("b/1",)),
        Finding("two_labels", ("a/4", "b/4")),
    ]
    assert chosen_files(findings, ["identical", "small"]) == ["a/2", "a/3"]  # 一组里留下第一张；不重复
    assert chosen_files(findings, ["two_labels"]) == ["a/4", "b/4"]


def test_set_aside_and_undo(root, tmp_path, capsys):
    before = files(root)
    aside = aside_folder(tmp_path / "移走", root)
    set_aside(["roses/a.jpg", "roses/深 处/b.jpg", "roses", "nowhere.jpg"], root, aside)
    output = capsys.readouterr().out
    assert "移走 2 个" in output and "没有移 roses" in output and "没有移 nowhere.jpg" in output
    assert files(aside) == {name: name for name in ("roses/a.jpg", "roses/深 处/b.jpg")}
    assert files(root) == {name: name for name in ("tulips/a.jpg", "tulips/c.jpg")}
    undo(log_in(aside), root)
    assert files(root) == before and files(aside) == {}
    undo(log_in(aside), root)  # 再来一次：都已在原处
    assert files(root) == before and "移回 0 个，本来就在原处的 2 个" in capsys.readouterr().out


def test_nothing_is_ever_overwritten(root, tmp_path):
    aside = aside_folder(tmp_path / "aside", root)
    (aside / "roses").mkdir()
    (aside / "roses" / "a.jpg").write_text("以前移走的", encoding="utf-8")
    carry_out(
        [Move("leave_out", "roses/a.jpg", "roses/a.jpg"), Move("relabel", "tulips/c.jpg", "roses/c.jpg")], root, aside
    )
    assert files(aside) == {"roses/a.jpg": "以前移走的", "roses/a_2.jpg": "roses/a.jpg"}
    (root / "tulips" / "c.jpg").write_text("新来的", encoding="utf-8")
    with pytest.raises(UserError, match="tulips/c.jpg（原处已有同名的文件）"):
        undo(log_in(aside), root)
    assert files(root)["tulips/c.jpg"] == "新来的" and files(root)["roses/c.jpg"] == "tulips/c.jpg"
    assert files(root)["roses/a.jpg"] == "roses/a.jpg"


@pytest.mark.parametrize("kill_at", ["before the move", "after the move"])
def test_a_kill_between_two_moves_loses_nothing(root, tmp_path, monkeypatch, kill_at):
    before = files(root)
    aside = aside_folder(tmp_path / "aside", root)
    really, done = moving.transfer, []

    def killed(source, target, move):
        if len(done) == 2 and kill_at == "before the move":
            raise KeyboardInterrupt
        really(source, target, move)
        done.append(target)
        if len(done) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(moving, "transfer", killed)
    with pytest.raises(KeyboardInterrupt):
        set_aside(list(before), root, aside)
    monkeypatch.setattr(moving, "transfer", really)
    assert len(log_in(aside).read_text(encoding="utf-8").splitlines()) == 3
    assert files(root) | files(aside) == before and len(files(aside)) == len(done)
    with open(log_in(aside), "a", encoding="utf-8") as log:
        log.write('{"action": "leave_')  # 写到一半
    undo(log_in(aside), root)
    assert files(root) == before and not files(aside)


def test_an_interrupted_move_says_how_far_it_came(root, tmp_path, monkeypatch, capsys):
    before = files(root)
    aside = aside_folder(tmp_path / "aside", root)
    really, done = moving.transfer, []

    def full(source, target, move):
        if len(done) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        really(source, target, move)
        done.append(target)

    monkeypatch.setattr(moving, "transfer", full)
    with pytest.raises(UserError, match="磁盘满了.*--move-to"):
        set_aside(list(before), root, aside)
    said = capsys.readouterr().out
    assert "移走 2 个" in said and "还有 2 个没有动" in said and "--undo" in said and str(log_in(aside).name) in said
    monkeypatch.setattr(moving, "transfer", really)
    undo(log_in(aside), root)
    assert files(root) == before and not files(aside)


def test_a_log_among_the_photos_undoes_nothing(root, tmp_path):
    """读者把移走的连同日志一起放回了照片文件夹：原处与去处成了同一个，照着删就什么也不剩。"""
    before = files(root)
    aside = aside_folder(tmp_path / "aside", root)
    set_aside(["roses/a.jpg"], root, aside)
    (aside / "roses" / "a.jpg").rename(root / "roses" / "a.jpg")
    log = log_in(aside).rename(root / "moves.jsonl")
    with pytest.raises(UserError, match="在照片文件夹里.*什么也没有动"):
        undo(log, root)
    assert files(root) == before
    line = {"action": "relabel", "file": "tulips/a.jpg", "to": "tulips/a.jpg"}
    (aside / "log.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="同一个"):
        undo(aside / "log.jsonl", root)
    assert files(root) == before


def test_one_that_cannot_be_put_back_stops_only_itself(root, tmp_path):
    before = files(root)
    aside = aside_folder(tmp_path / "aside", root)
    set_aside(["roses/a.jpg", "roses/深 处/b.jpg", "tulips/a.jpg"], root, aside)
    (root / "roses" / "深 处").rmdir()
    (root / "roses" / "深 处").write_text("现在是一个文件", encoding="utf-8")
    with pytest.raises(UserError, match="1 个没有移回：roses/深 处/b.jpg"):
        undo(log_in(aside), root)
    (root / "roses" / "深 处").unlink()
    undo(log_in(aside), root)
    assert files(root) == before


def test_to_another_disk(root, tmp_path, monkeypatch):
    before = files(root)

    def refuse(_source, _target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def flush(folder):
        flushed.append((folder, files(folder), (root / "roses/a.jpg").exists()))

    flushed = []
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(transfer, "flush_folder", flush)
    aside = aside_folder(tmp_path / "aside", root)
    set_aside(["roses/a.jpg"], root, aside)
    assert flushed == [(aside / "roses", {"a.jpg": "roses/a.jpg"}, True)]  # 新的名字落到磁盘，旧的才删
    assert files(aside) == {"roses/a.jpg": "roses/a.jpg"} and "roses/a.jpg" not in files(root)
    undo(log_in(aside), root)
    assert files(root) == before and not files(aside)


def test_a_kill_in_the_middle_of_a_move_leaves_two_and_undo_one(root, tmp_path, monkeypatch):
    before = files(root)
    aside = aside_folder(tmp_path / "aside", root)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: 1 / 0)  # 新的已经有了，旧的还没有删
    with pytest.raises(ZeroDivisionError):
        set_aside(["roses/a.jpg"], root, aside)
    monkeypatch.undo()
    assert files(root) == before and files(aside) == {"roses/a.jpg": "roses/a.jpg"}
    undo(log_in(aside), root)
    assert files(root) == before and not files(aside)


@needs_links
def test_what_lies_elsewhere_is_not_moved(root, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.jpg").write_text("别处的", encoding="utf-8")
    (root / "lilies").symlink_to(tmp_path / "elsewhere")
    aside = aside_folder(tmp_path / "aside", root)
    set_aside(["lilies/x.jpg"], root, aside)
    assert (tmp_path / "elsewhere" / "x.jpg").exists() and not files(aside)
    assert "lilies/x.jpg" in capsys.readouterr().out


@needs_links
def test_what_could_not_be_taken_back_is_not_moved(root, tmp_path):
    before = files(root)
    (tmp_path / "elsewhere").mkdir()
    (root / "lilies").symlink_to(tmp_path / "elsewhere")
    aside = aside_folder(tmp_path / "aside", root)
    (aside / "tulips").symlink_to(tmp_path / "elsewhere")
    for moves in ([Move("leave_out", "roses/a.jpg", "roses/a.jpg"), Move("leave_out", "tulips/a.jpg", "tulips/a.jpg")],
                  [Move("relabel", "roses/a.jpg", "lilies/a.jpg")]):  # fmt: skip
        with pytest.raises(UserError, match="链接.*撤销不了.*什么也没有动"):
            carry_out(moves, root, aside)
    assert files(root) == before and not list(aside.glob("*.jsonl")) and not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="这个文件系统只许 UTF-8 的名字")
def test_names_that_are_not_utf8(root, tmp_path):
    name = "roses/" + os.fsdecode(b"\xb9\xb7.jpg")
    (root / name).write_text("狗", encoding="utf-8")
    before = files(root)
    aside = aside_folder(tmp_path / "aside", root)
    set_aside([name], root, aside)
    assert files(aside) == {name: "狗"}
    undo(log_in(aside), root)
    assert files(root) == before


def test_folders_that_cannot_take_them(root, tmp_path):
    for folder in (root, root / "roses" / "新"):
        with pytest.raises(UserError, match="在照片文件夹里"):
            aside_folder(folder, root)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="是一个文件"):
        aside_folder(tmp_path / "file", root)


@pytest.mark.parametrize("line", ["not json", "[]", '{"file": 1}', '{"action": "delete", "file": "a", "to": "b"}'])
def test_what_is_no_log(root, tmp_path, line):
    (tmp_path / "log.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError):
        undo(tmp_path / "log.jsonl", root)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "roses/../../x", "", ".", "a//b", "a\0b", None, 3])
def test_paths_from_outside(root, tmp_path, name):
    assert safe_path(root, name)[1]
    for bad in ({"file": name, "to": "a"}, {"file": "roses/new.jpg", "to": name}):
        (tmp_path / "log.jsonl").write_text(json.dumps({"action": "leave_out", **bad}) + "\n", encoding="utf-8")
        before = files(tmp_path)
        with pytest.raises(UserError):
            undo(tmp_path / "log.jsonl", root)
        assert files(tmp_path) == before
