"""tf 与 keras：写在脚本的开头，第一次用到时才真的导入，所以 --help 不必等它们。

from toolbox.later import keras, tf
"""

from typing import TYPE_CHECKING

from toolbox.terminal.tensorflow_start import load_tensorflow

if TYPE_CHECKING:  # 编辑器据此补全名字
    import tensorflow as tf
    from tensorflow import keras

    tf_with_estimator = tf
else:

    class _Later:
        """用到它的任何一个名字时，才运行 load 取得真正的模块。"""

        def __init__(self, load):
            self._load = load

        def __getattr__(self, name):
            return getattr(self._load(), name)

    def _load_with_estimator():
        from toolbox.estimator import tf

        return tf

    tf = _Later(load_tensorflow)
    keras = _Later(lambda: load_tensorflow().keras)
    tf_with_estimator = _Later(_load_with_estimator)  # 第 2 课用它：tf.estimator 回来了，tf.keras 是 Keras 2
