"""flower_photos：对着一个会出各种毛病的本机服务器下载、续传、核对、解压。"""

import errno
import gzip
import hashlib
import io
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from loopback_server import Answer, LoopbackServer

from conftest import LESSONS_DIR
from toolbox import flower_photos
from toolbox.downloads import resumable
from toolbox.downloads.resumable import Timing
from toolbox.terminal.errors import UserError
from toolbox.terminal.run import run_main

SCRIPT = LESSONS_DIR / "toolbox" / "flower_photos.py"
QUICK = Timing(answer=1, pauses=(0.01, 0.02, 0.03))
PATIENT = Timing(answer=5, pauses=(0.01, 0.02, 0.03))  # 不靠超时的测试用它，机器忙时也不会误判


def make_archive(seed=0, extra=()):
    """与真的同样布局的小压缩包：两个类别、一份许可；extra 是另加的 (TarInfo, 内容)。"""
    noise = random.Random(seed)
    members = [(tarfile.TarInfo("flower_photos/LICENSE.txt"), b"CC-BY")]
    for name in ("daisy", "roses"):
        for i in range(3):
            members.append((tarfile.TarInfo(f"flower_photos/{name}/{i}.jpg"), noise.randbytes(50_000)))
    return pack([*members, *extra])


def pack(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


ARCHIVE = make_archive()
HALF = len(ARCHIVE) // 2
OTHER = make_archive(seed=1)


@pytest.fixture(autouse=True)
def no_outside_network(monkeypatch):
    """不碰互联网，也不受读者机器上的代理与环境变量影响。"""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
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


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def assert_complete(folder, archive=ARCHIVE):
    """解压出来的与压缩包逐字节相同；旁边没有半成品。"""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        expected = {m.name.removeprefix("flower_photos/"): tar.extractfile(m).read() for m in tar if m.isfile()}
    assert folder.name == "flower_photos" and files_in(folder) == expected
    assert not list(folder.parent.glob("*.part*")) and not list(folder.parent.glob("*.extracting"))


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
    assert_complete(folder)
    assert server.sent == len(ARCHIVE)


def test_nothing_is_fetched_twice(server, data_dir):
    folder = fetch(server, data_dir)
    fetch(server, data_dir)
    os.replace(folder, data_dir / "moved")
    assert_complete(fetch(server, data_dir))  # 压缩包还在，照片不在：只解压
    assert len(server.requests) == 1


def test_a_damaged_archive_is_not_used(server, data_dir):
    folder = fetch(server, data_dir)
    os.replace(folder, data_dir / "moved")
    archive = next(data_dir.glob("*.tgz"))
    archive.write_bytes(ARCHIVE[:HALF])
    assert_complete(fetch(server, data_dir))
    assert archive.read_bytes() == ARCHIVE


@pytest.mark.parametrize("stall, timing", [(False, PATIENT), (True, QUICK)], ids=["cut", "stall"])
def test_resumes_after_a_break(server, data_dir, stall, timing):
    server.answers["/a.tgz"] = [Answer(send=HALF, stall=stall)]
    assert_complete(fetch(server, data_dir, timing=timing))
    first, second = server.requests
    assert "Range" not in first.headers
    assert second.headers["Range"] == f"bytes={HALF}-" and second.headers["If-Range"] == '"v1"'
    assert server.sent == len(ARCHIVE)


def test_goes_on_for_as_long_as_something_arrives(server, data_dir):
    pieces = 20  # 比允许的连续失败次数多得多
    server.answers["/a.tgz"] = [Answer(send=len(ARCHIVE) // pieces)] * pieces
    assert_complete(fetch(server, data_dir))
    assert server.sent == len(ARCHIVE) and len(server.requests) == pieces + 1


def test_resumes_from_another_mirror(server, data_dir):
    server.answers["/a.tgz"] = [Answer(send=HALF), *[Answer(status=404)]]
    assert_complete(fetch(server, data_dir, ["/a.tgz", "/b.tgz"]))
    last = server.requests[-1]
    assert last.target == "/b.tgz" and last.headers["Range"] == f"bytes={HALF}-"
    assert "If-Range" not in last.headers  # 别处的 ETag 在这里没有意义


def test_last_modified_serves_when_the_etag_is_weak(server, data_dir):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    answer = Answer(send=HALF, etag='W/"v1"', headers=(("Last-Modified", date),))
    server.answers["/a.tgz"] = [answer, Answer(etag=date, headers=(("Last-Modified", date),))]
    assert_complete(fetch(server, data_dir))
    assert server.requests[1].headers["If-Range"] == date


def test_starts_over_when_range_is_refused(server, data_dir):
    server.answers["/a.tgz"] = [Answer(send=HALF), Answer(accepts_range=False)]
    assert_complete(fetch(server, data_dir))
    assert server.sent == HALF + len(ARCHIVE)


def test_gives_up_when_range_is_refused_and_every_answer_is_cut(server, data_dir):
    server.answers["/a.tgz"] = [Answer(send=HALF, accepts_range=False)] * 50
    with pytest.raises(flower_photos.DownloadFailed):
        fetch(server, data_dir)
    assert len(server.requests) == 1 + len(PATIENT.pauses)


NOTICED, HASHED = "文件变了", "接起来的内容"
CHANGED = {
    "if-range": ("", [Answer(send=HALF, body=OTHER, etag='"old"')]),
    "etag, If-Range ignored": (
        NOTICED,
        [Answer(send=HALF, body=OTHER, etag='"old"', claimed_size=len(ARCHIVE)), Answer(honours_if_range=False)],
    ),
    "length, no etag": (NOTICED, [Answer(send=HALF, body=OTHER + b"longer", etag=None), Answer(etag=None)]),
    "nothing to tell by": (
        HASHED,
        [Answer(send=HALF, body=OTHER, etag=None, claimed_size=len(ARCHIVE)), Answer(etag=None)],
    ),
    "shorter than what we have": (NOTICED, [Answer(send=len(ARCHIVE) + 9, body=ARCHIVE * 2, etag=None)]),
    "wrong place": (NOTICED, [Answer(send=HALF), Answer(range_shift=7)]),
}


@pytest.mark.parametrize("how, answers", CHANGED.values(), ids=CHANGED)
def test_a_changed_file_starts_over(server, data_dir, capsys, how, answers):
    server.answers["/a.tgz"] = list(answers)
    assert_complete(fetch(server, data_dir))
    assert server.requests[-1].sent == len(ARCHIVE)  # 最后一次是从头下的
    said = capsys.readouterr().out
    assert [text for text in (NOTICED, HASHED) if text in said] == ([how] if how else [])


def test_a_server_that_gives_small_ranges(server, data_dir):
    server.answers["/a.tgz"] = [Answer(send=HALF), Answer(largest_range=1000), Answer(largest_range=1000)]
    assert_complete(fetch(server, data_dir))
    assert server.sent == len(ARCHIVE)


def test_content_complete_although_the_server_claimed_more(server, data_dir):
    server.answers["/a.tgz"] = [Answer(claimed_size=len(ARCHIVE) + 1000)]
    assert_complete(fetch(server, data_dir))  # 再问时服务器答 416，报出真的全长
    server.answers["/b.tgz"] = [Answer(claimed_size=len(ARCHIVE) + 1000)] * 50
    assert_complete(fetch(server, data_dir.with_name("另一处"), ["/b.tgz"]))  # 一直坚持说谎
    assert server.sent == 2 * len(ARCHIVE)


def test_complete_download_left_by_a_killed_run_is_not_fetched_again(server, data_dir):
    server.answers["/a.tgz"] = [Answer(send=HALF), *[Answer(status=404)]]
    with pytest.raises(flower_photos.DownloadFailed):
        fetch(server, data_dir)
    part_of(data_dir).write_bytes(ARCHIVE)  # 内容刚下全、还没改名就被结束
    before = len(server.requests)
    assert_complete(fetch(server, data_dir))
    assert len(server.requests) == before


BAD_FOR_GOOD = {
    "403": ("403", Answer(status=403, body=b"forbidden")),
    "404": ("404", Answer(status=404, body=b"none")),
    "html": ("网页", Answer(body=b"<html>", headers=(("Content-Type", "text/html; charset=utf-8"),))),
    "claims less": ("SHA-256 不符", Answer(claimed_size=len(ARCHIVE) - 100)),
    "wrong content": ("SHA-256 不符", Answer(body=OTHER)),
    "empty": ("SHA-256 不符", Answer(body=b"")),
}


@pytest.mark.parametrize("reason, answer", BAD_FOR_GOOD.values(), ids=BAD_FOR_GOOD)
def test_a_bad_address_is_asked_once_and_the_next_one_serves(server, data_dir, capsys, reason, answer):
    server.answers["/a.tgz"] = [answer] * 50
    assert_complete(fetch(server, data_dir, ["/a.tgz", "/b.tgz"]))
    assert [request.target for request in server.requests] == ["/a.tgz", "/b.tgz"]
    assert "Range" not in server.requests[1].headers  # 坏的内容没有留下
    assert reason in capsys.readouterr().out


def test_wrong_hash_removes_the_file(server, data_dir, capsys):
    with pytest.raises(flower_photos.DownloadFailed) as failure:
        fetch(server, data_dir, archive=OTHER)
    assert files_in(data_dir).keys() <= {".flower_photos.lock"}
    assert "SHA-256 不符" in capsys.readouterr().out
    for way_out in ("--url", flower_photos.URL_VARIABLE, "--archive", "--images-dir", "--drawn"):
        assert way_out in str(failure.value)


def test_a_passing_server_error_is_retried(server, data_dir):
    server.answers["/a.tgz"] = [Answer(status=503), Answer(status=500)]
    assert_complete(fetch(server, data_dir))
    assert len(server.requests) == 3


def test_a_lasting_server_error_goes_to_the_next_address(server, data_dir):
    server.answers["/a.tgz"] = [Answer(status=500)] * 50
    assert_complete(fetch(server, data_dir, ["/a.tgz", "/b.tgz"]))
    assert [request.target for request in server.requests] == ["/a.tgz"] * 3 + ["/b.tgz"]


@pytest.mark.parametrize("answer", [Answer(silent=True), Answer(send=0, stall=True)], ids=["silent", "headers only"])
def test_an_address_that_never_answers_is_given_up(server, data_dir, answer):
    server.answers["/a.tgz"] = [answer] * 50
    assert_complete(fetch(server, data_dir, ["/a.tgz", "/b.tgz"], timing=QUICK))
    assert [request.target for request in server.requests] == ["/a.tgz", "/b.tgz"]  # 等够了就不再重试


def test_nobody_listens_there(server, data_dir):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # 占着却不听
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/a.tgz"
        urls = [dead, server.url + "/a.tgz"]
        assert_complete(flower_photos.fetch(data_dir, urls, sha256=sha256(ARCHIVE), timing=PATIENT))


def test_bytes_are_kept_as_they_are(server, data_dir):
    """有的服务器把 .tgz 标成 Content-Encoding: gzip；照标签解开，哈希就对不上了。"""
    server.answers["/a.tgz"] = [Answer(headers=(("Content-Encoding", "gzip"),), says_length=False)]
    assert_complete(fetch(server, data_dir))


def test_follows_a_redirect(server, data_dir):
    server.answers["/a.tgz"] = [Answer(status=302, body=b"moved", headers=(("Location", "/b.tgz"),))]
    assert_complete(fetch(server, data_dir))


def test_proxy_variable_is_honoured(server, data_dir, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY" if os.name == "nt" else "http_proxy", server.url)
    url = "http://flowers.example/a.tgz"
    assert_complete(flower_photos.fetch(data_dir, [url], sha256=sha256(ARCHIVE), timing=PATIENT))
    assert server.requests[0].target == url


def test_own_addresses_come_first(server, data_dir, monkeypatch):
    monkeypatch.setattr(flower_photos, "SHA256", sha256(ARCHIVE))
    monkeypatch.setattr(flower_photos, "URLS", (server.url + "/a.tgz",))
    monkeypatch.setenv(flower_photos.URL_VARIABLE, server.url + "/env")
    assert_complete(fetch(server, data_dir, ["/first", "/second"]))
    assert [request.target for request in server.requests] == ["/first", "/second", "/env", "/a.tgz"]
    assert (data_dir / "flower_photos.tgz").read_bytes() == ARCHIVE


def test_file_address(tmp_path, data_dir):
    local = tmp_path / "镜像 一" / "a.tgz"
    local.parent.mkdir()
    local.write_bytes(ARCHIVE)
    wrong = tmp_path / "wrong.tgz"
    wrong.write_bytes(OTHER)
    urls = [(tmp_path / "none.tgz").as_uri(), wrong.as_uri(), local.as_uri()]
    assert_complete(flower_photos.fetch(data_dir, urls, sha256=sha256(ARCHIVE)))
    assert wrong.read_bytes() == OTHER and local.read_bytes() == ARCHIVE  # 读者自己的文件不动


def test_slow_download_hints_once_at_drawn(server, data_dir, capsys):
    server.answers["/a.tgz"] = [Answer(send=HALF)]
    fetch(server, data_dir, timing=Timing(answer=5, pauses=(0.01,), slow=0, slow_after=0))
    assert capsys.readouterr().out.count("--drawn") == 1


def test_interrupt_keeps_the_part_and_says_so(server, data_dir, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        read, calls = resumable._read, []

        def read_twice(response):
            if len(calls) == 2:
                raise KeyboardInterrupt
            calls.append(response)
            return read(response)

        patched.setattr(resumable, "CHUNK", 10_000)
        patched.setattr(resumable, "_read", read_twice)
        with pytest.raises(KeyboardInterrupt):
            fetch(server, data_dir)
    kept = part_of(data_dir)
    assert str(kept) in capsys.readouterr().out
    size = kept.stat().st_size
    assert size > 0 and not (data_dir / "flower_photos").exists()
    assert_complete(fetch(server, data_dir))
    assert server.requests[-1].headers["Range"] == f"bytes={size}-"


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
    assert_complete(data_dir / "flower_photos")
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
    assert_complete(data_dir / "flower_photos")
    assert len(server.requests) == 2 and "Range" in server.requests[1].headers


def test_threads_at_once_fetch_once(server, data_dir):
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(fetch(server, data_dir))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 3 and len(server.requests) == 1
    assert_complete(folders[0])


def brought(tmp_path, data):
    path = tmp_path / "带来的 花.tgz"
    path.write_bytes(data)
    return path


def test_brought_archive(tmp_path, data_dir):
    path = brought(tmp_path, ARCHIVE)
    with pytest.raises(UserError, match=sha256(ARCHIVE)):  # 不是原来的那一个：说出它的哈希，要读者确认
        flower_photos.fetch(data_dir, archive=path)
    assert not (data_dir / "flower_photos").exists()
    assert_complete(flower_photos.fetch(data_dir, archive=path, sha256=sha256(ARCHIVE)))
    assert path.read_bytes() == ARCHIVE


def evil(name, kind=tarfile.REGTYPE, link="../../evil"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link if kind != tarfile.REGTYPE else ""
    return info


EVIL = {
    "parent": evil("../evil"),
    "parent inside": evil("flower_photos/daisy/../../../evil"),
    "absolute": evil("/evil"),
    "drive": evil("C:\\evil"),
    "backslash": evil("flower_photos\\..\\..\\evil"),
    "symlink": evil("flower_photos/daisy/link.jpg", tarfile.SYMTYPE),
    "symlink inside": evil("flower_photos/daisy/link.jpg", tarfile.SYMTYPE, "0.jpg"),
    "hard link": evil("flower_photos/daisy/link.jpg", tarfile.LNKTYPE, "flower_photos/daisy/0.jpg"),
    "device": evil("flower_photos/daisy/null", tarfile.CHRTYPE),
    "pipe": evil("flower_photos/daisy/pipe", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("member", EVIL.values(), ids=EVIL)
def test_unsafe_archive_is_refused_whole(tmp_path, data_dir, member):
    data = make_archive(extra=[(member, b"")])
    path = brought(tmp_path, data)
    with pytest.raises(UserError, match="不安全"):
        flower_photos.fetch(data_dir, archive=path, sha256=sha256(data))
    assert files_in(tmp_path).keys() == {path.name, f"{data_dir.name}/.flower_photos.lock"}


@pytest.mark.parametrize(
    "data, message",
    [
        (ARCHIVE[:HALF], "不是完整的"),
        (ARCHIVE[:HALF] + b"\xff" * 70_000 + ARCHIVE[HALF + 70_000 :], "不是完整的"),
        (ARCHIVE[:-8] + bytes(8), "不是完整的"),
        (gzip.compress(gzip.decompress(ARCHIVE)[:200_000]) + b"garbage", "不是完整的"),
        (b"not an archive", "不是完整的"),
        (b"", "不是完整的"),
        (pack([(tarfile.TarInfo("other/a.jpg"), b"x")]), "拿错"),
    ],
    ids=["truncated", "damaged", "wrong checksum", "garbage behind", "no archive", "empty", "other content"],
)
def test_useless_archive_is_refused(tmp_path, data_dir, data, message):
    with pytest.raises(UserError, match=message):
        flower_photos.fetch(data_dir, archive=brought(tmp_path, data), sha256=sha256(data))
    assert not list(data_dir.glob("*flower_photos*/"))


def test_leftover_of_a_killed_extraction_is_cleared(tmp_path, data_dir):
    leftover = data_dir / ".flower_photos.extracting" / "flower_photos" / "half"
    leftover.mkdir(parents=True)
    (data_dir / "flower_photos").mkdir()  # 空的文件夹不碍事
    assert_complete(flower_photos.fetch(data_dir, archive=brought(tmp_path, ARCHIVE), sha256=sha256(ARCHIVE)))


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


@pytest.mark.parametrize(
    "code, message", [(errno.ENOSPC, "500 MB"), (errno.EACCES, "没有权限"), (errno.EROFS, "只读")]
)
def test_disk_that_cannot_be_written(server, data_dir, monkeypatch, code, message):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(resumable.Progress, "update", fail)  # 写到一半时
        with pytest.raises(UserError, match=message):
            fetch(server, data_dir)
    assert_complete(fetch(server, data_dir))  # 有了空间，接着下载
    assert "Range" in server.requests[1].headers


def test_addresses_that_make_no_sense(data_dir):
    with pytest.raises(UserError, match="ftp://"):
        flower_photos.fetch(data_dir, ["ftp://example.org/a.tgz"])
    with pytest.raises(UserError, match="--sha256"):
        flower_photos.fetch(data_dir, sha256=sha256(ARCHIVE))
    assert not data_dir.exists()


def test_script_succeeds(server, data_dir, capsys):
    command = ["--url", server.url + "/a.tgz", "--sha256", sha256(ARCHIVE).upper(), "--data-dir", str(data_dir)]
    flower_photos.main(command)
    assert "daisy 3 张，roses 3 张" in capsys.readouterr().out
    assert_complete(data_dir / "flower_photos")
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
