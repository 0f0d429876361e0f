"""照片文件夹：什么照片都读对或点名排除；名字、链接、系统文件夹、分好的几份。"""

import errno
import os
import shutil
import struct
import sys
import zlib

import pytest
from PIL import Image

from conftest import save_jpeg
from toolbox.photos import check, walk
from toolbox.photos.folder import given_split_hash, is_same_list, open_folder, photo_list_hash
from toolbox.photos.read import read_file
from toolbox.photos.split import split_photos
from toolbox.terminal.errors import UserError

needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows 上要管理员才能建链接")


def refusal(path, **options):
    with pytest.raises(UserError) as error:
        open_folder(path, **options)
    assert str(error.value).isprintable()
    return str(error.value)


def reasons(folder):
    return {path.relative_to(folder.root).as_posix(): reason for path, reason in folder.problems}


def bad_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    whole = save_jpeg(folder / "whole.jpg", 7, height=300, width=400).read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("这不是照片", encoding="utf-8")
    (folder / "notes.txt").write_text("笔记", encoding="utf-8")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    Image.new("RGBA", (8, 8)).save(folder / "huge.png")
    data = (folder / "huge.png").read_bytes()
    header = b"IHDR" + struct.pack(">IIBB", 20000, 20000, 16, 6) + data[26:29]  # 只是声称，仍然很小
    (folder / "huge.png").write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
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
        return read_file(path)

    monkeypatch.setattr(check, "read_file", refuse)
    folder = open_folder(photo_dir)
    assert [path.name for path, _ in folder.problems] == ["00.jpg"] and len(folder.photos) == 35


def test_unreadable_subfolder_is_named(photo_dir, monkeypatch):
    save_jpeg(photo_dir / "roses" / "锁住" / "a.jpg", 900)
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "锁住":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    folder = open_folder(photo_dir)
    assert list(reasons(folder)) == ["roses/锁住"] and "打不开" in reasons(folder)["roses/锁住"]


def test_folders_that_cannot_be_used(photo_dir, tmp_path):
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


def test_photos_outside_the_class_folders_are_named(photo_dir):
    save_jpeg(photo_dir / "散落.jpg", 900)
    (photo_dir / "LICENSE.txt").write_text("CC-BY", encoding="utf-8")
    folder = open_folder(photo_dir)
    assert "类别文件夹之外" in reasons(folder).pop("散落.jpg") and len(folder.problems) == 1
    assert folder.ignored == {"LICENSE.txt": 1} and len(folder.photos) == 36


def test_system_folders_are_ignored_and_said_once(photo_dir, capsys):
    for name in ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".git", "roses/@eaDir"):
        save_jpeg(photo_dir / name / "a.jpg" / "thumb.jpg", 900)
    save_jpeg(photo_dir / "daisy" / "@eaDir" / "b.jpg", 901)
    (photo_dir / "daisy" / "Thumbs.db").write_bytes(b"x")
    folder = open_folder(photo_dir)
    assert folder.class_names == ["daisy", "roses", "tulips"] and len(folder.photos) == 36 and not folder.problems
    assert folder.ignored["@eaDir"] == 2 and folder.ignored["__MACOSX"] == 1
    folder.report()
    lines = [line for line in capsys.readouterr().out.splitlines() if "略过" in line]
    assert len(lines) == 1 and "$RECYCLE.BIN" in lines[0] and "Thumbs.db" in lines[0] and "隐藏" in lines[0]


@needs_links
def test_links_are_followed_once(photo_dir, tmp_path, capsys):
    for i in range(5):
        save_jpeg(tmp_path / "外接" / f"{i}.jpg", 900 + i)
    save_jpeg(tmp_path / "别处.jpg", 950)
    (tmp_path / "外接" / "回头").symlink_to(tmp_path / "外接")
    (photo_dir / "lilies").symlink_to(tmp_path / "外接")
    (photo_dir / "roses" / "一张.jpg").symlink_to(tmp_path / "别处.jpg")
    (photo_dir / "roses" / "上层").symlink_to("..")
    (photo_dir / "roses" / "自己.jpg").symlink_to("自己.jpg")
    (photo_dir / "roses" / "没了.jpg").symlink_to("nowhere.jpg")
    (photo_dir / "roses" / "邻居").symlink_to(photo_dir / "daisy")
    (photo_dir / "roses" / "邻居.jpg").symlink_to(photo_dir / "daisy" / "00.jpg")
    folder = open_folder(photo_dir)
    assert len(folder.photos) == 36 + 5 + 1 and folder.class_names == ["daisy", "lilies", "roses", "tulips"]
    found = reasons(folder)
    assert "已经看过" in found["roses/上层"] and "已经看过" in found["lilies/回头"]
    assert "它自己" in found["roses/自己.jpg"] and "不在了" in found["roses/没了.jpg"]
    assert "另一处" in found["roses/邻居"] and "另一张" in found["roses/邻居.jpg"] and len(found) == 6
    folder.report()
    assert "跟着链接读了 lilies" in capsys.readouterr().out


