"""把照片按认出的类别整理进各个文件夹，记下每一步，可以撤销。从不覆盖已有的文件；中途被杀也不丢一张照片。"""

import errno
import itertools
import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from toolbox.photos.names import trouble
from toolbox.prediction.rows import NONE_OF_THESE
from toolbox.terminal.commands import command
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import absolute, sha256_of
from toolbox.terminal.journal import new_journal, read_journal, write_step
from toolbox.terminal.leftovers import remove_leftovers
from toolbox.terminal.text import visible
from toolbox.terminal.transfer import put_back, transfer

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]+$')  # Windows 的文件名里不能有的，各个系统一样处理
_LONGEST_NAME = 255  # 字节；各个文件系统都容得下
UNDONE = "（已撤销）"


@contextmanager
def sorting_into(folder, labels, move):
    """给出整理一张的函数 put(Source, 它的答案)，整理不了的说出来；最后说整理了几张、怎样撤销。

    Args:
        folder: 整理进哪里；None 就什么也不做。
        labels, move: 同 Sorter。
    """
    if folder is None:
        yield lambda source, answer: None
        return
    sorter = Sorter(folder, labels, move)

    def put(source, answer):
        problem = _why_not(source, move)
        if problem is None:
            with disk_errors(folder, "用 --sort-into 换一个地方"):
                try:
                    sorter.put(source.path, answer)
                except OSError as error:
                    if not (_is_about_the_name(error) and source.path.exists() and sorter.folder.is_dir()):
                        raise
                    problem = "那里的磁盘不容许这个名字"
        if problem:
            print(f"没有整理：{visible(source.file)}：{problem}", file=sys.stderr)

    try:
        yield put
    finally:
        sorter.close()
        if sorter.log:
            again = command("hello_predict.py", "--undo", sorter.log)
            print(f"整理了 {sorter.count} 张；要撤销，请运行 {again}", file=sys.stderr)


def _is_about_the_name(error):
    """exFAT 的名字里不能有冒号，等等。Windows 把认不得的错误都算作 EINVAL，那里另看它自己的编号：123 是名字不对。"""
    about_names = errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG
    return error.errno in about_names and getattr(error, "winerror", None) in (None, 123)


def _why_not(source, move):
    if source.path is None:
        return "来自网址"
    if move and source.linked:  # 移走的会是链接那一头的文件
        return "经过链接，不移动"
    return None if os.path.lexists(source.path) else "已经不在了"  # 认完才不见的


class Sorter:
    """把照片复制（或移动）到 folder/类别/ 里。

    每一步先记在 folder/整理记录-时间.jsonl 里，再动手。一行一步：{"from": 原处, "to": 相对 folder 的新处, "moved",
    "sha256"}。

    Raises:
        UserError: folder 是文件。
    """

    def __init__(self, folder, labels, move=False):
        self.folder, self._move = absolute(folder), move
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"--sort-into {visible(self.folder)} 是一个文件。请换一个文件夹。")
        self._names = _folder_names([*labels, NONE_OF_THESE])
        for name in self._names.values():
            remove_leftovers(self.folder / name)
        self.log, self._file, self.count = None, None, 0

    def put(self, path, answer):
        """整理一张：path 放进 answer（类别的名字，或都不像）的文件夹。已有相同的（同名、同内容）就不再复制。"""
        path = absolute(path)
        sha256 = sha256_of(path)
        for target in _free_names(self.folder / self._names[answer], path):
            if target.exists():
                if target.samefile(path):  # 已经在它该在的地方
                    return
                if not self._move and target.is_file() and sha256_of(target) == sha256:
                    return
                continue
            self._write_down(path, target, sha256)
            try:
                transfer(path, target, self._move)
            except FileExistsError:  # 别的程序刚刚放进来一个同名的
                continue
            self.count += 1
            return

    def _write_down(self, path, target, sha256):
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log = self.folder / f"整理记录-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"
            self._file = new_journal(self.log)
        to = target.relative_to(self.folder).as_posix()
        write_step(self._file, {"from": str(path), "to": to, "moved": self._move, "sha256": sha256})

    def close(self):
        if self._file is not None:
            self._file.close()


