"""划分：每一类准到一组之内，每一类在每一部分都有，相同的照片总在一起，只看内容与种子。"""

import itertools
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import save_jpeg
from toolbox.photos.folder import Photo, PhotoFolder, open_folder
from toolbox.photos.split import split_folder, split_photos
from toolbox.terminal.errors import UserError


def photo(group, class_name, number=0):
    name = f"{group}-{class_name}-{number}"
    return Photo(name, class_name, name, str(group))


def part_of_files(photos, **kwargs):
    return {photo.file: part for part, members in split_photos(photos, **kwargs).items() for photo in members}


def test_split_depends_on_content_only(photo_dir, tmp_path):
    def parts(root, **kwargs):
        split = split_photos(open_folder(root).photos, **kwargs)
        return {photo.sha256: part for part, photos in split.items() for photo in photos}

    before = parts(photo_dir, validation=0.15, test=0.15)
    assert len(before) == 36 and set(before.values()) == {"train", "validation", "test"}
    other = tmp_path / "另一处"
    shutil.copytree(photo_dir, other)
    for i, path in enumerate(sorted(other.glob("*/*.jpg"))):
        path.rename(path.with_name(f"改名{97 * i % 36}.jpg"))
    assert parts(other, validation=0.15, test=0.15) == before
    assert parts(photo_dir, validation=0.15, test=0.15, seed=1) != before


def test_adding_a_photo_moves_at_most_about_one_other():
    photos = [photo(f"{name}{i}", name) for name in "ab" for i in range(50)]
    before = part_of_files(photos, validation=0.15, test=0.15)
    moved = []
    for i in range(60):
        after = part_of_files([*photos, photo(f"new{i}", "a")], validation=0.15, test=0.15)
        moved.append(sum(after[file] != part for file, part in before.items()))
        assert all(after[file] == part for file, part in before.items() if "-b-" in file)
    assert max(moved) <= 2 and sum(moved) <= 60


def test_each_class_is_exact_to_one_group():
    photos = [photo(f"{name}{i}", name) for name, count in (("a", 20), ("b", 7), ("c", 101)) for i in range(count)]
    for seed in range(50):
        parts = split_photos(photos, validation=0.2, seed=seed)
        assert Counter(photo.class_name for photo in parts["validation"]) == {"a": 4, "b": 1, "c": 20}
        assert not parts["test"]


def test_a_group_larger_than_its_part_goes_to_training():
    photos = [photo("big", "a", i) for i in range(30)] + [photo(i, "a") for i in range(20)]
    for seed in range(30):
        parts = split_photos(photos, validation=0.2, seed=seed)
        assert len(parts["validation"]) == 10 and all(photo.group != "big" for photo in parts["validation"])


@st.composite
def crossing_groups(draw):
    """2 至 4 类；每一组有一类或几类的照片，每类 1 至 5 张。"""
    names = "abcd"[: draw(st.integers(2, 4))]
    members = st.dictionaries(st.sampled_from(names), st.integers(1, 5), min_size=1)
    groups = draw(st.lists(members, min_size=len(names), max_size=40))
    return [photo(g, name, i) for g, counts in enumerate(groups) for name in counts for i in range(counts[name])]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(crossing_groups(), st.sampled_from([(0.2, 0.0), (0.15, 0.15), (0.4, 0.3)]), st.integers(0, 9))
