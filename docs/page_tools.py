"""页面里的代码、帮助、输出与数字都由这里放进去（cogapp），所以不会走样。

重新生成：python docs/make_pages.py
检查：    python docs/make_pages.py --check

页面里的标记只有一行，调用这里或 measured.py 里的一个函数，如 [[[cog page_tools.excerpt(文件, 名字) ]]]。
"""

import ast
import json
import os
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path

import cog

DOCS_DIR = Path(__file__).resolve().parent
PROJECT_DIR = DOCS_DIR.parent
RESULTS_DIR = DOCS_DIR / "results"
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"


def _fenced(text, language=""):
    cog.out(f"\n```{language}\n{text.strip(chr(10))}\n```\n\n")


def excerpt(path, *names):
    """放入 path 里名为 names 的函数（或类）的源代码，几个就放在同一个代码块里。"""
    source = (PROJECT_DIR / path).read_text(encoding="utf-8")
    lines, found = source.splitlines(), {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))
    if missing := set(names) - set(found):
        raise LookupError(f"{path} 里没有 {'、'.join(missing)}")
    _fenced("\n\n\n".join(found[name] for name in names), "python")


def js_function(path, name):
    """放入 JavaScript 文件 path 里名为 name 的函数，不带 export。"""
    lines = (PROJECT_DIR / path).read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if f"function {name}(" in line)
    last = lines.index("}", first)
    _fenced("\n".join(lines[first : last + 1]).removeprefix("export "), "js")


def lines_between(path, start, end):
    """放入 path 里从含 start 的一行到含 end 的一行（都包括在内），去掉共同的缩进。"""
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


def recorded(file_name, leave_out=(), stages=None):
    """放入 docs/results/ 里记录下来的终端输出。

    Args:
        leave_out: 以其中的词结尾的行略去。
        stages: 只要这几步（“—— 训练 ——”这样的标题之下的），如 ("数据", "训练")；“小结”是最后一段。
    """
    lines = (RESULTS_DIR / file_name).read_text(encoding="utf-8").splitlines()
    stage, kept = None, []
    for line in lines:
        if line.startswith(("—— ", "===== ")):
            stage = line.strip("—= ")
        if (stages is None or stage in stages) and not line.endswith(tuple(leave_out)):
            kept.append(line)
    if stages is not None and not kept:
        raise LookupError(f"{file_name} 里没有 {'、'.join(stages)}")
    _fenced("\n".join(kept), "text")


def load(file_name):
    """读 docs/results/ 里的一份 JSON 结果。"""
    return json.loads((RESULTS_DIR / file_name).read_text(encoding="utf-8"))


def result(file_name, key, form="{}"):
    """放入一个结果；key 用点分隔层次，form 是格式，如 "{:.3f}"。"""
    value = load(file_name)
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    cog.out(form.format(value))


def table(header, rows):
    """放入一张 Markdown 表格。"""
    cog.outl()
    for cells in [header, ["---"] * len(header), *rows]:
        cog.outl("| " + " | ".join(str(cell) for cell in cells) + " |")
    cog.outl()


STORMS = {
    "photos": "照片",
    "pickle": "`.pth`（pickle）",
    "archives": "压缩包",
    "records": "各种记录",
    "segments": "缓存的段文件",
    "draw": "画花",
    "extract": "解压",
    "download": "下载",
    "convert": "换算权重",
    "save": "保存模型",
}


def storms_table(group):
    """放入 docs/results/storms.json 里的一组（inputs 或 kills）：每行一种，试了几次，几次不合约定，各种结局。"""
    rows = []
    for name, record in load("storms.json")[group].items():
        outcomes = "，".join(f"{outcome} {count:,}" for outcome, count in sorted(record["outcomes"].items()))
        rows.append([STORMS.get(name, f"`{name}`"), f"{record['tried']:,}", len(record["faults"]), outcomes])
    table(["哪一种", "试了几次", "不合约定", "结局"], rows)


def photo_check_kinds():
    """放入第 8 课的各种发现。"""
    sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))
    from toolbox.photo_check.findings import KINDS
    from toolbox.photo_check.moving import MOVABLE

    rows = []
    for name, kind in KINDS.items():
        means = "只是让人知道" if kind.is_note else "能移走" if name in MOVABLE else ""
        rows.append([f"`{name}`", kind.title, kind.advice, means])
    table(["种类", "是什么", "怎么办", "备注"], rows)


