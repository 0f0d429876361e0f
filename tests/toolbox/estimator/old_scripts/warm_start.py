"""TensorFlow 2：WarmStartSettings，第二个模型从第一个的权重开始，一步也不训练就一样好。"""

import numpy as np
import tensorflow as tf

x = np.random.RandomState(4).normal(size=(400, 2)).astype(np.float32)
y = (x.sum(axis=1) > 0).astype(np.int32)
columns = [tf.feature_column.numeric_column("x", shape=2)]


def input_fn(epochs=1):
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).repeat(epochs).batch(40)


adam = tf.keras.optimizers.Adam(0.01)
first = tf.estimator.DNNClassifier([8], columns, model_dir="first", optimizer=adam)
first.train(lambda: input_fn(40))
settings = tf.estimator.WarmStartSettings(ckpt_to_initialize_from="first", vars_to_warm_start=".*")
optimizer = tf.keras.optimizers.SGD(0.0)
second = tf.estimator.DNNClassifier([8], columns, model_dir="second", warm_start_from=settings, optimizer=optimizer)
second.train(input_fn, steps=1)
for name in first.get_variable_names():
    if "kernel" in name and "training/" not in name:
        np.testing.assert_array_equal(first.get_variable_value(name), second.get_variable_value(name))
print("accuracy", second.evaluate(input_fn)["accuracy"])
