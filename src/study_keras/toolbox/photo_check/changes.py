"""改动清单（JSON）：第 5 课的报告页面可以下载一份，由 --apply 照办。清单来自外面，先全部看过再动。"""

import json

from toolbox.photo_check.moving import LEAVE_OUT, RELABEL, Move, safe_path
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import absolute
from toolbox.terminal.text import visible

_MOST_BYTES = 50_000_000
_RIGHT = "right"  # 看过了，标签是对的：不动


def read_changes(path, root, sources):
    """读一份改动清单，返回 [Move, ...]；有一项不对，就什么也不返回。

    清单：{"version": 1, "folder": 照片文件夹, "changes": [各项]}。一项是 {"file": "roses/a.jpg", "action": 动作}：
    "relabel"（另有 "label": 新的类别）、"leave_out"（移走）、"right"（看过，标签是对的）。

    Args:
        root: 照片文件夹。
        sources: [(文件夹, 类别, 部分), ...]，见 folder.class_folders。

    Raises:
        UserError: 读不懂，文件不在照片文件夹里，类别不认识，等等；说出是第几项。
    """
    content = _load(path)
    if content.get("folder") not in (None, visible(root)):
        print(f"注意：清单是给 {visible(content['folder'])} 的，现在用在 {visible(root)} 上。")
    moves, seen = [], set()
    for number, change in enumerate(content["changes"], start=1):
        try:
            move = _move(change, root, sources)
            if change["file"] in seen:
                raise ValueError("前面已经有这个文件")
        except ValueError as error:
            raise UserError(f"清单的第 {number} 项不对：{error}。什么也没有动。") from None
        seen.add(change["file"])
        moves += [move] if move else []
    return moves


def _load(path):
    path = absolute(path)
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"{visible(path)} 太大，不像改动清单。请检查 --apply 的路径。")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        is_list = content["version"] == 1 and isinstance(content["changes"], list)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_list = False
    if not is_list:
        raise UserError(f"{visible(path)} 不是改动清单（JSON，version 1）。请检查 --apply 的路径，或重新下载。")
    return content


def _move(change, root, sources):
    """清单的一项 -> Move；不用动的为 None。不对就抛出 ValueError。"""
    if not isinstance(change, dict) or change.get("action") not in (LEAVE_OUT, RELABEL, _RIGHT):
        raise ValueError(f"action 要是 {RELABEL}、{LEAVE_OUT} 或 {_RIGHT}")
    name = change.get("file")
    path, problem = safe_path(root, name)
    if problem:
        raise ValueError(f"{visible(name)}：{problem}")
    own = next((source for source in sources if path.is_relative_to(source[0])), None)
    if own is None or not path.is_file():
        raise ValueError(f"照片文件夹里没有 {visible(name)}")
    if change["action"] != RELABEL:
        return Move(LEAVE_OUT, name, name) if change["action"] == LEAVE_OUT else None
    label = change.get("label")
    same_part = {class_name: folder for folder, class_name, part in sources if part == own[2]}
    if not isinstance(label, str) or label not in same_part:
        raise ValueError(f"没有 {visible(label)} 这个类别")
    if label == own[1]:
        return None
    return Move(RELABEL, name, (same_part[label] / path.name).relative_to(root).as_posix())
