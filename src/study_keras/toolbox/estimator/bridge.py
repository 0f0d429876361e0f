"""让原封不动的 tensorflow-estimator 2.15.0 在今天的 TensorFlow 上导入并运行，再以读者熟悉的名字给出来。

TensorFlow 2.16 去掉了 tf.estimator，但那个包是纯 Python 写的，只缺三样东西；这里补上（见三个 _supply 函数），
此外一行也不改。TensorFlow 1 的老脚本只需把 `import tensorflow as tf` 换成

    from toolbox.estimator import tf

tf.estimator.X 与 tf.keras.estimator.model_to_estimator 就都回来了。Estimator 只认得 Keras 2，所以导入本模块以后，
这个进程里的 tf.keras 就是 tf_keras；请在用到 tf.keras 之前导入本模块。
"""

import importlib.util
import os
import sys
import types
from importlib import metadata

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
    """导入 TensorFlow，并让 tf.keras 指向 tf_keras。"""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tf = load_tensorflow()
    tf.get_logger().setLevel("ERROR")  # 不显示一串串“已弃用”
    if not tf.keras.Model.__module__.startswith("tf_keras."):
        raise UserError("导入 toolbox.estimator 之前，tf.keras 已经是 Keras 3 了。请把这个导入移到脚本的最前面。")
    return tf


def _supply_package():
    """代替 tensorflow_estimator/__init__.py：它会导入已被删除的 TPU 模块，所以只给一个空壳，子模块照常从磁盘导入。"""
    name = "tensorflow_estimator"
    package = types.ModuleType(name)
    package.__path__ = list(importlib.util.find_spec(name).submodule_search_locations)
    sys.modules[name] = package


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
        config._init_distributed_setting_from_environment_var(tf_config)
        config._maybe_overwrite_session_config_for_distributed_training()

    from tensorflow.python import distribute

    module = types.ModuleType("tensorflow.python.distribute.estimator_training")
    module.init_run_config = init_run_config
    module.should_run_distribute_coordinator = lambda config: False
    sys.modules[module.__name__] = distribute.estimator_training = module


_check_versions()
tf = _load_tensorflow_with_keras_2()
_supply_package()
_supply_estimator_export()
_supply_estimator_training()

from tensorflow_estimator.python.estimator.estimator import Estimator, WarmStartSettings
from tensorflow_estimator.python.estimator.export import export_lib as export
from tensorflow_estimator.python.estimator.exporter import BestExporter, Exporter, FinalExporter, LatestExporter
from tensorflow_estimator.python.estimator.inputs import inputs
from tensorflow_estimator.python.estimator.inputs.inputs import numpy_input_fn
from tensorflow_estimator.python.estimator.keras_lib import model_to_estimator
from tensorflow_estimator.python.estimator.mode_keys import ModeKeys
from tensorflow_estimator.python.estimator.model_fn import EstimatorSpec
from tensorflow_estimator.python.estimator.run_config import RunConfig
from tensorflow_estimator.python.estimator.training import EvalSpec, TrainSpec, train_and_evaluate

CheckpointSaverListener = tf.compat.v1.train.CheckpointSaverListener
SessionRunHook = tf.compat.v1.train.SessionRunHook

__all__ = [
    "BestExporter", "CheckpointSaverListener", "Estimator", "EstimatorSpec", "EvalSpec", "Exporter",
    "FinalExporter", "LatestExporter", "ModeKeys", "RunConfig", "SessionRunHook", "TrainSpec", "WarmStartSettings",
    "export", "inputs", "model_to_estimator", "numpy_input_fn", "tf", "train_and_evaluate",
]  # fmt: skip

tf.estimator = sys.modules[__name__]  # 老脚本里的 tf.estimator.RunConfig 等照旧
