"""同步训练（synchronous training）：几个进程各有一份模型，每一步一起更新，权重始终相同。

Keras 3 不能用 MultiWorkerMirroredStrategy（keras 的 issue 20585），tf_keras 可以。
"""

from toolbox.later import tf_with_estimator as tf


def devices(synchronous, mirrored):
    """分布策略，要在一切运算之前建立：几个进程同步、一台机器的几个设备同步，或 None。"""
    if synchronous:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if not mirrored:
        return None
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    # 两个逻辑 CPU 上，默认的合并梯度的办法会停在第 0 步不动（TensorFlow 2.15 与 2.21 都是）；交给一个设备去合就好
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(names, cross_device_ops=tf.distribute.ReductionToOneDevice())


def fit(strategy, model, compile_with, train_input, epochs, steps_per_epoch):
    """每一步各 worker 算自己的一批，梯度合在一起，大家同时更新。训练好的分类头放回 model。

    Args:
        strategy: tf.distribute.MultiWorkerMirroredStrategy，须在一切运算之前建立。
        model: 顺序模型，前两层冻结，其余是要训练的分类头。
        compile_with: 函数，编译给它的模型。
        train_input: 输入函数，给出 ({"features": 缓存的特征, ...}, 标签)。
        steps_per_epoch: 一轮几步；每一步各 worker 各取一批。
    """
    _, pool, *head = model.layers
    with strategy.scope():  # 变量在这里建立，才会在各 worker 之间保持相同
        copy = tf.keras.models.clone_model(tf.keras.Sequential([tf.keras.Input(pool.output_shape[1:]), *head]))
        compile_with(copy)
    batches = strategy.distribute_datasets_from_function(
        lambda context: train_input().map(lambda features, targets: (features["features"], targets))
    )
    copy.fit(batches, epochs=epochs, steps_per_epoch=steps_per_epoch, verbose=2)
    for layer, trained in zip(head, copy.layers, strict=True):
        layer.set_weights(trained.get_weights())
