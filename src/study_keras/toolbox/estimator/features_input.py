"""训练时用缓存的特征作 Estimator 模型的第二个输入：基础模型冻结，同一张照片的特征总相同，不必每一轮都算。

评估、预测、导出的仍是由照片算起的完整的模型。
"""

import numpy as np

from toolbox import frozen_prefix
from toolbox.frozen_prefix.options import feature_options
from toolbox.later import tf_with_estimator as tf
from toolbox.photos.read import IMAGE_SIZE


def add_features_input(model):
    """给模型加上第二个输入 features：训练时用它（缓存的特征），其余时候照常由照片算起。

    Args:
        model: tf_keras 的顺序模型：冻结的基础模型、池化、分类头各层。

    Returns:
        (有两个输入的模型, 特征提取部分)，都与 model 共用各层。
    """
    keras = tf.keras
    base, pool, *head = model.layers
    image = keras.Input(base.input_shape[1:], name="image")
    pooled = pool(base(image, training=False))  # 推理模式：批归一化用预训练的移动均值与方差
    features = keras.Input(pooled.shape[1:], name="features")
    choose = keras.layers.Lambda(lambda both: keras.backend.in_train_phase(both[1], both[0]), name="features_or_image")
    x = choose([pooled, features])
    for layer in head:
        x = layer(x)
    return keras.Model([image, features], x), keras.Model(image, pooled)


def compute(frozen, photos, task, args):
    """全部训练照片的特征。在集群里先算自己的一份，再取别人算好的，还缺的自己补上；不参加训练的进程不算。"""
    options = feature_options(args)
    if task is not None and task.shard is None:
        photos = []
    elif task is not None and not args.no_cache:
        frozen_prefix.compute(frozen, photos, **options | {"shard": task.shard})
    return frozen_prefix.compute(frozen, photos, **options)


def features_input(features, targets, batch_size, seed):
    """训练的输入函数：从磁盘一批批读缓存的特征，一直给下去；训练到第几步由 max_steps 决定。

    每一轮的顺序与第 1 课的相同，只看 (seed, 第几轮)。
    """

    def as_two_inputs(rows, labels):
        return {"image": tf.zeros((0, *IMAGE_SIZE, 3)), "features": rows}, labels

    return lambda: features.batches(targets, batch_size, shuffle=True, seed=seed).map(as_two_inputs).repeat()


def photo_input(generator, feature_shape):
    """评估与预测的输入函数：照片依次一遍，不打乱，最后不足一批的也保留。

    数据从生成器流进来。数组若交给 from_tensor_slices，会整个变成计算图里的常数。
    """

    def batches():
        for i in range(len(generator)):  # 直接对 generator 循环永远不会结束
            images, targets = generator[i]
            yield {"image": images, "features": np.zeros((0, *feature_shape), np.float32)}, targets

    features = {"image": tf.TensorSpec((None, *IMAGE_SIZE, 3)), "features": tf.TensorSpec((None, *feature_shape))}
    signature = features, tf.TensorSpec((None, *generator.targets.shape[1:]))
    return lambda: tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)
