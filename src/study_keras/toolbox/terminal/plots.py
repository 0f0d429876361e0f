"""让 matplotlib 的图能显示中文：总用 zhplot 包自带的思源黑体，各台机器上的图都一样。"""

import importlib.util
from pathlib import Path


def pyplot():
    """返回设好中文字体的 matplotlib.pyplot；用 Agg 后端，不需要显示器。"""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib import font_manager

    package = Path(importlib.util.find_spec("zhplot").origin).parent  # 只用它的字体文件，不必导入
    font = package / "fonts" / "NotoSansSC-Regular.ttf"
    font_manager.fontManager.addfont(font)
    plt.rcParams["font.family"] = font_manager.FontProperties(fname=font).get_name()
    plt.rcParams["axes.unicode_minus"] = False  # 这款字体没有数学负号
    return plt
