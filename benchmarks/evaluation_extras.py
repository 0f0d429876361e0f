"""评估时的两种花样值不值得：把左右翻转的照片也算一遍取平均；用更大的输入。只看验证集。

用法：python benchmarks/evaluation_extras.py --images-dir 照片文件夹 --work-dir 目录 --json 结果.json
先要运行 record_results.py lesson_3；它的 --work-dir 里有各个种子的模型。
"""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import hello_fine_tuning as lesson
from toolbox import experiments, model_folder
from toolbox.photos.folder import open_folder
from toolbox.photos.read import read_photo
from toolbox.photos.split import split_photos
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.run import run_main
from toolbox.terminal.tensorflow_start import load_tensorflow

SIZES = (224, 256, 288)


def probabilities(model, photos, size, mirrored=False):
    pixels = np.stack([read_photo(photo.path, (size, size)) for photo in photos])
    pixels = pixels[:, :, ::-1] if mirrored else pixels
    return model.predict(pixels.astype(np.float32) / np.float32(127.5) - 1, verbose=0)


def resized(model, size, num_classes):
    """同样的权重，输入 size x size：卷积与全局平均池化都不在乎大小。"""
    from toolbox.weights.find import Weights

    with mock.patch.object(lesson, "IMAGE_SIZE", (size, size)):
        _, larger = lesson.build_model(Weights("random", None, None), num_classes)
    larger.set_weights(model.get_weights())
    return larger


def main(argv=None):
    parser = ArgumentParser("左右翻转取平均、更大的输入，在验证集上值不值得。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="record_results.py 的 --work-dir")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    load_tensorflow()
    from tensorflow import keras

    folder = open_folder(args.images_dir)
    names = [*(f"{size}" for size in SIZES), "224, mirrored"]
    accuracies = {name: [] for name in names}
    for run in sorted(args.work_dir.glob("lesson_3_[0-9]*/run")):
        seed = json.loads((run / model_folder.SETTINGS_FILE).read_text(encoding="utf-8"))["seed"]
        photos = split_photos(folder.photos, lesson.VALIDATION, lesson.TEST, seed)["validation"]
        true = np.array([folder.class_names.index(photo.class_name) for photo in photos])
        model = keras.models.load_model(run / model_folder.MODEL_FILE)
        answers = {}
        for size in SIZES:
            answers[f"{size}"] = probabilities(resized(model, size, len(folder.class_names)), photos, size)
        answers["224, mirrored"] = (answers["224"] + probabilities(model, photos, 224, mirrored=True)) / 2
        for name in names:
            accuracies[name].append(float((answers[name].argmax(axis=1) == true).mean()))
        print(seed, {name: round(values[-1], 4) for name, values in accuracies.items()}, flush=True)
    result = {name: experiments.mean_and_range(values) for name, values in accuracies.items()}
    for name, values in result.items():
        print(f"{name:<16}{values['mean']:.4f}（{values['lowest']:.4f} 至 {values['highest']:.4f}）")
    if args.json:
        model_folder.write_json(args.json, result)


if __name__ == "__main__":
    run_main(main)
