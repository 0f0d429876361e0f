"""flower_photos：对着本机服务器取照片，换地址，带来的压缩包，被杀之后，几个一起取。"""

import errno
import os
import subprocess
import sys
import threading
import time

import pytest

from conftest import LESSONS_DIR
from flower_archives import (
    ARCHIVE,
    HALF,
    OTHER,
    PATIENT,
    assert_extracted,
    files_in,
    sha256,
    without_proxies,
)
from loopback_server import Answer, LoopbackServer
from toolbox import flower_photos
from toolbox.downloads import resumable
from toolbox.downloads.resumable import Timing
from toolbox.terminal import leftovers
from toolbox.terminal.errors import UserError
from toolbox.terminal.run import run_main

SCRIPT = LESSONS_DIR / "toolbox" / "flower_photos.py"


@pytest.fixture(autouse=True)
def no_outside_network(monkeypatch):
    """不碰互联网，也不受读者机器上的代理与环境变量影响。"""
    without_proxies(monkeypatch)
    monkeypatch.delenv(flower_photos.URL_VARIABLE, raising=False)
    monkeypatch.setattr(flower_photos, "URLS", ())


@pytest.fixture
def server():
    with LoopbackServer({"/a.tgz": ARCHIVE, "/b.tgz": ARCHIVE}) as running:
        yield running


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "我的 数据"


def fetch(server, data_dir, paths=("/a.tgz",), archive=ARCHIVE, timing=PATIENT):
    return flower_photos.fetch(data_dir, [server.url + path for path in paths], sha256=sha256(archive), timing=timing)


def part_of(data_dir):
    return next(data_dir.glob("*.part"))


def run_script(*arguments):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def test_downloads_checks_and_extracts(server, data_dir):
    folder = fetch(server, data_dir)
    assert folder == data_dir / "flower_photos"
    assert_extracted(folder)
    assert server.sent == len(ARCHIVE)


def test_nothing_is_fetched_twice(server, data_dir):
    folder = fetch(server, data_dir)
    fetch(server, data_dir)
    os.replace(folder, data_dir / "moved")
    assert_extracted(fetch(server, data_dir))  # 压缩包还在，照片不在：只解压
    assert len(server.requests) == 1


def test_a_damaged_archive_is_not_used(server, data_dir):
    folder = fetch(server, data_dir)
    os.replace(folder, data_dir / "moved")
    archive = next(data_dir.glob("*.tgz"))
    archive.write_bytes(ARCHIVE[:HALF])
    assert_extracted(fetch(server, data_dir))
    assert archive.read_bytes() == ARCHIVE


def test_own_addresses_come_first(server, data_dir, monkeypatch):
    monkeypatch.setattr(flower_photos, "SHA256", sha256(ARCHIVE))
    monkeypatch.setattr(flower_photos, "SIZE", len(ARCHIVE))
    monkeypatch.setattr(flower_photos, "URLS", (server.url + "/a.tgz",))
    monkeypatch.setenv(flower_photos.URL_VARIABLE, server.url + "/env")
    assert_extracted(fetch(server, data_dir, ["/first", "/second"]))
    assert [request.target for request in server.requests] == ["/first", "/second", "/env", "/a.tgz"]
    assert (data_dir / "flower_photos.tgz").read_bytes() == ARCHIVE


def test_a_dead_address_is_one_short_line_without_its_password():
    long = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
    assert flower_photos._short(long) == "storage.googleapis.com/…/flower_photos.tgz"
    assert flower_photos._short("http://user:secret@host/\x1b[2J/a.tgz") == "host/…/a.tgz"
    assert flower_photos._short("file:///tmp/a%20b.tgz") == "/…/a%20b.tgz"


