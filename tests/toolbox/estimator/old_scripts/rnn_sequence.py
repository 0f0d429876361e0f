"""TensorFlow 2：experimental.RNNClassifier，序列的特征列（sequence_feature_column）。"""

import numpy as np
import tensorflow as tf

random = np.random.RandomState(6)
tokens = random.randint(0, 5, size=(400, 6))
labels = (tokens == 3).any(axis=1).astype(np.int32)

sequence = tf.feature_column.sequence_categorical_column_with_identity("tokens", num_buckets=5)
column = tf.feature_column.embedding_column(sequence, dimension=4)
estimator = tf.estimator.experimental.RNNClassifier(
    sequence_feature_columns=[column], units=[8], cell_type="gru", optimizer=tf.keras.optimizers.Adam(1e-2)
)


def input_fn(epochs=1):
    def sparse(features, label):
        return {"tokens": tf.sparse.from_dense(features["tokens"] + 0)}, label

    return tf.data.Dataset.from_tensor_slices(({"tokens": tokens}, labels)).batch(40).map(sparse).repeat(epochs)


estimator.train(lambda: input_fn(40))
print("accuracy", estimator.evaluate(input_fn)["accuracy"])
