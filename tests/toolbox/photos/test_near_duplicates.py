"""相同与几乎相同的照片：看明暗也看颜色，不连成一长串，不分到两部分。"""

import shutil

import numpy as np
from PIL import Image

from conftest import random_pixels, save_jpeg
from toolbox.photos.folder import open_folder
from toolbox.photos.near_duplicates import NEAR_DUPLICATE_BITS, NEAR_DUPLICATE_COLOR, fingerprint, group_near_duplicates
from toolbox.photos.split import split_photos


def print_of(bits, color=100):
    return int(bits).to_bytes(8, "big") + bytes([color]) * 48


def groups_of(prints, class_names=None):
    names = [f"{i:064x}" for i in range(len(prints))]
    return group_near_duplicates(names, class_names or ["a"] * len(prints), prints)


def test_duplicates_and_near_duplicates_share_a_part(photo_dir):
    for i in range(12):
        original = Image.open(photo_dir / "daisy" / f"{i:02}.jpg")
        shutil.copy(photo_dir / "daisy" / f"{i:02}.jpg", photo_dir / "tulips" / f"copy{i}.jpg")
        original.resize((100, 75)).save(photo_dir / "daisy" / f"smaller{i}.jpg", quality=60)
    folder = open_folder(photo_dir)
    for seed in range(5):
        split = split_photos(folder.photos, validation=0.2, test=0.2, seed=seed)
        part = {folder.name(photo): name for name, photos in split.items() for photo in photos}
        for i in range(12):
            assert part[f"daisy/{i:02}.jpg"] == part[f"tulips/copy{i}.jpg"] == part[f"daisy/smaller{i}.jpg"]


def test_groups_match_comparing_every_pair():
    """每一张都与组里的第一张几乎相同；没有归到谁那里的，与前面的组首都差得多。"""
    rng = np.random.default_rng(0)
    prints = []
    for value in rng.integers(0, 2**63, 60, np.uint64):
        for _ in range(3):
            flips = sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 6), replace=False))
            prints.append(print_of(int(value) ^ flips, 100 + int(rng.integers(0, 12))))
    groups, too_alike = groups_of(prints)

    def near(a, b):
        bits = (int.from_bytes(a[:8], "big") ^ int.from_bytes(b[:8], "big")).bit_count()
        return bits <= NEAR_DUPLICATE_BITS and abs(a[8] - b[8]) <= NEAR_DUPLICATE_COLOR

    leaders = []
    for i, print_ in enumerate(prints):
        expected = next((j for j in leaders if near(prints[j], print_)), i)
        leaders += [i] if expected == i else []
        assert int(groups[i], 16) == expected
    assert 60 <= len(leaders) < 180 and not too_alike


def test_a_chain_of_small_steps_does_not_become_one_group():
    groups, _ = groups_of([print_of((1 << i) - 1) for i in range(60)])  # 每张与前一张只差一位
    assert len(set(groups)) >= 8


def test_near_identical_only_within_a_class_identical_across():
    names = ["1" * 64, "2" * 64, "2" * 64, "3" * 64]
    groups, _ = group_near_duplicates(
        names, ["a", "a", "b", "b"], [print_of(0), print_of(1), print_of(1), print_of(0xFFFF << 20)]
    )
    assert groups == ["1" * 64] * 3 + ["3" * 64]
    apart, _ = groups_of([print_of(0), print_of(1)], ["a", "b"])
    assert len(set(apart)) == 2


def test_groups_do_not_depend_on_the_order():
    rng = np.random.default_rng(1)
    prints = [print_of(int(rng.integers(0, 4)) * 7) for _ in range(40)]
    names = [f"{value:064x}" for value in rng.permutation(40)]
    groups = dict(zip(names, group_near_duplicates(names, ["a"] * 40, prints)[0], strict=True))
    order = rng.permutation(40)
    again, _ = group_near_duplicates([names[i] for i in order], ["a"] * 40, [prints[i] for i in order])
    assert dict(zip([names[i] for i in order], again, strict=True)) == groups


def test_pictures_that_differ_in_color_only_are_different():
    def solid(red):
        return fingerprint(Image.new("RGB", (64, 48), (red, 0, 0)))

    def lamp(color):
        image = Image.new("RGB", (64, 96), (40, 40, 40))
        image.paste(color, (20, 20, 44, 44))
        return fingerprint(image)

    shades = [solid(180 + 10 * i) for i in range(6)] + [lamp((200, 40, 40)), lamp((40, 140, 40))]
    assert len(set(groups_of(shades)[0])) == 8


def test_the_same_picture_smaller_and_recompressed_is_near(tmp_path):
    image = Image.open(save_jpeg(tmp_path / "a.jpg", 3, height=300, width=400))
    image.resize((200, 150)).save(tmp_path / "b.jpg", quality=50)
    prints = [fingerprint(image), fingerprint(Image.open(tmp_path / "b.jpg"))]
    assert len(set(groups_of(prints)[0])) == 1


def test_thousands_of_near_equal_photos_are_compared_with_few(monkeypatch):
    """与组首比较，不两两比较：要算的差别数与张数成正比。"""
    compared = []
    count = np.bitwise_count
    monkeypatch.setattr(np, "bitwise_count", lambda values: compared.append(len(values)) or count(values))
    rng = np.random.default_rng(2)
    groups_of([print_of((1 << int(a)) | (1 << int(b)), 100 + int(c)) for a, b, c in rng.integers(0, 6, (4000, 3))])
    assert len(compared) == 4000 and sum(compared) <= 4000 * 8 * 4


def test_a_class_of_one_scene_is_split_photo_by_photo_and_said(tmp_path, capsys):
    for i in range(30):
        pixels = random_pixels(1).astype(int) + i % 3
        folder = tmp_path / "固定"
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{i}.jpg", quality=95 - i)
    for i in range(30):
        save_jpeg(tmp_path / "各样" / f"{i}.jpg", 100 + i)
    folder = open_folder(tmp_path)
    parts = split_photos(folder.photos, 0.2, seed=3)
    assert [len(parts[part]) for part in ("train", "validation")] == [48, 12]
    folder.report()
    output = capsys.readouterr().out
    assert "类别 固定 有 30 张几乎相同" in output and "不可信" in output and "类别 各样 有" not in output
