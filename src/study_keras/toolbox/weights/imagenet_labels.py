"""ImageNet 的标签清单。"""

import hashlib

from toolbox.terminal.errors import UserError
from toolbox.terminal.files import PROJECT_DIR

FILE = PROJECT_DIR / "ImageNetLabels.txt"
SHA256 = "536feacc519de3d418de26b2effb4d75694a8c4c0063e36499a46fa8061e2da9"  # 前 1,001 行，每行以换行结尾


def imagenet_labels():
    """ImageNet 的 1,001 个标签：第 0 个是 background，之后是 1,000 个类别，顺序就是带顶层模型的输出顺序。

    Raises:
        UserError: 清单被改过。
    """
    labels = FILE.read_text(encoding="utf-8", errors="replace").splitlines()[:1001]
    if hashlib.sha256("".join(f"{label}\n" for label in labels).encode()).hexdigest() != SHA256:
        raise UserError(f"{FILE} 的前 1,001 行被改过，标签会对不上。请运行 git checkout {FILE.name} 恢复它。")
    return labels
