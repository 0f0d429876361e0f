"""列出各层：默认只有要训练的，一屏看得完；要全部才列全部。"""

import math

import keras
import pytest

import hello_transfer_learning as lesson
from toolbox.terminal.text import columns
from toolbox.trainable_layers import show_layers
from toolbox.weights.find import Weights


@pytest.mark.parametrize("kind", ["seq", "model"])
def test_only_trained_layers_are_listed_unless_all_are_asked_for(kind, capsys):
    args = lesson.parse_arguments(["--model", kind, "--trainable-base-layers", "3"])
    base = lesson.build_base(Weights("random", None, None), args)
    model = (lesson.build_sequential if kind == "seq" else lesson.build_functional)(base, 5)
    nested = model.layers[0].layers if kind == "seq" else []
    layers = [*nested, *(layer for layer in model.layers if not isinstance(layer, keras.Model))]
    trained = [layer.name for layer in layers if layer.trainable_weights]
    show_layers(model, base)
    *listed, total, trainable, frozen = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == trained and all(line.endswith(" 训练") for line in listed)
    assert total == f"共 {len(layers)} 层（基础模型 {len(base.layers)} 层），要训练的 {len(trained)} 层"
    parts = (model.trainable_weights, model.non_trainable_weights)
    counts = [sum(math.prod(weight.shape) for weight in part) for part in parts]
    assert f"共 {counts[0]:,} 个数" in trainable and f"共 {counts[1]:,} 个数" in frozen
    show_layers(model, base, everything=True)
    *listed, _, _, _ = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [layer.name for layer in layers] and len(listed) > 150
    assert max(map(columns, listed)) <= 60
