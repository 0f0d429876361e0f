"""让 matplotlib 的图能显示中文：总用 zhplot 包自带的思源黑体，各台机器上的图都一样。"""

import importlib.util
import io
import warnings
from pathlib import Path


def chinese_font():
    """思源黑体的文件（Path）。"""
    spec = importlib.util.find_spec("zhplot")
    if spec is None:
        raise ModuleNotFoundError(name="zhplot")
    package = Path(spec.origin).parent  # 只用它的字体文件，不必导入
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
    noto = font_manager.FontProperties(fname=font).get_name()
    plt.rcParams["font.family"] = [noto, "DejaVu Sans"]  # 类别名里思源黑体没有的字，由 matplotlib 自带的补
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # 两款都没有的（如表情）是方框，不再说一句英文
    plt.rcParams["axes.unicode_minus"] = False  # 这款字体没有数学负号
    return plt


def training_curves(history):
    """训练的每一轮画成的图：准确率与损失各一幅；分几段训练的，段与段之间画一条竖线。"""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    draw_curves(axes, history)
    for axis in axes:
        axis.grid(alpha=0.3)
    plt.close(figure)
    return figure


def draw_curves(axes, history):
    """把训练的每一轮画在两个坐标系 axes 里：准确率与损失。"""
    for axis, key, title in zip(axes, ("accuracy", "loss"), ("准确率（accuracy）", "损失（loss）"), strict=True):
        epochs = range(1, len(history[key]) + 1)
        axis.plot(epochs, history[key], marker="o", markersize=4, label="训练")
        axis.plot(epochs, history[f"val_{key}"], marker="s", markersize=4, label="验证")
        _mark_phases(axis, history.get("phase", ()))
        axis.set_title(title, pad=18 if "phase" in history else None)  # 各段的名字写在标题之下
        axis.set_xlabel("轮（epoch）")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False)


def _mark_phases(axis, phases):
    """在每一段开始处写它的名字，段与段之间画竖线。phases：每一轮属于哪一段。"""
    for epoch, phase in enumerate(phases, start=1):
        if epoch == 1 or phase != phases[epoch - 2]:
            axis.text(epoch - 0.4, 1.01, phase, transform=axis.get_xaxis_transform(), fontsize=8)
            if epoch > 1:
                axis.axvline(epoch - 0.5, color="tab:gray", linestyle="--")
