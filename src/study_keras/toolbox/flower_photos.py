"""取得 flower_photos：五种花的 3,670 张照片，放到 data/flower_photos。

依次试几个地址；断了会接着下载（HTTP Range），核对过 SHA-256 才解压，解压完整才改成正式的名字。
照片来自 TensorFlow 的 example_images，知识共享署名（CC-BY）许可，作者见其中的 LICENSE.txt。
单独运行：python src/study_keras/toolbox/flower_photos.py
"""

import os
import re
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # 直接运行时也能找到 toolbox

import argparse

from toolbox.downloads import resumable
from toolbox.downloads.archive import extract
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.commands import command
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import DATA_DIR, sha256_of
from toolbox.terminal.leftovers import remove_leftovers
from toolbox.terminal.locks import one_process_at_a_time
from toolbox.terminal.run import run_main
from toolbox.terminal.text import visible

FOLDER_NAME = "flower_photos"
URLS = (  # 同一个存储桶的两个名字，常有人只能连上其中一个
    "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
    "http://download.tensorflow.org/example_images/flower_photos.tgz",
)
URL_VARIABLE = "STUDY_KERAS_FLOWER_PHOTOS_URL"
SIZE = 228_813_984  # 字节
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
SCRIPT = command("toolbox/flower_photos.py")
WAYS_OUT = (
    f"要真实照片，有三个办法：一、运行 {SCRIPT} --url 地址（或设环境变量 {URL_VARIABLE}），换一个你能访问的镜像；"
    f"二、从别处拿到 flower_photos.tgz，运行 {SCRIPT} --archive 文件；"
    "三、运行课文脚本时加 --images-dir 文件夹，用你自己的照片。不要真实照片，就加 --drawn，用画的花"
)
ELSEWHERE = f"运行 {SCRIPT} --data-dir 文件夹（一共要约 500 MB，已下载的会留着；课文脚本再用 --images-dir 指明）"
SLOW_HINT = "不想等可以按 Ctrl-C（已下载的会留着），再运行课文脚本时加 --drawn，先用画的花。"


class DownloadFailed(UserError):
    """每个地址都拿不到照片。"""


def fetch(data_dir=DATA_DIR, urls=(), archive=None, sha256=SHA256, timing=resumable.DEFAULT_TIMING):
    """取得照片，返回 data_dir/flower_photos（一个子文件夹一个类别）；已经有了就直接返回。

    Args:
        data_dir: 压缩包与照片放在哪里。
        urls: 排在最前面的地址，http(s):// 或 file://；其后是环境变量里的，最后是 URLS。
        archive: 已经在手里的 .tgz 文件；给了就不下载。
        sha256: 压缩包应有的 SHA-256；与 SHA256 不同时不再试 URLS，那里没有这个文件。
        timing: 等多久、重试几次，见 resumable.Timing。

    Raises:
        DownloadFailed: 每个地址都拿不到。
        UserError: 压缩包不对或不安全，地址写错，磁盘满了，没有权限，名字被占。
    """
    data_dir = Path(os.path.expanduser(data_dir))
    folder = data_dir / FOLDER_NAME
    with disk_errors(data_dir, ELSEWHERE):
        remove_leftovers(data_dir)
        if _holds_classes(folder):
            if urls or archive:
                print(f"已经有 {visible(folder)} 了，不再取。要换一份，请先移走它。", flush=True)
            return folder
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} 已存在，但里面没有按类别分的子文件夹。请先移走它。")
        addresses = [] if archive else _addresses(urls, sha256)
        data_dir.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(data_dir / f".{FOLDER_NAME}.lock", "取照片"):
            if not _holds_classes(folder):  # 等的时候，别的进程可能已经取好了
                found = _brought(archive, sha256) if archive else _download(data_dir, addresses, sha256, timing)
                extract(found, folder, _holds_classes)
                for part in data_dir.glob(f"{FOLDER_NAME}*.tgz.part"):  # 没有下完的，用不着了
                    part.unlink()
    return folder


def _holds_classes(folder):
    """正式名字下的文件夹只会是完整的，所以有两个以上的类别就算数。"""
    return folder.is_dir() and sum(entry.is_dir() and entry.name[0] != "." for entry in folder.iterdir()) >= 2


