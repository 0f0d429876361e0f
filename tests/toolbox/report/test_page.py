"""网页：名字都转义，内容安全策略放行的只有自己的两段；不弄丢别人的文件。"""

import base64
import hashlib
import re

import pytest

from toolbox.report import page
from toolbox.report.held_out import HeldOut
from toolbox.report.saved_run import Row, SavedRun
from toolbox.terminal.errors import UserError

EVIL = "</title><script>alert(1)</script>\"'&$a$"
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
    (tmp_path / page.PAGE_FILE).touch()
    assert page.target_folder(tmp_path, tmp_path) == tmp_path
