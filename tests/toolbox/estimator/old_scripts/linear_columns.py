"""TensorFlow 2：LinearClassifier，词表、分桶、交叉的特征列；导出可由 tf.Example 调用的模型。"""

import numpy as np
import tensorflow as tf

random = np.random.RandomState(1)
sex = random.choice(["male", "female"], size=600)
age = random.uniform(1, 80, size=600).astype(np.float32)
survived = (sex == "female") ^ (age < 12)

vocabulary = tf.feature_column.categorical_column_with_vocabulary_list("sex", ["male", "female"])
age_column = tf.feature_column.numeric_column("age")
buckets = tf.feature_column.bucketized_column(age_column, boundaries=[12, 30, 60])
crossed = tf.feature_column.crossed_column([buckets, "sex"], hash_bucket_size=100)
columns = [vocabulary, buckets, crossed]


def make_input_fn(epochs=50, shuffle=True):
    def input_function():
        dataset = tf.data.Dataset.from_tensor_slices(({"sex": sex, "age": age}, survived.astype(np.int64)))
        if shuffle:
            dataset = dataset.shuffle(1000)
        return dataset.batch(32).repeat(epochs)

    return input_function


estimator = tf.estimator.LinearClassifier(feature_columns=columns)
estimator.train(make_input_fn())
result = estimator.evaluate(make_input_fn(epochs=1, shuffle=False))
parsing = tf.feature_column.make_parse_example_spec([vocabulary, age_column])
receiver = tf.estimator.export.build_parsing_serving_input_receiver_fn(parsing)
path = estimator.export_saved_model("exported", receiver)
assert "predict" in tf.saved_model.load(path.decode()).signatures
print("accuracy", result["accuracy"])
