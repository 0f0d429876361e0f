"""TensorFlow 1：experimental.KMeans 聚类，FeedFnHook 之外的内置钩子。"""

import numpy as np
import tensorflow as tf

random = np.random.RandomState(0)
centers = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
points = np.concatenate([center + random.normal(size=(100, 2)) for center in centers]).astype(np.float32)


def input_fn():
    return tf.train.limit_epochs(tf.convert_to_tensor(points, dtype=tf.float32), num_epochs=1)


kmeans = tf.estimator.experimental.KMeans(num_clusters=3, use_mini_batch=False, seed=1)
for _ in range(10):
    kmeans.train(input_fn)
cluster = list(kmeans.predict_cluster_index(input_fn))
same = [len(set(cluster[start : start + 100])) == 1 for start in (0, 100, 200)]
print("accuracy", np.mean(same))
