"""train/ 与 val/ 这样已经分好的照片文件夹。"""

from collections import defaultdict

from toolbox.terminal.errors import UserError
from toolbox.terminal.text import some_of, visible

_PART_OF_FOLDER = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_KEPT_FIRST = ("test", "validation", "train")


def parts_in(root, names, subfolders):
    """root 下哪些子文件夹是一份划分：{文件夹名: 部分}；不是现成的划分则为空。

    要有两份以上，而且它们的子文件夹（类别）有相同的；或者 train 里分了类、别的那份没有分（例如没有标签的测试）。

    Args:
        subfolders: 函数，文件夹 -> 子文件夹名的列表。
    """
    parts = {name: _PART_OF_FOLDER[name.casefold()] for name in names if name.casefold() in _PART_OF_FOLDER}
    if len(set(parts.values())) < 2:
        return {}
    inner = [set(subfolders(root / name)) for name in parts]
    agree = any(a & b for i, a in enumerate(inner) for b in inner[:i])
    trained = any(len(inner[i]) >= 2 for i, part in enumerate(parts.values()) if part == "train")
    return parts if agree or trained else {}


def refuse(root, parts):
    """没有说要照给定的划分：给出合适的建议。"""
    train = next((name for name, part in parts.items() if part == "train"), next(iter(parts)))
    raise UserError(
        f"{visible(root)} 下的 {'、'.join(map(visible, parts))} 是分好的几份，不是类别。"
        "要照着它划分，请加上 --given-split；"
        f"只用其中一份、重新划分，请直接用 {visible(root / train)} 。"
    )


def sources(root, parts, walk):
    """(类别名, [(文件夹, 类别, 部分), ...])。

    Raises:
        UserError: 不是现成的划分，没有训练的一份，或有的类别不在训练里。
    """
    if not parts:
        raise UserError(f"{visible(root)} 下没有 train、val 这样分好的几份。请去掉 --given-split。")
    classes = defaultdict(set)
    found = []
    for name, part in parts.items():
        for class_name in walk.subfolders(root / name):
            classes[part].add(class_name)
            found.append((root / name / class_name, class_name, part))
    every = set().union(*classes.values())
    missing = sorted(every - classes["train"])
    if missing:
        raise UserError(f"训练的一份里没有类别 {some_of(missing)}。请添上，或不用 --given-split。")
    return sorted(every), found


def without_leaks(photos):
    """(留下的照片, [(照片, 原因), ...])：同一组照片出现在几份里，只留在测试（其次验证）里。"""
    first = {}
    for photo in photos:
        rank = _KEPT_FIRST.index(photo.part)
        first[photo.group] = min(rank, first.get(photo.group, rank))
    kept, left_out = [], []
    for photo in photos:
        keeper = _KEPT_FIRST[first[photo.group]]
        if photo.part == keeper:
            kept.append(photo)
        else:
            name = "测试" if keeper == "test" else "验证"
            left_out.append((photo, f"与给定的{name}照片相同或几乎相同，留着就是泄漏"))
    return kept, left_out
