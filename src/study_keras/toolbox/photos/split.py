"""把照片按内容划分成训练、验证、测试。"""

import hashlib
from collections import Counter, defaultdict

from toolbox.photos.repair_split import repaired
from toolbox.terminal.errors import UserError
from toolbox.terminal.text import visible

PARTS = ("train", "validation", "test")
PART_NAMES = {"train": "训练", "validation": "验证", "test": "测试"}


def split_photos(photos, validation=0.2, test=0.0, seed=0):
    """把照片划分成 {"train": [...], "validation": [...], "test": [...]}，各保持原来的顺序。

    每一类各自按比例分，准到一组之内：20 张的 0.2 就是 4 张。各组按“位置”（由 seed 与内容算出的哈希）排好，
    测试从一头取，验证从另一头取，余下的训练；所以只看内容与 seed，与文件名、文件夹、机器无关，添一张照片
    顶多让另外一张左右换部分。相同与几乎相同的照片（同一个 group）总在一起。比一部分该有的张数还大的组归训练。
    照片已有给定的划分（photo.part）时照办；要的部分它没有，就从给定的训练里按比例分出来。

    实得的张数与要的差一成以上（且差一张以上）时打印出来。

    Raises:
        UserError: 没法让每一类在每一部分都有照片。
    """
    shares = {"test": test, "validation": validation}
    if any(photo.part for photo in photos):
        part_of = _given(photos, shares, seed)
    else:
        part_of = _part_of_groups(photos, shares, seed)
        part_of = {id(photo): part_of[photo.group] for photo in photos}
    parts = {part: [photo for photo in photos if part_of[id(photo)] == part] for part in PARTS}
    if not any(photo.part for photo in photos):
        _say_sizes(parts, {**shares, "train": 1 - validation - test})
    return parts


def split_folder(folder, validation=0.2, test=0.0, seed=0):
    """split_photos(folder.photos, ...)；同样的划分只做一次：几万张照片时，一次要几秒。"""
    asked = (validation, test, seed)
    if asked not in folder.splits:
        folder.splits[asked] = split_photos(folder.photos, *asked)
    return folder.splits[asked]


def _given(photos, shares, seed):
    """照给定的划分；要的部分没有给，就从给定的训练里分。"""
    given = {photo.part for photo in photos}
    wanted = {part: share if part not in given else 0 for part, share in shares.items()}
    for part in sorted({"train", *(part for part, share in shares.items() if share > 0 and part in given)}):
        have = {photo.class_name for photo in photos if photo.part == part}
        if lacking := sorted({photo.class_name for photo in photos} - have):
            raise UserError(
                f"给定的划分里，{PART_NAMES[part]}没有类别 {visible(lacking[0])} 能用的照片（几份里都有的不算训练的）。"
                "请给它添上，或不用给定的划分。"
            )
    part_of = {id(photo): photo.part for photo in photos}
    for part, share in wanted.items():
        if share > 0:
            print(f"注意：给定的划分里没有能用的{PART_NAMES[part]}照片，从给定的训练里分出 {share:.0%}。")
    if any(wanted.values()):
        training = [photo for photo in photos if photo.part == "train"]
        part_of_group = _part_of_groups(training, wanted, seed)
        part_of |= {id(photo): part_of_group[photo.group] for photo in training}
    return part_of


def _part_of_groups(photos, shares, seed):
    """{group: 部分}。shares：{"test": 比例, "validation": 比例}。"""
    held_out = [part for part, share in shares.items() if share > 0]
    sizes = defaultdict(Counter)  # {group: {类别: 张数}}
    for photo in photos:
        sizes[photo.group][photo.class_name] += 1
    # 位置看上去随机，但只由 group 与 seed 决定
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    sizes = {group: sizes[group] for group in order}
    _refuse_few(sizes, len(held_out) + 1)
    totals = sum(sizes.values(), Counter())
    quotas = {}
    for name, count in totals.items():
        for part in held_out:  # 四舍五入；1e-9 抵消 0.15 * 30 这类小数的误差
            quotas[name, part] = max(1, int(shares[part] * count + 0.5 + 1e-9))
        quotas[name, "train"] = count - sum(quotas[name, part] for part in held_out)
    return repaired(_by_position(sizes, held_out, shares, quotas), sizes, [*held_out, "train"], quotas)


