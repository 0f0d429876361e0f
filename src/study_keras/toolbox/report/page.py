"""写出报告：一张自足的网页 report.html（样式、脚本、图、字体都在里面），以及各图的 PNG。"""

import base64
import hashlib
from pathlib import Path

from toolbox.model_folder_reader import REPORT_FILES
from toolbox.report.view import build
from toolbox.terminal.files import absolute, folder_written_aside
from toolbox.terminal.foreign_files import refuse_foreign
from toolbox.terminal.plots import chinese_font_with
from toolbox.terminal.text import visible

PAGE_FILE = REPORT_FILES[0]
_CHINESE = "U+2014, U+2018-201D, U+2026, U+2E80-9FFF, U+F900-FAFF, U+FE30-FE4F, U+FF00-FFEF"  # 汉字与中文标点
_HERE = Path(__file__).resolve().parent


def target_folder(model_folder, out=None):
    """报告写在哪里：out，或模型文件夹里的 report/；已有的报告会换掉。

    Raises:
        UserError: 那里是文件，或有不是报告的东西。
    """
    target = absolute(out) if out else model_folder / "report"
    refuse_foreign(target, PAGE_FILE, REPORT_FILES, "报告", "请用 --out 换一个文件夹。")
    return target


def write(target, run, held_out, studied):
    """写出整个报告文件夹：要么完整，要么不存在。参数同 view.build。"""
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_aside(target) as aside:
        html = render(build(run, held_out, studied, aside))
        (aside / PAGE_FILE).write_text(html, encoding="utf-8", newline="\n")


def render(view):
    """网页的文字（str）。来自文件系统的名字都由 Jinja2 自动转义；脚本、样式只有这里写的两段，由哈希放行。"""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"visible": visible, "percent": lambda share: f"{100 * share:.1f}".removesuffix(".0") + "%"}
    body = environment.get_template("body.html").render(view)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    style = (_HERE / "page.css").read_text(encoding="utf-8") + _font_face(body + script)
    parts = {"body": body, "style": style, "script": script}
    parts = {name: jinja2.utils.markupsafe.Markup(part) for name, part in parts.items()}
    hashes = {"style_hash": _csp_hash(style), "script_hash": _csp_hash(script)}
    return environment.get_template("page.html").render(title=view["title"], **parts, **hashes)


def _csp_hash(text):
    """内容安全策略（Content-Security-Policy）里放行一段脚本或样式的哈希。"""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _font_face(text):
    """一款只含 text 里这些字的思源黑体，写成 @font-face：没有中文字体的电脑上，中文也不会变成方框。"""
    data = base64.b64encode(chinese_font_with(text)).decode("ascii")
    source = f'src: url(data:font/woff;base64,{data}) format("woff"); unicode-range: {_CHINESE};'
    return f'\n@font-face {{ font-family: "Report SC"; font-display: block; {source} }}\n'
