"""Estimator：TensorFlow 2.16 去掉了它，这里让它回来。老脚本只需把 `import tensorflow as tf` 换成

    from toolbox.estimator import tf

tf 在第一次取用时才导入（见 bridge），这样集群的启动者与 --help 都不必等 TensorFlow。
"""


def __getattr__(name):
    if name == "tf":
        from toolbox.estimator.bridge import tf

        return tf
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
