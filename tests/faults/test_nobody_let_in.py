"""来自外面的文件运行不了代码：源码里没有会运行它们的读法，也没有经过外壳（shell）启动的程序。"""

import ast
import re

import pytest

from conftest import LESSONS_DIR, PROJECT_DIR

SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(LESSONS_DIR.rglob("*.py"))}
FORBIDDEN = {  # 这样的调用 -> 只有这些文件可以有，为什么
    "eval": (),
    "exec": (),
    "os.system": (),
    "os.popen": (),
    "pickle.load": (),
    "pickle.loads": (),
    "pickle.Unpickler": (),
    "marshal.loads": (),
    "yaml.load": (),
    "torch.load": (),
    "enable_unsafe_deserialization": (),
    "tempfile.mktemp": (),
}


def calls(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(LESSONS_DIR).as_posix())
def test_nothing_read_can_run_code(path):
    for name, node in calls(SOURCES[path]):
        for forbidden, allowed in FORBIDDEN.items():
            is_it = name == forbidden or name.endswith(f".{forbidden}")
            assert not is_it or path.name in allowed, f"{path.name}:{node.lineno} {name}"
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert given.get("shell", "False") == "False", f"{path.name}:{node.lineno} 经过外壳"
        assert given.get("allow_pickle", "False") == "False", f"{path.name}:{node.lineno} allow_pickle"
        assert given.get("safe_mode", "True") == "True", f"{path.name}:{node.lineno} safe_mode"


def test_programs_are_started_from_a_list_of_words_and_only_python_or_npm():
    started = {
        path.name
        for path, text in SOURCES.items()
        if re.search(
            r"subprocess\.\w*(run|Popen|call|check_|output)|os\.(exec|spawn|popen|system|startfile|posix_spawn)", text
        )
    }
    assert started == {"torchvision.py", "local_cluster.py", "litertjs.py"}
    for path, text in SOURCES.items():
        if path.name in started:
            assert "sys.executable" in text and "shell=True" not in text  # 另有读者自己的 npm，只取固定的两个包


STATEMENT = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_statement_about_security_names_a_test_that_exists():
    page = (PROJECT_DIR / "docs" / "security.md").read_text(encoding="utf-8")
    named = STATEMENT.findall(page)
    assert len(named) > 30
    for file, test in named:
        functions = {
            node.name
            for node in ast.walk(ast.parse((PROJECT_DIR / file).read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        assert test in functions, f"{file} 里没有 {test}"
    promises = page.split("## 试了多少次")[0]  # 之后的表是记录
    rows = [line for line in promises.splitlines() if re.match(r"\| (?!---|保证|文件 \|)", line)]
    assert len(rows) > 20 and all(STATEMENT.search(row) for row in rows)
