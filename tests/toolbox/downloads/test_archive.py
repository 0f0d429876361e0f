"""解压：只要普通文件，一个也不落到外面；坏的、不安全的、大得不正常的整个拒绝，什么也不留下。"""

import errno
import gzip
import os
import subprocess
import sys
import tarfile

import pytest

from conftest import LESSONS_DIR
from flower_archives import ARCHIVE, HALF, assert_extracted, files_in, make_archive, pack
from toolbox.downloads import archive
from toolbox.terminal.errors import UserError


def extract(tmp_path, data):
    """把 data 写成文件，解压，返回得到的文件夹。"""
    path = tmp_path / "带来的 花.tgz"
    path.write_bytes(data)
    folder = tmp_path / "data" / "flower_photos"
    folder.parent.mkdir(exist_ok=True)
    archive.extract(path, folder, lambda found: (found / "daisy").is_dir())
    return folder


def assert_refused(tmp_path, data, message):
    with pytest.raises(UserError, match=message) as failure:
        extract(tmp_path, data)
    assert str(failure.value).isprintable() and len(str(failure.value)) < 600
    assert files_in(tmp_path).keys() == {"带来的 花.tgz"} and os.listdir(tmp_path / "data") == []


def test_extracts(tmp_path):
    assert_extracted(extract(tmp_path, ARCHIVE))


def evil(name, kind=tarfile.REGTYPE, link="../../evil", pax=()):
    info = tarfile.TarInfo(name)
    info.pax_headers = dict(pax)
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
    "sparse": evil("flower_photos/daisy/a.jpg", tarfile.GNUTYPE_SPARSE),
    "sparse by pax": evil("flower_photos/daisy/a.jpg", pax={"GNU.sparse.map": "0,1", "GNU.sparse.size": "99999999999"}),
    "stream": evil("flower_photos/daisy/a.jpg:stream"),
    "NUL": evil("flower_photos/daisy/a.jpg", pax={"path": "flower_photos/daisy/a\0b.jpg"}),
    "newline": evil("flower_photos/daisy/a\nb.jpg"),
    "escape": evil("flower_photos/daisy/\x1b[2J.jpg"),
    "long name": evil("flower_photos/daisy/" + 300 * "x"),
    "claims 5 GB": evil("flower_photos/daisy/a.jpg", pax={"size": str(5 << 30)}),
    "claims less than nothing": evil("flower_photos/daisy/a.jpg", pax={"size": "-512"}),
}


@pytest.mark.parametrize("member", EVIL.values(), ids=EVIL)
def test_unsafe_archive_is_refused_whole(tmp_path, member):
    assert_refused(tmp_path, make_archive(extra=[(member, b"")]), "不安全")


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
def test_useless_archive_is_refused(tmp_path, data, message):
    assert_refused(tmp_path, data, message)


def file(name):
    return tarfile.TarInfo(f"flower_photos/daisy/{name}"), b"x"


@pytest.mark.parametrize(
    "extra",
    [[file("0.jpg")], [file("0.jpg/inside.jpg")], [(tarfile.TarInfo("flower_photos"), b"x")]],
    ids=["same name", "file as folder", "folder as file"],
)
def test_names_in_each_others_way_are_refused(tmp_path, extra):
    assert_refused(tmp_path, make_archive(extra=extra), "不是完整的")


def test_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 200_000)  # 真的有 300,000 字节
    assert_refused(tmp_path, ARCHIVE, "太大")


def test_endless_padding_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000_000)
    assert_refused(tmp_path, gzip.compress(gzip.decompress(ARCHIVE) + bytes(20_000_000)), "内容太多")


def test_too_many_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 6)  # 真的有 7 个
    assert_refused(tmp_path, ARCHIVE, "太多")


def header(kind, size):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_an_endless_header_is_refused_before_it_is_read(tmp_path, kind):
    assert_refused(tmp_path, gzip.compress(header(kind, 7 << 30) + bytes(1 << 20)), "文件头太长")


def test_headers_without_end_are_refused(tmp_path):
    chain = 5000 * (header(tarfile.GNUTYPE_LONGNAME, 4) + b"name".ljust(512, b"\0"))
    assert_refused(tmp_path, gzip.compress(chain), "不是完整的")


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    """重新压缩过，gzip 的校验和是对的；tarfile 见到坏的文件头就当作到此为止。"""
    tar = bytearray(gzip.decompress(ARCHIVE))
    place = tar.index(b"flower_photos/roses/0.jpg")
    tar[place] ^= 1
    assert_refused(tmp_path, gzip.compress(tar), "坏的文件头")


def test_an_archive_without_the_two_blocks_at_the_end_is_complete(tmp_path):
    tar = gzip.decompress(ARCHIVE).rstrip(b"\0")
    assert_extracted(extract(tmp_path, gzip.compress(tar + bytes(-len(tar) % 512))))


def test_times_and_permissions_of_the_archive_do_not_matter(tmp_path):
    info = evil("flower_photos/daisy/new.jpg", pax={"mtime": "nan"})
    info.mode = 0
    folder = extract(tmp_path, make_archive(extra=[(info, b"content")]))
    assert (folder / "daisy" / "new.jpg").read_bytes() == b"content"


def test_a_full_disk_is_not_blamed_on_the_archive(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(archive.shutil, "copyfileobj", fail)
        with pytest.raises(OSError) as failure:
            extract(tmp_path, ARCHIVE)
    assert failure.value.errno == errno.ENOSPC and os.listdir(tmp_path / "data") == []
    assert_extracted(extract(tmp_path, ARCHIVE))


def test_leftover_of_a_killed_extraction_is_cleared(tmp_path):
    script = (
        f"import os, sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        "from toolbox.terminal.files import folder_written_aside\n"
        f"os.mkdir({str(tmp_path / 'data')!r})\n"
        f"with folder_written_aside({str(tmp_path / 'data' / 'flower_photos')!r}) as aside:\n"
        "    (aside / 'half').touch(); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    assert len(os.listdir(tmp_path / "data")) == 1
    (tmp_path / "data" / "flower_photos").mkdir()  # 空的文件夹不碍事
    assert_extracted(extract(tmp_path, ARCHIVE))
    assert os.listdir(tmp_path / "data") == ["flower_photos"]
