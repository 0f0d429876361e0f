"""在第一个要训练的层之前切开模型。"""

from toolbox.terminal.errors import UserError


def split_model(model):
    """在第一个要训练的层之前切开模型，返回 (prefix, suffix)，二者都是与 model 共用各层的 keras.Model。

    切在最靠后的这样一处：之前的层都冻结，而且只有一个张量从特征提取部分通到其余部分（残差连接跨过的地方不能切）。
    每次输出都不同的层（Dropout、随机增强）与会动的批归一化也归其余部分。嵌套的模型会被展开，可以切在它里面。

    Args:
        model: 单输入、单输出的 Keras 3 模型（Sequential 或函数式）。

    Raises:
        UserError: 没有要训练的层，或没有冻结的层。
    """
    import keras

    image, steps, output = trace(model)
    trained = {id(variable) for variable in model.trainable_variables}
    if not trained:
        raise UserError("模型里没有要训练的层。请让最后几层可以训练（trainable = True）。")
    first = next(i for i, (layer, *_) in enumerate(steps) if _changes(layer, trained))
    needed = {id(output)}  # 从后往前走：后面各步要用到、而来源还在前面的张量
    for i, (_, inputs, made) in reversed(list(enumerate(steps))):
        if i < first and needed == {id(made)}:
            prefix = keras.Model(image, made, name="prefix")
            if prefix.weights:
                return prefix, keras.Model(made, output, name="suffix")
        needed = needed - {id(made)} | {id(tensor) for tensor in inputs}
    raise UserError("模型从第一层起就要训练，没有什么可以只算一次。请用 --end-to-end。")


def pooling(steps):
    """各步（trace 的）里最后一次全局平均池化的 (输入, 输出)；没有则为 None。"""
    import keras

    kind = keras.layers.GlobalAveragePooling2D
    pooled = [(inputs[0], made) for layer, inputs, made in steps if isinstance(layer, kind)]
    return pooled[-1] if pooled else None


def trace(model):
    """把 model 逐层走一遍，嵌套的模型展开。返回 (新的输入, 各步, 输出)。

    各步按计算的顺序，一步是 (层, 各输入张量, 输出张量)。
    """
    import keras

    image = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    steps = []

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras.Sequential) or hasattr(layer, "_run_through_graph"):
            return _run(layer, args[0], call)
        inputs = [value for value in keras.tree.flatten((args, kwargs)) if keras.utils.is_keras_tensor(value)]
        output = layer(*args, **kwargs)
        steps.append((layer, inputs, output))
        return output

    return image, steps, _run(model, image, call)


def _run(model, tensor, call):
    """依次对 model 的各层做 call(层, 输入)，返回最后的输出。"""
    import keras

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            tensor = call(layer, tensor)
        return tensor
    return model._run_through_graph(tensor, call_fn=call)  # 函数式模型逐层计算的入口；Keras 没有公开的


def _changes(layer, trained):
    """训练时这一层会不会变，或者每次的输出会不会不同。"""
    import keras

    if not isinstance(layer, keras.Layer):
        return False  # 加减乘除之类没有变量的运算
    moving = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable  # 移动均值与方差会动
    random = len(layer.variables) > len(layer.weights)  # 多出来的是随机数发生器的状态
    return moving or random or not trained.isdisjoint(map(id, layer.variables))
