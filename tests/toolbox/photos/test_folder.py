"""照片文件夹：什么照片都读对或点名排除；划分不泄漏。"""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import random_pixels, save_jpeg
from toolbox.photos import folder as photo_folder
from toolbox.photos.folder import open_folder
from toolbox.photos.near_duplicates import NEAR_DUPLICATE_BITS, group_near_duplicates
from toolbox.photos.read import open_image, read_photo
from toolbox.photos.split import split_photos
from toolbox.terminal.errors import UserError


def reading_of(path):
    return np.asarray(open_image(path)).astype(int)


def difference(pixels, expected):
    assert pixels.shape == expected.shape
    return np.abs(pixels - expected).max()


def test_plain_formats_are_read_alike(tmp_path):
    expected = random_pixels(1)
    for suffix in ("png", "bmp", "tif", "webp", "ppm"):
        options = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(expected).save(tmp_path / f"a.{suffix}", **options)
        assert difference(reading_of(tmp_path / f"a.{suffix}"), expected) == 0, suffix
    Image.fromarray(expected).save(tmp_path / "a.jpg", quality=95)
    assert difference(reading_of(tmp_path / "a.jpg"), expected) < 30


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    upright = Image.fromarray(random_pixels(2))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # 拍照时相反的变换（Image.Transpose）
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert difference(reading_of(tmp_path / "a.png"), np.asarray(upright)) == 0


def test_grayscale_palette_and_cmyk(tmp_path):
    pixels = random_pixels(3)
    gray = Image.fromarray(pixels).convert("L")
    gray.save(tmp_path / "gray.png")
    assert difference(reading_of(tmp_path / "gray.png"), np.asarray(gray.convert("RGB"))) == 0
    palette = Image.fromarray(pixels).quantize(32)
    palette.save(tmp_path / "palette.gif")
    assert difference(reading_of(tmp_path / "palette.gif"), np.asarray(palette.convert("RGB"))) == 0
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert difference(reading_of(tmp_path / "cmyk.jpg"), pixels) < 40


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_scaled_not_clipped(tmp_path, suffix):
    gray = np.asarray(Image.fromarray(random_pixels(4)).convert("L"))
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / f"a.{suffix}")
    assert difference(reading_of(tmp_path / f"a.{suffix}")[..., 0], gray) <= 1


def test_transparency_becomes_white(tmp_path):
    pixels = np.dstack([random_pixels(5), np.full((90, 120), 255, np.uint8)])
    pixels[:40, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reading = reading_of(tmp_path / "a.png")
    assert (reading[:40] == 255).all() and difference(reading[40:], pixels[40:, :, :3]) == 0
    transparent_palette = Image.fromarray(random_pixels(5)).quantize(16)
    transparent_palette.save(tmp_path / "b.png", transparency=0)
    is_transparent = np.asarray(transparent_palette) == 0
    assert (reading_of(tmp_path / "b.png")[is_transparent] == 255).all()


def test_large_jpeg_is_decoded_small_but_the_same(tmp_path):
    pixels = random_pixels(6, height=2400, width=3200)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    assert min(open_image(tmp_path / "a.jpg").size) == 600
    expected = np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR)).astype(int)
    assert difference(read_photo(tmp_path / "a.jpg"), expected) < 12


def bad_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    whole = save_jpeg(folder / "whole.jpg", 7, height=300, width=400).read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("这不是照片", encoding="utf-8")
    (folder / "notes.txt").write_text("笔记", encoding="utf-8")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    Image.new("L", (20000, 20000)).save(folder / "huge.png")
    return {"empty.jpg", "truncated.jpg", "text.jpg", "notes.txt", "phone.heic", "huge.png"}


def test_bad_files_are_named_counted_and_left_out(photo_dir, capsys):
    bad = bad_files(photo_dir / "roses")
    (photo_dir / "roses" / ".hidden.jpg").write_bytes(b"x")
    (photo_dir / "roses" / "Thumbs.db").write_bytes(b"x")
    (photo_dir / ".git").mkdir()
    folder = open_folder(photo_dir)
    assert {path.name for path, _ in folder.problems} == bad
    assert len(folder.photos) == 36 and folder.class_names == ["daisy", "roses", "tulips"]
    folder.report()
    output = capsys.readouterr().out
    assert all(name in output for name in bad) and f"排除了 {len(bad)} 个" in output


def test_nested_chinese_and_spaced_names(photo_dir):
    save_jpeg(photo_dir / "小 雏菊" / "第 一层" / "内 层" / "图 1.JPG", 900)
    save_jpeg(photo_dir / "小 雏菊" / "图 2.jpeg", 901)
    folder = open_folder(photo_dir)
    names = [folder.name(photo) for photo in folder.photos if photo.class_name == "小 雏菊"]
    assert names == ["小 雏菊/图 2.jpeg", "小 雏菊/第 一层/内 层/图 1.JPG"]


