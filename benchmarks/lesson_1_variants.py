"""第 1 课各种组合在同一批照片上的准确率：每种三个种子，记下平均与范围。

用法：python benchmarks/lesson_1_variants.py --images-dir 照片文件夹 --json docs/results/lesson_1_variants.json
还比较了函数式模型的两种收尾：全局平均池化与展平（Flatten），两者分不出高下，所以课文选权重少的前者。
"""

import json
import sys
import tempfile
from pathlib import Path
from unittest import mock

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import hello_transfer_learning as lesson
from toolbox import model_folder
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main

VARIANTS = {
    "seq, categorical": [],
    "seq, sparse": ["--class-mode", "sparse"],
    "model, categorical": ["--model", "model"],
    "model, sparse": ["--model", "model", "--class-mode", "sparse"],
    "seq, categorical, --trainable-base-layers 3": ["--trainable-base-layers", "3"],
    "model, categorical, Flatten": ["--model", "model"],
}


def build_flattened(base, num_classes):
    """与 lesson.build_functional 相同，只是以展平代替全局平均池化。"""
    from tensorflow.keras import Model, layers

    pooled = lesson_build_functional(base, num_classes)
    x = layers.Flatten()(pooled.get_layer("head_relu").output)
    return Model(base.input, layers.Dense(num_classes, activation="softmax")(x))


lesson_build_functional = lesson.build_functional


def main(argv=None):
    parser = ArgumentParser("第 1 课各种组合的准确率，每种几个种子。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--weights", default="auto", metavar="W", help="基础模型的权重")
    parser.add_argument("--seeds", type=positive_int, default=3, metavar="N", help="几个种子")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    results = {"seeds": args.seeds, "variants": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in VARIANTS.items():
            accuracies = []
            for seed in range(args.seeds):
                common = ["--images-dir", args.images_dir, "--weights", args.weights, "--seed", str(seed)]
                build = build_flattened if "Flatten" in name else lesson_build_functional
                with mock.patch.object(lesson, "build_functional", build):
                    lesson.main([*common, *options, "--output-dir", folder, "--name", "run", "--replace"])
                metrics = json.loads((Path(folder) / "run" / "metrics.json").read_text(encoding="utf-8"))
                accuracies.append(metrics["validation"]["accuracy"])
            results["variants"][name] = {
                "accuracy": accuracies,
                "mean": sum(accuracies) / len(accuracies),
                "median": sorted(accuracies)[len(accuracies) // 2],
            }
        results["photos"] = metrics["train"]["photos"] + metrics["validation"]["photos"]
        results["weights"] = metrics["weights"]
    for name, result in results["variants"].items():
        print(f"{name:<48}{result['mean']:.3f}（{min(result['accuracy']):.3f} 至 {max(result['accuracy']):.3f}）")
    if args.json:
        model_folder.write_json(args.json, results)


if __name__ == "__main__":
    run_main(main)
