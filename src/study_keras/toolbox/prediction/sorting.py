"""把照片按认出的类别整理进各个文件夹，记下每一步，可以撤销。从不覆盖已有的文件；中途被杀也不丢一张照片。"""

import errno
import functools
import itertools
import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from toolbox.photos.names import trouble
from toolbox.prediction.rows import NONE_OF_THESE
from toolbox.terminal.commands import command
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import absolute, sha256_of
from toolbox.terminal.journal import new_journal, read_journal, stays_inside, write_step
from toolbox.terminal.leftovers import remove_leftovers
from toolbox.terminal.text import some_of, visible
from toolbox.terminal.transfer import OCCUPIED, put_back, remove, transfer

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
                    problem = _problem_of_one(error, source, sorter)
                    if problem is None:
                        raise
        if problem:
            print(f"没有整理：{visible(source.file)}：{problem}", file=sys.stderr)

    try:
        yield put
    finally:
        sorter.close()
        if sorter.same:
            print(f"{sorter.same} 张在那里已有同样的，没有再复制", file=sys.stderr)
        if sorter.log:
            again = command("hello_predict.py", "--undo", sorter.log)
            print(f"整理了 {sorter.count} 张；要撤销，请运行 {again}", file=sys.stderr)


def _problem_of_one(error, source, sorter):
    """只影响这一张的出错，说成几个字；不是就返回 None。

    exFAT 的名字里不能有冒号，等等。Windows 把认不得的错误都算作 EINVAL，那里另看它自己的编号：123 是名字不对。
    """
    about_names = errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG
    if error.errno in about_names and getattr(error, "winerror", None) in (None, 123):
        return "那里的磁盘不容许这个名字" if source.path.exists() and sorter.folder.is_dir() else None
    if isinstance(error, PermissionError) and str(error.filename) == str(absolute(source.path)):
        return "正被别的程序开着，或不让删"
    return None


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
        self._names = dict(zip([*labels, None], _folder_names([*labels, NONE_OF_THESE]), strict=True))
        for name in self._names.values():
            remove_leftovers(self.folder / name)
        self.log, self._file, self.count, self.same = None, None, 0, 0
        self._sha256 = functools.lru_cache(10_000)(lambda path, changed: sha256_of(path))  # 同名的多时，不必一遍遍地算

    def put(self, path, answer):
        """整理一张：path 放进 answer（类别的名字，都不像是 None）的文件夹。已有相同的（同名、同内容）就不再复制。"""
        name, path = Path(path), absolute(path)
        sha256, size = sha256_of(path), path.stat().st_size
        for target in _free_names(self.folder / self._names[answer], name):
            moved = False
            if os.path.lexists(target):
                if absolute(target) == path or _is_the_only_name(target, path):  # 已经在它该在的地方
                    return
                same = self._holds(target, size, sha256)
                if same and not self._move:
                    self.same += 1
                    return
                moved = same and target.samefile(path)  # 移动到一半被杀：同一个文件的两个名字，只差删掉旧的
                if not moved:
                    continue
            self._write_down(path, target, sha256)
            try:
                remove(path) if moved else transfer(path, target, self._move)
            except FileExistsError:
                if not os.path.lexists(target):  # 不是同名的：类别的文件夹那里有一个文件
                    raise
                continue  # 别的程序刚刚放进来一个同名的
            self.count += 1
            return

    def _holds(self, target, size, sha256):
        """target 是不是有这些内容的文件。"""
        if not target.is_file():
            return False
        status = target.stat()
        return status.st_size == size and self._sha256(target, status.st_mtime_ns) == sha256

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


def _is_the_only_name(target, path):
    """target 与 path 是不是同一个文件惟一的名字的两种写法（大小写不分的磁盘，挂载了两处）：删掉一个就没有了。"""
    same = target.exists() and target.samefile(path)
    return same and (path.stat().st_nlink == 1 or target.parent.samefile(path.parent))


def _folder_names(labels):
    """各个类别的文件夹的名字。类别名来自模型文件夹，不能让它指到别处去；处理之后重名的加编号。"""
    names = []
    for label in labels:
        name = _FORBIDDEN.sub("_", label) or "_"
        name = f"_{name}" if trouble(name) or name.startswith(".") else name
        taken = {other.casefold() for other in names}
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names.append(next(each for each in itertools.chain([name], numbered) if each.casefold() not in taken))
    return names


def _free_names(folder, path):
    yield folder / path.name
    for i in itertools.count(2):
        stem, ending = path.stem, f" ({i}){path.suffix}"
        while stem and len(os.fsencode(stem + ending)) > _LONGEST_NAME:
            stem = stem[:-1]
        yield folder / (stem + ending)


def undo(log):
    """撤销一次整理，说出结果：复制来的删掉，移动的放回原处；内容变了的、原处已有别的文件的、原处没有了的复制品，都不动。

    Raises:
        UserError: 不是整理记录，或有收不回的。
    """
    log = absolute(log)
    entries, torn = _read_log(log)
    folders = {(log.parent / entry["to"]).parent for entry in entries}
    for folder in folders:
        remove_leftovers(folder)
    undone, gone, lost, kept = 0, 0, [], []
    for entry in reversed(entries):
        source, target = Path(entry["from"]), log.parent / entry["to"]
        if not target.is_file():
            gone += 1
            lost += [entry["to"]] if entry["moved"] and not source.is_file() else []
        elif reason := _take_back(source, target, entry):
            kept.append(f"{entry['to']}：{reason}")
        else:
            undone += 1
    for folder in folders:
        with suppress(OSError):
            if os.path.realpath(folder) == str(folder):  # 读者自己建的链接不删：Windows 上，指向的不空也删得掉
                folder.rmdir()  # 只删得掉空的
    said = [f"撤销了 {undone} 个"]
    said += [f"{gone} 个已不在（没有做成，或撤销过、移走了）"] if gone else []
    said += [f"其中 {some_of(lost)} 也不在原处"] if lost else []
    said += ["记录的最后一行没有写完，那一个没有动手"] if torn else []
    for reason in kept:
        print(f"没有动：{visible(reason)}", file=sys.stderr)
    print("，".join(said) + "。")
    if kept:
        raise UserError(f"{len(kept)} 个没有收回，原因见上。处理之后可以再撤销一次，收回过的不受影响。")
    os.replace(log, log.with_name(f"{log.stem}{UNDONE}{log.suffix}"))


def _take_back(source, target, entry):
    """收回一个；不能收回就返回为什么。"""
    if sha256_of(target) != entry["sha256"]:
        return "整理之后内容变了"
    reason = put_back(target, source) if entry["moved"] or source.is_file() else OCCUPIED
    if reason == OCCUPIED and not entry["moved"]:
        reason = "没有同样的一份了，这一份留着"
    return reason and f"原处 {source} {reason}"


def _read_log(log):
    """(各步, 最后一行是不是没有写完)。"""
    wrong = UserError(f"{visible(log)} 不是整理记录（--sort-into 写的 整理记录-….jsonl）。请检查 --undo 的路径。")
    if not log.is_file():
        raise wrong
    try:
        entries, torn = read_journal(log)
        for entry in entries:
            if not all(isinstance(entry[key], str) for key in ("from", "to", "sha256")):
                raise ValueError(entry)
            if entry["to"].count("/") != 1 or not stays_inside(entry["to"]):  # 看文字：类别的文件夹可以是链接
                raise ValueError(entry)
            entry["moved"] = bool(entry["moved"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise wrong from None
    if not entries:
        raise wrong
    return entries, torn