def test_photos_moved_between_given_parts_are_another_split(photo_dir, tmp_path):
    """给定的划分变了，就不是同样的照片：否则用旧的检查点接着训练，拿训练过的照片来评估。"""
    splits, lists, same = [], [], []
    for swap in (False, True):
        root = tmp_path / f"分好的 {swap}"
        for number, path in enumerate(sorted(photo_dir.glob("*/*.jpg"))):
            part = "val" if (number % 4 == 0) is not swap else "train"
            (root / part / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / part / path.parent.name)
        photos = open_folder(root, given_split=True).photos
        splits.append(given_split_hash(photos))
        settings = {"photos_sha256": photo_list_hash(photos)}  # 以前的，没有记划分
        same.append([is_same_list(settings | {"given_split_sha256": split}, photos) for split in splits])
        assert is_same_list(settings, photos) and not is_same_list({}, photos)
        lists.append(photo_list_hash(photos))
    assert same == [[True], [False, True]]
    plain = open_folder(photo_dir).photos
    assert splits[0] != splits[1] and given_split_hash(plain) == ""
    assert lists == [photo_list_hash(plain)] * 2  # 以前的模型认得出是同样的照片


@needs_links
def test_a_junction_of_windows_is_a_link_too(photo_dir, monkeypatch):
    """Windows 的 junction 不说自己是链接（is_symlink 为假），却通到别处。"""
    (photo_dir / "roses" / "邻居").symlink_to(photo_dir / "daisy")

    class Junction:
        def __init__(self, entry):
            self.name, self.stat, self.is_symlink = entry.name, entry.stat, lambda: False

    scandir = os.scandir
    monkeypatch.setattr(walk.os, "scandir", lambda folder: map(Junction, scandir(folder)))
    folder = open_folder(photo_dir)
    assert len(folder.photos) == 36 and "另一处" in reasons(folder)["roses/邻居"]


@needs_links
def test_links_into_a_hidden_store_are_photos(photo_dir):
    """git-annex、DVC 把文件放在隐藏文件夹里，照片都是链接。"""
    (photo_dir / ".store").mkdir()
    for i, path in enumerate(sorted((photo_dir / "roses").iterdir())):
        path.rename(photo_dir / ".store" / f"{i}")
        path.symlink_to(photo_dir / ".store" / f"{i}")
    assert len(open_folder(photo_dir).photos) == 36


@needs_links
def test_two_links_to_one_place_are_followed_once(photo_dir, tmp_path):
    for i in range(5):
        save_jpeg(tmp_path / "外接" / f"{i}.jpg", 900 + i)
    for name in ("x", "y"):
        (photo_dir / "roses" / name).symlink_to(tmp_path / "外接")
    folder = open_folder(photo_dir)
    assert len(folder.photos) == 36 + 5 and "已经看过" in reasons(folder)["roses/y"]


@needs_links
def test_a_link_that_is_left_out_does_not_hide_another(tmp_path):
    """train/ 旁边的链接不属于划分，没有进去；里面指向同一处的链接照样跟进去，只说它。"""
    root = given_folder(tmp_path / "照片", train={"cat": 6, "dog": 6}, val={"cat": 3, "dog": 3})
    for i in range(5):
        save_jpeg(tmp_path / "外接" / f"{i}.jpg", 900 + i)
    (root / "extra").symlink_to(tmp_path / "外接")
    (root / "train" / "cat" / "more").symlink_to(tmp_path / "外接")
    folder = open_folder(root, given_split=True)
    assert len(folder.photos) == 18 + 5 and reasons(folder) == {"extra": "不属于给定的划分"}
    assert [warning for warning in folder.warnings if "链接" in warning] == [
        "跟着链接读了 train/cat/more，里面的照片算在内。"
    ]


