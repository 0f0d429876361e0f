"""Estimator 的桥。每个测试都在新进程里：导入它会让整个进程的 tf.keras 变成 Keras 2。"""

import pytest

from old_script import run

# TensorFlow 1 时代的脚本，一字不改；只有第一行的导入在测试里换掉。
OLD_IMPORT = "import tensorflow as tf\n"
OLD_SCRIPT = (
    OLD_IMPORT
    + """
import numpy as np

x = np.random.RandomState(0).normal(size=(600, 4)).astype(np.float32)
y = (x.sum(axis=1) > 0).astype(np.int32)

model = tf.keras.Sequential([
    tf.keras.layers.Dense(16, activation="relu", input_shape=(4,), name="hidden"),
    tf.keras.layers.Dense(2, activation="softmax", name="probabilities"),
])
model.compile(optimizer=tf.keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

config = tf.estimator.RunConfig(model_dir="checkpoints", tf_random_seed=1, save_checkpoints_steps=150)
estimator = tf.keras.estimator.model_to_estimator(keras_model=model, config=config)
train_input = tf.estimator.inputs.numpy_input_fn(
    {"hidden_input": x[:500]}, y[:500], batch_size=32, num_epochs=None, shuffle=True)
eval_input = tf.estimator.inputs.numpy_input_fn(
    {"hidden_input": x[500:]}, y[500:], batch_size=32, num_epochs=1, shuffle=False)

tf.estimator.train_and_evaluate(
    estimator,
    tf.estimator.TrainSpec(train_input, max_steps=300),
    tf.estimator.EvalSpec(eval_input, steps=None, throttle_secs=0))
accuracy = estimator.evaluate(eval_input)["accuracy"]
predicted = [row["probabilities"].argmax() for row in estimator.predict(eval_input)]
assert len(predicted) == 100
assert abs(np.mean(predicted == y[500:]) - accuracy) < 1e-6
print("accuracy", accuracy)
"""
)


def test_an_old_script_runs_after_changing_only_its_import(tmp_path):
    result = run(OLD_SCRIPT.replace(OLD_IMPORT, "from toolbox.estimator import tf\n"), tmp_path)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.split()[1]) > 0.9
    assert (tmp_path / "checkpoints" / "model.ckpt-300.index").is_file()


@pytest.mark.slow
def test_without_the_bridge_the_old_script_fails(tmp_path):
    result = run(OLD_SCRIPT, tmp_path)
    assert result.returncode != 0
    assert "has no attribute 'estimator'" in result.stderr


def test_names_can_also_be_imported_one_by_one(tmp_path):
    names = "model_to_estimator, Estimator, RunConfig, TrainSpec, EvalSpec, train_and_evaluate, numpy_input_fn"
    result = run(f"from toolbox.estimator_bridge import {names}; print(RunConfig().task_type)", tmp_path)
    assert result.stdout == "worker\n", result.stderr


