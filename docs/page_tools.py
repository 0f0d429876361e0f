"""页面里的代码、帮助、输出与数字都由这里放进去（cogapp），用 --check 防止走样。

重新生成：python -m cogapp -r -I docs README.md docs/*.md docs/study_keras/*.md
检查：    python -m cogapp --check -I docs README.md docs/*.md docs/study_keras/*.md
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import cog

PROJECT_DIR = Path(__file__).resolve().parents[1]
RESULTS_DIR = PROJECT_DIR / "docs" / "results"


def _fenced(text, language=""):
    cog.out(f"\n```{language}\n{text.strip(chr(10))}\n```\n\n")


def excerpt(path, name):
    """放入 path 里名为 name 的函数（或类）的源代码。"""
    source = (PROJECT_DIR / path).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return _fenced("\n".join(source.splitlines()[first - 1 : node.end_lineno]), "python")
    raise LookupError(f"{path} 里没有 {name}")


def lines_between(path, start, end):
    """放入 path 里从含 start 的一行到含 end 的一行（都包括在内），去掉共同的缩进。"""
    import textwrap

    lines = (PROJECT_DIR / path).read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if start in line)
    last = next(i for i, line in enumerate(lines) if i >= first and end in line)
    _fenced(textwrap.dedent("\n".join(lines[first : last + 1])), "python")


def help_text(script):
    """放入脚本的 --help 输出。"""
    environment = {**os.environ, "COLUMNS": "100", "PYTHONUTF8": "1"}
    command = [sys.executable, str(PROJECT_DIR / script), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True, env=environment).stdout
    _fenced(text.replace(str(PROJECT_DIR) + os.sep, ""), "text")


def recorded(file_name, leave_out=()):
    """放入 docs/results/ 里记录下来的终端输出；以 leave_out 中的词结尾的行略去。"""
    lines = (RESULTS_DIR / file_name).read_text(encoding="utf-8").splitlines()
    _fenced("\n".join(line for line in lines if not line.endswith(tuple(leave_out))), "text")


def load(file_name):
    """读 docs/results/ 里的一份 JSON 结果。"""
    return json.loads((RESULTS_DIR / file_name).read_text(encoding="utf-8"))


def result(file_name, key, form="{}"):
    """放入一个结果；key 用点分隔层次，form 是格式，如 "{:.3f}"。"""
    value = load(file_name)
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    cog.out(form.format(value))


def ways_table():
    """放入各种做法的测试准确率、用时与内存（benchmarks/record_results.py 的记录）。"""
    sys.path.insert(0, str(PROJECT_DIR / "benchmarks"))
    from draw_results import WAYS  # 图与表是同样的几种做法

    rows = []
    for name, label in WAYS.items():
        r = load(f"{name}.json")
        test, mean = r["test"], {key: f"{r[key]['mean']:.0f}" for key in ("seconds", "cpu_seconds", "peak_memory_mb")}
        spread = f"{test['lowest']:.3f} 至 {test['highest']:.3f}"
        rows.append([label, f"{test['mean']:.3f}", spread, len(r["runs"]), *mean.values()])
    table(["做法", "测试准确率的平均", "最低至最高", "种子数", "用时（秒）", "CPU 秒", "内存（MB）"], rows)


SCORES = {"max_probability": "最大的概率", "similarity": "只看相似度", "familiarity": "两样一起（课程用的）"}
STRANGERS = {
    "shipped": "几个包自带的图片",
    "textures": "画的花纹",
    "drawn_flowers": "画的花",
    "real_flowers": "真花",
    "other_ants": "蚂蚁的照片",
    "other_bees": "蜜蜂的照片（多停在花上）",
    "flower_picture": "一张花的照片与它的四角",
}


def strangers_table(way):
    """放入一种做法的模型认出多少陌生的（benchmarks/none_of_these.py 的记录）：一行一种，每种分数一格。"""
    record = load("none_of_these.json")
    found = record[way]["strangers"]
    named = [(label, found[name]) for name, label in STRANGERS.items() if name in found]
    for name, scores in record[way]["class_left_out"].items():
        named.append(("留出一类，五类平均" if name == "all" else f"留出 {name}", scores))
    rows = [[label, *(_refused(scores[score]) for score in SCORES)] for label, scores in named]
    table(["陌生的", *SCORES.values()], rows)


def _refused(numbers):
    return f"{numbers['refused']['mean']:.0%}（{numbers['auroc']['mean']:.3f}）"


def calibration_table():
    """放入各种做法校准前后的误差，与留出的真照片被误拒多少。"""
    record, rows = load("none_of_these.json"), []
    ways = {"lesson_1_seq": "第 1 课", "lesson_1_model": "第 1 课 --model model", "lesson_3": "第 3 课"}
    for way, label in ways.items():
        if way in record:
            numbers = record[way]["calibration"] | {"test": record[way]["refused"]["test"]}
            cells = [_range(numbers[key]) for key in ("temperature", "error_before", "error_after", "test")]
            rows.append([label, len(numbers["test"]["values"]), *cells])
    table(["做法", "种子数", "温度", "校准前的误差", "校准后的误差", "测试照片被误拒"], rows)


def _range(numbers):
    return f"{numbers['mean']:.3f}（{numbers['lowest']:.3f} 至 {numbers['highest']:.3f}）"


def table(header, rows):
    """放入一张 Markdown 表格。"""
    cog.outl()
    for cells in [header, ["---"] * len(header), *rows]:
        cog.outl("| " + " | ".join(str(cell) for cell in cells) + " |")
    cog.outl()