def test_a_folder_without_permission_says_so(photo_dir, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", denied)
    assert "没有权限" in refusal(photo_dir)


@needs_links
def test_a_root_that_loops_is_one_clear_line(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert "链接" in refusal(tmp_path / "loop")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="这个系统没有命名管道")
def test_pipes_are_named(photo_dir):
    os.mkfifo(photo_dir / "roses" / "pipe.jpg")
    assert "不是普通文件" in reasons(open_folder(photo_dir))["roses/pipe.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="别的系统不让建这样的名字")
@pytest.mark.parametrize("name", [b"\xb9\xb7", b"c\nat", "c\u2028at".encode(), b"c\x1b[31mat", b"c\tat"])
def test_names_that_break_the_results_are_refused(photo_dir, name):
    path = photo_dir / os.fsdecode(name)
    shutil.copytree(photo_dir / "roses", path)
    message = refusal(photo_dir)
    assert "\\x" in message or "\\n" in message or "\\t" in message or "\\u2028" in message
    shutil.rmtree(path)
    shutil.copy(photo_dir / "roses" / "00.jpg", photo_dir / "roses" / os.fsdecode(name + b".jpg"))
    assert "roses/" in refusal(photo_dir)


@pytest.mark.skipif(os.name == "nt", reason="Windows 的路径放不下")
def test_class_names_too_long_are_refused(photo_dir):
    save_jpeg(photo_dir / ("花" * 80) / "a.jpg", 900)
    assert "240 字节" in refusal(photo_dir)


def test_a_model_folder_inside_is_recognised(photo_dir):
    model = photo_dir / "output" / "mobilenetv2"
    model.mkdir(parents=True)
    (model / "settings.json").write_text("{}", encoding="utf-8")
    (model / "labels.txt").write_text("a\n", encoding="utf-8")
    assert "模型文件夹" in refusal(photo_dir) and "--output-dir" in refusal(photo_dir)


def given_folder(root, **parts):
    for part, counts in parts.items():
        for k, (name, count) in enumerate(counts.items()):
            for i in range(count):
                save_jpeg(root / part / name / f"{i}.jpg", 1000 * sum(map(ord, part)) + 100 * k + i)
    return root


def test_train_and_val_are_not_classes(tmp_path, photo_dir):
    root = given_folder(tmp_path / "a", train={"cat": 6, "dog": 6}, Val={"cat": 3, "dog": 3})
    message = refusal(root)
    assert "--given-split" in message and str(root / "train") in message
    folder = open_folder(root, given_split=True)
    assert folder.class_names == ["cat", "dog"] and len(folder.photos) == 18 and not folder.problems
    parts = split_photos(folder.photos)
    assert [len(parts[part]) for part in ("train", "validation", "test")] == [12, 6, 0]
    assert "--given-split" in refusal(photo_dir, given_split=True)
    lacking = given_folder(tmp_path / "b", train={"cat": 6, "dog": 6}, test={"cat": 3, "fox": 3})
    assert "fox" in refusal(lacking, given_split=True)


def test_classes_that_happen_to_be_called_train(tmp_path):
    for k, name in enumerate(("train", "bus")):
        for i in range(3):
            save_jpeg(tmp_path / name / f"{i}.jpg", 10 * k + i)
    assert open_folder(tmp_path).class_names == ["bus", "train"]


def test_a_leak_across_given_parts_is_named_and_left_out(tmp_path):
    root = given_folder(tmp_path, train={"cat": 6, "dog": 6}, valid={"cat": 3, "dog": 3}, test={"cat": 3, "dog": 3})
    shutil.copy(root / "valid" / "cat" / "0.jpg", root / "train" / "cat" / "漏.jpg")
    shutil.copy(root / "test" / "dog" / "0.jpg", root / "valid" / "dog" / "漏.jpg")
    folder = open_folder(root, given_split=True)
    found = reasons(folder)
    assert set(found) == {"train/cat/漏.jpg", "valid/dog/漏.jpg"}
    assert (
        "验证" in found["train/cat/漏.jpg"]
        and "测试" in found["valid/dog/漏.jpg"]
        and "泄漏" in found["train/cat/漏.jpg"]
    )


def test_one_photo_under_two_labels_is_said(photo_dir, capsys):
    shutil.copy(photo_dir / "daisy" / "03.jpg", photo_dir / "roses" / "也是.jpg")
    open_folder(photo_dir).report()
    assert "两个标签：daisy/03.jpg = roses/也是.jpg" in capsys.readouterr().out


def test_conversions_are_kept_by_photo_and_counted(photo_dir, capsys):
    Image.new("CMYK", (60, 60), (9, 90, 9, 9)).save(photo_dir / "roses" / "印刷.jpg")
    Image.new("RGB", (10, 10), "red").save(photo_dir / "roses" / "改名.jpg", "PNG")
    folder = open_folder(photo_dir)
    notes = {os.path.basename(file): notes for file, notes in folder.notes.items()}
    assert set(notes) == {"印刷.jpg", "改名.jpg"} and notes["印刷.jpg"] == ("CMYK 转成了 RGB",)
    assert "其实是 PNG" in notes["改名.jpg"][0] and "10×10" in notes["改名.jpg"][1]
    folder.report()
    assert "CMYK 转成了 RGB 1 张" in capsys.readouterr().out


def test_a_long_report_is_short_and_complete(photo_dir, capsys):
    for i in range(100):
        (photo_dir / "roses" / f"空{i:03}.jpg").write_bytes(b"")
    open_folder(photo_dir).report()
    output = capsys.readouterr().out
    assert "排除了 100 个" in output and output.count("roses/空") == 20 and "还有 80 个：空文件" in output


def test_checking_in_worker_processes_gives_the_same(photo_dir, monkeypatch):
    (photo_dir / "roses" / "坏的.jpg").write_bytes(b"")
    if os.name != "nt":  # Windows 上要管理员才能建链接
        (photo_dir / "tulips" / "没了.jpg").symlink_to(photo_dir / "nowhere.jpg")
    alone = open_folder(photo_dir)
    monkeypatch.setattr(check, "_BYTES_WORTH_A_WORKER", 1)
    monkeypatch.setattr(check, "_BYTES_PER_WORKER", 1)
    assert open_folder(photo_dir) == alone and alone.problems
