"""第 4 课：真的运行 main()。小模型没有训练过，只看文件、次序、格式与退出码；认得对不对，看真正训练过的。"""

import csv
import errno
import io
import itertools
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hello_predict as lesson
from conftest import LESSONS_DIR, PROJECT_DIR, random_pixels, refuse_to_replace, save_jpeg
from loopback_server import Answer, LoopbackServer
from small_model import LABELS, keras_probabilities, make_old
from toolbox import model_folder_reader
from toolbox.photos.read import IMAGE_SIZE, PhotoError, read_photo
from toolbox.prediction import fetch, sorting, sources, watch
from toolbox.prediction.rows import Csv, new_writer, row_of
from toolbox.predictor import Predictor
from toolbox.terminal import leftovers, transfer
from toolbox.terminal.errors import UserError
from toolbox.terminal.text import columns as width_of

needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows 上建链接要特别的权限")

SCRIPT = LESSONS_DIR / "hello_predict.py"


@pytest.fixture
def model(small_model_folder):
    return small_model_folder


@pytest.fixture
def photos(tmp_path):
    """照片/a.jpg、照片/里层/b.png、照片/里层/第 2 层/c.jpg，还有一个不是照片的文件。"""
    root = tmp_path / "照片"
    save_jpeg(root / "a.jpg", seed=1)
    (root / "里层").mkdir()
    Image.fromarray(random_pixels(2)).save(root / "里层" / "b.png")
    save_jpeg(root / "里层" / "第 2 层" / "c.jpg", seed=3)
    (root / "说明.txt").write_text("不是照片", encoding="utf-8")
    return root


@pytest.fixture
def run(model, capsys):
    """run(*参数)：运行 main，返回 (退出码, 标准输出, 标准错误)。"""

    def run(*arguments, model=model):
        capsys.readouterr()  # 之前的（例如训练时的）输出不算
        code = 0
        try:
            lesson.main([*([str(model)] if model else []), *map(str, arguments)])
        except SystemExit as ending:
            code = ending.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def files_in(text):
    return [json.loads(line)["file"] for line in text.splitlines()]


def test_files_folders_and_patterns_come_in_the_order_given(run, photos):
    given = [photos / "里层" / "b.png", photos, photos / "**" / "*.jpg", photos / "[ab].jpg"]
    code, out, err = run(*given, "--format", "jsonl")
    a, b, c = photos / "a.jpg", photos / "里层" / "b.png", photos / "里层" / "第 2 层" / "c.jpg"
    assert (code, files_in(out)) == (0, [*map(str, (b, a, b, c, a, c, a))])
    assert "共 7 张" in err and "略过：不是照片的文件（1 处）" in err


def test_two_stars_give_every_photo_once(run, photos):
    code, out, _ = run(photos / "**", "--format", "jsonl")
    assert code == 0 and sorted(os.path.basename(file) for file in files_in(out)) == ["a.jpg", "b.png", "c.jpg"]


def test_a_name_that_looks_like_an_option_comes_after_two_dashes(run, photos, monkeypatch):
    monkeypatch.chdir(photos)
    save_jpeg(photos / "-x.jpg", seed=4)
    code, out, _ = run("--format", "jsonl", "--", "-x.jpg")
    assert code == 0 and files_in(out) == ["-x.jpg"]


def test_options_may_stand_between_the_photos(run, photos):
    code, out, _ = run(photos / "a.jpg", "--top", "1", photos / "里层" / "b.png", "--format", "jsonl")
    assert code == 0 and [len(json.loads(line)["top"]) for line in out.splitlines()] == [1, 1]


NO_PIPES = pytest.mark.skipif(os.name == "nt", reason="Windows 上没有命名管道")


@pytest.mark.parametrize("out", ["里层", "a.jpg", "新.PNG", "新.webp", "新.dng", pytest.param("pipe", marks=NO_PIPES)])
def test_out_never_replaces_what_is_not_a_list_of_answers(run, photos, out):
    """漏写了 --out 的文件名，命令行把通配符展开，第一张照片就成了要写的文件。"""
    if out == "pipe":
        os.mkfifo(photos / "pipe")
    before = tree(photos)
    code, _, err = run("--out", photos / out, photos / "a.jpg")
    assert code == 2 and err.startswith("错误：选项 --out：") and "Traceback" not in err
    assert tree(photos) == before and (photos / out).exists() is not out.startswith("新")


def test_a_list_on_standard_input(run, photos, monkeypatch):
    lines = f"\ufeff{photos / 'a.jpg'}\r\n\n{photos / '里层'}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    code, out, _ = run("-", "--format", "jsonl")
    assert code == 0 and [os.path.basename(file) for file in files_in(out)] == ["a.jpg", "b.png", "c.jpg"]


def test_names_that_cannot_be_files_are_named_and_the_rest_goes_on(run, photos):
    names = ["~没有这个人.jpg", "长" * 300 + ".jpg", "a\0.jpg"]
    code, out, err = run(*names, photos / "a.jpg", "--format", "jsonl")
    assert code == 3 and len(files_in(out)) == 1 and err.count("读不出来：") == 3
    assert "名字太长" in err and "Traceback" not in err


