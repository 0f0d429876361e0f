"""TensorFlow 2：自定义的 model_fn，里面是 tf.keras 的层、tf.estimator 的 head 与 tf.keras 的优化器。"""

import numpy as np
import tensorflow as tf

x = np.random.RandomState(5).normal(size=(400, 3)).astype(np.float32)
y = (x[:, 0] > x[:, 1]).astype(np.int64)


def model_fn(features, labels, mode):
    training = mode == tf.estimator.ModeKeys.TRAIN
    hidden = tf.keras.layers.Dense(16, activation="relu")
    output = tf.keras.layers.Dense(1)
    logits = output(hidden(features["x"]))
    head = tf.estimator.BinaryClassHead()
    optimizer = None
    if training:
        optimizer = tf.keras.optimizers.Adam(1e-2)
        optimizer.iterations = tf.compat.v1.train.get_or_create_global_step()
    variables = hidden.trainable_variables + output.trainable_variables
    return head.create_estimator_spec(
        features=features, mode=mode, labels=labels, optimizer=optimizer, logits=logits, trainable_variables=variables
    )


def input_fn(epochs=1):
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y[:, None])).repeat(epochs).batch(40)


estimator = tf.estimator.Estimator(model_fn, model_dir="model")
estimator.train(lambda: input_fn(30))
assert estimator.latest_checkpoint().endswith("model.ckpt-300")
print("accuracy", estimator.evaluate(input_fn)["accuracy"])
