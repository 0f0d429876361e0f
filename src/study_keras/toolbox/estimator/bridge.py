"""让原封不动的 tensorflow-estimator 2.15.0 在今天的 TensorFlow 上导入并运行，再以读者熟悉的名字给出来。

TensorFlow 2.16 去掉了 tf.estimator，但那个包是纯 Python 写的，只缺几样东西；这里补上（见各 _supply 函数），
此外一行也不改。老脚本只需把 `import tensorflow as tf` 换成

    from toolbox.estimator import tf            TensorFlow 2 的脚本；tf.compat.v1.estimator 也在
    from toolbox.estimator import tf1 as tf     TensorFlow 1 的脚本（见 tensorflow_1）

Estimator 只认得 Keras 2，所以导入本模块以后，这个进程里的 tf.keras 就是 tf_keras，也就不能再用 Keras 3；
请写在脚本的最前面。不能用的，由 refusals 各用一句话说明。
"""

import contextlib
import importlib.util
import os
import sys
import types
import warnings
from importlib import metadata

from toolbox.estimator import refusals
from toolbox.terminal.errors import UserError
from toolbox.terminal.tensorflow_start import load_tensorflow

TESTED_VERSIONS = {"tensorflow": ("2.21.",), "tf-keras": ("2.21.",), "tensorflow-estimator": ("2.15.0",)}


def _check_versions():
    """版本不在 TESTED_VERSIONS 里就拒绝：下面的替代品依赖这些版本的内部结构。"""
    for package, tested in TESTED_VERSIONS.items():
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            found = "没有安装"
        if not found.startswith(tested):
            raise UserError(
                f"Estimator 的桥只在 {package} {'、'.join(tested)}* 上测试过，这里的是：{found}。"
                "请运行 pip install -r requirements.txt。"
            )


def _load_tensorflow_with_keras_2():
    """导入 TensorFlow，并让 tf.keras 与 from tensorflow.keras import …… 都指向 tf_keras。"""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # 没有 AVX-512 的机器上，oneDNN 对整数、布尔的运算说一句“改用默认的实现”，级别却是 E；出错另有 Python 的异常
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf = load_tensorflow()
    tf.get_logger().setLevel("ERROR")  # 不显示一串串“已弃用”：读者正是要用它们
    warnings.filterwarnings("ignore", category=UserWarning, module=r"tf_keras\.|tensorflow\.python\.data\.")
    imported_before = any(name.startswith("tensorflow.keras") for name in sys.modules)
    if imported_before or not tf.keras.Model.__module__.startswith("tf_keras."):
        raise UserError(
            "导入 toolbox.estimator 之前，tf.keras 已经是 Keras 3 了（例如前面有 from tensorflow.keras import ……）。"
            "请把 from toolbox.estimator import tf 移到脚本的最前面。"
        )
    real = "tf_keras.api._v2.keras"
    for name, module in list(sys.modules.items()):
        if name.startswith(real):
            sys.modules["tensorflow.keras" + name.removeprefix(real)] = module
    return tf


def _supply_package():
    """代替 tensorflow_estimator/__init__.py：它会导入已被删除的 TPU 模块，所以只给一个空壳，子模块照常从磁盘导入。"""
    name = "tensorflow_estimator"
    sys.modules[name] = importlib.util.module_from_spec(importlib.util.find_spec(name))


def _supply_estimator_export():
    """代替登记公开名字的装饰器：它的基类在 TensorFlow 里改了样子，而名字登记在哪里与运行无关。"""
    name = "tensorflow_estimator.python.estimator.estimator_export"
    module = types.ModuleType(name)
    module.estimator_export = lambda *args, **kwargs: lambda symbol: symbol
    sys.modules[name] = module


def _supply_estimator_training():
    """代替已从 TensorFlow 删除的模块：它按 RunConfig 里的分布策略决定由谁来协调训练。

    这里总由 Estimator 自己协调，于是单机多卡（MirroredStrategy）与参数服务器两条路都能走。
    """

    def init_run_config(config, tf_config):
        config._distribute_coordinator_mode = None
        _take_over_distribute_config(config)
        config._init_distributed_setting_from_environment_var(tf_config)
        config._maybe_overwrite_session_config_for_distributed_training()

    from tensorflow.python import distribute

    module = types.ModuleType("tensorflow.python.distribute.estimator_training")
    module.init_run_config = init_run_config
    module.should_run_distribute_coordinator = lambda config: False
    sys.modules[module.__name__] = distribute.estimator_training = module


def _take_over_distribute_config(config):
    """把 RunConfig(experimental_distribute=DistributeConfig(...)) 里的两种策略放到该在的地方，像被删去的模块那样。"""
    given = config._experimental_distribute
    if given is None:
        return
    if given.remote_cluster:
        raise refusals.WrongValue(refusals.REMOTE_CLUSTER)
    for name in ("train_distribute", "eval_distribute"):
        strategy = getattr(given, name)
        if strategy and getattr(config, f"_{name}"):
            raise ValueError(f"RunConfig 的 {name} 与 experimental_distribute 里的只能给一个。")
        setattr(config, f"_{name}", strategy or getattr(config, f"_{name}"))


def _supply_tpu():
    """代替 tf.compat.v1.estimator.tpu：它要的模块已从 TensorFlow 删除；取用其中的名字，得到一句话。"""
    module = types.ModuleType("tensorflow_estimator._api.v1.estimator.tpu")
    module.__getattr__ = refusals.no_tpu
    sys.modules[module.__name__] = module


def _supply_old_optimizers(tf):
    """让 tf.keras.optimizers.Adam 等是 TensorFlow 2.10 以前的那一种：那时的脚本要用它的 get_updates、iterations。"""
    for name in ("Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "RMSprop", "SGD"):
        setattr(tf.keras.optimizers, name, getattr(tf.keras.optimizers.legacy, name))


def _supply_old_strings():
    """让 pandas 的文字列仍是 object 类型：pandas 3 的新类型，pandas_input_fn 不认得。没有装 pandas 就不用管。"""
    with contextlib.suppress(ImportError):
        import pandas

        pandas.set_option("future.infer_string", False)


_check_versions()
tf = _load_tensorflow_with_keras_2()
_supply_package()
_supply_estimator_export()
_supply_estimator_training()
_supply_tpu()
_supply_old_optimizers(tf)
_supply_old_strings()

from tensorflow_estimator._api.v1 import estimator as estimator_v1
from tensorflow_estimator._api.v2 import estimator as estimator_v2
from tensorflow_estimator.python.estimator.keras_lib import model_to_estimator

refusals.refuse(tf)

tf.compat.v1.estimator = estimator_v1
tf.estimator = sys.modules["tensorflow.estimator"] = estimator_v2
estimator_v2.inputs = estimator_v1.inputs  # TensorFlow 2 里没有；老教程的 tf.estimator.inputs.numpy_input_fn 却最常见
estimator_v2.model_to_estimator = model_to_estimator


def __getattr__(name):
    """from toolbox.estimator.bridge import RunConfig 等：tf.estimator 里的名字，也可以一个个导入。"""
    for namespace in (estimator_v2, estimator_v2.inputs):
        if hasattr(namespace, name):
            return getattr(namespace, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