def photo_check_found():
    """放入第 8 课在 1,500 张真实照片里找到几处，与再模糊几个像素时有多大比例被当成模糊。"""
    record = load("photo_check.json")
    found = "，".join(f"`{kind}` {count}" for kind, count in record["found"].items())
    shares = record["share_found_blurred"]
    blurred = "，".join(f"半径 {radius}：{share:.0%}" for radius, share in shares.items() if radius != "0")
    cog.outl(f"\n{record['photos']} 张真实照片里找到：{found}。原样的照片有 {shares['0']:.1%} 被当成模糊；")
    cog.outl(f"同样的照片用高斯模糊（半径的单位是模型看到的像素）之后，被当成模糊的：{blurred}。\n")


def _share_of_epoch(seconds, name):
    """各遍的中位数（最低至最高）。"""
    shares = sorted(own / epoch for own, epoch in zip(seconds[name], seconds["epoch"], strict=True))
    return f"{statistics.median(shares):.2f}（{shares[0]:.2f} 至 {shares[-1]:.2f}）"


def photo_check_speed():
    """放入第 8 课的用时（与经典做法的一轮比）与内存。"""
    record = load("photo_check.json")
    ways = {
        "check": "只检查",
        "labels": "加上可疑的标签，特征从头算",
        "labels again": "加上可疑的标签，再来一次（都用上次的）",
    }
    machines = [record, load("photo_check_other_machine.json")]
    rows = [
        [way, *(_share_of_epoch(machine["all_seconds"], name) for machine in machines)] for name, way in ways.items()
    ]
    table(["做法（用时是经典做法一轮的几倍）", "一台两核的机器", "另一台两核的机器"], rows)
    sizes = [f"{scale['photos']:,} 张 {scale['peak_memory_mb']:.0f} MB" for scale in record["scale"]]
    cog.outl(f"内存（连同各工作进程）：{'，'.join(sizes) or '还没有记录'}。\n")


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
NONE_OF_THESE_WAYS = {"lesson_1_seq": "第 1 课", "lesson_1_model": "第 1 课 --model model", "lesson_3": "第 3 课"}


def strangers_table(way):
    """放入一种做法的模型认出多少陌生的（benchmarks/none_of_these.py 的记录）：一行一种，每种分数一格。"""
    record = load("none_of_these.json")
    found = record[way]["strangers"]
    rows = []
    for name in (name for name in STRANGERS if name in found):
        rows.append([STRANGERS[name], *(_refused(found[name][score]) for score in SCORES)])
    for name, scores in record[way]["class_left_out"].items():
        label = "留出一类，五类平均" if name == "all" else f"留出 {name}"
        rows.append([label, *(_refused(scores[score]) for score in SCORES)])
    table(["陌生的", *SCORES.values()], rows)


def strangers_by_way():
    """放入课程用的分数在各种做法的模型上认出多少陌生的：一行一种陌生的，一列一种做法。"""
    record = load("none_of_these.json")
    ways = NONE_OF_THESE_WAYS | {"drawn_flowers_model": "第 1 课，画的花训练的"}
    found = {way: record[way]["strangers"] for way in ways}
    rows = []
    for name, label in STRANGERS.items():
        cells = [_refused(found[way][name]["familiarity"]) if name in found[way] else "" for way in ways]
        if any(cells):
            rows.append([label, *cells])
    left_out = [record[way]["class_left_out"].get("all") for way in ways]
    rows.append(["留出一类，五类平均", *(_refused(scores["familiarity"]) if scores else "" for scores in left_out)])
    table(["陌生的", *ways.values()], rows)


def _refused(numbers):
    return f"{numbers['refused']['mean']:.0%}（{numbers['auroc']['mean']:.3f}）"


def calibration_table():
    """放入各种做法校准前后的误差，与留出的真照片被误拒多少。"""
    record, rows = load("none_of_these.json"), []
    for way, label in NONE_OF_THESE_WAYS.items():
        if way in record:
            numbers = record[way]["calibration"] | {"test": record[way]["refused"]["test"]}
            cells = [_range(numbers[key]) for key in ("temperature", "error_before", "error_after", "test")]
            rows.append([label, len(numbers["test"]["values"]), *cells])
    table(["做法", "种子数", "温度", "校准前的误差", "校准后的误差", "测试照片被误拒"], rows)


def _range(numbers):
    return f"{numbers['mean']:.3f}（{numbers['lowest']:.3f} 至 {numbers['highest']:.3f}）"
