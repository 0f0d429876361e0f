"""断点续传的下载：对着一个会出各种毛病的本机服务器。"""

import errno
import os
import socket
import time

import pytest

from flower_archives import ARCHIVE, HALF, OTHER, PATIENT, QUICK, sha256, without_proxies
from loopback_server import Answer, LoopbackServer
from toolbox.downloads import requesting, resumable
from toolbox.downloads.resumable import Timing, Unavailable
from toolbox.terminal.files import sha256_of


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    without_proxies(monkeypatch)


@pytest.fixture
def server():
    with LoopbackServer({"/a.tgz": ARCHIVE, "/b.tgz": ARCHIVE}) as running:
        yield running


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "我的 数据"
    folder.mkdir()
    return folder / "flowers.tgz"


def fetch(server, target, paths=("/a.tgz",), content=ARCHIVE, timing=PATIENT, size=None, slow_hint=""):
    """依次试各个地址，返回不行的那些的原因；都不行就抛出最后一个的。"""

    def problem_with(path):
        return None if sha256_of(path) == sha256(content) else "SHA-256 不符"

    reasons = []
    for path in paths:
        url = path if path.startswith("http") else server.url + path
        try:
            resumable.download(url, target, problem_with, size, timing, slow_hint)
            return reasons
        except Unavailable as error:
            reasons.append(str(error))
            if path == paths[-1]:
                raise


def assert_complete(target, content=ARCHIVE):
    """内容正确，旁边没有半成品。"""
    assert target.read_bytes() == content and os.listdir(target.parent) == [target.name]


def part_of(target):
    return target.with_name(target.name + ".part")


@pytest.mark.parametrize("stall, timing", [(False, PATIENT), (True, QUICK)], ids=["cut", "stall"])
def test_resumes_after_a_break(server, target, stall, timing):
    server.answers["/a.tgz"] = [Answer(send=HALF, stall=stall)]
    fetch(server, target, timing=timing)
    assert_complete(target)
    first, second = server.requests
    assert "Range" not in first.headers
    assert second.headers["Range"] == f"bytes={HALF}-"
    assert server.sent == len(ARCHIVE)


