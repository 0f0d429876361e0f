"""只有个别课才要的包：缺了就用一句中文说怎样装。"""

import importlib.util

from toolbox.terminal.errors import UserError


def require(requirements, **packages):
    """确认这些包都装了；只看在不在，不导入。

    Args:
        requirements: 装它们的文件，如 "requirements/report.txt"。
        packages: 导入时的名字=安装时的名字，如 sklearn="scikit-learn"。

    Raises:
        UserError: 缺哪些，怎样装。
    """
    missing = [name for module, name in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f"还没有装 {'、'.join(missing)}。请先运行 python -m pip install -r {requirements}")
