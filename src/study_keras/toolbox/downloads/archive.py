"""安全地解压 .tgz：只要普通文件，一个也不许落到文件夹外面，多大、多少个都有上限。"""

import errno
import gzip
import os
import shutil
import tarfile
from pathlib import PureWindowsPath

from toolbox.terminal.errors import UserError
from toolbox.terminal.files import folder_written_aside
from toolbox.terminal.text import visible

MAX_BYTES = 4 << 30  # 解压出来一共最多这么多
MAX_MEMBERS = 100_000
LONGEST_NAME = 255  # 字节
_CHUNK = 1 << 16
# 成员的名字互相冲突，或不能做文件名；None 是 BadGzipFile
_CAUSED_BY_NAMES = (None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENAMETOOLONG)


def extract(archive, folder, is_right):
    """把 archive 里名为 folder.name 的文件夹解压成 folder：先解压在旁边，完整了才改名。

    Args:
        archive: .tgz 文件。
        folder: Path，目标文件夹；不存在，或是空的。
        is_right: 函数，判断解压出的文件夹是不是想要的。

    Raises:
        UserError: 不是完整的压缩包，有不安全的成员（整个拒绝），太大，或里面不是想要的。
        OSError: 写不了磁盘。
    """
    print(f"解压 {visible(archive)} ……", flush=True)
    with folder_written_aside(folder) as aside:
        try:
            with _Stream(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
                for count, member in enumerate(tar, start=1):
                    if problem := _problem_with(member, count, stream):
                        raise UserError(f"{archive} 里的 {problem}，不安全，没有解压。请换一个来源。")
                    _write(tar, member, aside, folder.name)
                if stream.last.strip(b"\0"):  # 坏的文件头，tarfile 当作到此为止
                    raise tarfile.ReadError("中间有坏的文件头")
                while stream.read(_CHUNK):  # 读到底，gzip 才会核对校验和
                    pass
        except UserError:
            raise
        except Exception as error:  # 压缩包不可信，什么样的错都可能有；写磁盘时的错不怪它
            if isinstance(error, OSError) and error.errno not in _CAUSED_BY_NAMES:
                raise
            raise UserError(f"{archive} 不是完整的 .tgz 压缩包（{str(error)[:100]!r}）。请重新取一份。") from error
        if not is_right(aside):
            raise UserError(f"{archive} 里没有 {folder.name}/类别/照片 这样的内容。请检查是不是拿错了文件。")


class _Stream(gzip.GzipFile):
    """解开的内容。tarfile 读文件头时要多少就读多少，所以一次读太多、一共读太多都在这里拦住。last 是最近读的。"""

    last = b""

    def read(self, size=-1):
        if not 0 <= size <= 4 * _CHUNK:
            raise tarfile.ReadError("文件头太长")
        if self.tell() > MAX_BYTES:
            raise tarfile.ReadError("内容太多")
        self.last = super().read(size)
        return self.last


def _problem_with(member, count, stream):
    name = repr(member.name[:LONGEST_NAME])
    path = PureWindowsPath(member.name)  # 它认得两种斜杠和盘符，在哪个系统上都一样严格
    if not (member.isfile() or member.isdir()) or member.issparse():
        return f"{name} 不是普通文件"
    if path.anchor or ".." in path.parts or ":" in member.name:
        return f"{name} 指向外面"
    if any(ord(letter) < 32 for letter in member.name) or len(os.fsencode(member.name)) > LONGEST_NAME:
        return f"{name} 名字不正常"
    if count > MAX_MEMBERS or not 0 <= member.size <= MAX_BYTES - stream.tell():
        return f"{name} 太大或太多"
    return None


def _write(tar, member, aside, folder_name):
    """写出 folder_name 里的一个成员。只要内容，不要时间、权限与主人。"""
    first, *rest = PureWindowsPath(member.name).parts or ("",)
    path = aside.joinpath(*rest)
    if first != folder_name:
        return
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tar.extractfile(member) as source, open(path, "xb") as file:  # 同名的不许有第二个
        shutil.copyfileobj(source, file, _CHUNK)
