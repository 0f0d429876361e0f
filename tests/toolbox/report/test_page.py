"""网页：名字都转义，内容安全策略放行的只有自己的两段；在无界面的 Chromium 里点按钮；不弄丢别人的文件。"""

import base64
import hashlib
import json
import os
import re
import shlex
from html import unescape

import numpy as np
import pytest

import hello_photo_check
from browser import chromium
from conftest import save_jpeg
from toolbox.held_out import HeldOut
from toolbox.photos.folder import open_folder
from toolbox.report import contents, page
from toolbox.report.answers import Answers
from toolbox.saved_run import Row, SavedRun
from toolbox.terminal.errors import UserError

EVIL = "</title><script>alert(1)</script>\"'&$a$"
EVIL_FILE = "<img src=x onerror=alert(1)><script>alert(2)<'\"&`.jpg"
PARTS = {part: {"photos": 3, "accuracy": 2 / 3, "loss": 0.5} for part in ("train", "validation")}


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """没有照片的报告；类别、文件、设置里都有捣乱的名字。"""
    folder = tmp_path_factory.mktemp("model") / "report"
    rows = [Row(f"{EVIL}/1.jpg", EVIL, EVIL, 0.9), Row("b/2.jpg", "b", EVIL, 0.8), Row("b/3.jpg", "b", "b", 0.7)]
    settings = {"images_dir": EVIL, "unfreeze_from": EVIL, "photos_sha256": EVIL}
    run = SavedRun(folder.parent, settings, ["b", EVIL], PARTS, {}, rows, None)
    page.write(folder, run, HeldOut(gone=[row.file for row in rows], why=EVIL), None)
    assert {path.name for path in folder.iterdir()} == {page.PAGE_FILE, "confusion.png"}
    return (folder / page.PAGE_FILE).read_text(encoding="utf-8")


def test_names_are_text(html):
    assert "<script>alert" not in html and html.count("&lt;script&gt;alert(1)") >= 5
    assert len(re.findall("<script", html)) == html.count("</script>") == 1


def test_policy_allows_only_the_own_script_and_style(html):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'" and "connect-src" not in directives
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
    assert not re.findall(r"\son\w+=", html.split("<body>")[1].split("<script>")[0].replace("&", " "))


def test_other_peoples_files_are_never_replaced(tmp_path):
    assert page.target_folder(tmp_path) == tmp_path / "report"
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path):
        with pytest.raises(UserError, match="--out"):
            page.target_folder(tmp_path, out)
    (tmp_path / page.PAGE_FILE).touch()  # 别的工具写的报告，旁边还有读者自己的文件
    with pytest.raises(UserError, match="file.*弄丢.*--out"):
        page.target_folder(tmp_path, tmp_path)
    (tmp_path / "file").unlink()
    assert page.target_folder(tmp_path, tmp_path) == tmp_path


CLASSES = ["daisy", "roses", "tulips"]


@pytest.fixture(scope="module")
def full_report(tmp_path_factory):
    """有照片的报告，答案是编的：roses 里一张名字捣乱的，模型有把握地说是 daisy。返回 (网页, 照片文件夹, 它的 file)。"""
    root = tmp_path_factory.mktemp("捣乱")
    evil = "捣乱.jpg" if os.name == "nt" else EVIL_FILE  # Windows 的文件名里不能有尖括号
    for k, name in enumerate(CLASSES):
        for i in range(8):
            save_jpeg(root / "photos" / name / (evil if (name, i) == ("roses", 0) else f"{i}.jpg"), seed=100 * k + i)
    folder = open_folder(root / "photos")
    photos = [photo for k in range(3) for photo in folder.photos[8 * k + 2 : 8 * k + 8]]
    true = np.repeat(np.arange(3), 6)
    probabilities = np.full((18, 3), 0.05) + 0.85 * np.eye(3)[true]
    strange = next(i for i, photo in enumerate(photos) if folder.name(photo) == f"roses/{evil}")
    probabilities[strange] = [0.97, 0.02, 0.01]
    predicted = probabilities.argmax(axis=1)
    rows = [
        Row(folder.name(photo), photo.class_name, CLASSES[k], 0.9) for photo, k in zip(photos, predicted, strict=True)
    ]
    training = [photo for photo in folder.photos if photo not in photos]
    held_out = HeldOut(folder.root, photos, rows, ["validation"] * 18, training, same_list=True)
    random = np.random.default_rng(0)
    answers = Answers(CLASSES, held_out, None, probabilities, probabilities, true, predicted, 0.8, "验证照片")
    chosen = contents.choose(answers)
    maps = [random.random((len(chosen.mistakes), 7, 7)) for _ in range(2)]
    right = [random.random((len(chosen.right), 7, 7))]
    studied = contents.Studied(answers, chosen, maps, right, np.array([[0, 1, 2]]), random.random((18, 2)))
    history = {name: [0.5, 0.7] for name in ("accuracy", "val_accuracy", "loss", "val_loss")}
    settings = {"photos_sha256": "0" * 64, "given_split": True}
    run = SavedRun(root / "model", settings, CLASSES, PARTS, history, rows, None)
    page.write(root / "report", run, held_out, studied)
    return root / "report" / page.PAGE_FILE, root / "photos", f"roses/{evil}"


