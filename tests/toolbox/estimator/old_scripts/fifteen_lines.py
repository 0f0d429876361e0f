"""TensorFlow 2：十几行的 Estimator：Keras 模型、numpy_input_fn、saving_listeners，训练、评估、预测。"""

import numpy as np
import tensorflow as tf

x = np.random.RandomState(0).normal(size=(500, 4)).astype(np.float32)
y = (x.sum(axis=1) > 0).astype(np.int32)
hidden = tf.keras.layers.Dense(16, activation="relu", input_shape=(4,), name="hidden")
model = tf.keras.Sequential([hidden, tf.keras.layers.Dense(2, activation="softmax", name="probabilities")])
model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
estimator = tf.keras.estimator.model_to_estimator(model, model_dir="model")


class Report(tf.estimator.CheckpointSaverListener):
    def after_save(self, session, global_step_value):
        print("检查点：第", global_step_value, "步")


train_input_fn = tf.estimator.inputs.numpy_input_fn({"hidden_input": x}, y, num_epochs=None, shuffle=True)
estimator.train(train_input_fn, steps=500, saving_listeners=[Report()])
input_fn = tf.estimator.inputs.numpy_input_fn({"hidden_input": x}, y, num_epochs=1, shuffle=False)
print("accuracy", estimator.evaluate(input_fn)["accuracy"])
classes = [row["probabilities"].argmax() for row in estimator.predict(input_fn)]