def _addresses(urls, sha256):
    own = [*urls, *filter(None, [os.environ.get(URL_VARIABLE)])]
    for url in own:
        try:
            known = urlsplit(url).scheme in ("http", "https", "file")
        except ValueError:  # 方括号不成对之类
            known = False
        if not known:
            raise UserError(f"地址 {visible(url)} 不认识，要以 http://、https:// 或 file:// 开头。")
    if sha256 != SHA256 and not own:
        raise UserError("--sha256 要与 --url 或 --archive 一起用：内置的地址只有原来的 flower_photos.tgz。")
    return own if sha256 != SHA256 else [*own, *URLS]


def _download(data_dir, addresses, sha256, timing):
    """依次试每个地址，返回核对过 SHA-256 的压缩包。"""
    name = f"{FOLDER_NAME}.tgz" if sha256 == SHA256 else f"{FOLDER_NAME}-{sha256[:8]}.tgz"
    archive = data_dir / name
    if archive.is_file():
        if sha256_of(archive) == sha256:
            return archive
        print(f"{visible(archive)} 的 SHA-256 不符，不用它，重新下载。", flush=True)
    print(f"取照片 {name} ……", flush=True)
    size = SIZE if sha256 == SHA256 else None
    for url in addresses:
        try:
            if urlsplit(url).scheme == "file":
                return _local_file(url, sha256)
            resumable.download(url, archive, partial(_problem_with, sha256=sha256), size, timing, SLOW_HINT)
            print(f"压缩包留在 {visible(archive)}，有了照片就可以删掉。", flush=True)
            return archive
        except resumable.Unavailable as error:
            print(f"  {visible(_short(url))} 不行：{visible(error)}", flush=True)
    raise DownloadFailed(f"试过 {len(addresses)} 个地址，都下载不到 {name}。{WAYS_OUT}。")


def _short(url):
    """地址的主机与文件名，一行放得下；不带密码。"""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    folder, _, name = parts.path.rpartition("/")
    return visible(f"{host}/…/{name}" if folder else f"{host}/{name}")


def _problem_with(archive, sha256):
    return None if sha256_of(archive) == sha256 else "SHA-256 不符"


def _local_file(url, sha256):
    """file:// 指着的文件就地使用，不复制；不符也不删，那是读者自己的。"""
    parts = urlsplit(url)
    path = Path(url2pathname(f"//{parts.netloc}{parts.path}" if parts.netloc not in ("", "localhost") else parts.path))
    if not path.is_file():
        raise resumable.Unavailable(f"没有 {path} 这个文件")
    if problem := _problem_with(path, sha256):
        raise resumable.Unavailable(problem)
    return path


def _brought(archive, sha256):
    """读者自己带来的压缩包；内容不是约定的那一个，就要读者用 --sha256 说明信得过它。"""
    archive = Path(os.path.expanduser(archive))
    actual = sha256_of(archive)
    if actual != sha256:
        raise UserError(
            f"{archive} 的 SHA-256 是 {actual}，应当是 {sha256}：可能没有下载完整。"
            f"如果它是你信得过的另一个压缩包，请加上 --sha256 {actual} 再运行。"
        )
    return archive


def _sha256_text(text):
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("要 64 个十六进制数字")
    return text.lower()


def main(argv=None):
    parser = ArgumentParser(
        "取得 flower_photos（五种花的 3,670 张照片，229 MB）：下载、核对、解压；断了再运行一次会接着下载。"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help=f"先试这个地址（http://、https://、file://），可以给多个；环境变量 {URL_VARIABLE} 排在它后面",
    )
    source.add_argument("--archive", metavar="FILE", help="不下载，用已经在手里的 flower_photos.tgz")
    parser.add_argument(
        "--sha256", type=_sha256_text, default=SHA256, metavar="HEX", help="压缩包应有的 SHA-256；换了压缩包才需要"
    )
    parser.add_argument("--data-dir", default=str(DATA_DIR), metavar="DIR", help="放在哪里")
    args = parser.parse_args(argv)
    folder = fetch(args.data_dir, args.url or (), args.archive, args.sha256)
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    counts = "，".join(f"{entry.name} {sum(1 for _ in entry.iterdir())} 张" for entry in classes)
    print(f"照片在 {visible(folder)}：{visible(counts)}。")
    print(f"接下来用它上第 1 课：\n  {command('hello_transfer_learning.py', '--images-dir', folder)}")


if __name__ == "__main__":
    run_main(main)