def _folder_names(labels):
    """{类别: 文件夹的名字}。类别名来自模型文件夹，不能让它指到别处去；处理之后重名的加编号。"""
    names = {}
    for label in labels:
        name = _FORBIDDEN.sub("_", label) or "_"
        name = f"_{name}" if trouble(name) or name.startswith(".") else name
        taken = {other.casefold() for other in names.values()}
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names[label] = next(each for each in itertools.chain([name], numbered) if each.casefold() not in taken)
    return names


def _free_names(folder, path):
    yield folder / path.name
    for i in itertools.count(2):
        stem, ending = path.stem, f" ({i}){path.suffix}"
        while stem and len(os.fsencode(stem + ending)) > _LONGEST_NAME:
            stem = stem[:-1]
        yield folder / (stem + ending)


def report_undo(log):
    """撤销一次整理，说出结果。

    Raises:
        UserError: 不是整理记录，或有收不回的。
    """
    said, kept = undo(log)
    for reason in kept:
        print(f"没有动：{visible(reason)}", file=sys.stderr)
    print("，".join(said) + "。")
    if kept:
        raise UserError(f"{len(kept)} 个没有收回，原因见上。处理之后可以再撤销一次，收回过的不受影响。")


def undo(log):
    """撤销一次整理：复制来的删掉，移动的放回原处；内容变了的、原处已有别的文件的、原处没有了的复制品，都不动。返回要说的几句话。

    Raises:
        UserError: 不是整理记录。
    """
    log = absolute(log)
    entries, torn = _read_log(log)
    undone, gone, lost, kept = 0, 0, [], []
    for entry in reversed(entries):
        source, target = Path(entry["from"]), log.parent / entry["to"]
        if not target.is_file():
            gone += 1
            lost += [entry["to"]] if entry["moved"] and not source.is_file() else []
        elif sha256_of(target) != entry["sha256"]:
            kept.append(f"{entry['to']}：整理之后内容变了")
        elif reason := _take_back(source, target, entry):
            kept.append(f"{entry['to']}：{reason}")
        else:
            undone += 1
    for folder in {log.parent / entry["to"] for entry in entries}:
        try:
            folder.parent.rmdir()  # 只删得掉空的
        except OSError:
            pass
    said = [f"撤销了 {undone} 个"]
    said += [f"{gone} 个已不在（没有做成，或撤销过、移走了）"] if gone else []
    shown = "、".join(map(visible, lost[:5])) + (f" 等 {len(lost)} 个" if len(lost) > 5 else "")
    said += [f"其中 {shown} 也不在原处"] if lost else []
    said += ["记录的最后一行没有写完，那一个没有动手"] if torn else []
    if not kept:
        os.replace(log, log.with_name(f"{log.stem}{UNDONE}{log.suffix}"))
    return said, kept


def _take_back(source, target, entry):
    """收回一个；不能收回就返回为什么。"""
    if (entry["moved"] or source.is_file()) and put_back(target, source):
        return ""
    return f"原处 {source} {'已有别的文件' if entry['moved'] else '没有同样的一份了，这一份留着'}"


def _read_log(log):
    """(各步, 最后一行是不是没有写完)。"""
    wrong = UserError(f"{visible(log)} 不是整理记录（--sort-into 写的 整理记录-….jsonl）。请检查 --undo 的路径。")
    if not log.is_file():
        raise wrong
    try:
        entries, torn = read_journal(log)
        for entry in entries:
            inside = Path(log.parent, entry["to"]).resolve().is_relative_to(log.parent)
            if not inside or not isinstance(entry["from"], str) or not isinstance(entry["sha256"], str):
                raise ValueError(entry)
            entry["moved"] = bool(entry["moved"])
    except (ValueError, KeyError, TypeError):
        raise wrong from None
    if not entries:
        raise wrong
    return entries, torn
