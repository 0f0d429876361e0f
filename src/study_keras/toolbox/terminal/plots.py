"""让 matplotlib 的图能显示中文：总用 zhplot 包自带的思源黑体，各台机器上的图都一样。"""

import importlib.util
import io
from pathlib import Path


def chinese_font():
    """思源黑体的文件（Path）。"""
    package = Path(importlib.util.find_spec("zhplot").origin).parent  # 只用它的字体文件，不必导入
    return package / "fonts" / "NotoSansSC-Regular.ttf"


def chinese_font_with(text):
    """只含 text 里这些字的思源黑体，WOFF 文件的字节：网页带着它，没有中文字体的电脑上也不会变成方框。"""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options()
    options.layout_features = []
    options.hinting = False
    font = TTFont(chinese_font(), lazy=True)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    font.flavor = "woff"
    content = io.BytesIO()
    font.save(content)
    return content.getvalue()


def pyplot():
    """返回设好中文字体的 matplotlib.pyplot；用 Agg 后端，不需要显示器。"""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib import font_manager

    font = chinese_font()
    font_manager.fontManager.addfont(font)
    plt.rcParams["font.family"] = font_manager.FontProperties(fname=font).get_name()
    plt.rcParams["axes.unicode_minus"] = False  # 这款字体没有数学负号
    return plt
