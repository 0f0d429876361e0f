"""整个项目的约定：每一课都有页面与测试，--help 轻快，依赖锁一致，两条命令在 README 里。"""

import ast
import graphlib
import os
import re
import subprocess
import sys

import pytest

from conftest import LESSONS_DIR, PROJECT_DIR
from toolbox.terminal.text import columns

LESSONS = sorted(LESSONS_DIR.glob("hello_*.py"))
SCRIPTS = [
    path
    for folder in (LESSONS_DIR, LESSONS_DIR / "toolbox", PROJECT_DIR / "benchmarks")
    for path in sorted(folder.glob("*.py"))
    if "run_main(main" in path.read_text(encoding="utf-8")
]
HEAVY = ("tensorflow", "keras", "tf_keras", "scipy", "matplotlib", "sklearn", "requests", "ai_edge_litert", "h5py")


def read(name):
    return (PROJECT_DIR / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_has_a_page_and_runs_in_a_test(lesson):
    page = read(f"docs/study_keras/{lesson.stem}.md")
    assert "## 小结" in page and "## 练习" in page
    tests = "".join(path.read_text(encoding="utf-8") for path in PROJECT_DIR.glob(f"tests/test_{lesson.stem}*.py"))
    assert f"import {lesson.stem}" in tests and ".main(" in tests
    assert f"({'docs/study_keras/' + lesson.stem}.md)" in read("README.md")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_an_old_python_understands_the_lesson(lesson):
    """旧的 Python 要读得懂课文脚本，才走得到“这门课要 Python 3.11 至 3.13”那一句。"""
    ast.parse(lesson.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_is_chinese_and_imports_nothing_heavy(script, tmp_path):
    code = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(script.parent)!r}); sys.argv = [{str(script)!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as ending:\n"
        f"    heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    assert not heavy and not ending.code, (heavy, ending.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("用法：") and "usage" not in done.stdout


@pytest.mark.parametrize("script", LESSONS, ids=lambda path: path.stem)
def test_help_fits_sixty_columns(script):
    environment = {**os.environ, "COLUMNS": "62", "PYTHONUTF8": "1"}  # argparse 自己留出两列
    command = [sys.executable, str(script), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment).stdout
    assert shown.startswith("用法：") and "--debug" in shown
    assert max(columns(line) for line in shown.splitlines()) <= 62


GENERATED = ["requirements/constraints.txt", "requirements/lock.txt"]
HANDWRITTEN = ["requirements.txt"]
HANDWRITTEN += [f"requirements/{path.name}" for path in sorted((PROJECT_DIR / "requirements").glob("*.txt"))]
HANDWRITTEN = [name for name in HANDWRITTEN if name not in GENERATED]


def pins(name):
    return dict(re.findall(r"^([A-Za-z0-9_.\-]+)==(\S+)", read(name), flags=re.MULTILINE))


def normal_name(name):
    return re.sub("[-_.]+", "-", name).lower()


def test_requirements_are_pinned_reasoned_and_locked():
    lock = re.sub(r" *\\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+", "\n", read("requirements/lock.txt"))
    locked = [line for line in lock.splitlines() if not line.startswith("#")]
    assert locked == [line for line in read("requirements/constraints.txt").splitlines() if not line.startswith("#")]
    names = {normal_name(line.split("==")[0]): line for line in locked}
    for file in HANDWRITTEN:
        for line in read(file).splitlines():
            if line and not line.startswith(("#", "-c", "-r")):
                assert re.fullmatch(r"\S+==\S+ +# .*[\u4e00-\u9fff].*", line), line
        for name, version in pins(file).items():
            assert names[normal_name(name)].split("==")[1].split(" ")[0] == version


def test_every_requirements_file_is_constrained_and_known_to_the_tests():
    for file in HANDWRITTEN:
        (constraints,) = re.findall(r"^-c (\S+)$", read(file), flags=re.MULTILINE)
        assert (PROJECT_DIR / file).parent / constraints == PROJECT_DIR / "requirements/constraints.txt"
    lessons = {
        f"requirements/{name}" for name in re.findall(r"^-r (\S+)$", read("requirements/test.txt"), flags=re.MULTILINE)
    }
    assert lessons == set(HANDWRITTEN) - {"requirements.txt", "requirements/test.txt"}


@pytest.mark.parametrize("file", HANDWRITTEN + GENERATED)
def test_pip_reads_requirements_as_utf8_and_from_any_index(file):
    """没有第一行的声明，旧的 pip 在中文 Windows 上按 GBK 读，安装时就崩溃；写进索引的地址则绕过读者自己的镜像。"""
    assert read(file).startswith("# -*- coding: utf-8 -*-")
    assert "://" not in read(file) and not re.search(r"^--(extra-)?index-url|^--find-links", read(file), re.MULTILINE)


def test_readme_has_exactly_two_commands():
    section = read("README.md").split("## 两条命令")[1].split("\n## ")[0]
    blocks = re.findall(r"```\w*\n(.*?)```", section, flags=re.DOTALL)
    assert len(blocks) == 2 and all(block.count("\n") == 1 for block in blocks)
    assert "hello_transfer_learning.py" in blocks[0] and "pytest" in blocks[1]


def test_links_between_pages_lead_somewhere():
    for page in [PROJECT_DIR / "README.md", *PROJECT_DIR.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} 里的链接 {link}"


def test_lessons_never_import_each_other_and_the_toolbox_never_imports_a_lesson():
    for path in [*LESSONS, *(LESSONS_DIR / "toolbox").rglob("*.py")]:
        assert not re.search(r"^\s*(import|from) hello_", path.read_text(encoding="utf-8"), flags=re.MULTILINE), path


MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(LESSONS_DIR.rglob("*.py"))}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(LESSONS_DIR).as_posix())
def test_functions_fit_a_screen_and_modules_have_one_subject(path):
    """函数至多 30 行，各课的 main 至多 35 行，toolbox 的模块至多 250 行。"""
    for node in ast.walk(MODULES[path]):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if len(node.body) > 1 and ast.get_docstring(node) else node.body[0]  # 文档字符串不算
            most = 35 if node.name == "main" else 30
            assert node.end_lineno - first.lineno + 2 <= most, f"{path.name} 的 {node.name}"
    if path.parent != LESSONS_DIR:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


def imported(path):
    """path 在模块顶层导入的 toolbox 模块。"""
    for node in MODULES[path].body:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "toolbox":
            for alias in node.names:
                for name in (f"{node.module}.{alias.name}", node.module):
                    file = LESSONS_DIR / name.replace(".", "/")
                    found = [candidate for candidate in (file.with_suffix(".py"), file / "__init__.py")]
                    yield from (candidate for candidate in found if candidate in MODULES)


def test_no_circular_imports():
    order = graphlib.TopologicalSorter({path: set(imported(path)) - {path} for path in MODULES})
    assert len(list(order.static_order())) == len(MODULES)  # 有圈则 CycleError，并列出圈里的模块
