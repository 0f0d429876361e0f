"""第 8 课：真的运行 main()，断言找到了哪些、动了哪些文件。照片都由 NumPy 当场生成。"""

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFilter

import hello_photo_check as lesson
from conftest import LESSONS_DIR
from toolbox.photo_check import examine, labels
from toolbox.photo_check import results as results_module
from toolbox.photo_check.findings import KINDS
from toolbox.photo_check.results import open_results
from toolbox.photos.folder import open_folder, photo_list_hash
from toolbox.photos.walk import Walk
from toolbox.terminal.errors import UserError

SCRIPT = LESSONS_DIR / "hello_photo_check.py"


def detailed(seed, height=300, width=400):
    """一张有细节的随机照片，PIL.Image。"""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize((width, height), 3)
    return Image.fromarray(
        np.clip(np.asarray(coarse) + random.normal(0, 25, (height, width, 1)), 0, 255).astype("uint8")
    )


def save(path, image, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92, **kwargs)
    return path


@pytest.fixture
def photos(tmp_path):
    """三类、各 6 张，什么毛病也没有。"""
    root = tmp_path / "照片 photos"
    for k, name in enumerate(("daisy", "roses", "tulips")):
        for i in range(6):
            save(root / name / f"{i}.jpg", detailed(100 * k + i))
    return root


@pytest.fixture
def check(tmp_path, capsys):
    """check(文件夹, 选项...)：运行一次，返回 (退出码, {种类: [(文件, ...), ...]}, JSON 的全部)。"""

    def run(root, *options):
        code = 0
        capsys.readouterr()
        try:
            lesson.main([str(root), "--cache-dir", str(tmp_path / "cache"), "--format", "json", *map(str, options)])
        except SystemExit as ending:
            code = ending.code
        answer = json.loads(capsys.readouterr().out)
        found = {}
        for finding in answer["findings"]:
            found.setdefault(finding["kind"], []).append(tuple(finding["files"]))
        return code, found, answer

    return run


def test_a_clean_folder(photos, check, tmp_path, capsys):
    code, found, answer = check(photos)
    assert (code, found) == (0, {}) and answer["classes"] == {"daisy": 6, "roses": 6, "tulips": 6}
    lesson.main([str(photos), "--cache-dir", str(tmp_path / "cache")])
    output = capsys.readouterr().out
    assert "没有发现问题" in output and "tulips\t6\t████" in output