def test_no_address_serves(server, data_dir, capsys):
    server.answers["/a.tgz"] = [Answer(status=503)] * 50
    with pytest.raises(flower_photos.DownloadFailed) as failure:
        fetch(server, data_dir, ["/a.tgz", "/b.tgz"], archive=OTHER)
    assert files_in(data_dir).keys() <= {".flower_photos.lock"}
    _, *told = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("下载")]
    host = server.url.removeprefix("http://")
    assert [line.split(" 不行：")[0].strip() for line in told] == [f"{host}/a.tgz", f"{host}/b.tgz"]
    assert "503" in told[0] and "SHA-256 不符" in told[1]
    for way_out in ("--url", flower_photos.URL_VARIABLE, "--archive", "--images-dir", "--drawn"):
        assert way_out in str(failure.value)


def test_slow_download_hints_once_at_drawn(server, data_dir, capsys):
    server.answers["/a.tgz"] = [Answer(send=HALF)]
    fetch(server, data_dir, timing=Timing(answer=5, pauses=(0.01,), slow=0, slow_after=0))
    assert capsys.readouterr().out.count("--drawn") == 1


def test_a_bad_archive_leaves_nothing_but_the_lock(tmp_path, data_dir):
    with pytest.raises(UserError, match="不是完整的"):
        flower_photos.fetch(data_dir, archive=brought(tmp_path, ARCHIVE[:HALF]), sha256=sha256(ARCHIVE[:HALF]))
    assert files_in(data_dir).keys() == {".flower_photos.lock"}


def test_an_unfinished_download_does_not_stay_when_the_photos_came_another_way(tmp_path, data_dir):
    data_dir.mkdir(exist_ok=True)
    for name in ("flower_photos.tgz.part", f"flower_photos-{sha256(ARCHIVE)[:8]}.tgz.part"):
        (data_dir / name).write_bytes(b"half")
    assert_extracted(flower_photos.fetch(data_dir, archive=brought(tmp_path, ARCHIVE), sha256=sha256(ARCHIVE)))
    assert {name for name in os.listdir(data_dir) if not name.endswith(".lock")} == {"flower_photos"}
    (data_dir / f".flower_photos.{leftovers._machine()}.{2**22 + 1}.00000000-0.writing").mkdir()  # 没有这个进程
    flower_photos.fetch(data_dir)
    assert {name for name in os.listdir(data_dir) if not name.endswith(".lock")} == {"flower_photos"}


def test_file_address(tmp_path, data_dir):
    local = tmp_path / "镜像 一" / "a.tgz"
    local.parent.mkdir()
    local.write_bytes(ARCHIVE)
    wrong = tmp_path / "wrong.tgz"
    wrong.write_bytes(OTHER)
    urls = [(tmp_path / "none.tgz").as_uri(), wrong.as_uri(), local.as_uri()]
    assert_extracted(flower_photos.fetch(data_dir, urls, sha256=sha256(ARCHIVE)))
    assert wrong.read_bytes() == OTHER and local.read_bytes() == ARCHIVE  # 读者自己的文件不动


def test_killed_run_goes_on(server, data_dir):
    server.answers["/a.tgz"] = [Answer(send=HALF, stall=True)]
    command = ["--url", server.url + "/a.tgz", "--sha256", sha256(ARCHIVE), "--data-dir", data_dir]
    process = run_script(*command)
    try:
        assert server.stalled.wait(30)
        deadline = time.monotonic() + 10
        while not any(path.stat().st_size for path in data_dir.glob("*.part")) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()
    size = part_of(data_dir).stat().st_size
    assert 0 < size <= HALF and not (data_dir / "flower_photos").exists()
    process = run_script(*command)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert_extracted(data_dir / "flower_photos")
    assert server.requests[-1].headers["Range"] == f"bytes={size}-"


def test_two_processes_at_once(server, data_dir):
    server.answers["/a.tgz"] = [Answer(send=HALF, stall=True)]
    command = ["--url", server.url + "/a.tgz", "--sha256", sha256(ARCHIVE), "--data-dir", data_dir]
    first = run_script(*command)
    second = None
    try:
        assert server.stalled.wait(30)
        second = run_script(*command)
        assert "另一个进程" in second.stdout.readline()
    finally:
        first.kill()  # 锁随进程一起消失
        first.communicate()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output
    assert_extracted(data_dir / "flower_photos")
    assert len(server.requests) == 2 and "Range" in server.requests[1].headers


