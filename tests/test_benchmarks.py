"""benchmarks/ 与 docs/ 里的脚本调用课程的函数，写法与函数的参数对得上：改了函数而忘了它们，不必等到下次记录才发现。"""

import ast
import importlib
import inspect
from types import ModuleType

import pytest

from conftest import PROJECT_DIR

SCRIPTS = sorted([*(PROJECT_DIR / "benchmarks").glob("*.py"), *(PROJECT_DIR / "docs").glob("*.py")])


def course_names(tree):
    """{脚本里的名字: 课程的模块或函数}。"""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(("hello_", "toolbox.")) and alias.asname:
                    names[alias.asname] = importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("hello_", "toolbox")):
            for alias in node.names:
                names[alias.asname or alias.name] = member(importlib.import_module(node.module), alias.name)
    return names


def member(owner, name):
    """owner 的 name；是子模块就导入它。"""
    if isinstance(owner, ModuleType) and not hasattr(owner, name):
        return importlib.import_module(f"{owner.__name__}.{name}")
    return getattr(owner, name)


def called(function, names):
    """调用的是课程的哪个函数；不是课程的则为 None。"""
    if isinstance(function, ast.Name):
        return names.get(function.id)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        owner = names.get(function.value.id)
        return member(owner, function.attr) if isinstance(owner, ModuleType) else None
    return None


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_calls_fit_the_functions_of_the_course(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    names = course_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = called(node.func, names)
        unpacked = any(isinstance(value, ast.Starred) for value in node.args) or None in [k.arg for k in node.keywords]
        is_exception = inspect.isclass(function) and issubclass(function, BaseException)  # 它们的参数随意
        if not (inspect.isroutine(function) or inspect.isclass(function)) or is_exception or unpacked:
            continue
        try:
            inspect.signature(function).bind(*node.args, **{keyword.arg: keyword for keyword in node.keywords})
        except TypeError as error:
            pytest.fail(f"{script.name}:{node.lineno} {ast.unparse(node.func)}：{error}")
