"""在今天的 TensorFlow 上不能用的，各用一句话说明：是什么，改用什么。

都同时是 Python 自己的错误（AttributeError、ImportError、ValueError），hasattr 与 try 的老写法照样有效。
"""

import importlib.abc
import sys
import types

from toolbox.terminal.errors import UserError


class NoAttribute(UserError, AttributeError):
    """没有这个名字了。"""


class NoModule(UserError, ImportError):
    """没有这个模块了。"""


class WrongValue(UserError, ValueError):
    """给了今天不能用的：别的机器的协调程序，或 Keras 3 的东西。"""


GONE = {
    "contrib": "tf.contrib 在 TensorFlow 2.0 就没有了，也没有能代替整个 contrib 的包。"
    "请改写用到它的几行，例如 tf.contrib.layers.fully_connected 换成 tf.layers.dense，"
    "tf.contrib.learn 换成 tf.estimator，slim 的模型换成 tf.keras.applications 里的。",
    "examples": "tensorflow.examples（自带的 MNIST 读取程序等）在 TensorFlow 2 里没有了。"
    "请用 tf.keras.datasets.mnist.load_data() 之类取得数据。",
}
TPU = (
    "tf.estimator.tpu.{name} 不能用：Estimator 在 TPU 上的一半随 TensorFlow 2.16 删除了。"
    "请用 tf.estimator.Estimator 与 tf.estimator.RunConfig，在 CPU 或 GPU 上训练。"
)
REMOTE_CLUSTER = (
    "DistributeConfig(remote_cluster=...) 不能用：它要的协调程序随 TensorFlow 2.16 删除了。请给每台机器设 TF_CONFIG。"
)
KERAS_3 = (
    "{name} 是 Keras 3 的，Estimator 只认得 Keras 2。请用 tf.keras 的（from toolbox.estimator import tf），"
    "不要用 import keras 得到的。"
)


def no_tpu(name):
    """作 tf.estimator.tpu 的 __getattr__。"""
    if name.startswith("__"):
        raise AttributeError(name)
    raise NoAttribute(TPU.format(name=name))


def refuse(tf):
    """让 tf 及其子模块在遇到没有了的名字时说一句话，而不是“module has no attribute”。"""
    sys.meta_path.insert(0, _GoneModules())
    old = tf.compat.v1
    _explain_missing(old, "tf", None)
    _explain_missing(tf, "tf", old)
    for name, module in list(vars(tf).items()):
        ours = isinstance(module, types.ModuleType) and module.__name__.startswith("tensorflow.")  # 里面还有 os、sys
        if ours and isinstance(getattr(old, name, None), types.ModuleType):
            _explain_missing(module, f"tf.{name}", getattr(old, name))
    _refuse_keras_3(tf)


def _explain_missing(module, shown, old):
    """old 是 tf.compat.v1 里的同一个模块；只有它才有的名字，说明要换成 tf1。"""
    if "__getattr__" in vars(module) or type(module).__name__.endswith("LazyLoader"):
        return

    def missing(name):
        if name in GONE and shown == "tf":
            raise NoAttribute(GONE[name])
        if old is not None and not name.startswith("_") and hasattr(old, name):
            raise NoAttribute(
                f"{shown}.{name} 是 TensorFlow 1 的名字。"
                "请把导入的一行换成 from toolbox.estimator import tf1 as tf，或写 tf.compat.v1。"
            )
        raise AttributeError(f"module {shown!r} has no attribute {name!r}")

    module.__getattr__ = missing


class _GoneModules(importlib.abc.MetaPathFinder):
    """from tensorflow.contrib import ……、from tensorflow.examples…… 也是一句话。"""

    def find_spec(self, name, path=None, target=None):
        first, _, rest = name.partition(".")
        if first == "tensorflow" and rest.split(".")[0] in GONE:
            raise NoModule(GONE[rest.split(".")[0]])
        return None


def _refuse_keras_3(tf):
    """Keras 3 的优化器与模型：tf_keras 与 Estimator 取用它们的三处，先看一看。"""
    from tensorflow_estimator.python.estimator import keras_lib
    from tensorflow_estimator.python.estimator.canned import optimizers
    from tf_keras.src import optimizers as keras_2_optimizers

    for module, function in (
        (keras_2_optimizers, "get"),
        (optimizers, "get_optimizer_instance_v2"),
        (keras_lib, "model_to_estimator"),
    ):
        setattr(module, function, _first_checked(getattr(module, function)))


def _first_checked(function):
    def checked(*args, **kwargs):
        for value in (*args, *kwargs.values()):
            if any(base.__module__.split(".")[0] == "keras" for base in type(value).__mro__):
                raise WrongValue(KERAS_3.format(name=f"{type(value).__module__}.{type(value).__name__}"))
        return function(*args, **kwargs)

    return checked
