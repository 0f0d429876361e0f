"""给读者看的命令：从他所在的文件夹照抄就能运行；没有装包时，一行中文说该用哪个 Python。"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import LESSONS_DIR, PROJECT_DIR
from toolbox.terminal import packages
from toolbox.terminal.commands import command, python_command, quoted

COMMANDS = [*LESSONS_DIR.glob("hello_*.py"), *LESSONS_DIR.glob("toolbox/*_flowers.py")]
COMMANDS.append(LESSONS_DIR / "toolbox" / "flower_photos.py")
needs_sh = pytest.mark.skipif(os.name == "nt", reason="这里用 sh 运行命令")


def run(line, folder):
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, encoding="utf-8")


@needs_sh
@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path.stem)
def test_without_packages_one_line_says_which_python_to_use(script, tmp_path):
    """-S：没有 site-packages，如同刚下载下来就用系统的 python 运行。"""
    done = subprocess.run([sys.executable, "-S", script], capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("错误：这个 Python（") and "没有课程所需的包（numpy）" in line


@needs_sh
def test_the_python_it_names_works_as_printed(tmp_path):
    """项目里有 .venv：打印的命令在读者所在的文件夹里照抄就能运行，原来的选项也在；路径里有空格与引号。"""
    project = tmp_path / "it's 我的 项目"
    shutil.copytree(LESSONS_DIR, project / "src" / "study_keras", ignore=shutil.ignore_patterns("__pycache__"))
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    script = project / "src" / "study_keras" / "hello_fine_tuning.py"
    for folder in (project, project / "src", tmp_path):
        started = [sys.executable, "-S", os.path.relpath(script, folder), "--name", "我 的", "--help"]
        done = subprocess.run(started, cwd=folder, capture_output=True, encoding="utf-8")
        assert done.returncode == 2 and "请改用装好的那一个：" in done.stderr
        line = done.stderr.strip().split("请改用装好的那一个：")[1]
        again = run(line, folder)
        assert again.returncode == 0 and again.stdout.startswith("用法：hello_fine_tuning.py"), again.stderr
        assert shlex.split(line)[2:] == ["--name", "我 的", "--help"]


def test_without_any_environment_it_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert f"{python_command()} -m venv .venv" in packages.remedy(tmp_path)
    assert "python -m pip install -r requirements.txt" in packages.remedy(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "other"))  # 已经在一个虚拟环境里
    assert packages.remedy(tmp_path) == f"请先运行 {python_command()} -m pip install -r requirements.txt"


def test_a_wrong_version_of_python_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    with pytest.raises(SystemExit) as ending:
        packages.check()
    assert ending.value.code == 2 and "要 Python 3.11 至 3.13，现在的是 3.10" in capsys.readouterr().err


@needs_sh
@pytest.mark.parametrize("folder", [PROJECT_DIR, LESSONS_DIR, LESSONS_DIR / "toolbox", Path("/")])
def test_a_command_works_from_any_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = run(command("toolbox/drawn_flowers.py", "--help"), folder)
    assert done.returncode == 0 and done.stdout.startswith("用法：drawn_flowers.py")


@needs_sh
def test_names_reach_the_shell_whole_and_as_short_as_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("照片", "my photos", "it's", "$HOME", "-x", "a;b"):
        (tmp_path / name).mkdir()
        line = quoted(tmp_path / name)
        shown = run(f"ls -d {line}", tmp_path).stdout.strip()
        assert Path(shown).name == name and not os.path.isabs(shown)
    assert quoted(tmp_path / "a\x1b[2Jb") == "'a\\x1b[2Jb'"


@needs_sh
def test_an_activated_environment_is_just_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if Path(sys.executable).with_name("python").exists() and Path(sys.executable).name == "python":
        assert python_command() == "python"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(Path(sys.executable).parent)
    assert python_command() == f"./{Path(sys.executable).name}"
