"""TensorFlow 1：pandas_input_fn，DNNClassifier 与 LinearRegressor，tf.train 的优化器，export_savedmodel。"""

import numpy as np
import pandas as pd
import tensorflow as tf

random = np.random.RandomState(0)
table = pd.DataFrame({"size": random.uniform(0, 10, 500), "town": random.choice(["x", "y"], 500)})
table["price"] = 3 * table["size"] + 5 * (table["town"] == "x")
size = tf.feature_column.numeric_column("size")
town = tf.feature_column.categorical_column_with_vocabulary_list("town", ["x", "y"])


def input_fn(y, epochs, shuffle):
    features = table[["size", "town"]]
    return tf.estimator.inputs.pandas_input_fn(x=features, y=y, batch_size=50, num_epochs=epochs, shuffle=shuffle)


regressor = tf.estimator.LinearRegressor([size, town], optimizer=tf.train.FtrlOptimizer(1.0), model_dir="linear")
regressor.train(input_fn(table["price"], None, True), steps=600)
assert regressor.evaluate(input_fn(table["price"], 1, False))["average_loss"] < 30

dear = (table["price"] > 17).astype(int)
classifier = tf.estimator.DNNClassifier(
    feature_columns=[size, tf.feature_column.indicator_column(town)],
    hidden_units=[16],
    optimizer=tf.train.ProximalAdagradOptimizer(learning_rate=0.1, l1_regularization_strength=0.001),
)
classifier.train(input_fn(dear, None, True), steps=600)
columns = [size, tf.feature_column.indicator_column(town)]
parsing = tf.feature_column.make_parse_example_spec(columns)
classifier.export_savedmodel("exported", tf.estimator.export.build_parsing_serving_input_receiver_fn(parsing))
print("accuracy", classifier.evaluate(input_fn(dear, 1, False))["accuracy"])