@pytest.mark.parametrize("name", ["花.jpg", "图1.jpg", "通.jpg"])  # 后两个的 GBK 恰好也是说得通的 UTF-8
def test_a_list_in_the_encoding_of_windows(run, photos, monkeypatch, tmp_path, name):
    """Windows 的命令行给出 GBK 的清单，那里的 os.fsdecode 却只认 UTF-8。"""
    monkeypatch.chdir(tmp_path)
    save_jpeg(tmp_path / name, seed=9)
    text = f"{name}\r\n".encode("gbk")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    monkeypatch.setattr(sources.os, "fsdecode", lambda path: path.decode() if isinstance(path, bytes) else path)
    monkeypatch.setattr(sources.locale, "getencoding", lambda: "gbk")
    code, out, _ = run("-", "--format", "jsonl")
    assert code == 0 and files_in(out) == [name]


def test_answers_are_those_of_the_predictor_in_every_format(run, model, photos, tmp_path):
    photo = photos / "a.jpg"
    answer = Predictor(model).predict(photo)
    (first, p1), (second, p2) = answer.top(2)
    shown = first if answer.known else "都不像"
    top = [{"class": first, "probability": round(p1, 6)}, {"class": second, "probability": round(p2, 6)}]
    row = {"file": str(photo), "answer": shown, "known": answer.known, "top": top}
    assert json.loads(run(photo, "--top", "2", "--format", "json")[1]) == [row]
    assert json.loads(run(photo, "--top", "2", "--format", "jsonl")[1]) == row
    run(photo, "--top", "2", "--out", tmp_path / "表.csv")
    content = (tmp_path / "表.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")  # Excel 靠它知道是 UTF-8
    header, cells = csv.reader(content.decode("utf-8-sig").splitlines())
    assert header == ["file", "answer", "class_1", "probability_1", "class_2", "probability_2"]
    assert cells == [str(photo), shown, first, str(round(p1, 6)), second, str(round(p2, 6))]
    assert first in run(photo)[1] and f"{p1:.0%}" in run(photo)[1]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("top", [1, 3])
def test_the_table_fits_and_aligns(run, photos, monkeypatch, columns, top):
    monkeypatch.setenv("COLUMNS", str(columns))
    save_jpeg(photos / "名字很长的照片一张又一张" / f"{'花' * 30}.jpg", seed=9)
    header, *lines = run(photos, "--top", top)[1].splitlines()
    assert len(lines) == 4
    starts = {width_of(line[: re.search(r"(?<=  )(都不像|雏菊|roses|tulips)", line).start()]) for line in lines}
    assert starts == {width_of(header[: header.index("答案")])}
    assert max(map(width_of, lines)) <= columns


def test_the_second_class_is_shown_whole():
    """每一个“类别 12%”占类别的宽度加 4，中间空一格；最后一格也要放得下。"""

    class Fake:
        known = True

        @staticmethod
        def top(count):
            return [("蚂蚁", 0.6), ("蜜蜂", 0.25), ("蝴蝶", 0.15)][:count]

    for top, shown in ((2, "蜜蜂 25%"), (3, "蜜蜂 25% 蝴蝶 15%")):
        file = io.StringIO()
        table = new_writer("table", file, ["蚂蚁", "蜜蜂", "蝴蝶"], top, 80)
        table.write(row_of("很长的名字" * 20 + ".jpg", Fake, top))
        assert file.getvalue().splitlines()[1].endswith(shown)


