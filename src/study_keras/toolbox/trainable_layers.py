"""哪些层要训练：设定、列出、训练之后再看谁动了。"""

import numpy as np

from toolbox.later import keras
from toolbox.terminal.errors import UserError


def set_trainable_from(base, first_layer=None):
    """从名为 first_layer 的层起要训练，它之前的冻结；None 表示全部冻结。批归一化（batch normalization）一律冻结。

    批归一化若可训练，训练时用每一批自己的均值与方差，预测时用移动的；步数少，移动的跟不上，训练与预测就成了两个网络。
    在 Keras 3 里 base(x, training=False) 挡不住，要逐层写 trainable = False。也不能只写 base.trainable = False
    再把几层改回 True：训练了什么因 Keras 的版本而异（见 docs/pitfalls.md）。

    改了以后要重新 compile，已经编译好的训练步骤不会跟着变。

    Raises:
        UserError: base 里没有 first_layer。
    """
    names = [layer.name for layer in base.layers]
    if first_layer is not None and first_layer not in names:
        convolutions = "、".join(layer.name for layer in base.layers if "Conv" in type(layer).__name__)
        raise UserError(f"基础模型里没有 {first_layer} 这一层。可选的卷积层，从前到后：{convolutions}。")
    first = len(names) if first_layer is None else names.index(first_layer)
    for i, layer in enumerate(base.layers):
        layer.trainable = i >= first and not isinstance(layer, keras.layers.BatchNormalization)


def show_layers(model, base, everything=False):
    """列出要训练的层（everything 为真则列出全部层）：名字、输出的形状、权重的个数；再数一数可训练与冻结的权重。"""
    nested = base if base in model.layers else None
    layers = (nested.layers if nested else []) + [layer for layer in model.layers if layer is not nested]
    trained = [layer for layer in layers if layer.trainable_weights]
    for layer in layers if everything else trained:
        mark = "训练" if layer in trained else "冻结" if layer.weights else "无权重"
        print(f"{layer.name:<28} {layer.output.shape[1:]!s:<14}{layer.count_params():>9,} {mark}")
    print(f"共 {len(layers)} 层（基础模型 {len(base.layers)} 层），要训练的 {len(trained)} 层")
    for label, weights in (("可训练", model.trainable_weights), ("冻结", model.non_trainable_weights)):
        count = sum(np.prod(weight.shape, dtype=int) for weight in weights)
        print(f"{label}的权重：{len(weights)} 个张量，共 {count:,} 个数")


def movement(model, before):
    """训练使哪些层移动了多少，打印并返回 {层: 核（kernel）变化的大小 / 原来的大小}，只列动了的。

    Args:
        before: 训练前的 model.get_weights()。
    """
    pairs = list(zip(model.weights, before, strict=True))
    moved = [(weight, old) for weight, old in pairs if (weight.numpy() != old).any()]
    changes = {
        weight.path.split("/")[0]: float(np.linalg.norm(weight.numpy() - old) / np.linalg.norm(old))
        for weight, old in moved
        if weight.path.endswith("kernel")
    }
    print(f"{len(pairs)} 个张量中，{len(pairs) - len(moved)} 个逐位没有动；动了的层与相对变化：")
    print("，".join(f"{layer} {change:.2f}" for layer, change in changes.items()))
    return changes
