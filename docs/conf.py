"""站点的设置：python -m sphinx -W -b html docs 站点文件夹（先 python -m pip install -r requirements/site.txt）。

源文件就是代码托管网站上看的那些 Markdown；站点的首页是项目的 README，导航照 docs/README.md 里的次序。
"""

import re
import sys
from pathlib import Path

DOCS_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS_DIR.parent / "src" / "study_keras"))

from toolbox.terminal.plots import chinese_font_with

project = "study_keras：迁移学习上手课"
author = "study_keras 的作者们"
copyright = "MIT 许可"
language = "zh_CN"  # 搜索用 jieba 分词

extensions = ["myst_parser"]
root_doc = "README"
exclude_patterns = ["results", "**/__pycache__"]
myst_heading_anchors = 3  # 页内链接与代码托管网站上一样，用标题作锚点
myst_enable_extensions = ["html_image"]

html_theme = "pydata_sphinx_theme"  # 字体与图标都在包里，站点不从外面取任何东西
html_title = "study_keras"
html_show_sphinx = False
html_static_path = ["_static"]
_PRELOADED = {"rel": "preload", "as": "font", "type": "font/woff", "crossorigin": "anonymous"}
html_css_files = [("noto.woff", _PRELOADED), "site.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "header_links_before_dropdown": 4,
    "show_nav_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def front_page():
    """项目的 README，链接改成站点里的，后面接上导航。"""
    text = (DOCS_DIR.parent / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    text = re.sub(r"\[([^\]]+)\]\((LICENSE|[A-Z]+\.md)\)", r"\1", text)  # 不在站点里的文件，只留文字
    pages = re.findall(r"\]\((\S+?)\.md\)", (DOCS_DIR / "README.md").read_text(encoding="utf-8"))
    return text + "\n```{toctree}\n:hidden:\n" + "\n".join(pages) + "\n```\n"


def prepare_page(app, page, source):
    """读入一页之后：首页换成项目的 README，其余各页里指向它的链接换成首页。"""
    source[0] = front_page() if page == "README" else re.sub(r"(\.\./)+README\.md", _to_front_page(page), source[0])


def _to_front_page(page):
    return "../" * page.count("/") + "README.md"


def add_font(app, error):
    """生成之后：思源黑体（zhplot 包里的）只留用到的字，放进站点，没有中文字体的机器上也不会是方框。"""
    if error:
        return
    site = Path(app.outdir)
    characters = {*"".join(path.read_text(encoding="utf-8") for path in site.rglob("*.html"))}
    (site / "_static" / "noto.woff").write_bytes(chinese_font_with("".join(characters)))


def mend_search(app, error):
    """Sphinx 9.0 的中文搜索引用了没有定义的 ChineseStemmer：中文不必取词干，英文的词用它带的 EnglishStemmer。"""
    if not error:
        script = Path(app.outdir, "_static", "language_data.js")
        script.write_text(
            script.read_text(encoding="utf-8").replace("ChineseStemmer", "EnglishStemmer"), encoding="utf-8"
        )


def setup(app):
    app.connect("source-read", prepare_page)
    app.connect("build-finished", add_font)
    app.connect("build-finished", mend_search)