def test_goes_on_for_as_long_as_something_arrives(server, target):
    pieces = 20  # 比允许的连续失败次数多得多
    server.answers["/a.tgz"] = [Answer(send=len(ARCHIVE) // pieces)] * pieces
    fetch(server, target)
    assert_complete(target)
    assert server.sent == len(ARCHIVE) and len(server.requests) == pieces + 1


def test_resumes_from_another_mirror(server, target):
    server.answers["/a.tgz"] = [Answer(send=HALF), *[Answer(status=404)]]
    fetch(server, target, ["/a.tgz", "/b.tgz"])
    assert_complete(target)
    last = server.requests[-1]
    assert last.target == "/b.tgz" and last.headers["Range"] == f"bytes={HALF}-"


def test_starts_over_when_range_is_refused(server, target):
    server.answers["/a.tgz"] = [Answer(send=HALF), Answer(accepts_range=False)]
    fetch(server, target)
    assert_complete(target)
    assert server.sent == HALF + len(ARCHIVE)


def test_gives_up_when_range_is_refused_and_every_answer_is_cut(server, target):
    server.answers["/a.tgz"] = [Answer(send=HALF, accepts_range=False)] * 50
    with pytest.raises(Unavailable):
        fetch(server, target)
    assert len(server.requests) == 1 + len(PATIENT.pauses)


NOTICED, HASHED = "文件变了", "接起来的内容"
CHANGED = {
    "other length": (NOTICED, [Answer(send=HALF, body=OTHER + b"longer")]),
    "same length": (HASHED, [Answer(send=HALF, body=OTHER, claimed_size=len(ARCHIVE))]),
    "shorter than what we have": (NOTICED, [Answer(send=len(ARCHIVE) + 9, body=ARCHIVE * 2)]),
    "wrong place": (NOTICED, [Answer(send=HALF), Answer(range_shift=7)]),
}


@pytest.mark.parametrize("how, answers", CHANGED.values(), ids=CHANGED)
def test_a_changed_file_starts_over(server, target, capsys, how, answers):
    server.answers["/a.tgz"] = list(answers)
    fetch(server, target)
    assert_complete(target)
    assert server.requests[-1].sent == len(ARCHIVE)  # 最后一次是从头下的
    said = capsys.readouterr().out
    assert [text for text in (NOTICED, HASHED) if text in said] == [how]


def test_a_file_that_changed_between_two_runs_starts_over(server, target, capsys):
    part_of(target).write_bytes(OTHER[:HALF])
    fetch(server, target)
    assert_complete(target)
    assert [request.headers.get("Range") for request in server.requests] == [f"bytes={HALF}-", None]
    assert HASHED in capsys.readouterr().out


def test_a_server_that_gives_small_ranges(server, target):
    server.answers["/a.tgz"] = [Answer(send=HALF), Answer(largest_range=1000), Answer(largest_range=1000)]
    fetch(server, target)
    assert_complete(target)
    assert server.sent == len(ARCHIVE)


def test_content_complete_although_the_server_claimed_more(server, target):
    server.answers["/a.tgz"] = [Answer(claimed_size=len(ARCHIVE) + 1000)]
    fetch(server, target)
    assert_complete(target)  # 再问时服务器答 416，报出真的全长
    server.answers["/b.tgz"] = [Answer(claimed_size=len(ARCHIVE) + 1000)] * 50
    other = target.parent / "另一处" / "b.tgz"
    other.parent.mkdir()
    fetch(server, other, ["/b.tgz"])  # 一直坚持说谎
    assert_complete(other)
    assert server.sent == 2 * len(ARCHIVE)


def test_complete_download_left_by_a_killed_run_is_not_fetched_again(server, target):
    server.answers["/a.tgz"] = [Answer(send=HALF), *[Answer(status=404)]]
    with pytest.raises(Unavailable):
        fetch(server, target)
    part_of(target).write_bytes(ARCHIVE)  # 内容刚下全、还没改名就被结束
    before = len(server.requests)
    fetch(server, target)
    assert_complete(target)
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
def test_a_bad_address_is_asked_once_and_the_next_one_serves(server, target, reason, answer):
    server.answers["/a.tgz"] = [answer] * 50
    [told] = fetch(server, target, ["/a.tgz", "/b.tgz"])
    assert_complete(target)
    assert [request.target for request in server.requests] == ["/a.tgz", "/b.tgz"]
    assert "Range" not in server.requests[1].headers  # 坏的内容没有留下
    assert reason in told


def test_wrong_hash_removes_the_file(server, target):
    with pytest.raises(Unavailable, match="SHA-256 不符"):
        fetch(server, target, content=OTHER)
    assert os.listdir(target.parent) == []


def test_a_file_of_the_wrong_size_is_not_received(server, target):
    part_of(target).write_bytes(ARCHIVE[:HALF])  # 已有的一半不因此丢掉
    server.answers["/a.tgz"] = [Answer(body=b"small", accepts_range=False)]
    told = fetch(server, target, ["/a.tgz", "/b.tgz"], size=len(ARCHIVE))
    assert told == [f"文件有 5 字节，应当是 {len(ARCHIVE)} 字节"]
    assert server.requests[1].headers["Range"] == f"bytes={HALF}-"
    assert_complete(target)


def test_no_more_than_the_known_size_is_received(server, target):
    server.answers["/a.tgz"] = [Answer(body=OTHER + bytes(50_000_000), says_length=False)]
    sizes = []

    def problem_with(path):
        sizes.append(path.stat().st_size)
        return "不是它"

    with pytest.raises(Unavailable, match="不是它"):
        resumable.download(server.url + "/a.tgz", target, problem_with, 1000, PATIENT)
    assert sizes == [1000] and os.listdir(target.parent) == []


def test_a_passing_server_error_is_retried(server, target):
    server.answers["/a.tgz"] = [Answer(status=503), Answer(status=500)]
    fetch(server, target)
    assert_complete(target)
    assert len(server.requests) == 3


def test_a_lasting_server_error_goes_to_the_next_address(server, target):
    server.answers["/a.tgz"] = [Answer(status=500)] * 50
    fetch(server, target, ["/a.tgz", "/b.tgz"])
    assert_complete(target)
    assert [request.target for request in server.requests] == ["/a.tgz"] * 3 + ["/b.tgz"]


@pytest.mark.parametrize("answer", [Answer(silent=True), Answer(send=0, stall=True)], ids=["silent", "headers only"])
def test_an_address_that_never_answers_is_given_up(server, target, answer):
    server.answers["/a.tgz"] = [answer] * 50
    fetch(server, target, ["/a.tgz", "/b.tgz"], timing=QUICK)
    assert_complete(target)
    assert [request.target for request in server.requests] == ["/a.tgz", "/b.tgz"]  # 等够了就不再重试


def test_nobody_listens_there(server, target, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # 占着却不听
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/a.tgz"
        assert fetch(server, target, [dead, "/a.tgz"]) == ["连不上，或连接在中途断开"]
    assert_complete(target)
    assert "再试" not in capsys.readouterr().out  # 不通的地址只由调用者说一句


def test_bytes_are_kept_as_they_are(server, target):
    """有的服务器把 .tgz 标成 Content-Encoding: gzip；照标签解开，哈希就对不上了。"""
    server.answers["/a.tgz"] = [Answer(headers=(("Content-Encoding", "gzip"),), says_length=False)]
    fetch(server, target)
    assert_complete(target)


def test_follows_a_redirect(server, target):
    server.answers["/a.tgz"] = [Answer(status=302, body=b"moved", headers=(("Location", "/b.tgz"),))]
    fetch(server, target)
    assert_complete(target)


def test_proxy_variable_is_honoured(server, target, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY" if os.name == "nt" else "http_proxy", server.url)
    url = "http://flowers.example/a.tgz"
    fetch(server, target, [url])
    assert_complete(target)
    assert server.requests[0].target == url


def test_slow_download_hints_once(server, target, capsys):
    server.answers["/a.tgz"] = [Answer(send=HALF)]
    fetch(server, target, timing=Timing(answer=5, pauses=(0.01,), slow=0, slow_after=0), slow_hint="不想等")
    assert capsys.readouterr().out.count("不想等") == 1


def test_interrupt_keeps_the_part_and_says_so(server, target, monkeypatch, capsys):
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
            fetch(server, target)
    kept = part_of(target)
    assert str(kept) in capsys.readouterr().out
    size = kept.stat().st_size
    assert size > 0 and not target.exists()
    fetch(server, target)
    assert_complete(target)
    assert server.requests[-1].headers["Range"] == f"bytes={size}-"


def test_a_full_disk_is_not_blamed_on_the_address(server, target, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(resumable.Progress, "update", fail)
        with pytest.raises(OSError) as failure:
            fetch(server, target)
    assert failure.value.errno == errno.ENOSPC
    fetch(server, target)
    assert_complete(target)


def test_a_wrong_clock_is_not_blamed_on_the_certificate(monkeypatch):
    import requests

    assert "证书不被信任" in requesting.reason(requests.exceptions.SSLError())
    monkeypatch.setattr(time, "localtime", lambda: time.gmtime(0))
    assert "1970 年" in requesting.reason(requests.exceptions.SSLError())