def test_no_leak_nothing_missing_sizes_within_one_group(photos, shares, seed):
    shares = {"validation": shares[0], "test": shares[1], "train": 1 - sum(shares)}
    names = sorted({photo.class_name for photo in photos})
    groups_of = {name: {photo.group for photo in photos if photo.class_name == name} for name in names}
    wanted = [part for part, share in shares.items() if share]
    try:
        parts = split_photos(photos, shares["validation"], shares["test"], seed)
    except UserError as error:
        assert "\n" not in str(error)
        plenty = [g for g in set().union(*groups_of.values()) if sum(g in groups for groups in groups_of.values()) == 1]
        alone = {name: sum(g in groups_of[name] for g in plenty) for name in names}
        assert min(alone.values()) < len(wanted)  # 每类有足够多只属于它的组时，一定分得成
        return
    assert sorted(photo.file for members in parts.values() for photo in members) == sorted(p.file for p in photos)
    where = {}
    for part, members in parts.items():
        for member in members:
            assert where.setdefault(member.group, part) == part
    largest = Counter()
    for (name, _), count in Counter((photo.class_name, photo.group) for photo in photos).items():
        largest[name] = max(largest[name], count)
    for name in names:
        total = sum(photo.class_name == name for photo in photos)
        reached = {part: sum(photo.class_name == name for photo in parts[part]) for part in wanted}
        assert min(reached.values()) > 0
        if all(sum(name in {p.class_name for p in photos if p.group == g} for name in names) == 1 for g in where):
            for part in wanted:  # 没有跨类别的组：准到一组（加上至少一张、四舍五入的一张）
                assert abs(reached[part] - shares[part] * total) <= largest[name] + 1


