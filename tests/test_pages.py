"""页面的写法：一个意思一个词、标记只有一行、句子里不换行、图片有替代文字、命令里的选项都真的有。"""

import functools
import os
import re
import subprocess
import sys

import pytest

from conftest import LESSONS_DIR, PROJECT_DIR

PAGES = [PROJECT_DIR / "README.md", *sorted((PROJECT_DIR / "docs").rglob("*.md"))]
TEXTS = [*PAGES, PROJECT_DIR / "CONTRIBUTING.md", *sorted(LESSONS_DIR.rglob("*.py"))]
BANNED = {  # 不用的叫法 -> 用哪个；术语表的“也叫”一栏除外
    "底座": "基础模型",
    "切口": "切分点",
    "留下的输出": "缓存的特征",
    "瞎猜": "随机猜测",
    "匿名内存": "内存",
    "诚实地划分": "严格划分",
    "诚实的数": "可信的结果",
    "统计量": "移动均值与方差",
    "批量归一化": "批归一化",
    "批标准化": "批归一化",
    "首席": "chief",
    "尾巴": "最后不足一批的",
    "前缀": "冻结的部分",
    "随时可以被杀": "随时可以中断",
    "！！！": "注意：",
    "仓库": "缓存",
    "计算冻结部分": "计算冻结的部分",
    "7x7": "7×7",
    "领头的": "chief",
    "诚实": "可信",
    "端口没有锁": "集群端口不验证身份",
    "期望校准误差": "校准误差",
    "前一半": "特征提取部分",
    "后一半": "其余要训练的部分",
    "估算器": "Estimator",
    "录像带": "tf.GradientTape",
}


def name(path):
    return path.relative_to(PROJECT_DIR).as_posix()


def prose(page):
    """页面里的行，去掉代码块；术语表去掉“也叫”一栏。"""
    text = re.sub(r"^ *```.*?^ *```$", "（代码）", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    if page.name == "glossary.md":
        text = re.sub(r"^(\|[^|]*\|[^|]*\|)[^|]*\|", r"\1 |", text, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_one_word_for_one_thing(path):
    text = prose(path) if path.suffix == ".md" else path.read_text(encoding="utf-8")
    assert {word: better for word, better in BANNED.items() if word in text} == {}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_form_of_a_page(page):
    text = page.read_text(encoding="utf-8")
    assert re.search(r"\A# \S", text), "第一行是标题"
    assert "\n\n\n" not in prose(page), "连着两个空行"
    assert re.findall(r"\[\[\[cog(?! .*\]\]\])", text) == [], "标记只有一行"
    assert re.findall(r"!\[\]\(", text) == [], "图片没有替代文字"
    assert re.findall(r"^ *```(?:bash|shell|console)$", text, flags=re.MULTILINE) == [], "命令的代码块写 sh，才会被试"
    broken = re.findall(r"[\u4e00-\u9fff]\n *[\u4e00-\u9fff].*", prose(page))
    assert broken == [], "一句话里换了行"
    assert re.findall(r"^\|( *\|)+$", text, flags=re.MULTILINE) == [], "表头是空的"
    assert re.findall(r"\d [%％]", prose(page)) == [], "百分号之前不空格"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_trap_is_named_by_its_own_number(page):
    """陷阱会重新排序：写着“陷阱 5”的链接要指到第 5 个。"""
    named = re.findall(r"\[陷阱 (\d+)[^\]]*\]\([^)#]*#?(\d*)", page.read_text(encoding="utf-8"))
    assert [number for number, linked in named if number != linked] == []


def commands():
    """各页 sh 代码块里、各课与工具的命令：(页, 脚本, 参数)。"""
    for page in PAGES:
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for script, arguments in re.findall(r"python3? (src/\S+\.py)(.*)", block.replace("\\\n", " ")):
                yield pytest.param(script, arguments.split("#")[0].split(), id=f"{page.stem}: {script}{arguments}")


@functools.cache
def options_of(script):
    """脚本的 --help 里列出的选项。"""
    environment = {**os.environ, "PYTHONUTF8": "1"}
    command = [sys.executable, str(PROJECT_DIR / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True, env=environment)
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))


@pytest.mark.parametrize("script, arguments", commands())
def test_commands_in_pages_use_scripts_and_options_that_exist(script, arguments):
    options = {argument.split("=")[0] for argument in arguments if argument.startswith("--")}
    assert options - {"--help"} <= options_of(script)
