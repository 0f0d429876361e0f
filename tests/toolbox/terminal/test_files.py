"""写在旁边再改名：完整或没有，不顺着链接写，只清掉确实没有主人的半成品。"""

import ctypes
import errno
import hashlib
import os
import subprocess
import sys
import tempfile

import pytest

from conftest import LESSONS_DIR, refuse_to_rename, refuse_to_replace
from toolbox.terminal import files, leftovers
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import (
    folder_written_aside,
    sha256_of,
    temporary_folder,
    written_aside,
)
from toolbox.terminal.leftovers import remove_leftovers


def write(path, content, **options):
    with written_aside(path, **options) as file:
        file.write(content)


def write_folder(target, content):
    with folder_written_aside(target) as aside:
        (aside / "inner").mkdir()
        (aside / "inner" / "file").write_bytes(content)


def content_of(target):
    return (target / "inner" / "file").read_bytes()


def killed(code):
    """在另一个进程里运行 code，它写到一半就被强行结束；返回那个进程的号。"""
    start = f"import os, sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\nfrom toolbox.terminal.files import *\n"
    process = subprocess.Popen([sys.executable, "-c", start + code])
    assert process.wait() == 9
    return process.pid


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"content").hexdigest()


@pytest.mark.parametrize("name", ["a.b[c]*?", "花 名", "%s{}", ".hidden"])
def test_a_file_appears_whole_and_is_replaced_whole(tmp_path, name):
    if os.name == "nt" and "*" in name:
        pytest.skip("Windows 上不能有这样的文件名")
    path = tmp_path / name
    with written_aside(path) as file:
        file.write(b"1")
        assert not path.exists() and len(os.listdir(tmp_path)) == 1
    assert path.read_bytes() == b"1"
    write(path, b"2")
    assert path.read_bytes() == b"2" and os.listdir(tmp_path) == [name]


def test_a_reproducible_file_keeps_the_first(tmp_path):
    write(tmp_path / "x", b"1", reproducible=True)
    write(tmp_path / "x", b"2", reproducible=True)
    assert (tmp_path / "x").read_bytes() == b"1" and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_error_leaves_the_old_one_and_nothing_else(tmp_path, error):
    write(tmp_path / "x", b"1")
    write_folder(tmp_path / "folder", b"1")
    with pytest.raises(error), written_aside(tmp_path / "x") as file:
        file.write(b"half")
        raise error
    with pytest.raises(error), folder_written_aside(tmp_path / "folder") as aside:
        (aside / "half").touch()
        raise error
    assert (tmp_path / "x").read_bytes() == b"1" and content_of(tmp_path / "folder") == b"1"
    assert sorted(os.listdir(tmp_path)) == ["folder", "x"]


def test_what_cannot_be_replaced_is_not_lost(tmp_path, monkeypatch):
    """Windows 上，里面有文件正开着的文件夹改不了名。"""
    write_folder(tmp_path / "m", b"old")
    refuse_to_replace(monkeypatch, tmp_path / "m")
    with pytest.raises(UserError, match="m 换不掉.*写好的在 .*m_2"):
        write_folder(tmp_path / "m", b"new")
    assert content_of(tmp_path / "m") == b"old" and content_of(tmp_path / "m_2") == b"new"
    assert len(os.listdir(tmp_path)) == 2


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as failure, written_aside(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "full")
    assert failure.value.filename == str(tmp_path / "x") and os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows 上建符号链接要特别的权限")
def test_a_link_in_the_way_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "trap").symlink_to(tmp_path / "mine")
    monkeypatch.setattr(files, "aside_of", lambda path: tmp_path / "trap")
    with pytest.raises(FileExistsError):
        write(tmp_path / "x", b"1")
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_folder_appears_whole_and_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()  # 空的也算已有
    for content in (b"1", b"2"):
        write_folder(target, content)
        assert content_of(target) == content and os.listdir(tmp_path) == ["folder"]