def test_an_array_is_closed_when_interrupted(photos, model, monkeypatch, capsys):
    def interrupted(*arguments):
        yield from itertools.islice(recognize(*arguments), 2)
        raise KeyboardInterrupt

    recognize = lesson.recognize
    monkeypatch.setattr(lesson, "recognize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lesson.main([str(model), str(photos), "--format", "json"])
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_formulas_in_names_stay_text():
    """表格软件会把 = + - @ 开头的格子当作公式来算：文件名前加 ./（仍是同一个文件），类别名前加一撇。"""

    class Fake:
        known = True

        @staticmethod
        def top(count):
            return [("=HYPERLINK(1)", 0.75)]

    file = io.StringIO()
    writer = Csv(file, 1)
    for name in (
        "=cmd|' /C calc'!A0.jpg",
        "-a.jpg",
        "@a.jpg",
        "+a.jpg",
        "\ta.jpg",
        "＝a.jpg",
        "正常=.jpg",
        "a\n=b.jpg",
    ):
        writer.write(row_of(name, Fake, 1))
    rows = list(csv.reader(file.getvalue().splitlines()))[1:]
    assert [row[0] for row in rows] == [
        *("./=cmd|' /C calc'!A0.jpg", "./-a.jpg", "./@a.jpg", "./+a.jpg", "\\ta.jpg", "./＝a.jpg"),
        *("正常=.jpg", "a\\n=b.jpg"),
    ]
    assert {tuple(row[1:]) for row in rows} == {("'=HYPERLINK(1)", "'=HYPERLINK(1)", "0.75")}


def test_unreadable_photos_are_named_counted_and_exit_3(run, photos):
    (photos / "假的.jpg").write_text("<script>其实是文字</script>", encoding="utf-8")
    (photos / "空的.png").write_bytes(b"")
    Image.new("1", (30_000, 30_000)).save(photos / "炸弹.png")  # 三万乘三万，文件只有一百多 KB
    Image.new("L", (10_000, 10_000), 200).save(photos / "一亿像素.png")
    code, out, err = run(photos, photos / "没有.jpg", "ftp://a/b.jpg", photos / "*.gif", "--format", "jsonl")
    assert code == 3
    named = dict(re.findall(r"^读不出来：(.*?)：(.*)$", err, flags=re.MULTILINE))
    reasons = {os.path.basename(name): reason for name, reason in named.items() if "://" not in name}
    assert reasons["假的.jpg"] == "不是能识别的图片" and reasons["空的.png"] == "空文件"
    assert reasons["没有.jpg"] == "没有这个文件或文件夹" and reasons["*.gif"] == "没有匹配的文件"
    read = {os.path.basename(file) for file in files_in(out)}
    assert {"a.jpg", "b.png", "c.jpg"} <= read and read.isdisjoint(reasons)
    assert read | reasons.keys() >= {"炸弹.png", "一亿像素.png"}  # 要么认了，要么有一句话
    assert f"读不出来 {err.count('读不出来：')} 张" in err


def test_nothing_to_do_is_an_error(run, photos, tmp_path):
    (tmp_path / "空").mkdir()
    with pytest.raises(UserError, match="没有给出照片"):
        run()
    with pytest.raises(UserError, match="一张照片也没有找到"):
        run(tmp_path / "空")
    together = ["--watch . --out x", "--watch . --sort-into x", "--watch . --format json", "--undo x --sort-into y"]
    for arguments in ("--move", "--undo x a.jpg", *together):
        assert run(*arguments.split())[0] == 2


def test_the_newest_model_is_used_and_said(run, model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "OUTPUT_DIR", tmp_path / "output")
    with pytest.raises(UserError, match="还没有模型文件夹"):
        run(photos, model=None)
    shutil.copytree(model, tmp_path / "output" / "mine")
    code, out, err = run(photos / "a.jpg", "--format", "jsonl", model=None)
    assert code == 0 and f"用最新的模型：{tmp_path / 'output' / 'mine'}" in err and len(files_in(out)) == 1


def test_a_half_deleted_model_folder_is_not_taken_for_photos(run, model, photos, tmp_path):
    half = shutil.copytree(model, tmp_path / "half")
    (half / "labels.txt").unlink()
    with pytest.raises(UserError, match="缺 labels.txt"):
        run(photos, model=half)


# ---- --out ----


def test_an_error_leaves_no_half_written_file(run, photos, tmp_path, monkeypatch):
    (tmp_path / "表.csv").write_text("以前的", encoding="utf-8")
    monkeypatch.setattr(lesson, "row_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(photos, "--out", tmp_path / "表.csv")
    assert (tmp_path / "表.csv").read_text(encoding="utf-8") == "以前的"
    assert sorted(os.listdir(tmp_path)) == sorted(["照片", "表.csv"])


def test_finding_nothing_keeps_the_answers_of_before(run, tmp_path, capsys):
    (tmp_path / "空").mkdir()
    (tmp_path / "表.csv").write_text("以前的", encoding="utf-8")
    with pytest.raises(UserError, match="一张照片也没有找到"):
        run(tmp_path / "空", "--out", tmp_path / "表.csv")
    with pytest.raises(UserError, match="一张照片也没有找到"):
        run(tmp_path / "空", "--format", "json")
    assert json.loads(capsys.readouterr().out) == []  # 没有照片，JSON 也要读得懂
    assert (tmp_path / "表.csv").read_text(encoding="utf-8") == "以前的"


def test_answers_are_not_lost_when_the_file_is_open_elsewhere(run, photos, tmp_path, monkeypatch):
    """Windows 上，正被 Excel 开着的文件换不掉：写到旁边，说出来。"""
    (tmp_path / "表.csv").write_text("开着的", encoding="utf-8")
    refuse_to_replace(monkeypatch, tmp_path / "表.csv")
    code, _, err = run(photos, "--out", tmp_path / "表.csv")
    assert code == 0 and "表_2.csv" in err
    assert (tmp_path / "表.csv").read_text(encoding="utf-8") == "开着的"
    assert (tmp_path / "表_2.csv").read_text(encoding="utf-8-sig").count("\n") == 4


# ---- 网址 ----


def test_photos_from_addresses(run, photos):
    data = (photos / "a.jpg").read_bytes()
    with LoopbackServer({"/a.jpg": data, "/page": b"<html>"}) as server:
        server.answers["/moved"] = [Answer(status=302, headers=(("Location", "/a.jpg"),))]
        server.answers["/page"] = [Answer(headers=(("Content-Type", "text/html"),))]
        code, out, err = run(
            *(f"{server.url}/{name}" for name in ("a.jpg", "moved", "none.jpg", "page")), "--format", "jsonl"
        )
    assert code == 3 and files_in(out) == [f"{server.url}/a.jpg", f"{server.url}/moved"]
    assert "none.jpg：服务器答复 404" in err and "page：给的是网页，不是照片" in err


def test_addresses_that_never_end(photos):
    with LoopbackServer({"/a": b"x" * 3_000_000}) as server:
        server.answers["/silent"] = [Answer(silent=True)]
        server.answers["/huge"] = [Answer(body=b"x", claimed_size=2_000_000_000)]
        server.answers["/endless"] = [Answer(body=b"x" * 3_000_000, says_length=False)]
        server.answers["/stalls"] = [Answer(body=b"x" * 1000, send=10, stall=True)]
        server.answers["/loop"] = [Answer(status=302, headers=(("Location", "/loop"),)) for _ in range(20)]
        server.answers["/file"] = [Answer(status=302, headers=(("Location", "file:///etc/hostname"),))]
        for path, said in {
            "/silent": "太慢",
            "/huge": "文件太大",
            "/endless": "文件太大",
            "/stalls": "太慢",
            "/loop": "转向的次数太多",
            "/file": "http、https 之外",
        }.items():
            with pytest.raises(PhotoError, match=said):
                fetch.fetch(server.url + path, seconds=2, most_bytes=2_000_000)


# ---- 整理 ----


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log_in(folder):
    (log,) = [path for path in folder.iterdir() if path.suffix == ".jsonl" and sorting.UNDONE not in path.name]
    return log


@pytest.fixture
def cannot_undo(run, capsys):
    """cannot_undo(整理进的文件夹)：撤销，一个也收不回，是错误；返回为什么。"""

    def undo(target):
        with pytest.raises(UserError, match="1 个没有收回"):
            run("--undo", log_in(target))
        captured = capsys.readouterr()
        assert "撤销了 0 个" in captured.out
        return captured.err

    return undo


def test_a_moved_photo_that_is_nowhere_is_named(run, photos, tmp_path):
    run(photos / "a.jpg", photos / "里层" / "b.png", "--sort-into", tmp_path / "整理好", "--move")
    next((tmp_path / "整理好").rglob("a.jpg")).unlink()
    code, out, _ = run("--undo", log_in(tmp_path / "整理好"))
    assert code == 0 and "撤销了 1 个" in out and re.search(r"其中 \S+/a\.jpg 也不在原处", out)
    assert (photos / "里层" / "b.png").exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_photo_that_vanishes_while_it_is_moved_is_not_deleted_twice(photos, tmp_path, monkeypatch, links):
    """网络硬盘上有时删成了，却报错：新的那一份是惟一的，不能收回。"""
    if not links:
        monkeypatch.setattr(transfer, "_linked", lambda source, target: False)
    remove, data = transfer.remove, (photos / "a.jpg").read_bytes()

    def removes_and_fails(path):
        remove(path)
        if path == photos / "a.jpg":
            raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(transfer, "remove", removes_and_fails)
    transfer.transfer(photos / "a.jpg", tmp_path / "b.jpg", move=True)
    assert (tmp_path / "b.jpg").read_bytes() == data


@pytest.mark.parametrize("links", [True, False])
def test_a_photo_that_cannot_be_taken_away_is_not_moved_by_half(photos, tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(transfer, "_linked", lambda source, target: False)
    remove = transfer.remove

    def open_elsewhere(path):
        if path == photos / "a.jpg":
            raise PermissionError(13, "正被别的程序开着", str(path))
        remove(path)

    monkeypatch.setattr(transfer, "remove", open_elsewhere)
    with pytest.raises(PermissionError):
        transfer.transfer(photos / "a.jpg", tmp_path / "b.jpg", move=True)
    assert (photos / "a.jpg").exists() and not (tmp_path / "b.jpg").exists()


def test_a_name_the_disk_does_not_allow_stops_only_that_photo(run, photos, tmp_path, monkeypatch):
    """exFAT 上的文件名不能有冒号；Windows 上，认不得的错误也是 EINVAL，却与名字无关。"""

    def exfat(source, target, move):
        if target.name == "c.jpg":
            raise OSError(errno.EINVAL, "Invalid argument", str(target))
        transfer.transfer(source, target, move)

    monkeypatch.setattr(sorting, "transfer", exfat)
    code, _, err = run(photos, "--sort-into", tmp_path / "整理好")
    assert code == 0 and "没有整理：" in err and "c.jpg：那里的磁盘不容许这个名字" in err and "整理了 2 张" in err

    class ShareIsGone(OSError):
        winerror = 64

    def dropped(source, target, move):
        raise ShareIsGone(errno.EINVAL, "网络名不再可用", str(target))

    monkeypatch.setattr(sorting, "transfer", dropped)
    with pytest.raises(UserError, match="网络名不再可用"):
        run(photos, "--sort-into", tmp_path / "另一处")


def test_a_file_in_place_of_a_class_folder_ends_in_one_line(run, photos, tmp_path):
    """从前以为是同名的照片，没完没了地换名字再试。"""
    target = tmp_path / "整理好"
    target.mkdir()
    for name in (*LABELS, "都不像"):
        (target / name).write_text("读者的", encoding="utf-8")
    with pytest.raises(UserError, match="--sort-into"):
        run(photos, "--sort-into", target)
    assert len(tree(photos)) == 4 and {path.name for path in target.iterdir() if path.is_file()} >= {*LABELS}


def test_a_photo_open_in_another_program_stops_only_itself(run, photos, tmp_path, monkeypatch):
    def open_elsewhere(source, target, move):
        if source.name == "a.jpg":
            raise PermissionError(13, "Access is denied", str(source))
        transfer.transfer(source, target, move)

    monkeypatch.setattr(sorting, "transfer", open_elsewhere)
    code, out, err = run(photos, "--sort-into", tmp_path / "整理好", "--move", "--format", "jsonl")
    assert code == 0 and len(files_in(out)) == 3 and "a.jpg：正被别的程序开着" in err and "整理了 2 张" in err


def test_one_that_cannot_be_taken_back_stops_only_itself(run, photos, tmp_path, cannot_undo, monkeypatch):
    before = tree(photos)
    run(photos, "--sort-into", tmp_path / "整理好", "--move")
    (photos / "里层").rmdir() if not any((photos / "里层").iterdir()) else shutil.rmtree(photos / "里层")
    (photos / "里层").write_text("现在是一个文件", encoding="utf-8")
    with pytest.raises(UserError, match="2 个没有收回"):
        run("--undo", log_in(tmp_path / "整理好"))
    assert (photos / "a.jpg").read_bytes() == before["a.jpg"]
    (photos / "里层").unlink()
    run("--undo", log_in(tmp_path / "整理好"))
    assert tree(photos) == before


@needs_links
def test_into_a_linked_class_folder_and_back(run, photos, tmp_path):
    before, target = tree(photos), tmp_path / "整理好"
    for name in (*LABELS, "都不像"):
        (tmp_path / "另一个磁盘" / name).mkdir(parents=True)
        target.mkdir(exist_ok=True)
        (target / name).symlink_to(tmp_path / "另一个磁盘" / name)
    run(photos, "--sort-into", target, "--move")
    assert len(tree(tmp_path / "另一个磁盘")) == 3
    run("--undo", log_in(target))
    assert tree(photos) == before


@needs_links
def test_a_link_keeps_its_own_name(run, photos, tmp_path):
    """指向仓库里没有后缀的文件的链接（Hugging Face 的缓存、git-annex）：用链接的名字，以后仍认得出是照片。"""
    save_jpeg(tmp_path / "仓库" / "1.jpg", seed=5).rename(tmp_path / "仓库" / "8f3a9c")
    (photos / "猫.jpg").symlink_to(tmp_path / "仓库" / "8f3a9c")
    run(photos / "猫.jpg", "--sort-into", tmp_path / "整理好")
    assert [Path(name).name for name in tree(tmp_path / "整理好") if "/" in name] == ["猫.jpg"]


def test_a_class_called_none_of_these_is_not_mixed_with_the_unknown(tmp_path, photos):
    sorter = sorting.Sorter(tmp_path / "整理好", ["x", "都不像"])
    sorter.put(photos / "a.jpg", "都不像")
    sorter.put(photos / "里层" / "b.png", None)
    sorter.close()
    assert {name for name in tree(tmp_path / "整理好") if "/" in name} == {"都不像/a.jpg", "都不像_2/b.png"}


def test_a_mistyped_model_folder_is_not_a_photo(run, photos, model, monkeypatch):
    monkeypatch.setattr(model_folder_reader, "newest", lambda folder: model)
    with pytest.raises(UserError, match="没有 output/写错了.*模型文件夹"):
        run("output/写错了", photos, model=None)
    code, _, err = run("没有.jpg", photos, model=None)
    assert code == 3 and "没有这个文件" in err


@pytest.mark.parametrize(
    "arguments", [[""], ["--", ""], ["--sort-into", ""], ["--watch="], ["--undo", ""], ["--out", ""]]
)
def test_empty_arguments_are_refused(run, photos, capsys, arguments):
    """变量没有设时，命令行上就是空的；从前当作眼下的文件夹，或当作没有给。"""
    with pytest.raises(SystemExit) as ending:
        lesson.parse_arguments([str(photos), *arguments])
    assert ending.value.code == 2 and "是空的" in capsys.readouterr().err


def test_a_name_as_long_as_names_can_be_still_gets_a_number(photos, tmp_path):
    sorter = sorting.Sorter(tmp_path / "整理好", ["x"])
    for i in range(3):
        sorter.put(save_jpeg(tmp_path / str(i) / ("长" * 83 + "a.jpg"), seed=i), "x")
    sorter.close()
    assert len([name for name in tree(tmp_path / "整理好") if name.endswith(".jpg")]) == sorter.count == 3


def test_a_suffix_as_long_as_names_can_be_ends(photos, tmp_path):
    names = sorting._free_names(tmp_path, Path("a." + "长" * 84))
    assert [next(names).name[:2] for _ in range(2)] == ["a.", " ("]


@pytest.mark.parametrize("move", [False, True])
def test_sorting_and_undoing(run, photos, tmp_path, move):
    before, target = tree(photos), tmp_path / "整理好"
    save_jpeg(photos / "第 2 个" / "a.jpg", seed=1)  # 同名、同内容
    save_jpeg(photos / "第 3 个" / "a.jpg", seed=1, height=80)  # 同名、不同内容
    before = tree(photos)
    code, out, err = run(photos, "--sort-into", target, *(["--move"] if move else []), "--format", "jsonl")
    answers = {json.loads(line)["file"]: json.loads(line)["answer"] for line in out.splitlines()}
    sorted_into = {name: data for name, data in tree(target).items() if "/" in name}
    assert {name.split("/")[0] for name in sorted_into} == set(answers.values()) <= {*LABELS, "都不像"}
    pictures = {data for name, data in before.items() if not name.endswith(".txt")}
    assert set(sorted_into.values()) == pictures
    assert len(sorted_into) == (5 if move else 4)  # 复制时，相同的只要一份
    assert set(tree(photos)) == ({"说明.txt"} if move else set(before))
    run("--undo", log_in(target))
    assert tree(photos) == before
    assert [path.name for path in target.iterdir() if path.is_dir()] == []
    assert len(list(target.glob(f"*{sorting.UNDONE}.jsonl"))) == 1


@pytest.fixture
def windows_keeps_read_only(monkeypatch):
    """像 Windows 那样：只读的文件删不掉。"""
    unlink = Path.unlink

    def refuse_read_only(path, missing_ok=False):
        if path.exists() and not path.stat().st_mode & stat.S_IWRITE:
            raise PermissionError(13, "只读", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse_read_only)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("move", [False, True])
def test_read_only_photos_are_sorted_and_taken_back(
    run, photos, tmp_path, move, links, windows_keeps_read_only, monkeypatch
):
    if not links:
        monkeypatch.setattr(transfer, "_linked", lambda source, target: False)
    (photos / "a.jpg").chmod(0o444)
    before, target = tree(photos), tmp_path / "整理好"
    code, _, err = run(photos / "a.jpg", "--sort-into", target, *(["--move"] if move else []))
    assert code == 0 and "整理了 1 张" in err
    assert [name for name in tree(target) if "/" in name and not name.endswith(".jpg")] == []  # 没有半成品
    assert (photos / "a.jpg").exists() is not move
    (new,) = target.rglob("a.jpg")
    assert not new.stat().st_mode & stat.S_IWRITE
    run("--undo", log_in(target))
    assert not (photos / "a.jpg").stat().st_mode & stat.S_IWRITE
    assert tree(photos) == before and not [path for path in target.iterdir() if path.is_dir()]


def test_a_file_that_cannot_be_removed_stays_as_it_was(tmp_path, monkeypatch):
    def refuse(path, missing_ok=False):
        raise PermissionError(13, "没有权限", str(path))

    photo = save_jpeg(tmp_path / "a.jpg", seed=1)
    photo.chmod(0o444)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        transfer.remove(photo)
    assert not photo.stat().st_mode & stat.S_IWRITE


def test_nothing_is_overwritten_and_changed_files_stay(run, photos, tmp_path, cannot_undo):
    target = tmp_path / "整理好"
    _, out, _ = run(photos / "a.jpg", "--format", "jsonl")
    own = target / json.loads(out)["answer"] / "a.jpg"
    own.parent.mkdir(parents=True)
    own.write_text("自己的", encoding="utf-8")
    run(photos / "a.jpg", "--sort-into", target)
    new = own.with_name("a (2).jpg")
    assert own.read_text(encoding="utf-8") == "自己的" and new.read_bytes() == (photos / "a.jpg").read_bytes()
    new.write_text("后来改过", encoding="utf-8")
    assert "内容变了" in cannot_undo(target)
    assert new.read_text(encoding="utf-8") == "后来改过" and own.exists()


def test_the_last_copy_is_not_taken_back(run, photos, tmp_path, cannot_undo):
    target, data = tmp_path / "整理好", (photos / "a.jpg").read_bytes()
    run(photos / "a.jpg", "--sort-into", target)
    (photos / "a.jpg").unlink()
    assert "没有同样的一份了" in cannot_undo(target)
    assert data in tree(target).values()


@needs_links
def test_what_lies_behind_a_link_is_not_moved(run, photos, tmp_path):
    elsewhere = tmp_path / "别处"
    save_jpeg(elsewhere / "o.jpg", seed=7)
    save_jpeg(elsewhere / "里" / "p.jpg", seed=8)
    (photos / "链接.jpg").symlink_to(elsewhere / "o.jpg")
    (photos / "链接的").symlink_to(elsewhere / "里")
    _, _, err = run(photos, "--sort-into", tmp_path / "整理好", "--move")
    assert err.count("经过链接，不移动") == 2 and "整理了 3 张" in err
    assert (elsewhere / "o.jpg").exists() and (elsewhere / "里" / "p.jpg").exists()
    _, _, err = run(photos, "--sort-into", tmp_path / "复制的")
    assert "整理了 2 张" in err


def test_a_copy_left_half_by_a_kill_is_cleared(run, photos, tmp_path):
    target = tmp_path / "整理好"
    answer = json.loads(run(photos / "a.jpg", "--format", "jsonl")[1])["answer"]
    half = target / answer / f".a.jpg.{leftovers._machine()}.{2**22 + 1}.00000000-0.writing"  # 没有这个进程
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    run(photos / "a.jpg", "--sort-into", target)
    run("--undo", log_in(target))
    assert not half.exists() and not half.parent.exists()


def test_sorting_again_leaves_out_what_is_sorted(run, photos):
    run(photos, "--sort-into", photos / "整理好")
    before = tree(photos / "整理好")
    _, out, err = run(photos, "--sort-into", photos / "整理好", "--format", "jsonl")
    assert len(files_in(out)) == 3 and "--sort-into 的文件夹里的" in err
    assert tree(photos / "整理好") == before


@pytest.mark.parametrize("step", ["link", "unlink"])
def test_a_kill_in_between_loses_nothing(photos, tmp_path, step):
    """移动到一半被杀：照片至少有一份完整的，撤销之后恰好一份，在原处。"""
    data = (photos / "a.jpg").read_bytes()
    code = (
        f"import os, sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        "import pathlib\n"
        "from toolbox.prediction import sorting\n"
        f"def die(*_, **__): os._exit(9)\n"
        f"{'os.link' if step == 'link' else 'pathlib.Path.unlink'} = die\n"
        f"sorter = sorting.Sorter({str(tmp_path / '整理好')!r}, ['x'], move=True)\n"
        f"sorter.put({str(photos / 'a.jpg')!r}, 'x')\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert (photos / "a.jpg").read_bytes() == data
    sorting.undo(log_in(tmp_path / "整理好"))
    assert (photos / "a.jpg").read_bytes() == data
    assert not any(path.suffix == ".jpg" for path in (tmp_path / "整理好").rglob("*"))


def test_the_same_command_after_a_kill_ends_the_move(run, photos, tmp_path, monkeypatch):
    """移动到一半被杀，新旧两个名字都在（同一个文件）：再运行一次，旧的那个也移走。"""
    before = tree(photos)
    with monkeypatch.context() as killed:
        killed.setattr(transfer, "remove", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(photos / "a.jpg", "--sort-into", tmp_path / "整理好", "--move")
    assert tree(photos) == before
    log_in(tmp_path / "整理好").unlink()
    _, _, err = run(photos / "a.jpg", "--sort-into", tmp_path / "整理好", "--move")
    assert "整理了 1 张" in err and not (photos / "a.jpg").exists()
    run("--undo", log_in(tmp_path / "整理好"))
    assert tree(photos) == before


@needs_links
@pytest.mark.parametrize("backed_up", [False, True])
def test_one_name_written_in_two_ways_is_left_alone(tmp_path, monkeypatch, backed_up):
    """大小写不分的磁盘上，TULIPS/a.jpg 与 tulips/a.jpg 是同一个名字：不能当作移动到一半，把它删掉。"""
    photo = save_jpeg(tmp_path / "整理好" / "x" / "a.jpg", seed=1)
    (tmp_path / "另一种写法").symlink_to(tmp_path / "整理好")
    if backed_up:
        os.link(photo, tmp_path / "备份")
    monkeypatch.setattr(sorting, "absolute", lambda path: Path(os.path.abspath(path)))
    sorter = sorting.Sorter(tmp_path / "整理好", ["x"], move=True)
    sorter.put(tmp_path / "另一种写法" / "x" / "a.jpg", "x")
    sorter.close()
    assert photo.exists() and sorter.count == 0 and len(tree(tmp_path / "整理好")) == 1


def test_copies_that_are_there_already_are_counted(run, photos, tmp_path):
    run(photos, "--sort-into", tmp_path / "整理好")
    _, _, err = run(photos, "--sort-into", tmp_path / "整理好")
    assert "3 张在那里已有同样的" in err


def test_class_names_cannot_lead_elsewhere(tmp_path, photos):
    labels = ["../../etc", "a/b", "a:b", "CON", ".git", "x. ", "", "A", "A_2", "a"]
    sorter = sorting.Sorter(tmp_path / "整理好", labels)
    for i, label in enumerate(labels):
        sorter.put(save_jpeg(tmp_path / f"{i}.jpg", seed=i), label)
    sorter.close()
    names = sorted(tree(tmp_path / "整理好"))
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {"_.._.._etc", "a_b", "a_b_2", "_CON", "_.git", "x_", "_", "A", "A_2", "a_3"}


NOT_TEXT = '{"from": "a", "to": 5, "sha256": "x", "moved": false}\n'
OUTSIDE = '{"from": "a", "to": "../../b", "sha256": "x", "moved": false}\n'


@pytest.mark.parametrize("content", ["", "你好\n", "[]\n", "[" * 100_000 + "\n", OUTSIDE, NOT_TEXT])
def test_what_is_not_a_log_undoes_nothing(tmp_path, content):
    (tmp_path / "log").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="不是整理记录"):
        sorting.undo(tmp_path / "log")


# ---- --watch ----


def test_photos_are_named_when_they_have_arrived(photos, monkeypatch):
    """照片慢慢写进来：还在变大的不动，两次看都一样了才给；开始就有的不给，改过的再给一次。"""
    steps = iter(range(10))
    data = (photos / "a.jpg").read_bytes()

    def write(_):
        step = next(steps)
        if step in (1, 2, 3):
            with open(photos / "新.jpg", "ab") as file:
                file.write(data[len(data) * (step - 1) // 3 : len(data) * step // 3])
        if step == 6:
            save_jpeg(photos / "a.jpg", seed=77)

    monkeypatch.setattr(watch.time, "sleep", write)
    seen = [
        [os.path.basename(source.file) for source in batch] for batch in itertools.islice(watch.arriving(photos), 9)
    ]
    assert seen == [[], [], [], [], ["新.jpg"], [], [], ["a.jpg"], []]
    with pytest.raises(UserError, match="不是文件夹"):
        next(watch.arriving(photos / "a.jpg"))


def test_a_share_that_is_away_for_a_while_brings_nothing_new(photos, monkeypatch, capsys):
    """网络硬盘断了一下又回来：原来就有的不是新来的；其间真的新来的照认。"""
    steps = iter(range(20))
    away = photos.with_name("断了")

    def act(_):
        step = next(steps)
        if step == 1:
            photos.rename(away)
        if step == 4:
            away.rename(photos)
            save_jpeg(photos / "新.jpg", seed=5)

    monkeypatch.setattr(watch.time, "sleep", act)
    batches = itertools.islice(watch.arriving(photos), 9)
    assert [os.path.basename(source.file) for batch in batches for source in batch] == ["新.jpg"]
    assert capsys.readouterr().err.count("现在看不全") == 1


def test_an_empty_folder_in_place_of_the_share_brings_nothing_new_either(photos, monkeypatch):
    """网络硬盘断开后，原处常是一个空文件夹，打开它不出错。"""
    steps, away = iter(range(20)), photos.with_name("断了")

    def act(_):
        step = next(steps)
        if step == 1:
            photos.rename(away)
            photos.mkdir()
        if step == 4:
            photos.rmdir()
            away.rename(photos)
            save_jpeg(photos / "新.jpg", seed=5)

    monkeypatch.setattr(watch.time, "sleep", act)
    batches = itertools.islice(watch.arriving(photos), 9)
    assert [os.path.basename(source.file) for batch in batches for source in batch] == ["新.jpg"]


def test_what_could_not_be_seen_at_first_is_not_new_later(photos, monkeypatch):
    """开始时打不开的子文件夹，后来打得开了：里面的不是新来的。"""
    steps, hidden = iter(range(20)), photos / "里层"
    look = watch.Walk._entries

    def entries(walk, folder):
        if folder == hidden and current[0] < 3:
            walk.problems.append((folder, watch.UNREADABLE_FOLDER))
            return [], []
        return look(walk, folder)

    current = [0]

    def act(_):
        current[0] = next(steps)
        if current[0] == 5:
            save_jpeg(hidden / "新.jpg", seed=5)

    monkeypatch.setattr(watch.Walk, "_entries", entries)
    monkeypatch.setattr(watch.time, "sleep", act)
    batches = itertools.islice(watch.arriving(photos), 9)
    assert [os.path.basename(source.file) for batch in batches for source in batch] == ["新.jpg"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows 上没有 SIGINT")
def test_watching_ends_with_a_word(model, photos):
    command = [sys.executable, str(SCRIPT), str(model), "--watch", str(photos), "--format", "jsonl"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # 测试若是后台作业，SIGINT 是被忽略的
    )
    try:
        assert "盯着" in process.stderr.readline()  # 说这一句时，已经看过一遍
        shutil.copy(photos / "a.jpg", photos / "新来的.jpg")
        assert json.loads(process.stdout.readline())["file"].endswith("新来的.jpg")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "已中断" in err


def test_only_one_predictor_is_needed_for_many_threads(model):
    predictor = Predictor(model)
    expected = predictor.predict(random_pixels(1)).probabilities
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(predictor.predict(random_pixels(1)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(answer.probabilities, expected) for answer in answers) and len(answers) == 8


# ---- 真正训练过的 ----

KINDS = [
    (1,),
    (1, "--class-mode", "sparse"),
    (1, "--model", "model"),
    (1, "--model", "model", "--class-mode", "sparse"),
    (3, "--views", "1", "--unfreeze-from", "block_16_expand"),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)).replace("--", ""))
def test_every_kind_of_model_answers_as_keras_and_as_its_own_predictions(
    run, kind, model_folder_of, first_flowers, tmp_path
):
    folder, photos = model_folder_of(*kind), first_flowers(40)
    with open(folder / "predictions.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    files = [photos / row["file"] for row in rows]
    code, out, _ = run(*files, "--top", "9", "--format", "jsonl", model=folder)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [answer["file"] for answer in answers] == list(map(str, files))
    names = sorted(path.name for path in photos.iterdir() if path.is_dir())
    assert all(sorted(each["class"] for each in answer["top"]) == names for answer in answers)  # 只列出真有的类别
    pixels = np.stack([read_photo(file, IMAGE_SIZE) for file in files])
    expected = keras_probabilities(folder / "model.keras", pixels)
    labels, outputs = model_folder_reader.classes(folder)
    for row, answer, probabilities in zip(rows, answers, expected, strict=True):
        second, first = np.sort(probabilities)[-2:]
        if first - second > 0.01:
            best = labels[probabilities[outputs].argmax()]
            assert answer["top"][0]["class"] == best == row["predicted"] or row["predicted"] not in labels
    assert sum(not answer["known"] for answer in answers) <= 0.2 * len(answers)
    run(*files[:3], "--sort-into", tmp_path / "整理好", model=folder)
    run("--undo", log_in(tmp_path / "整理好"))
    old = shutil.copytree(folder, tmp_path / "old")
    make_old(old)
    code, out, err = run(*files[:3], "--top", "9", "--format", "jsonl", model=old)
    again = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and "转换一次" in err
    assert [each["top"][0]["class"] for each in again] == [each["top"][0]["class"] for each in answers[:3]]
    assert sorted(each["class"] for each in again[0]["top"]) == names


@pytest.mark.slow
def test_the_ten_lines_on_the_page_run_as_printed(model_folder_of, first_flowers, tmp_path):
    page = (PROJECT_DIR / "docs" / "study_keras" / "hello_predict.md").read_text(encoding="utf-8")
    snippets = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "照片.jpg" in code]
    assert len(snippets) == 2 and "ai_edge_litert" in snippets[0] and "keras" in snippets[1]
    shutil.copytree(model_folder_of(1), tmp_path / "模型文件夹")
    with open(tmp_path / "模型文件夹" / "predictions.csv", encoding="utf-8-sig", newline="") as file:
        row = next(csv.DictReader(file))
    shutil.copy(first_flowers(40) / row["file"], tmp_path / "照片.jpg")
    for code in snippets:
        command = [sys.executable, "-X", "utf8", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        name, probability = done.stdout.split()
        assert name == row["predicted"] and abs(float(probability) - float(row["probability"])) < 1e-3
