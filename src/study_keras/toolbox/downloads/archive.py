"""安全地解压 .tgz：只要普通文件，一个也不许落到文件夹外面。"""

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import PureWindowsPath

from toolbox.terminal.errors import UserError


def extract(archive, folder, is_right):
    """把 archive 里名为 folder.name 的文件夹解压成 folder：先解压在旁边，完整了才改名。

    Args:
        archive: .tgz 文件。
        folder: Path，目标文件夹；不存在，或是空的。
        is_right: 函数，判断解压出的文件夹是不是想要的。

    Raises:
        UserError: 不是完整的压缩包，有不安全的成员（整个拒绝），或里面不是想要的。
    """
    print(f"解压 {archive} ……", flush=True)
    aside = folder.with_name(f".{folder.name}.extracting")
    shutil.rmtree(aside, ignore_errors=True)  # 被强行结束的运行留下的
    aside.mkdir()
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            # Python 3.11.4 之前没有 data_filter；那时只靠 _check_member
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            for member in tar:
                _check_member(member, archive)
                tar.extract(member, aside)
            while stream.read(1 << 20):  # 读到底，gzip 才会核对校验和
                pass
        if not is_right(aside / folder.name):
            raise UserError(f"{archive} 里没有 {folder.name}/类别/照片 这样的内容。请检查是不是拿错了文件。")
        if folder.exists():
            folder.rmdir()  # 只会是空的；Windows 上不能改名盖住它
        os.replace(aside / folder.name, folder)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{archive} 不是完整的 .tgz 压缩包（{error}）。请重新取一份。") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_member(member, archive):
    path = PureWindowsPath(member.name)  # 它认得两种斜杠和盘符，在哪个系统上都一样严格
    if not (member.isfile() or member.isdir()):
        problem = "不是普通文件"
    elif path.anchor or ".." in path.parts:
        problem = "指向外面"
    else:
        return
    raise UserError(f"{archive} 里的 {member.name!r} {problem}，不安全，没有解压。请换一个来源。")
