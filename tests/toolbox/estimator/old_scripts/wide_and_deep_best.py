"""TensorFlow 2：DNNLinearCombinedClassifier，train_and_evaluate，BestExporter 只留最好的模型。"""

import os

import numpy as np
import tensorflow as tf

random = np.random.RandomState(2)
words = random.choice(["a", "b", "c", "d"], size=500)
numbers = random.normal(size=500).astype(np.float32)
labels = ((words == "a") | (numbers > 0.5)).astype(np.int32)

word = tf.feature_column.categorical_column_with_hash_bucket("word", hash_bucket_size=50)
deep = [tf.feature_column.embedding_column(word, dimension=4), tf.feature_column.numeric_column("number")]
estimator = tf.estimator.DNNLinearCombinedClassifier(
    linear_feature_columns=[word],
    linear_optimizer=tf.keras.optimizers.Ftrl(0.1),
    dnn_feature_columns=deep,
    dnn_hidden_units=[16, 8],
    dnn_optimizer=lambda: tf.keras.optimizers.Adagrad(0.1),
    config=tf.estimator.RunConfig("model", save_checkpoints_steps=100),
)


def input_fn(epochs):
    dataset = tf.data.Dataset.from_tensor_slices(({"word": words, "number": numbers}, labels))
    return dataset.repeat(epochs).batch(50)


serving = tf.estimator.export.build_parsing_serving_input_receiver_fn(tf.feature_column.make_parse_example_spec(deep))
best = tf.estimator.BestExporter(name="best", serving_input_receiver_fn=serving, exports_to_keep=1)
train_spec = tf.estimator.TrainSpec(lambda: input_fn(None), max_steps=300)
eval_spec = tf.estimator.EvalSpec(lambda: input_fn(1), steps=None, exporters=best, start_delay_secs=0, throttle_secs=0)
result, _ = tf.estimator.train_and_evaluate(estimator, train_spec, eval_spec)
assert len(os.listdir("model/export/best")) == 1
print("accuracy", result["accuracy"])
