"""每类几张照片才够：第 1 课用每类 10、30、100……张训练，在同样的、没有用过的照片上量准确率。

用法：python benchmarks/few_photos.py --images-dir 照片文件夹 [另一个照片文件夹] --work-dir 放缓存的目录
      [--json docs/results/few_photos.json]

每个种子先留出两成照片作测试，再从余下的里每类随机取几张，照第 1 课的样子（八成训练、二成验证）训练。
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

from none_of_these import train_lesson_1

from toolbox import experiments, frozen_prefix, model_folder
from toolbox.frozen_prefix.options import feature_options
from toolbox.later import keras
from toolbox.photos.folder import open_folder
from toolbox.photos.split import split_folder
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main
from toolbox.terminal.tensorflow_start import load_tensorflow
from toolbox.weights.find import find_weights

TEST = 0.2
COUNTS = [10, 30, 100, 200]
EPOCHS = [5, 20]  # 第 1 课的默认，与照片少时多训练几轮


def some_of_each(photos, count, seed):
    """每类随机取 count 张；有一类不够就返回 None。"""
    random = np.random.default_rng(seed)
    chosen = []
    for name in sorted({photo.class_name for photo in photos}):
        same_class = [photo for photo in photos if photo.class_name == name]
        if len(same_class) < count:
            return None
        chosen += [same_class[i] for i in sorted(random.permutation(len(same_class))[:count])]
    return chosen


def accuracy_with(count, epochs, seed, folder, weights, work_dir):
    """训练一次，返回测试准确率；照片不够则 None。"""
    parts = split_folder(folder, 0, TEST, seed)
    chosen = some_of_each(parts["train"], count, seed)
    if chosen is None:
        return None
    keras.backend.clear_session()
    options = ["--seed", str(seed), "--epochs", str(epochs), "--cache-dir", str(work_dir / "cache")]
    small = dataclasses.replace(folder, photos=chosen)
    frozen, network, _, args = train_lesson_1(options, small, weights, str(work_dir / "logs"))
    features = frozen_prefix.compute(frozen, parts["test"], **feature_options(args))
    answers = network.predict(features.batches(np.zeros(len(parts["test"]), int)), verbose=0)
    truth = [folder.class_names.index(photo.class_name) for photo in parts["test"]]
    return float((answers.argmax(axis=1) == truth).mean())


def learning_curve(images_dir, weights, args):
    """一个文件夹：{"class_names", "test_photos", "rows": [{"per_class", "epochs", "test"}, ...]}。"""
    folder = open_folder(images_dir)
    rows = []
    for count in args.counts:
        for epochs in args.epochs:
            seeds = range(args.seeds)
            measured = [accuracy_with(count, epochs, seed, folder, weights, args.work_dir) for seed in seeds]
            if None not in measured:
                rows.append({"per_class": count, "epochs": epochs, "test": experiments.mean_and_range(measured)})
                print(f"每类 {count} 张，{epochs} 轮：{rows[-1]['test']}", flush=True)
    test_photos = len(split_folder(folder, 0, TEST, 0)["test"])
    return {"class_names": folder.class_names, "test_photos": test_photos, "rows": rows}


def main(argv=None):
    parser = ArgumentParser("每类几张照片才够：照片由少到多，各训练几个种子。")
    parser.add_argument("--images-dir", required=True, nargs="+", metavar="DIR", help="照片文件夹，一个或几个")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="缓存放在哪里")
    parser.add_argument("--counts", type=positive_int, nargs="+", default=COUNTS, metavar="N", help="每类几张")
    parser.add_argument("--epochs", type=positive_int, nargs="+", default=EPOCHS, metavar="N", help="训练几轮")
    parser.add_argument("--seeds", type=positive_int, default=5, metavar="N", help="几个种子")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    load_tensorflow()
    weights = find_weights()
    result = {"weights": weights.name, "folders": [learning_curve(each, weights, args) for each in args.images_dir]}
    if args.json:
        model_folder.write_json(args.json, result)


if __name__ == "__main__":
    run_main(main)
