"""TensorFlow 1 的整个名字空间，给那时的脚本：把 `import tensorflow as tf` 换成

    from toolbox.estimator import tf1 as tf

tf.layers、tf.logging、tf.app、tf.train.AdamOptimizer、tf.Session、tf.estimator.inputs 等都在，行为也是那时的：
先建计算图（graph），再在会话（session）里运行，即 TensorFlow 升级指南里的 tf.compat.v1.disable_v2_behavior()。
它对整个进程生效。
"""

import warnings

from toolbox.estimator.bridge import tf as tf2

tf = tf2.compat.v1
tf.disable_v2_behavior()
warnings.filterwarnings("ignore", r"`tf\.(layers|nn\.(static_|dynamic_)?rnn)", UserWarning)  # “已弃用”：读者正是要用它