def _refuse_few(sizes, parts):
    """一类的组比部分还少：一定分不成。"""
    groups = Counter(name for counts in sizes.values() for name in counts)
    for name in sorted(groups):
        if groups[name] < parts:
            few = f"类别 {visible(name)} 只有 {groups[name]} 张互不相同的照片"
            raise UserError(f"{few}，分不成 {parts} 部分。请添加照片，或移走这一类。")


def _by_position(sizes, held_out, shares, quotas):
    """按位置分：先分跨类别的组，再让只属于一类的组补足每一类的差额。返回 {group: 部分}。"""
    left = dict(quotas)
    part_of = {}
    alike = defaultdict(list)  # {涉及的类别: [group, ...]}
    for group, counts in sizes.items():
        alike[tuple(sorted(counts))].append(group)
    for names in sorted(alike, key=lambda names: (-len(names), names)):
        rest = alike[names]
        for number, part in enumerate(held_out):
            wanted = left[names[0], part]
            if len(names) > 1:
                wanted = shares[part] * sum(sizes[group].total() for group in alike[names]) / len(names)
            enough = _lacking(names[0], [*held_out[number + 1 :], "train"], part_of, sizes) if len(names) == 1 else 0
            order = rest if number == 0 else rest[::-1]
            taken = _take(order, names, part, left, wanted, len(order) - enough, sizes)
            if not taken and order and len(names) == 1 and _lacking(names[0], [part], part_of, sizes):
                taken = [min(order, key=lambda group: sizes[group].total())]
            for group in taken:
                part_of[group] = part
            rest = [group for group in rest if group not in part_of]
        part_of |= dict.fromkeys(rest, "train")
    return part_of


def _lacking(name, parts, part_of, sizes):
    """parts 中有几部分还没有类别 name 的照片。"""
    have = {part for group, part in part_of.items() if name in sizes[group]}
    return len(set(parts) - have)


def _take(order, names, part, left, wanted, most, sizes):
    """依次取组，直到各类差额都补足；一组若让张数离目标更远就跳过它。left 随之减少。"""
    taken = []
    for group in order:
        if len(taken) >= most or wanted < 0.5:
            break
        size = sizes[group].total() / len(names)
        if 2 * wanted > size and all(2 * left[name, part] > sizes[group][name] for name in names):
            taken.append(group)
            wanted -= size
            for name in names:
                left[name, part] -= sizes[group][name]
    return taken


def _say_sizes(parts, shares):
    """要的与实得的差一成以上：说出来，先总数，再逐类（至多五类）。"""
    counts = {part: Counter(photo.class_name for photo in photos) for part, photos in parts.items()}
    totals = sum(counts.values(), Counter())
    lines = []
    for name in [None, *sorted(totals)]:
        total = totals[name] if name else totals.total()
        reached = {part: counts[part][name] if name else counts[part].total() for part in PARTS}
        asked = {part: shares[part] * total for part in PARTS}
        far = [part for part in PARTS if abs(reached[part] - asked[part]) > max(0.1 * asked[part], 1)]
        if far:
            sizes = "，".join(f"{PART_NAMES[part]}要 {asked[part]:.0f} 张，得 {reached[part]} 张" for part in far)
            lines.append(f"  {'类别 ' + visible(name) if name else '总数'}：{sizes}")
    if lines:
        print("注意：划分的张数与要的差一成以上：相同或几乎相同的照片必须在一起，或照片太少。")
        print("\n".join(lines[:6]) + (f"\n  ……共 {len(lines)} 项" if len(lines) > 6 else ""))