def test_every_file_that_cannot_be_used_is_named(photos, check):
    whole = (photos / "daisy" / "0.jpg").read_bytes()
    (photos / "daisy" / "半张.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "daisy" / "空.jpg").write_bytes(b"")
    (photos / "daisy" / "笔记.txt").write_text("不是照片", encoding="utf-8")
    save(photos / "散落.jpg", detailed(900))
    (photos / "daisy" / "Thumbs.db").write_bytes(b"x")
    code, found, _ = check(photos)
    assert code == 3 and found.pop("truncated") == [("daisy/半张.jpg",)] and found.pop("unused") == [("散落.jpg",)]
    assert found.pop("unreadable") == [("daisy/空.jpg",), ("daisy/笔记.txt",)]
    assert found == {"ignored": [("Thumbs.db",)]}


def test_names_contents_and_conversions(photos, check):
    detailed(901).save(photos / "roses" / "改名.jpg", "PNG")
    detailed(902).convert("CMYK").save(photos / "roses" / "印刷.jpg", quality=92)
    (photos / "roses" / "0.jpg").rename(photos / "roses" / "aux.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(photos / "tulips" / "横拍.jpg", detailed(903), exif=exif)
    transparent = detailed(904)
    transparent.putalpha(128)
    transparent.save(photos / "tulips" / "透明.png")
    code, found, answer = check(photos)
    assert code == 3 and found["misnamed"] == [("roses/改名.jpg",)] and found["names"] == [("roses/aux.jpg",)]
    assert found["converted"] == [("roses/印刷.jpg",), ("tulips/横拍.jpg",), ("tulips/透明.png",)]
    assert set(found) == {"misnamed", "names", "converted"}
    details = {finding["files"][0]: finding["detail"] for finding in answer["findings"]}
    assert "CMYK" in details["roses/印刷.jpg"] and "转正" in details["tulips/横拍.jpg"]


def test_converted_photos_alone_are_no_problem(photos, check):
    exif = Image.Exif()
    exif[0x0112] = 3
    save(photos / "tulips" / "倒着.jpg", detailed(903), exif=exif)
    code, found, _ = check(photos)
    assert code == 0 and list(found) == ["converted"]


def test_one_picture_twice(photos, check):
    shutil.copy(photos / "daisy" / "0.jpg", photos / "daisy" / "同.jpg")
    shutil.copy(photos / "daisy" / "1.jpg", photos / "roses" / "也是.jpg")
    for name in ("daisy/压.jpg", "roses/压.jpg"):
        other = "2.jpg" if name.startswith("daisy") else "../tulips/3.jpg"
        image = Image.open(photos / name.split("/")[0] / other)
        image.resize((300, 225)).save(photos / name, quality=60)
    code, found, _ = check(photos)
    assert code == 3 and found.pop("identical") == [("daisy/0.jpg", "daisy/同.jpg")]
    assert found.pop("near_duplicates") == [("daisy/2.jpg", "daisy/压.jpg")]  # 像素多的在前
    assert found.pop("two_labels") == [("daisy/1.jpg", "roses/也是.jpg"), ("roses/压.jpg", "tulips/3.jpg")]
    assert not found


def test_photos_hard_to_learn_from(photos, check):
    save(photos / "roses" / "小.jpg", detailed(905).resize((80, 100)))
    save(photos / "roses" / "暗.jpg", detailed(906).point(lambda value: value // 6))
    save(photos / "roses" / "糊.jpg", detailed(907).filter(ImageFilter.GaussianBlur(6)))
    save(photos / "roses" / "长.jpg", detailed(908, height=200, width=800))
    code, found, _ = check(photos)
    expected = {"small": "小", "dark": "暗", "blurred": "糊", "panorama": "长"}
    assert code == 3 and found == {kind: [(f"roses/{name}.jpg",)] for kind, name in expected.items()}


def test_a_bright_flower_in_the_night_is_a_good_photo(photos, check):
    night = np.zeros((300, 400, 3), np.uint8)
    night[100:200, 150:250] = np.asarray(detailed(909))[100:200, 150:250]  # 8% 的像素
    save(photos / "roses" / "夜.jpg", Image.fromarray(night))
    assert check(photos)[:2] == (0, {})


def test_classes_that_are_small_empty_or_one_scene(photos, check):
    for i in range(9):
        save(photos / "daisy" / f"多{i}.jpg", detailed(910 + i))
        save(photos / "roses" / f"多{i}.jpg", detailed(920 + i))
        save(photos / "fixed" / f"{i}.jpg", detailed(930), comment=bytes([65 + i]))
    (photos / "empty").mkdir()
    save(photos / "alone" / "a.jpg", detailed(940))
    save(photos / "pair" / "a.jpg", detailed(941))
    save(photos / "pair" / "b.jpg", detailed(942))
    code, found, answer = check(photos)
    assert code == 3 and answer["classes"]["empty"] == 0 and answer["classes"]["alone"] == 1
    assert found["empty"] == [("empty",)] and found["single"] == [("alone",)] and found["one_scene"] == [("fixed",)]
    assert "few" not in found  # 2 张不少于中位数 6 的四分之一
    (photos / "pair" / "b.jpg").unlink()
    for i in range(9, 15):
        save(photos / "tulips" / f"{i}.jpg", detailed(950 + i))
        save(photos / "alone" / f"{i}.jpg", detailed(970 + i))
    assert check(photos)[1]["single"] == [("pair",)]


@pytest.fixture
def given_parts(tmp_path):
    """p/train 与 p/val，各有 cat、dog 两类，每类 5 张。"""
    for part, start in (("train", 0), ("val", 50)):
        for k, name in enumerate(("cat", "dog")):
            for i in range(5):
                save(tmp_path / "p" / part / name / f"{i}.jpg", detailed(start + 10 * k + i))


def test_a_leak_across_given_parts(given_parts, tmp_path, check):
    with pytest.raises(UserError, match="--given-split"):
        check(tmp_path / "p")
    assert check(tmp_path / "p", "--given-split")[:2] == (0, {})
    Image.open(tmp_path / "p" / "train" / "cat" / "0.jpg").save(tmp_path / "p" / "val" / "cat" / "漏.jpg", quality=70)
    code, found, answer = check(tmp_path / "p", "--given-split")
    assert code == 3 and found["leak"] == [("val/cat/漏.jpg", "train/cat/0.jpg")]
    assert answer["classes"] == {"cat": 11, "dog": 10}


def test_of_identical_photos_the_held_out_one_stays(given_parts, tmp_path, check):
    shutil.copy(tmp_path / "p" / "val" / "cat" / "0.jpg", tmp_path / "p" / "train" / "cat" / "a.jpg")
    found = check(tmp_path / "p", "--given-split")[1]
    assert found["identical"] == [("val/cat/0.jpg", "train/cat/a.jpg")]  # 移走时留下第一张


def test_the_photos_a_model_was_trained_on_are_known_in_spite_of_a_leak(given_parts, tmp_path, monkeypatch):
    """照给定的划分训练时去掉了泄漏的；查照片时也要去掉，才认得出是同一批。"""
    shutil.copy(tmp_path / "p" / "val" / "cat" / "0.jpg", tmp_path / "p" / "train" / "cat" / "漏.jpg")
    folder = open_folder(tmp_path / "p", given_split=True)
    held_out = [folder.name(photo) for photo in folder.photos if photo.part != "train"]
    settings = {"given_split": True, "photos_sha256": photo_list_hash(folder.photos)}
    run = SimpleNamespace(settings=settings, rows=[SimpleNamespace(file=name) for name in held_out])
    monkeypatch.setattr(labels, "open_run", lambda folder: run)
    for root, given_split in ((tmp_path / "p", True), (tmp_path / "p" / "train", False)):
        with open_results(root, tmp_path / "cache") as results:
            class_names, _ = examine.examine(results, Walk(root), lesson.measure, given_split)
            trained = labels.trained_on("模型", results, class_names)
        expected = {f"train/{name}/{i}.jpg" for name in ("cat", "dog") for i in range(5)}
        assert trained == (expected if given_split else None)  # 没有照划分看的，说不准


def test_a_photo_that_became_unreadable_is_in_no_other_finding(photos, check):
    shutil.copy(photos / "daisy" / "0.jpg", photos / "roses" / "同.jpg")
    shutil.copy(photos / "tulips" / "0.jpg", photos / "tulips" / "同.jpg")
    assert check(photos)[1].keys() == {"two_labels", "identical"}
    for name in ("roses/同.jpg", "tulips/同.jpg"):
        (photos / name).write_bytes(b"x")
    for path in list((photos / "daisy").iterdir())[:3]:  # 画面重新编号
        path.unlink()
    found = check(photos)[1]
    assert found.keys() == {"unreadable"} and len(found["unreadable"]) == 2


def test_the_cache_may_not_lie_among_the_photos(photos, capsys):
    with pytest.raises(UserError, match="--cache-dir.*在照片文件夹里"):
        lesson.main([str(photos), "--cache-dir", str(photos / "缓存")])
    assert not (photos / "缓存").exists()
    lesson.main([str(photos), "--cache-dir", str(photos / ".缓存")])  # 隐藏的不会成为类别
    assert (photos / ".缓存").exists()


def test_names_from_outside_are_shown_not_obeyed(photos, tmp_path, capsys):
    if os.name == "nt":
        pytest.skip("Windows 不许这样的文件名")
    save(photos / "roses" / "红\x1b[31m\n<b>.jpg", detailed(943))
    with pytest.raises(SystemExit) as ending:
        lesson.main([str(photos), "--cache-dir", str(tmp_path / "cache")])
    output = capsys.readouterr().out
    assert ending.value.code == 3 and "\x1b" not in output and "红\\x1b[31m\\n<b>.jpg" in output


def test_only_what_changed_is_checked_again(photos, check, monkeypatch):
    checked = []
    monkeypatch.setattr(examine, "check_photo", counting(checked))
    (photos / "roses" / "坏.jpg").write_bytes(b"x")
    first = check(photos)
    assert len(checked) == 19
    del checked[:]
    assert check(photos) == first and [path.name for path in checked] == ["坏.jpg"]  # 读不出来的每次重查
    save(photos / "roses" / "1.jpg", detailed(944))
    (photos / "roses" / "坏.jpg").unlink()
    (photos / "tulips" / "5.jpg").rename(photos / "daisy" / "搬来.jpg")
    del checked[:]
    code, found, answer = check(photos)
    assert sorted(path.name for path in checked) == ["1.jpg", "搬来.jpg"] and (code, found) == (0, {})
    assert answer["classes"] == {"daisy": 7, "roses": 6, "tulips": 5}


def counting(checked):
    def check_photo(path, measure, check=examine.check_photo):
        checked.append(path)
        return check(path, measure)

    return check_photo


def test_a_killed_run_goes_on_where_it_was(photos, check, monkeypatch):
    expected = check(photos, "--no-cache")
    monkeypatch.setattr(examine, "_PHOTOS_PER_TASK", 2)
    monkeypatch.setattr(examine, "_TASKS_PER_BATCH", 2)
    checked = []
    count = counting(checked)

    def stop_at_ten(path, measure):
        if len(checked) == 10:
            raise KeyboardInterrupt
        return count(path, measure)

    monkeypatch.setattr(examine, "check_photo", stop_at_ten)
    with pytest.raises(KeyboardInterrupt):
        lesson.main([str(photos), "--cache-dir", str(photos.parent / "cache")])
    monkeypatch.setattr(examine, "check_photo", count)
    assert check(photos) == expected and len(checked) == 10 + 18 - 8  # 前两批（8 张）已经落到磁盘上


def test_damaged_results_are_made_again(photos, check, tmp_path):
    expected = check(photos)
    (path,) = (tmp_path / "cache" / "photo_check").glob("*.sqlite")
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert check(photos) == expected
    path.write_bytes(b"no database at all")
    assert check(photos) == expected


def test_results_found_damaged_midway_say_what_to_do(photos, tmp_path, monkeypatch):
    def damaged(*arguments):
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(lesson, "examine", damaged)
    with pytest.raises(UserError, match=r"检查结果 .*\.sqlite 坏了（.*malformed）。请删掉它"):
        lesson.main([str(photos), "--cache-dir", str(tmp_path / "cache")])


def test_worker_processes_give_the_same(photos, check, monkeypatch):
    (photos / "roses" / "坏.jpg").write_bytes(b"")
    alone = check(photos, "--no-cache")
    monkeypatch.setattr(examine, "_BYTES_WORTH_WORKERS", 1)
    monkeypatch.setattr(examine, "cores", lambda: 2)
    assert check(photos, "--no-cache") == alone


def test_set_aside_and_undo(photos, check, tmp_path):
    shutil.copy(photos / "daisy" / "0.jpg", photos / "daisy" / "同.jpg")
    (photos / "roses" / "坏.jpg").write_bytes(b"x")
    save(photos / "roses" / "暗.jpg", detailed(906).point(lambda value: value // 6))
    before = sorted(photos.rglob("*"))
    code, _, answer = check(photos, "--move-to", tmp_path / "aside", "--findings", "identical", "unreadable")
    assert code == 3
    moved = [path.relative_to(tmp_path / "aside").as_posix() for path in (tmp_path / "aside").rglob("*.jpg")]
    assert sorted(moved) == ["daisy/同.jpg", "roses/坏.jpg"]
    assert list(check(photos)[1]) == ["dark"]
    (log,) = (tmp_path / "aside").glob("*.jsonl")
    lesson.main([str(photos), "--undo", str(log)])
    assert sorted(photos.rglob("*")) == before and check(photos)[2] == answer


def test_a_change_list_is_carried_out(photos, check, tmp_path):
    changes = [
        {"file": "daisy/0.jpg", "action": "relabel", "label": "roses"},
        {"file": "tulips/3.jpg", "action": "leave_out"},
    ]
    content = {"version": 1, "folder": str(photos), "changes": changes}
    (tmp_path / "list.json").write_text(json.dumps(content), encoding="utf-8")
    before = {path: path.read_bytes() for path in photos.glob("*/*")}
    lesson.main([str(photos), "--apply", str(tmp_path / "list.json"), "--move-to", str(tmp_path / "aside")])
    assert check(photos)[2]["classes"] == {"daisy": 5, "roses": 7, "tulips": 5}
    assert (photos / "roses" / "0_2.jpg").read_bytes() == before[photos / "daisy" / "0.jpg"]  # roses/0.jpg 没有被盖掉
    (log,) = (tmp_path / "aside").glob("*.jsonl")
    lesson.main([str(photos), "--undo", str(log)])
    assert {path: path.read_bytes() for path in photos.glob("*/*")} == before


class PageReader(HTMLParser):
    """网页里的标签与文字。"""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def test_the_page_is_self_contained_and_names_do_nothing(photos, check, tmp_path):
    name = "a'b &amp; {{ 7 * 7 }}.jpg" if os.name == "nt" else "<script>alert(1)<\\script>\" onerror='x' &amp;.jpg"
    shutil.copy(photos / "daisy" / "0.jpg", photos / "daisy" / name)
    (photos / "roses" / f"坏{name}").write_bytes(b"x")
    check(photos, "--page", tmp_path / "页 面.html")
    text = (tmp_path / "页 面.html").read_text(encoding="utf-8")
    page = PageReader(text)
    assert "script" not in page.tags and name in page.text and f"坏{name}" in page.text
    assert all(not key.startswith("on") for key, _ in page.attributes)
    addresses = [value for key, value in page.attributes if key in ("src", "href")]
    pictures = [value for value in addresses if value.startswith("data:image/jpeg;base64,")]
    assert len(pictures) == (2 if os.name == "nt" else 3)  # 内容相同的两张并排；名字不好的那张再出现一次
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in addresses)
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text and "default-src 'none'" in text


def test_without_the_optional_packages_everything_else_is_done(photos, tmp_path, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    absent = ["cleanlab", "jinja2"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else find_spec(name))
    shutil.copy(photos / "daisy" / "0.jpg", photos / "daisy" / "同.jpg")
    page = tmp_path / "page.html"
    with pytest.raises(UserError, match="cleanlab、jinja2.*requirements/photo_check.txt"):
        lesson.main([str(photos), "--cache-dir", str(tmp_path / "cache"), "--labels", "--page", str(page)])
    assert "daisy/0.jpg = daisy/同.jpg" in capsys.readouterr().out and not page.exists()
    absent.remove("jinja2")
    monkeypatch.setattr(lesson.packages, "PROJECT_DIR", tmp_path / "jinja2 的课程")  # 路径里的字不算
    with pytest.raises(UserError, match="没有装 cleanlab，"):
        lesson.main([str(photos), "--cache-dir", str(tmp_path / "cache"), "--labels", "--page", str(page)])
    assert page.exists()


def test_options_that_do_not_go_together(photos, tmp_path):
    for options in (
        ["--move-to", "x"],
        ["--findings", "dark"],
        ["--apply", "x"],
        ["--undo", "x", "--move-to", "y", "--findings", "dark"],
        ["--move-to", "x", "--findings", "one_scene"],
        ["--move-to", "x", "--findings", "labels"],
        ["--undo", "x", "--labels"],
        ["--undo", "x", "--format", "json"],
        ["--apply", "x", "--move-to", "y", "--page", "z.html"],
    ):
        with pytest.raises(SystemExit) as ending:
            lesson.main([str(photos), *options])
        assert ending.value.code == 2


def test_a_rare_class_is_never_left_out_of_training():
    labels = np.repeat([0, 1, 2, 3], [25_000, 25_000, 6, 8])
    rows = np.random.default_rng(1).permutation(len(labels))
    chosen = lesson.at_most(10_000, rows, labels)
    assert np.bincount(labels[chosen])[2:].tolist() == [6, 8] and len(set(chosen.tolist())) == 10_000
    assert np.isin(rows, chosen).sum() == 10_000 and (rows[np.isin(rows, chosen)] == chosen).all()
    assert (lesson.at_most(10**6, rows, labels) == rows).all()
    labels = np.repeat(np.arange(251), [100] * 250 + [3])  # 类别多得每类也要不到一百行
    for seed in range(20):
        rows = np.random.default_rng(seed).permutation(len(labels))
        assert np.bincount(labels[lesson.at_most(10_000, rows, labels)], minlength=251)[250] == 3


def test_a_file_that_cannot_be_looked_at_is_checked_again(photos, check, tmp_path, monkeypatch):
    check(photos)
    with open_results(photos, tmp_path / "cache") as results:
        count = results.count("checked")
        files = [(photos / name, 0, None) for (name,) in results.select("name")]
        monkeypatch.setattr(results_module, "_state", lambda path: (-1, None))
        results.note_files(files)
        assert results.count("NOT checked") == len(files) == count


def test_groups_stay_in_one_fold_and_every_photo_is_judged_unseen():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    features = random.normal(size=(120, 8)) + 3 * np.eye(8)[labels]
    features[40:80:2] = features[41:80:2]  # 类别 1 的每一张都有一张一模一样的
    groups = np.arange(120)
    groups[40:80:2] = groups[41:80:2]
    probabilities = lesson.cross_validated(features, labels, groups)
    assert probabilities.shape == (120, 3) and np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.9
    assert np.array_equal(probabilities[40:80:2], probabilities[41:80:2])  # 同一份里，由同一个分类器看
    wrong = labels.copy()
    wrong[[3, 50]] = [2, 0]
    assert set(lesson.doubtful(lesson.cross_validated(features, wrong, groups), wrong)[:2]) == {3, 50}


@pytest.fixture(scope="module")
def flowers(first_flowers):
    return first_flowers(40)


@pytest.mark.slow
def test_labels_to_doubt_by_features_and_by_a_model(flowers, model_folder_of, cache_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lesson, "DOUBTFUL", 0.1)  # 只有 200 张

    def run(folder, *options):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            lesson.main([str(folder), "--cache-dir", str(cache_dir), *map(str, options)])
        output = capsys.readouterr().out
        return ending.value.code, output, output.split("可疑的标签（labels）")[1]

    model = model_folder_of(1)
    mixed = shutil.copytree(flowers, tmp_path / "mixed")
    for name, wrong in (("daisy/0001.jpg", "tulips"), ("roses/0002.jpg", "daisy")):
        (mixed / name).rename(mixed / wrong / f"错{name[-5:]}")
    code, output, doubts = run(mixed, "--labels")
    assert code == 3 and "新算 0 张" in output  # 第 1 课算过的特征直接用
    assert "tulips/错1.jpg：标的是 tulips" in doubts and "daisy/错2.jpg：标的是 daisy" in doubts
    _, output, doubts = run(mixed, "--model", model)
    assert "不是同一批" in output and "tulips/错1.jpg" in doubts and "更像 daisy" in doubts
    with pytest.raises(UserError, match="不认识类别 lilies"):
        (mixed / "roses").rename(mixed / "lilies")
        lesson.main([str(mixed), "--cache-dir", str(cache_dir), "--model", str(model)])
    capsys.readouterr()
    try:
        lesson.main([str(flowers), "--cache-dir", str(cache_dir), "--model", str(model)])
    except SystemExit as ending:
        assert ending.code == 3
    trained = json.loads((model / "metrics.json").read_text(encoding="utf-8"))["train"]["photos"]
    assert f"200 张里有 {trained} 张参加过" in capsys.readouterr().out


def test_wrong_use_is_one_line(tmp_path, photos):
    for arguments in (["nowhere"], [], [photos, "--format", "xml"], [photos / "daisy"], [photos / "daisy" / "0.jpg"]):
        command = [sys.executable, SCRIPT, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith("错误：") and done.stderr.count("\n") == 1


def test_every_kind_is_known_to_the_page():
    page = (LESSONS_DIR.parents[1] / "docs" / "study_keras" / "hello_photo_check.md").read_text(encoding="utf-8")
    assert all(f"`{kind}`" in page for kind in KINDS)


def test_real_photos_are_not_flooded(real_photos, check):
    _, found, answer = check(real_photos)
    assert ("sunflowers/14889392928_9742aed45b_m.jpg", "sunflowers/15066430311_fb57fa92b0_m.jpg") in found["identical"]
    assert ("sunflowers/15069459615_7e0fd61914_n.jpg", "sunflowers/15072973261_73e2912ef2_n.jpg") in found["identical"]
    total = sum(answer["classes"].values())
    assert sum(len(found.get(kind, ())) for kind in ("small", "dark", "blurred", "panorama")) <= 0.01 * total
