"""Estimator 的桥。每个测试都在新进程里：导入它会让整个进程的 tf.keras 变成 Keras 2。"""

import os
import subprocess
import sys

from conftest import LESSONS_DIR

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
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

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


def run(code, folder):
    environment = {**os.environ, "PYTHONPATH": str(LESSONS_DIR), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


def test_an_old_script_runs_after_changing_only_its_import(tmp_path):
    result = run(OLD_SCRIPT.replace(OLD_IMPORT, "from toolbox.estimator import tf\n"), tmp_path)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.split()[1]) > 0.9
    assert (tmp_path / "checkpoints" / "model.ckpt-300.index").is_file()


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


def test_too_late_after_keras_3_is_refused(tmp_path):
    result = run("import tensorflow as tf; tf.keras.Model; import toolbox.estimator.bridge", tmp_path)
    assert "已经是 Keras 3" in result.stderr.splitlines()[-1]
