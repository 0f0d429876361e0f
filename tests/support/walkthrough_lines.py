"""原教程里 Estimator 的几行，照原样写出来，看各自会怎样；后面跟着改好的一行。由 test_walkthrough_lines.py 运行。"""

import itertools

import numpy as np

from toolbox.estimator import tf

keras = tf.keras


class MyListener(tf.estimator.CheckpointSaverListener):
    def after_save(self, session, global_step_value):
        print("saved at", global_step_value)


def trained_steps(estimator):
    return int(estimator.latest_checkpoint().rpartition("-")[2])


images = np.random.RandomState(0).uniform(-1, 1, size=(60, 8, 8, 3)).astype(np.float32)
labels = np.eye(5, dtype=np.float32)[np.arange(60) % 5]
validation_generator = keras.preprocessing.image.ImageDataGenerator().flow(images, labels, batch_size=32)
keras_model = keras.Sequential(
    [keras.layers.Flatten(input_shape=(8, 8, 3)), keras.layers.Dense(5, activation="softmax", name="probabilities")]
)
keras_model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])

est_model = keras.estimator.model_to_estimator(keras_model=keras_model)

# 1. 循环永远不会结束：取一百批，它还在给
print("batches", len(list(itertools.islice(validation_generator, 100))), "of", len(validation_generator))

train_x = []
train_y = []
for i in range(len(validation_generator)):  # 改好的：一共几批就取几批
    inputs_batch, labels_batch = validation_generator[i]
    train_x.append(inputs_batch)
    train_y.append(labels_batch)

# 2. numpy_input_fn 要数组，不要列表
try:
    train_input_fn = tf.estimator.inputs.numpy_input_fn(x=train_x, y=train_y, num_epochs=1, shuffle=False)
    est_model.train(input_fn=train_input_fn, steps=5)
except Exception as error:
    print("list", type(error).__name__, error)
train_x, train_y = np.concatenate(train_x), np.concatenate(train_y)  # 改好的
train_input_fn = tf.estimator.inputs.numpy_input_fn(x=train_x, y=train_y, num_epochs=1, shuffle=False)

# 3. saving_listeners 要列表，哪怕只有一个
my_listener = MyListener()
try:
    est_model.train(input_fn=train_input_fn, steps=5, saving_listeners=my_listener)
except Exception as error:
    print("listener", type(error).__name__, error)

# 4. num_epochs=1、每批 128 张：60 张照片一步就读完了，不是五步
est_model.train(input_fn=train_input_fn, steps=5, saving_listeners=[my_listener])
print("steps", trained_steps(est_model))
repeating = tf.estimator.inputs.numpy_input_fn(x=train_x, y=train_y, batch_size=32, num_epochs=None, shuffle=True)
est_model.train(input_fn=repeating, steps=5)  # 改好的：num_epochs=None 一直给下去，训练几步由 steps 定
print("mended", trained_steps(est_model))
