"""与 flower_photos.tgz 同样布局的小压缩包，以及对下载、解压结果的检查。"""

import hashlib
import io
import random
import tarfile
from pathlib import Path

from toolbox.downloads.resumable import Timing

QUICK = Timing(answer=1, pauses=(0.01, 0.02, 0.03))
PATIENT = Timing(answer=5, pauses=(0.01, 0.02, 0.03))  # 不靠超时的测试用它，机器忙时也不会误判


def make_archive(seed=0, extra=()):
    """两个类别、一份许可；extra 是另加的 (TarInfo, 内容)。"""
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


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def assert_extracted(folder, archive=ARCHIVE):
    """解压出来的与压缩包逐字节相同；旁边没有半成品。"""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        expected = {m.name.removeprefix("flower_photos/"): tar.extractfile(m).read() for m in tar if m.isfile()}
    assert folder.name == "flower_photos" and files_in(folder) == expected
    assert not list(folder.parent.glob("*.part*")) and not list(folder.parent.glob(".*.writing"))


def without_proxies(monkeypatch):
    """不受读者机器上的代理影响。"""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