def test_unreadable_file_is_a_problem(photo_dir, monkeypatch):
    def refuse(path):
        if path.name == "00.jpg" and path.parent.name == "daisy":
            raise PermissionError(errno.EACCES, "Permission denied")
        return path.open("rb").read()

    monkeypatch.setattr(Path, "read_bytes", refuse)
    folder = open_folder(photo_dir)
    assert [path.name for path, _ in folder.problems] == ["00.jpg"] and len(folder.photos) == 35


def test_folders_that_cannot_be_used(photo_dir, tmp_path):
    def refusal(path):
        with pytest.raises(UserError) as error:
            open_folder(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "不存在" in refusal(tmp_path / "nowhere")
    assert "是一个文件" in refusal(photo_dir / "daisy" / "00.jpg")
    assert "至少要两个" in refusal(photo_dir / "daisy")
    assert str(photo_dir) in refusal(photo_dir.parent)  # 指到了上一层：告诉读者该用哪一层
    (photo_dir / "empty").mkdir()
    assert "类别 empty 只有 0 张" in refusal(photo_dir)
    save_jpeg(photo_dir / "empty" / "one.jpg", 999)
    assert "类别 empty 只有 1 张" in refusal(photo_dir)
    (photo_dir / "empty" / "two.jpg").write_bytes(b"")
    assert "two.jpg" in refusal(photo_dir)


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
    for i in range(30):
        save_jpeg(other / "roses" / f"new{i}.jpg", 5000 + i)
    after = parts(other, validation=0.15, test=0.15)
    assert {sha256: after[sha256] for sha256 in before} == before  # 添加照片，旧的不动
    assert parts(photo_dir, validation=0.15, test=0.15, seed=1) != before


def test_duplicates_and_near_duplicates_share_a_part(photo_dir):
    for i in range(12):
        original = Image.open(photo_dir / "daisy" / f"{i:02}.jpg")
        shutil.copy(photo_dir / "daisy" / f"{i:02}.jpg", photo_dir / "tulips" / f"copy{i}.jpg")
        original.resize((100, 75)).save(photo_dir / "roses" / f"smaller{i}.jpg", quality=60)
    folder = open_folder(photo_dir)
    for seed in range(5):
        split = split_photos(folder.photos, validation=0.2, test=0.2, seed=seed)
        part = {folder.name(photo): name for name, photos in split.items() for photo in photos}
        for i in range(12):
            assert part[f"daisy/{i:02}.jpg"] == part[f"tulips/copy{i}.jpg"] == part[f"roses/smaller{i}.jpg"]


def test_groups_match_comparing_every_pair():
    rng = np.random.default_rng(0)
    seeds = rng.integers(0, 2**63, 60, np.uint64)
    fingerprints = []
    for value in seeds:
        fingerprints.append(int(value))
        flips = rng.choice(64, rng.integers(0, 10), replace=False)
        fingerprints.append(int(value) ^ sum(1 << int(bit) for bit in flips))
    names = [f"{i:064x}" for i in range(len(fingerprints))]
    groups = group_near_duplicates(names, fingerprints)
    for i, a in enumerate(fingerprints):
        for j, b in enumerate(fingerprints):
            if (a ^ b).bit_count() <= NEAR_DUPLICATE_BITS:
                assert groups[i] == groups[j]
    assert len(set(groups)) > 60  # 差得多的没有被并到一起


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


def test_checking_in_worker_processes_gives_the_same(photo_dir, monkeypatch):
    (photo_dir / "roses" / "坏的.jpg").write_bytes(b"")
    if os.name != "nt":  # Windows 上要管理员才能建链接
        (photo_dir / "tulips" / "没了.jpg").symlink_to(photo_dir / "nowhere.jpg")
    alone = open_folder(photo_dir)
    monkeypatch.setattr(photo_folder, "_BYTES_WORTH_A_WORKER", 1)
    monkeypatch.setattr(photo_folder, "_BYTES_PER_WORKER", 1)
    assert open_folder(photo_dir) == alone and alone.problems


def test_real_photos_have_no_leak(real_photos):
    folder = open_folder(real_photos)
    assert not folder.problems
    split = split_photos(folder.photos, validation=0.15, test=0.15)
    groups = {part: {photo.group for photo in photos} for part, photos in split.items()}
    assert not groups["train"] & groups["validation"] and not groups["train"] & groups["test"]
    for part, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        for name in folder.class_names:
            total = sum(photo.class_name == name for photo in folder.photos)
            assert abs(sum(photo.class_name == name for photo in split[part]) / total - share) < 0.07
