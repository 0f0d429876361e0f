"""TensorFlow 1：model_fn 里用 tf.nn.rnn_cell 与 dynamic_rnn，数据经 make_one_shot_iterator。"""

import numpy as np
import tensorflow as tf

series = np.random.RandomState(1).normal(size=(300, 5, 2)).astype(np.float32)
labels = (series.sum(axis=(1, 2)) > 0).astype(np.int32)


def input_fn(epochs):
    dataset = tf.data.Dataset.from_tensor_slices((series, labels)).repeat(epochs).batch(50)
    return dataset.make_one_shot_iterator().get_next()


def model_fn(features, labels, mode, params):
    cells = [tf.nn.rnn_cell.BasicLSTMCell(size) for size in params["sizes"]]
    outputs, _ = tf.nn.dynamic_rnn(tf.nn.rnn_cell.MultiRNNCell(cells), features, dtype=tf.float32)
    logits = tf.layers.dense(outputs[:, -1], 2)
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    train_op = tf.train.RMSPropOptimizer(0.01).minimize(loss, tf.train.get_global_step())
    metrics = {"accuracy": tf.metrics.accuracy(labels, tf.argmax(logits, 1))}
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, eval_metric_ops=metrics)


estimator = tf.estimator.Estimator(model_fn, params={"sizes": [8, 8]})
estimator.train(lambda: input_fn(30))
print("accuracy", estimator.evaluate(lambda: input_fn(1))["accuracy"])
