"""Estimator：TensorFlow 2.16 去掉了它，这里让它回来。老脚本只需把 `import tensorflow as tf` 换成

    from toolbox.estimator import tf            TensorFlow 2 的脚本
    from toolbox.estimator import tf1 as tf     TensorFlow 1 的脚本：tf.layers、tf.Session、tf.train.AdamOptimizer……

第一次取用时才导入（见 bridge 与 tensorflow_1），这样集群的启动者与 --help 都不必等 TensorFlow。
"""


def __getattr__(name):
    if name == "tf":
        from toolbox.estimator.bridge import tf

        return tf
    if name == "tf1":
        from toolbox.estimator.tensorflow_1 import tf

        return tf
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