def test_the_command_shown_can_be_run(full_report):
    html, photos, _ = full_report
    text = re.search(
        r"<code>(python src/study_keras/hello_photo_check.py .*?)</code>", html.read_text(encoding="utf-8")
    )
    words = shlex.split(unescape(text[1]))[2:]
    assert words == [str(photos), "--given-split", "--apply", "photo_changes.json", "--move-to", "moved_photos"]
    hello_photo_check.parse_arguments(words)


def test_figures_are_also_files(full_report):
    files = {"confusion.png", "curves.png", "map.png", "reliability.png", page.PAGE_FILE}
    assert {path.name for path in full_report[0].parent.iterdir()} == files
    assert full_report[0].read_text(encoding="utf-8").count("<title>") - 1 == 18  # 二维图上每张一个


def new_context_of(browser):
    """一个函数，新开一个互不相干的窗口；机器忙时，半分钟可能不够。"""

    def new_context(**options):
        context = browser.new_context(**options)
        context.set_default_timeout(300_000)  # 毫秒
        return context

    return new_context


@pytest.fixture(scope="module")
def browser():
    """无界面的 Chromium：一个函数，给出新的窗口（BrowserContext）。"""
    with chromium() as running:
        yield new_context_of(running)


def test_in_a_browser_marks_become_a_change_list(browser, full_report, tmp_path):
    html, photos, evil = full_report
    context = browser(viewport={"width": 390, "height": 844}, accept_downloads=True)
    tab, troubles = context.new_page(), []
    tab.on("console", lambda message: troubles.append(message.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    tab.on(
        "request", lambda request: None if request.url.startswith(("data:", "blob:")) else troubles.append(request.url)
    )
    tab.goto(html.as_uri())
    assert troubles.pop(0) == html.as_uri()  # 唯一的请求是网页自己
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390  # 手机上不必左右拖
    doubts = tab.locator(".doubt")
    names = doubts.evaluate_all("cards => cards.map(card => card.dataset.file)")
    card = doubts.nth(names.index(evil))
    assert card.locator("select").input_value() == "daisy"
    assert tab.locator("main script, main img[src=x], main [onerror]").count() == 0
    assert tab.locator("#download").is_disabled()

    card.get_by_text("标签没错").click()
    card.get_by_text("错了，是").click()
    assert card.locator("[aria-pressed=true]").all_text_contents() == ["错了，是"]
    card.locator("select").select_option("tulips")
    tab.reload()  # 标记还在
    troubles.remove(html.as_uri())
    assert "改类别 1" in tab.locator("#count").text_content()
    with tab.expect_download() as download:
        tab.locator("#download").click()
    download.value.save_as(tmp_path / "list.json")
    changes = json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))
    relabel = {"file": evil, "action": "relabel", "label": "tulips"}
    assert changes == {"version": 1, "folder": str(photos), "changes": [relabel]}

    card.get_by_text("不用这张").click()
    assert "不用 1" in tab.locator("#count").text_content()
    card.get_by_text("不用这张").click()  # 再按一次取消
    assert tab.locator("#count").text_content() == "还没有标记。" and tab.locator("#download").is_disabled()
    assert troubles == []
    context.close()


def test_no_character_of_the_page_is_a_box(browser, full_report):
    """每个汉字都由网页自带的字体画出来，不靠这台电脑有没有中文字体。"""
    tab = browser().new_page()
    tab.goto(full_report[0].as_uri())
    tab.evaluate("document.fonts.ready")
    assert tab.evaluate("[...document.fonts].map(font => font.status)") == ["loaded"]
    session = tab.context.new_cdp_session(tab)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    for selector in ("h2", ".lead", "#run th", ".doubt p:nth-of-type(2)", "nav a", "button"):
        node = session.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        assert any(font["isCustomFont"] and font["glyphCount"] > 1 for font in fonts), (selector, fonts)
    tab.close()
