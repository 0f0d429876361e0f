"""把代码、帮助、输出与数字放进全部页面：python docs/make_pages.py；只检查它们没有走样，加 --check。"""

import sys
from pathlib import Path

from cogapp import Cog

DOCS_DIR = Path(__file__).resolve().parent


def main(arguments):
    """返回退出码；--check 时，有一页走样就不是 0。"""
    pages = [DOCS_DIR.parent / "README.md", *sorted(DOCS_DIR.rglob("*.md"))]
    options = ["--check"] if "--check" in arguments else ["-r"]
    prologue = "import estimator_pages, measured, page_tools"
    return Cog().main(["cog", *options, "-p", prologue, "-I", str(DOCS_DIR), *map(str, pages)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
