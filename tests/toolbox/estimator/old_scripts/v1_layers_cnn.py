"""TensorFlow 1：自定义的 model_fn，tf.layers 的卷积网络，tf.losses，tf.metrics，LoggingTensorHook，tf.app.run。"""

import numpy as np
import tensorflow as tf

tf.logging.set_verbosity(tf.logging.ERROR)


def cnn_model_fn(features, labels, mode):
    input_layer = tf.reshape(features["x"], [-1, 12, 12, 1])
    conv1 = tf.layers.conv2d(inputs=input_layer, filters=8, kernel_size=[3, 3], padding="same", activation=tf.nn.relu)
    pool1 = tf.layers.max_pooling2d(inputs=conv1, pool_size=[2, 2], strides=2)
    normal = tf.layers.batch_normalization(pool1, momentum=0.9, training=mode == tf.estimator.ModeKeys.TRAIN)
    dense = tf.layers.dense(inputs=tf.layers.flatten(normal), units=32, activation=tf.nn.relu)
    dropout = tf.layers.dropout(inputs=dense, rate=0.1, training=mode == tf.estimator.ModeKeys.TRAIN)
    logits = tf.layers.dense(inputs=dropout, units=2)
    predictions = {
        "classes": tf.argmax(input=logits, axis=1),
        "probabilities": tf.nn.softmax(logits, name="softmax_tensor"),
    }
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode=mode, predictions=predictions)
    loss = tf.losses.sparse_softmax_cross_entropy(labels=labels, logits=logits)
    if mode == tf.estimator.ModeKeys.TRAIN:
        optimizer = tf.train.AdamOptimizer(learning_rate=0.01)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_op = optimizer.minimize(loss=loss, global_step=tf.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode=mode, loss=loss, train_op=train_op)
    eval_metric_ops = {"accuracy": tf.metrics.accuracy(labels=labels, predictions=predictions["classes"])}
    return tf.estimator.EstimatorSpec(mode=mode, loss=loss, eval_metric_ops=eval_metric_ops)


def main(unused_argv):
    data = np.random.RandomState(0).normal(size=(300, 144)).astype(np.float32)
    labels = (data[:, :72].sum(axis=1) > data[:, 72:].sum(axis=1)).astype(np.int32)
    data[:, :72] += labels[:, None]
    classifier = tf.estimator.Estimator(model_fn=cnn_model_fn, model_dir="model")
    logging_hook = tf.train.LoggingTensorHook(tensors={"probabilities": "softmax_tensor"}, every_n_iter=50)
    train_input_fn = tf.estimator.inputs.numpy_input_fn(
        {"x": data}, labels, batch_size=50, num_epochs=None, shuffle=True
    )
    classifier.train(input_fn=train_input_fn, steps=50, hooks=[logging_hook])
    eval_input_fn = tf.estimator.inputs.numpy_input_fn({"x": data}, labels, num_epochs=1, shuffle=False)
    print("accuracy", classifier.evaluate(input_fn=eval_input_fn)["accuracy"])


if __name__ == "__main__":
    tf.app.run()