def test_another_process_replacing_the_folder_at_the_same_time_does_no_harm(tmp_path, monkeypatch):
    target, replace = tmp_path / "folder", os.replace
    write_folder(target, b"old")

    def replace_and_be_overtaken(source, destination):
        replace(source, destination)
        if str(destination).endswith(".old"):  # 刚把旧的挪开，另一个进程的就到了
            monkeypatch.undo()
            write_folder(target, b"other")

    monkeypatch.setattr(os, "replace", replace_and_be_overtaken)
    write_folder(target, b"mine")
    assert content_of(target) == b"mine" and os.listdir(tmp_path) == ["folder"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    target, replace = tmp_path / "folder", os.replace
    write_folder(target, b"old")

    def refuse(source, destination):
        if destination == target and str(source).endswith(".writing"):
            raise OSError(errno.EIO, "broken")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="broken"):
        write_folder(target, b"new")
    assert content_of(target) == b"old" and os.listdir(tmp_path) == ["folder"]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    target = tmp_path / "folder"
    write_folder(target, b"old")
    killed(
        "replace = os.replace\n"
        "def once(*names):\n    replace(*names)\n    os._exit(9)\n"
        "os.replace = once\n"
        f"with folder_written_aside({str(target)!r}): pass\n"
    )
    assert not target.exists()
    remove_leftovers(tmp_path)
    assert content_of(target) == b"old" and os.listdir(tmp_path) == ["folder"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    killed(f"with folder_written_aside({str(tmp_path / 'y')!r}): os._exit(9)")
    killed(f"with written_aside({str(tmp_path / 'x')!r}) as file: os._exit(9)")
    assert len(os.listdir(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_is_being_written_is_kept(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with written_aside(tmp_path / "mine") as file:
            file.write(b"1")
            of_child = f".x.{leftovers._machine()}.{child.pid}.00000000-0.writing"
            (tmp_path / of_child).touch()
            remove_leftovers(tmp_path)
            assert of_child in os.listdir(tmp_path) and len(os.listdir(tmp_path)) == 2
        assert sorted(os.listdir(tmp_path)) == [of_child, "mine"]
    finally:
        child.communicate(b"\n")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["mine"]


def test_the_same_process_number_in_an_earlier_container_is_not_taken_for_this_process(tmp_path):
    (tmp_path / f".x.{leftovers._machine()}.{os.getpid()}.00000000-0.writing").touch()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("host", ["a.b.c", "*", "[ab]", "", "机器", "other"])
def test_leftovers_of_other_machines_are_kept(tmp_path, monkeypatch, host):
    monkeypatch.setattr(leftovers.socket, "gethostname", lambda: host)
    monkeypatch.setattr(leftovers, "_machine", leftovers._machine.__wrapped__)
    process = killed("os._exit(9)")
    own, other = leftovers._machine(), "0123abcd"
    for machine in (own, other):
        (tmp_path / f".x.{machine}.{process}.00000000-0.writing").touch()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == [f".x.{other}.{process}.00000000-0.writing"]


def test_other_peoples_files_are_kept(tmp_path):
    names = [".hidden", ".x.writing", ".x.0.writing", "x.00000000.1.00000000-0.writing", ".x.zz.1.00000000-0.writing"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_temporary_folder_is_private_and_removed_even_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed(f"tempfile.tempdir = {str(tmp_path)!r}\nwith temporary_folder('study_keras-x'): os._exit(9)")
    [leftover] = os.listdir(tmp_path)
    assert "study_keras-x" in leftover
    with temporary_folder("study_keras-x") as folder:
        assert os.listdir(tmp_path) == [folder.name] and folder.name != leftover
        assert os.name == "nt" or folder.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == []


def test_no_place_for_temporary_files_is_explained(monkeypatch):
    def fail():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in [...]")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    with pytest.raises(UserError, match="TMPDIR"), temporary_folder("x"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows 上不能对文件夹用 fsync")
def test_results_are_on_the_disk_before_they_get_their_name_and_the_name_too(tmp_path, monkeypatch):
    """每次落盘（fsync）与改名的先后：先是内容，再改名，再是名字所在的文件夹。"""
    events, fsync, replace = [], os.fsync, os.replace

    def record_fsync(descriptor):
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def record_replace(source, destination):
        events.append("改名")
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("没有 /proc，看不出落盘的是哪个文件")
    write(tmp_path / "x", b"1")
    assert [events[0].startswith(".x."), *events[1:]] == [True, "改名", tmp_path.name]
    events.clear()
    write(tmp_path / "y", b"1", reproducible=True)
    assert events == ["改名"]
    events.clear()
    write_folder(tmp_path / "folder", b"1")
    assert events.index("file") < events.index("改名") < len(events) - 1 and events[-1] == tmp_path.name


@pytest.mark.parametrize(("handle", "error", "exit_code", "running"), [
    (7, 0, 259, True), (7, 0, 0, False), (7, 0, 1, False), (0, 5, 0, True), (0, 87, 0, False)
])  # fmt: skip
def test_on_windows_a_process_runs_until_it_has_an_exit_code(monkeypatch, handle, error, exit_code, running):
    """OpenProcess 给出 0 是打不开：5 是不让打开（别人的进程），87 是没有这个进程；259 是还没有退出码。"""
    closed = []

    class Function:
        def __init__(self, call):
            self.call = call

        def __call__(self, *arguments):
            return self.call(*arguments)

    def exit_code_of(_, code):
        code._obj.value = exit_code
        return 1

    class Kernel32:
        OpenProcess = Function(lambda access, inherit, pid: handle)
        GetExitCodeProcess = Function(exit_code_of)
        CloseHandle = Function(lambda opened: closed.append(opened.value))

    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: Kernel32, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    monkeypatch.setattr(leftovers.sys, "platform", "win32")
    assert leftovers.is_running(123) is running and closed == ([handle] if handle else [])


def test_machines_of_one_name_are_told_apart(monkeypatch):
    machine = leftovers._machine.__wrapped__
    seen = []
    for address in (0x2FC00000001, 0x2FC00000002, 1 << 40, (1 << 40) + 5):
        monkeypatch.setattr(leftovers.uuid, "getnode", lambda address=address: address)
        seen.append(machine())
    assert len(set(seen)) == 3 and seen[2] == seen[3]  # 后两个是随机取的，每次都不同，不能算


def test_what_windows_holds_for_a_moment_is_put_in_place(tmp_path, monkeypatch):
    """杀毒、索引把刚写完的文件占住片刻：等一等，再改名。"""
    refused = []

    def held(source, target):
        if len(refused) < 3 and target == str(tmp_path / "m"):
            refused.append(source)
            return True

    refuse_to_rename(monkeypatch, held)
    monkeypatch.setattr(files.sys, "platform", "win32")
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    with folder_written_aside(tmp_path / "m") as aside:
        (aside / "x").write_text("1")
    with written_aside(tmp_path / "f") as file:
        file.write(b"2")
    assert len(refused) == 3 and sorted(os.listdir(tmp_path)) == ["f", "m"]


def test_errors_name_the_file_not_the_one_aside(tmp_path):
    with pytest.raises(FileNotFoundError) as failure:
        files.write_aside(tmp_path / "没有" / "x.html", b"")
    assert failure.value.filename == str(tmp_path / "没有" / "x.html")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_copy_that_fails_leaves_the_old_folder(tmp_path, monkeypatch, error):
    with folder_written_aside(tmp_path / "m") as aside:
        (aside / "x").write_text("old")

    def fails(source, target):
        raise error

    new = str(tmp_path / "m")
    refuse_to_rename(monkeypatch, lambda source, target: target == new and source.endswith(".writing"))
    monkeypatch.setattr(files.shutil, "copyfile", fails)
    with pytest.raises((OSError, KeyboardInterrupt)) as failure, folder_written_aside(tmp_path / "m") as aside:
        (aside / "x").write_text("new")
    assert not isinstance(error, OSError) or failure.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m" / "x").read_text() == "old"


@pytest.mark.parametrize("copies_too", [False, True])
def test_what_cannot_be_renamed_is_copied(tmp_path, monkeypatch, copies_too):
    made, new = [], str(tmp_path / "m")
    refuse_to_rename(monkeypatch, lambda source, target: source == str(made[0]) or (copies_too and target == new))
    with folder_written_aside(tmp_path / "m") as aside:
        made.append(aside)
        (aside / "x").write_text("1")
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m" / "x").read_text() == "1"