@st.composite
def few_crossing_groups(draw):
    """各组在各类里的张数：整数数组 (3 至 6 组, 2 或 3 类)，每类至少一张；跨类别的组很多。"""
    classes = draw(st.integers(2, 3))
    row = st.lists(st.integers(0, 4), min_size=classes, max_size=classes).filter(any)
    counts = np.array(draw(st.lists(row, min_size=3, max_size=6)))
    return counts[:, counts.any(axis=0)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(few_crossing_groups(), st.sampled_from([(0.2, 0.0), (0.15, 0.15), (0.4, 0.3)]), st.integers(0, 9))
def test_crossing_groups_sizes_are_as_near_as_any_split_can_be(counts, shares, seed):
    """有跨类别的组时的界：只要有一种分法让各类在各部分的张数离该有的不超过该类最大的一组，就分成这样；没有，
    超出的总张数也是所有分法里最少的；没有一种分法让每一类在每一部分都有照片，才报错。与穷举的比。"""
    shares = {"train": 1 - sum(shares), "validation": shares[0], "test": shares[1]}
    wanted = [part for part, share in shares.items() if share]
    totals, largest = counts.sum(axis=0), counts.max(axis=0)
    quota = {part: np.maximum(1, np.floor(shares[part] * totals + 0.5 + 1e-9)) for part in wanted[1:]}
    quota["train"] = totals - sum(quota.values())

    def excess(chosen):
        """各种分法超出的总张数；有一类缺一部分则是无穷大。chosen：(分法, 组)，值是部分的序号。"""
        reached = np.stack([(chosen == p) @ counts for p in range(len(wanted))])  # (部分, 分法, 类)
        far = np.abs(reached - np.stack([quota[part] for part in wanted])[:, np.newaxis]) - largest
        return np.where((reached > 0).all(axis=(0, 2)), np.maximum(far, 0).sum(axis=(0, 2)), np.inf)

    least = excess(np.array(list(itertools.product(range(len(wanted)), repeat=len(counts))))).min()
    photos = [
        photo(g, name, i)
        for g, row in enumerate(counts.tolist())
        for name, count in zip("abc", row, strict=False)
        for i in range(count)
    ]
    try:
        parts = split_photos(photos, shares["validation"], shares["test"], seed)
    except UserError:
        assert least == np.inf
        return
    part_of_group = {member.group: wanted.index(part) for part, members in parts.items() for member in members}
    assert excess(np.array([[part_of_group[str(g)] for g in range(len(counts))]]))[0] == least


def test_crossing_groups_that_chance_would_leave_out():
    photos = [photo("both", "a"), photo("both", "b"), photo("a1", "a"), photo("b1", "b"), photo("b2", "b")]
    for seed in range(30):
        for members in list(split_photos(photos, seed=seed).values())[:2]:
            assert {member.class_name for member in members} == {"a", "b"}
    with pytest.raises(UserError, match="两个标签"):
        split_photos([photo(i, name) for i, names in enumerate(["ab", "bc", "ac"]) for name in names])


def test_split_is_stratified_and_never_empty(tmp_path):
    for k in range(2):
        for i in range(3):
            save_jpeg(tmp_path / f"class{k}" / f"{i}.jpg", 10 * k + i)
    photos = open_folder(tmp_path).photos
    for seed in range(20):
        for part in split_photos(photos, validation=0.15, test=0.15, seed=seed).values():
            assert sorted({photo.class_name for photo in part}) == ["class0", "class1"]
    with pytest.raises(UserError, match="分不成 3 部分"):
        split_photos([photo for photo in photos if photo.path.name != "0.jpg"], validation=0.2, test=0.2)


def test_part_of_a_folder_is_split_anew_not_as_the_whole_was(tmp_path):
    """做过的划分记在 PhotoFolder 里；dataclasses.replace 出来的一部分不能用它。"""
    whole = PhotoFolder(tmp_path, ["a", "b"], [photo(f"{name}{i}", name) for name in "ab" for i in range(10)])
    split = split_folder(whole)
    assert split_folder(whole) is split and sum(map(len, split.values())) == 20
    part = replace(whole, photos=[photo for photo in whole.photos if photo.class_name == "a"], class_names=["a"])
    assert sorted(p.file for photos in split_folder(part).values() for p in photos) == sorted(
        p.file for p in part.photos
    )


def test_sizes_far_from_those_asked_are_said(capsys):
    photos = [photo(f"{name}{i // 10}", name, i) for name in "ab" for i in range(30)]  # 每类三组，各十张
    split_photos(photos, validation=0.15, test=0.15)
    assert "总数：训练要 42 张，得 20 张，验证要 9 张，得 20 张" in capsys.readouterr().out
    split_photos([photo(f"{name}{i}", name) for name in "ab" for i in range(30)], validation=0.15, test=0.15)
    assert capsys.readouterr().out == ""


def test_given_split_is_kept_and_what_it_lacks_comes_from_training(capsys):
    def given_photos(**counts):
        return [
            replace(photo(f"{part}{name}{i}", name), part=part)
            for part, count in counts.items() for name in "ab" for i in range(count)
        ]  # fmt: skip

    photos = given_photos(train=20, validation=5)
    parts = split_photos(photos, validation=0.2)
    assert {part: len(members) for part, members in parts.items()} == {"train": 40, "validation": 10, "test": 0}
    assert all(member.part == part for part, members in parts.items() for member in members)
    parts = split_photos(photos, validation=0.15, test=0.15)
    assert {part: len(members) for part, members in parts.items()} == {"train": 34, "validation": 10, "test": 6}
    assert parts == split_photos(photos, validation=0.15, test=0.15)
    parts = split_photos(given_photos(train=20, test=5), validation=0.2)
    assert {part: len(members) for part, members in parts.items()} == {"train": 32, "validation": 8, "test": 10}
    assert "没有能用的验证照片，从给定的训练里分出 20%" in capsys.readouterr().out
    with pytest.raises(UserError, match="训练没有类别 a"):  # 训练的每一张都在别的几份里
        split_photos(given_photos(validation=5, test=5))
    with pytest.raises(UserError, match="验证没有类别 b"):
        split_photos([member for member in photos if (member.part, member.class_name) != ("validation", "b")])


def test_real_photos_have_no_leak(real_photos):
    folder = open_folder(real_photos)
    assert not folder.problems
    split = split_photos(folder.photos, validation=0.15, test=0.15)
    groups = {part: {photo.group for photo in photos} for part, photos in split.items()}
    assert not groups["train"] & groups["validation"] and not groups["train"] & groups["test"]
    for part, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        for name in folder.class_names:
            total = sum(photo.class_name == name for photo in folder.photos)
            assert abs(sum(photo.class_name == name for photo in split[part]) / total - share) < 0.02
