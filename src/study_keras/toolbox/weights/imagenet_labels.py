"""ImageNet 的标签清单。"""

from toolbox.terminal.files import PROJECT_DIR


def imagenet_labels():
    """ImageNet 的 1,001 个标签：第 0 个是 background，之后是 1,000 个类别，顺序就是带顶层模型的输出顺序。"""
    lines = (PROJECT_DIR / "ImageNetLabels.txt").read_text(encoding="utf-8").splitlines()
    return lines[:1001]