def test_threads_at_once_fetch_once(server, data_dir):
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(fetch(server, data_dir))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 3 and len(server.requests) == 1
    assert_extracted(folders[0])


def brought(tmp_path, data):
    path = tmp_path / "带来的 花.tgz"
    path.write_bytes(data)
    return path


def test_brought_archive(tmp_path, data_dir):
    path = brought(tmp_path, ARCHIVE)
    with pytest.raises(UserError, match=sha256(ARCHIVE)):  # 不是原来的那一个：说出它的哈希，要读者确认
        flower_photos.fetch(data_dir, archive=path)
    assert not (data_dir / "flower_photos").exists()
    assert_extracted(flower_photos.fetch(data_dir, archive=path, sha256=sha256(ARCHIVE)))
    assert path.read_bytes() == ARCHIVE


def test_the_name_is_taken(server, data_dir):
    data_dir.mkdir()
    taken = data_dir / "flower_photos"
    taken.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="移走"):
        fetch(server, data_dir)
    taken.unlink()
    taken.mkdir()
    (taken / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="移走"):
        fetch(server, data_dir)
    assert files_in(data_dir) == {"flower_photos/notes.txt": b"mine"} and not server.requests


def test_data_dir_is_a_file(server, tmp_path):
    taken = tmp_path / "data"
    taken.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError) as failure:
        fetch(server, taken)
    assert str(taken) in str(failure.value) and "\n" not in str(failure.value)


@pytest.mark.parametrize("code, message", [(errno.ENOSPC, "500 MB"), (errno.EACCES, "没有权限"), (errno.EROFS, "只读")])
def test_disk_that_cannot_be_written(server, data_dir, monkeypatch, code, message):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(resumable.Progress, "update", fail)  # 写到一半时
        with pytest.raises(UserError, match=message):
            fetch(server, data_dir)
    assert_extracted(fetch(server, data_dir))  # 有了空间，接着下载
    assert "Range" in server.requests[1].headers


def test_addresses_that_make_no_sense(data_dir):
    for address in ("ftp://example.org/a.tgz", "http://[x/a.tgz", "http://example.org／a/b.tgz"):
        with pytest.raises(UserError, match="不认识.*http://"):
            flower_photos.fetch(data_dir, [address])
    with pytest.raises(UserError, match="--sha256"):
        flower_photos.fetch(data_dir, sha256=sha256(ARCHIVE))
    assert not data_dir.exists()


def test_script_succeeds(server, data_dir, capsys):
    command = ["--url", server.url + "/a.tgz", "--sha256", sha256(ARCHIVE).upper(), "--data-dir", str(data_dir)]
    flower_photos.main(command)
    assert "daisy 3 张，roses 3 张" in capsys.readouterr().out
    assert_extracted(data_dir / "flower_photos")
    flower_photos.main(command)
    assert "已经有" in capsys.readouterr().out and len(server.requests) == 1


REFUSED = {
    "no such file": ["--archive", "{folder}/none.tgz"],
    "a folder": ["--archive", "{folder}"],
    "no hash": ["--sha256", "123"],
    "two sources": ["--archive", "a.tgz", "--url", "http://127.0.0.1/a.tgz"],
    "bad address": ["--url", "flowers"],
    "nothing there": ["--url", "file:///none.tgz"],
}


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
def test_script_refuses_in_one_line(tmp_path, data_dir, capsys, arguments):
    command = [text.format(folder=tmp_path) for text in arguments]
    with pytest.raises(SystemExit) as exit_:
        run_main(flower_photos.main, [*command, "--data-dir", str(data_dir)])
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert error.startswith("错误：") and error.count("\n") == 1


def test_script_help():
    process = run_script("--help")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    for option in ("--url", "--archive", "--sha256", "--data-dir"):
        assert option in output
