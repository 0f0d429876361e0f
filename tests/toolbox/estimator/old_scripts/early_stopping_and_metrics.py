"""TensorFlow 2：add_metrics 另加指标，stop_if_no_decrease_hook 早停，CheckpointSaverHook，InMemoryEvaluatorHook。"""

import numpy as np
import tensorflow as tf

x = np.random.RandomState(3).normal(size=(400, 1)).astype(np.float32)
y = (x[:, 0] > 0).astype(np.int32)
estimator = tf.estimator.DNNClassifier(
    hidden_units=[8],
    feature_columns=[tf.feature_column.numeric_column("x")],
    optimizer=tf.keras.optimizers.Adam(0.01),
    config=tf.estimator.RunConfig("model", save_checkpoints_steps=50),
)


def precision(labels, predictions):
    metric = tf.keras.metrics.Precision(name="my_precision")
    metric.update_state(y_true=labels, y_pred=predictions["class_ids"])
    return {"my_precision": metric}


def input_fn():
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).repeat().batch(50)


def eval_input_fn():
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).batch(50)


estimator = tf.estimator.add_metrics(estimator, precision)
early = tf.estimator.experimental.stop_if_no_decrease_hook(
    estimator, "loss", max_steps_without_decrease=100, min_steps=200, run_every_secs=None, run_every_steps=50
)
never = tf.estimator.experimental.make_early_stopping_hook(estimator, lambda: False, run_every_secs=60)
in_memory = tf.estimator.experimental.InMemoryEvaluatorHook(estimator, eval_input_fn, every_n_iter=200)
estimator.train(input_fn, max_steps=400, hooks=[early, never, in_memory, tf.estimator.StepCounterHook()])
result = estimator.evaluate(eval_input_fn)
assert result["my_precision"] > 0.8
print("accuracy", result["accuracy"])
