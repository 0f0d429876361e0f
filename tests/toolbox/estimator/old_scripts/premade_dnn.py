"""TensorFlow 2：premade Estimator，DNNClassifier 与数值特征列，训练、评估、预测。"""

import numpy as np
import tensorflow as tf

random = np.random.RandomState(0)
measures = {name: random.normal(size=400).astype(np.float32) for name in ("length", "width")}
species = ((measures["length"] > 0).astype(int) + (measures["width"] > 0)).astype(np.int32)


def input_fn(features, labels=None, training=False):
    dataset = tf.data.Dataset.from_tensor_slices((dict(features), labels) if labels is not None else dict(features))
    if training:
        dataset = dataset.shuffle(400).repeat()
    return dataset.batch(32)


columns = [tf.feature_column.numeric_column(key=key) for key in measures]
classifier = tf.estimator.DNNClassifier(feature_columns=columns, hidden_units=[30, 10], n_classes=3, optimizer="Adam")
classifier.train(input_fn=lambda: input_fn(measures, species, training=True), steps=500)
result = classifier.evaluate(input_fn=lambda: input_fn(measures, species))
predictions = [p["class_ids"][0] for p in classifier.predict(input_fn=lambda: input_fn(measures))]
assert np.isclose(np.mean(predictions == species), result["accuracy"])
print("accuracy", result["accuracy"])
