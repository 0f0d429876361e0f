"""有组跨类别（一张照片有两个标签）时，按位置分可能让某一类缺一部分：用整数规划换最少的照片来补救。"""

from collections import Counter

import numpy as np

from toolbox.terminal.errors import UserError
from toolbox.terminal.text import visible

_MOST_FREE = 2000  # 组再多就只让每一类、每一部分里最小的二十组可以移动：足够补救，求解仍在一秒上下


def repaired(part_of, sizes, parts, quotas):
    """返回 {group: 部分}：每一类在每一部分都有照片，张数离 quotas 不超过该类最大的一组；本来就好则原样返回。

    Args:
        part_of: {group: 部分}，按位置分的结果。
        sizes: {group: {类别: 张数}}，按位置排好。
        parts: 各部分的名字。
        quotas: {(类别, 部分): 该有的张数}。

    Raises:
        UserError: 怎样移动都不行。
    """
    slack = Counter()
    for counts in sizes.values():
        slack |= counts
    if _is_good(part_of, sizes, quotas, slack):
        return part_of
    free = _free(part_of, sizes)
    chosen = _solve(free, part_of, sizes, parts, quotas, slack)
    if chosen is None:
        have = {(name, part_of[group]) for group, counts in sizes.items() for name in counts}
        lacking = min(((name, part) for name, part in quotas if (name, part) not in have), default=(min(slack), ""))
        raise UserError(
            f"类别 {visible(lacking[0])} 的照片有一些与别的类别内容相同（一张照片两个标签），"
            f"没法让每一类在 {len(parts)} 部分里都有照片。请改正标签、删去重复，或添加照片。"
        )
    return part_of | chosen


def _is_good(part_of, sizes, quotas, slack):
    reached = Counter()
    for group, counts in sizes.items():
        for name, count in counts.items():
            reached[name, part_of[group]] += count
    return all(reached[key] and abs(reached[key] - quota) <= slack[key[0]] for key, quota in quotas.items())


def _free(part_of, sizes):
    """可以移动的组，按位置排好。"""
    if len(sizes) <= _MOST_FREE:
        return list(sizes)
    seen = Counter()
    free = set()
    for group in sorted(sizes, key=lambda group: sizes[group].total()):  # 稳定的排序：同样大的仍按位置
        keys = [(name, part_of[group]) for name in sizes[group]]
        if any(seen[key] < 20 for key in keys):
            free.add(group)
            seen.update(keys)
    return [group for group in sizes if group in free]


def _solve(free, part_of, sizes, parts, quotas, slack):
    """混合整数规划（scipy 的 HiGHS）：x[g, p] 是“组 g 归部分 p”；先让超出 slack 的张数最少，再让移动的照片最少。"""
    from scipy.optimize import Bounds, milp

    variables = len(free) * len(parts)
    everyone = sum(counts.total() for counts in sizes.values())
    moved = [0 if part == part_of[group] else sizes[group].total() for group in free for part in parts]
    result = milp(
        np.array([*moved, *([everyone + 1] * len(quotas))]),
        integrality=np.array([1] * variables + [0] * len(quotas)),
        bounds=Bounds(0, np.array([1] * variables + [np.inf] * len(quotas))),
        constraints=_constraints(free, part_of, sizes, parts, quotas, slack),
    )
    if result.x is None:
        return None
    best = result.x[:variables].reshape(len(free), len(parts)).argmax(axis=1)
    return {group: parts[p] for group, p in zip(free, best, strict=True)}


def _constraints(free, part_of, sizes, parts, quotas, slack):
    """每组归一个部分；每一类在每一部分至少一张，张数离 quotas 不超过 slack 加超出的。变量：各 x，再是各个超出。"""
    from scipy import sparse
    from scipy.optimize import LinearConstraint

    row = {key: i for i, key in enumerate(quotas)}
    variables = len(free) * len(parts)
    have = np.zeros(len(row))
    for group in part_of.keys() - set(free):
        for name, count in sizes[group].items():
            have[row[name, part_of[group]]] += count
    photos = sparse.lil_array((len(row), variables + len(row)))
    for g, group in enumerate(free):
        for p, part in enumerate(parts):
            for name, count in sizes[group].items():
                photos[row[name, part], g * len(parts) + p] = count
    excess = sparse.hstack([sparse.csr_array((len(row), variables)), sparse.eye_array(len(row))])
    once = sparse.kron(sparse.eye_array(len(free)), np.ones((1, len(parts))))
    once = sparse.hstack([once, sparse.csr_array((len(free), len(row)))])
    target = np.array(list(quotas.values())) - have
    allowed = np.array([slack[name] for name, _ in quotas])
    return [
        LinearConstraint(once, 1, 1),
        LinearConstraint(photos, 1 - have),
        LinearConstraint(photos - excess, -np.inf, target + allowed),
        LinearConstraint(photos + excess, target - allowed),
    ]
