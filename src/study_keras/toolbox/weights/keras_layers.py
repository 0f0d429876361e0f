"""MobileNetV2 1.0 有权重的各层与它们的形状。

网络结构：Sandler 等，MobileNetV2: Inverted Residuals and Linear Bottlenecks，表 2。
"""

# 论文表 2：扩张倍数、输出通道、重复次数
_BLOCKS = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]


def keras_layers():
    """MobileNetV2 1.0 带顶层时有权重的各层，按顺序：{Keras 层名: {权重名: 形状}}。"""
    layers, channels, block = {}, 32, 0

    def convolution(name, norm_name, shape, weight="kernel", outputs=None):
        layers[name] = {weight: shape}
        norm_shape = (outputs or shape[-1],)
        layers[norm_name] = dict.fromkeys(["gamma", "beta", "moving_mean", "moving_variance"], norm_shape)

    convolution("Conv1", "bn_Conv1", (3, 3, 3, channels))
    for expansion, outputs, repeats in _BLOCKS:
        for _ in range(repeats):
            name = f"block_{block}" if block else "expanded_conv"
            inner = channels * expansion
            if expansion > 1:
                convolution(f"{name}_expand", f"{name}_expand_BN", (1, 1, channels, inner))
            depthwise = f"{name}_depthwise"
            convolution(depthwise, f"{depthwise}_BN", (3, 3, inner, 1), "depthwise_kernel", inner)
            convolution(f"{name}_project", f"{name}_project_BN", (1, 1, inner, outputs))
            channels, block = outputs, block + 1
    convolution("Conv_1", "Conv_1_bn", (1, 1, channels, 1280))
    layers["predictions"] = {"kernel": (1280, 1000), "bias": (1000,)}
    return layers
