"""TensorFlow 1：tf.keras 的模型经 model_to_estimator，numpy_input_fn，train_and_evaluate，saving_listeners。"""

import numpy as np
import tensorflow as tf

x = np.random.RandomState(0).normal(size=(500, 4)).astype(np.float32)
y = (x.sum(axis=1) > 0).astype(np.int32)
model = tf.keras.models.Sequential()
model.add(tf.keras.layers.Dense(16, activation="relu", input_shape=(4,), name="hidden"))
model.add(tf.keras.layers.Dense(2, activation="softmax", name="probabilities"))
model.compile(optimizer=tf.train.AdamOptimizer(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])


class Listener(tf.train.CheckpointSaverListener):
    saved = []

    def after_save(self, session, global_step_value):
        self.saved.append(int(global_step_value))


estimator = tf.keras.estimator.model_to_estimator(keras_model=model, model_dir="model")
inputs = {"x": {"hidden_input": x}, "y": y, "batch_size": 50}
train_input_fn = tf.estimator.inputs.numpy_input_fn(num_epochs=None, shuffle=True, **inputs)
estimator.train(train_input_fn, steps=300, saving_listeners=[Listener()])
assert Listener.saved == [0, 300]
print("accuracy", estimator.evaluate(tf.estimator.inputs.numpy_input_fn(shuffle=False, **inputs))["acc"])
