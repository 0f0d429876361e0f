"""第 2 课对第 1 课：同样的划分上几个种子的准确率；同样的起点、没有 Dropout 时两课的预测一致到什么程度；
Estimator、SavedModel、Keras 与 JPEG 入口的预测是否一致。

已记在 --json 里的种子不再重做。用法：
    python benchmarks/lesson_2.py --images-dir 照片文件夹 --json docs/results/lesson_2.json
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"
sys.path.insert(0, str(LESSONS_DIR))

import numpy as np

from toolbox import evaluation, model_folder, model_folder_reader
from toolbox.photos.folder import open_folder
from toolbox.photos.read import IMAGE_SIZE, read_photo
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.records import read_csv
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch

WITHOUT_DROPOUT = (
    f"import sys; sys.path.insert(0, {str(LESSONS_DIR)!r}); import hello_transfer_learning_2 as lesson; "
    "lesson.DROPOUT = 0.0; lesson.main(sys.argv[1:])"
)
LESSON_1 = "hello_transfer_learning.py", "mobilenetv2_transfer_seq"
LESSON_2 = "hello_transfer_learning_2.py", "mobilenetv2_estimator"


def run(lesson, args, folder, *options):
    """运行一课，返回 (结果文件夹, metrics, 秒数)；秒数从进程启动算到结束。"""
    script, name = lesson
    options = ["--images-dir", args.images_dir, "--weights", args.weights, "--output-dir", str(folder), *options]
    start = time.monotonic()
    subprocess.run([sys.executable, str(LESSONS_DIR / script), *options], check=True, stdout=subprocess.DEVNULL)
    seconds = round(time.monotonic() - start, 1)
    return folder / name, json.loads((folder / name / "metrics.json").read_text(encoding="utf-8")), seconds


def steps_per_second(args, folder, fewer=100, more=1100):
    """训练的快慢：步数不同的两次运行相减，除去建图的时间。"""
    seconds = {}
    for steps in (fewer, more):
        name = f"steps_{steps}"
        options = ["--cache-dir", str(folder / "cache"), "--name", name, "--steps", str(steps)]
        seconds[steps] = run((LESSON_2[0], name), args, folder, *options)[1]["seconds"]["训练"]
    return (more - fewer) / (seconds[more] - seconds[fewer])


def rebuild(checkpoints, num_classes):
    """第 1 课那样的 Keras 3 模型，权重取自 Estimator 最后的检查点。"""
    import tensorflow as tf
    from tensorflow.keras import Sequential, layers
    from tensorflow.keras.applications import MobileNetV2

    base = MobileNetV2(input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=None)
    head = [layers.Dense(1024, "relu", name="hidden_1"), layers.Dense(512, "relu", name="hidden_2")]
    last = layers.Dense(num_classes, "softmax", name="probabilities")
    model = Sequential([base, layers.GlobalAveragePooling2D(), *head, last])
    model.build((None, *IMAGE_SIZE, 3))
    reader = tf.train.load_checkpoint(checkpoints)
    for weight in model.weights:
        name = "/".join(weight.path.split("/")[-2:])
        weight.assign(reader.get_tensor(name.replace("depthwise/kernel", "depthwise/depthwise_kernel")))
    return model


def agreement(results, images_dir):
    """在每张没有参加训练的照片上比较四种预测；返回一致的比例与概率的最大差。"""
    import tensorflow as tf

    rows = read_csv(results / "predictions.csv")
    labels = model_folder_reader.read_labels(results)
    paths = [Path(images_dir) / row["file"] for row in rows]
    pixels = np.stack([read_photo(path) for path in paths]).astype(np.float32) / 127.5 - 1
    estimator = np.array([labels.index(row["predicted"]) for row in rows])
    (version,) = (results / "saved_model").iterdir()
    served = tf.saved_model.load(version)
    signatures = served.signatures
    keras = rebuild(results.with_name(f"{results.name}_checkpoints"), len(labels)).predict(pixels, verbose=0)
    batches = np.array_split(np.arange(len(rows)), max(1, len(rows) // 32))
    tensors = [signatures["serving_default"](image=tf.constant(pixels[i])) for i in batches]
    saved_model = np.concatenate([answer["probabilities"] for answer in tensors])
    answers = [signatures["jpeg:classify"](jpeg=tf.constant([paths[k].read_bytes() for k in i])) for i in batches]
    jpeg = np.array([labels.index(name.decode()) for a in answers for name in a["class_names"].numpy()[:, 0]])
    return {
        "photos": len(rows),
        "estimator_and_saved_model": float(np.mean(estimator == saved_model.argmax(axis=1))),
        "estimator_and_keras": float(np.mean(estimator == keras.argmax(axis=1))),
        "largest_difference": float(np.abs(saved_model - keras).max()),
        "jpeg": float(np.mean(estimator == jpeg)),
    }


def start_from(network, reader):
    """第 1 课的网络换上第 2 课起点的权重，去掉 Dropout。"""
    import keras

    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    for layer, in_checkpoint in zip(dense, ("hidden_1", "hidden_2", "probabilities"), strict=True):
        layer.set_weights([reader.get_tensor(f"{in_checkpoint}/{part}") for part in ("kernel", "bias")])
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0


def same_start(args, folder, seed):
    """两课从同样的权重开始，都没有 Dropout：没有参加训练的照片中，预测相同的比例。

    起点是第 2 课的第 0 个检查点；第 1 课这一边就是它自己的函数。
    """
    import tensorflow as tf

    import hello_transfer_learning as lesson
    from toolbox import course

    name = "same_start"
    options = ["--images-dir", args.images_dir, "--weights", args.weights, "--output-dir", str(folder), "--name", name]
    options += ["--seed", str(seed), "--cache-dir", str(folder / "cache")]
    subprocess.run([sys.executable, "-c", WITHOUT_DROPOUT, *options], check=True, stdout=subprocess.DEVNULL)
    estimator = [row["predicted"] for row in read_csv(folder / name / "predictions.csv")]
    options = lesson.parse_arguments(options)
    photos, weights = course.start(options, Stopwatch())
    generators, labels = lesson.make_generators(photos, options)
    model = lesson.build_sequential(lesson.build_base(weights, options), len(labels))
    network, data = lesson.extract_features(model, generators, options)
    start_from(network, tf.train.load_checkpoint(str(folder / f"{name}_checkpoints" / "model.ckpt-0")))
    lesson.train(network, data, options, folder / "logs")
    parts = {"validation": generators["validation"].photos}
    rows = evaluation.prediction_rows(lesson.predict(network, data), parts, photos, labels)
    return float(np.mean([ours == row[2] for ours, row in zip(estimator, rows, strict=True)]))


def one_seed(args, seed):
    """一个种子的全部数字。"""
    with tempfile.TemporaryDirectory() as temporary:
        folder, options = Path(temporary), ["--cache-dir", str(Path(temporary) / "cache"), "--seed", str(seed)]
        keras = run(LESSON_1, args, folder, *options)
        estimator = run(LESSON_2, args, folder, *options)
        return {
            "lesson_1": keras[1]["validation"]["accuracy"],
            "lesson_2": estimator[1]["validation"]["accuracy"],
            "same_start": same_start(args, folder, seed),
            "weights": estimator[1]["weights"],
            **agreement(estimator[0], args.images_dir),
        }


def main(argv=None):
    parser = ArgumentParser("第 2 课对第 1 课：准确率与预测的一致。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--weights", default="auto", metavar="W", help="基础模型的权重")
    parser.add_argument("--seeds", type=positive_int, default=5, metavar="N", help="几个种子")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    results = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else {}
    seeds = results.setdefault("seeds", [])
    for seed in range(len(seeds), args.seeds):
        seeds.append(one_seed(args, seed))
        model_folder.write_json(args.json, results)
        print(f"种子 {seed}：{seeds[-1]}", flush=True)
    if "steps_per_second" not in results:
        start = time.monotonic()
        photos = open_folder(args.images_dir).photos
        results["checked_photos_per_second"] = len(photos) / (time.monotonic() - start)
        with tempfile.TemporaryDirectory() as temporary:
            results["steps_per_second"] = steps_per_second(args, Path(temporary))
    model_folder.write_json(args.json, results)
    print(json.dumps(results, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    run_main(main)
