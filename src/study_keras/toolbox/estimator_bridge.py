"""estimator.bridge 从前的名字；用过 `from toolbox.estimator_bridge import tf` 的脚本照旧能用。"""

import sys

from toolbox.estimator import bridge

sys.modules[__name__] = bridge