def test_untested_version_is_refused_in_one_line(tmp_path):
    code = (
        "from importlib import metadata\n"
        "metadata.version = {'tensorflow': '2.99.0'}.get\n"
        "from toolbox.terminal.run import run_main\n"
        "run_main(lambda argv: __import__('toolbox.estimator.bridge'))\n"
    )
    result = run(code, tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "2.99.0" in result.stderr and "tensorflow 2.21." in result.stderr


@pytest.mark.slow
def test_too_late_after_keras_3_is_refused(tmp_path):
    result = run("import tensorflow as tf; tf.keras.Model; import toolbox.estimator.bridge", tmp_path)
    assert "已经是 Keras 3" in result.stderr.splitlines()[-1]


# 包自己的清单：_api 里由生成器写下的导入语句，与桥怎样导入它无关
NAMES = """
import ast, importlib.util, pathlib
from toolbox.estimator import tf, tf1
root = pathlib.Path(importlib.util.find_spec("tensorflow_estimator").submodule_search_locations[0], "_api")
for version, namespace in (("v2", tf.estimator), ("v1", tf.compat.v1.estimator), ("v1", tf1.estimator)):
    for file in sorted((root / version / "estimator").rglob("__init__.py")):
        part, given = file.parent.relative_to(root / version / "estimator"), namespace
        for name in part.parts:
            given = getattr(given, name, None)
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module.startswith("tensorflow_estimator"):
                for name in (alias.asname or alias.name for alias in node.names):
                    try:
                        print(version, "ok", (part / name).as_posix(), getattr(given, name).__name__)
                    except AttributeError as error:
                        print(version, "no", (part / name).as_posix(), type(error).__name__)
"""


def test_every_public_name_of_the_package_is_there_or_refused_by_name(tmp_path):
    result = run(NAMES, tmp_path)
    assert result.returncode == 0, result.stderr
    lines = [line.split(" ", 3) for line in result.stdout.splitlines()]
    present = {version: {name for v, ok, name, _ in lines if v == version and ok == "ok"} for version in ("v1", "v2")}
    assert len(present["v2"]) == 76 and {"DNNClassifier", "experimental/RNNClassifier"} < present["v2"]
    assert {"inputs/pandas_input_fn", "experimental/KMeans"} < present["v1"]
    refused = {name.removeprefix("tpu/") for _, ok, name, _ in lines if ok == "no"}
    configs = {"InputPipelineConfig", "RunConfig", "TPUConfig"}
    assert refused == {*configs, "TPUEstimator", "TPUEstimatorSpec", "experimental", "experimental/EmbeddingConfigSpec"}
    assert {error for _, ok, name, error in lines if ok == "no" and name.count("/") == 1} == {"NoAttribute"}


REFUSED = {
    "tf.contrib.layers": "tf.contrib 在 TensorFlow 2.0 就没有了",
    "tf1.contrib": "tf.contrib 在 TensorFlow 2.0 就没有了",
    "importlib.import_module('tensorflow.contrib.slim')": "tf.contrib 在 TensorFlow 2.0 就没有了",
    "importlib.import_module('tensorflow.examples.tutorials.mnist')": "tf.keras.datasets.mnist.load_data()",
    "tf.compat.v1.estimator.tpu.TPUEstimator": "tf.estimator.tpu.TPUEstimator 不能用",
    "tf.layers": "tf.layers 是 TensorFlow 1 的名字",
    "tf.train.AdamOptimizer": "from toolbox.estimator import tf1 as tf",
    "tf.keras.Sequential([tf.keras.layers.Dense(1)]).compile(keras.optimizers.Adam(), 'mse')": "是 Keras 3 的",
    "tf.keras.estimator.model_to_estimator(keras.Sequential())": "是 Keras 3 的",
    "tf.estimator.RunConfig(experimental_distribute=DistributeConfig(remote_cluster={'ps': ['a']}))": "remote_cluster",
    "tf.estimator.DNNClassifier([2], [column], optimizer=keras.optimizers.Adam()).train(input_fn)": "是 Keras 3 的",
}


@pytest.mark.slow
def test_what_cannot_work_is_refused_in_one_sentence(tmp_path):
    code = (
        "import importlib, sys, keras\nfrom toolbox.estimator import tf\n"
        "from tensorflow.python.distribute.distribute_config import DistributeConfig\n"
        "from toolbox.terminal.errors import UserError\n"
        "column = tf.feature_column.numeric_column('x')\n"
        "def input_fn():\n    return tf.data.Dataset.from_tensors(({'x': [1.0]}, [1]))\n"
        f"for code in {list(REFUSED)!r}:\n"
        "    from toolbox.estimator import tf1\n"
        "    try:\n        eval(code)\n    except UserError as error:\n        print(code, '=>', error)\n"
        "assert not hasattr(tf, 'contrib') and not hasattr(tf, 'layers') and not hasattr(tf.estimator, 'nothing')\n"
    )
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr
    shown = dict(line.split(" => ") for line in result.stdout.splitlines())
    assert list(shown) == list(REFUSED)
    for refused, why in REFUSED.items():
        assert why in shown[refused]


@pytest.mark.slow
def test_strategies_given_in_the_experimental_way_are_used(tmp_path):
    """DistributeConfig 里的策略，老的 TensorFlow 会抄到 RunConfig 的 train_distribute 与 eval_distribute。"""
    code = (
        "from toolbox.estimator import tf\n"
        "from tensorflow.python.distribute.distribute_config import DistributeConfig\n"
        "one, two = tf.distribute.OneDeviceStrategy('/cpu:0'), tf.distribute.OneDeviceStrategy('/cpu:0')\n"
        "given = DistributeConfig(train_distribute=one, eval_distribute=two)\n"
        "config = tf.estimator.RunConfig(experimental_distribute=given)\n"
        "print(config.train_distribute is one, config.eval_distribute is two)\n"
        "try:\n    tf.estimator.RunConfig(experimental_distribute=given, train_distribute=two)\n"
        "except ValueError as error:\n    print(error)\n"
    )
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "True True",
        "RunConfig 的 train_distribute 与 experimental_distribute 里的只能给一个。",
    ]


@pytest.mark.slow
def test_keras_names_are_keras_2_however_they_are_imported(tmp_path):
    code = (
        "import tensorflow\nfrom toolbox.estimator import tf\nfrom tensorflow.keras import layers\n"
        "from tensorflow.keras.optimizers import Adam\n"
        "print(layers.Dense is tf.keras.layers.Dense, Adam is tf.keras.optimizers.Adam, layers.Dense.__module__)"
    )
    result = run(code, tmp_path)
    assert result.stdout == "True True tf_keras.src.layers.core.dense\n", result.stderr


@pytest.mark.slow
def test_keras_imported_before_the_bridge_is_refused(tmp_path):
    result = run("from tensorflow.keras import layers\nfrom toolbox.estimator import tf", tmp_path)
    assert "移到脚本的最前面" in result.stderr.splitlines()[-1]
