"""移走、改标签与移回：先记日志再动，从不删除，从不覆盖。"""

import os
import time
from collections import Counter
from dataclasses import asdict, dataclass

from toolbox.photo_check.findings import KINDS
from toolbox.terminal.commands import command
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import absolute, unused
from toolbox.terminal.journal import new_journal, read_journal, stays_inside, write_step
from toolbox.terminal.leftovers import remove_leftovers
from toolbox.terminal.text import visible
from toolbox.terminal.transfer import put_back, transfer

LEAVE_OUT, RELABEL = "leave_out", "relabel"
_KEEPS_FIRST = {"identical", "near_duplicates"}  # 留下一组的第一张：先测试、验证的，其次像素多的
_ABOUT_PHOTOS = "unreadable truncated misnamed two_labels small dark blurred panorama names labels".split()
MOVABLE = [kind for kind in KINDS if kind in _KEEPS_FIRST or kind in _ABOUT_PHOTOS]


@dataclass(frozen=True)
class Move:
    """一个文件的去处。file：相对于照片文件夹；to：移走的相对于移去的文件夹，改标签的相对于照片文件夹。"""

    action: str
    file: str
    to: str


def chosen_files(findings, kinds):
    """这几种发现里要移走的文件，不重复，依发现的顺序。"""
    files = {}
    for finding in findings:
        if finding.kind in kinds:
            files |= dict.fromkeys(finding.files[1:] if finding.kind in _KEEPS_FIRST else finding.files)
    return list(files)


def aside_folder(move_to, root):
    """移去的文件夹（Path），不在照片文件夹里；没有就建立。

    Raises:
        UserError
    """
    aside = absolute(move_to)
    if aside.is_relative_to(root):
        raise UserError(f"--move-to {visible(aside)} 在照片文件夹里，等于没有移走。请换一个文件夹。")
    if aside.exists() and not aside.is_dir():
        raise UserError(f"--move-to {visible(aside)} 是一个文件。请给一个文件夹。")
    aside.mkdir(parents=True, exist_ok=True)
    return aside


def set_aside(files, root, aside):
    """把 files（相对路径）移到 aside 下同样的相对路径；文件夹、在别处的（经过链接）的不动，点名。"""
    moves = []
    for name in files:
        path, problem = safe_path(root, name)
        if problem := problem or (None if path.is_file() else "不是一个文件"):
            print(f"没有移 {visible(name)}：{problem}")
        else:
            moves.append(Move(LEAVE_OUT, name, name))
    carry_out(moves, root, aside)


def carry_out(moves, root, aside):
    """依次移动，每移一个先在日志（aside 里的 moves-时间.jsonl）里记一行：随时被杀，--undo 都移得回来。"""
    if not moves:
        print("没有要移的文件。")
        return
    for move in moves:
        if problem := safe_path(aside if move.action == LEAVE_OUT else root, move.to)[1]:
            why = f"{visible(move.file)} 要移到的 {visible(move.to)} {problem}，移过去就撤销不了"
            raise UserError(f"{why}。请换一个没有链接的去处，或不动它。什么也没有动。")
    for folder in {_target(move, root, aside).parent for move in moves}:
        remove_leftovers(folder)
    log = unused(aside / time.strftime("moves-%Y%m%d-%H%M%S.jsonl"))
    done = Counter()
    try:
        with disk_errors(aside, "用 --move-to 换一个地方"), new_journal(log) as file:
            for move in moves:
                target, base = unused(_target(move, root, aside)), aside if move.action == LEAVE_OUT else root
                to = target.relative_to(base).as_posix()
                write_step(file, asdict(Move(move.action, move.file, to)))  # 先记，落到磁盘上，再移
                transfer(root / move.file, target, move=True)
                done[move.action] += 1
    finally:  # 中途出错也要说做到了哪里
        left = f"；还有 {len(moves) - done.total()} 个没有动" if done.total() < len(moves) else ""
        changed = f"，改标签 {done[RELABEL]} 个" if done[RELABEL] else ""
        print(f"移走 {done[LEAVE_OUT]} 个到 {visible(aside)}{changed}{left}。")
        if log.exists():
            print(f"日志：{visible(log)}。要移回，请运行 {command('hello_photo_check.py', root, '--undo', log)}")


def undo(log, root):
    """照日志把文件移回原处，从最后一个起；原处已有别的文件的不动，点名。

    Raises:
        UserError: 不是这样的日志，或有移不回的。
    """
    log = absolute(log)
    if log.is_relative_to(root):
        raise UserError(f"日志 {visible(log)} 在照片文件夹里，它该在移去的文件夹里。请先把它移回那里。什么也没有动。")
    moves = _read_log(log, root)
    back, already, stuck = 0, 0, []
    for move in reversed(moves):
        source, target = _target(move, root, log.parent), root / move.file
        if source == target:  # 日志不会这样写
            stuck.append(f"{visible(move.file)}（原处与去处是同一个）")
        elif not os.path.lexists(source):  # 已经移回，或记了日志还没有移就被杀
            already += os.path.lexists(target)
            stuck += [] if os.path.lexists(target) else [f"{visible(move.file)}（哪里都找不到）"]
        elif reason := put_back(source, target):
            stuck.append(f"{visible(move.file)}（原处{reason}）")
        else:
            back += 1
    print(f"移回 {back} 个，本来就在原处的 {already} 个。")
    if stuck:
        raise UserError(f"{len(stuck)} 个没有移回：{'、'.join(stuck[:10])}。请自己看看，别的都已移回。")


def safe_path(folder, name):
    """folder 下名为 name（相对路径，用 / 分隔）的路径；name 来自外面，不可信。

    Returns:
        (路径, 问题)：没有问题则为 None。
    """
    if not isinstance(name, str) or not name or "\0" in name:
        return folder, "不是文件名"
    if not stays_inside(name):
        return folder, "要写成照片文件夹里的相对路径"
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        if folder.joinpath(*parts[:depth]).is_symlink():
            return folder, "经过链接，不在这个文件夹里"
    return folder.joinpath(*parts), None


def _read_log(log, root):
    """日志里的 [Move, ...]；最后一行可能没有写完（被杀），略去。"""
    try:
        moves = [Move(**step) for step in read_journal(log)[0]]
        problems = [safe_path(root, move.file)[1] for move in moves]
        for move in moves:
            base = log.parent if move.action == LEAVE_OUT else root
            problems += [safe_path(base, move.to)[1], None if move.action in (LEAVE_OUT, RELABEL) else "动作不认识"]
    except (ValueError, TypeError) as error:
        raise UserError(f"{visible(log)} 不是移动的日志（{type(error).__name__}）。请检查 --undo 的路径。") from None
    if bad := next((problem for problem in problems if problem), None):
        raise UserError(f"日志 {visible(log)} 里有不该有的路径：{bad}。什么也没有动。")
    return moves


def _target(move, root, aside):
    return (aside if move.action == LEAVE_OUT else root) / move.to
