"""都不像：陌生的图片有多少被认出来，留出的真照片有多少被误拒；校准前后的误差。每种做法几个种子，记平均与范围。

用法：python benchmarks/none_of_these.py --images-dir 照片文件夹 --work-dir 目录 [--other-dir 别的照片] \
        [--json docs/results/none_of_these.json]

陌生的（见 strangers.py）：scikit-learn、scikit-image、matplotlib 自带的图片（装了的才有），画的花纹，画的花；
--other-dir 里的照片单独报告。画的花的模型则拿 --images-dir 的真花当陌生的。每次再留出一类不训练，看它被认出多少。
门槛、权重与温度都由课程自己从验证照片定，一张陌生的也没有看过；这里比较三种分数，各取验证照片的 5% 作门槛。
AUROC 是随便一张留出的真照片比随便一张陌生的得分高的机会。做完的记在 --work-dir 里，中断后再运行会接着做。
"""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import strangers

import hello_fine_tuning as lesson_3
import hello_transfer_learning as lesson_1
from toolbox import drawn_flowers, evaluation, experiments, frozen_prefix, model_folder, none_of_these
from toolbox.frozen_prefix.options import feature_options
from toolbox.later import keras
from toolbox.photos.folder import open_folder, photo_list_hash
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch
from toolbox.terminal.tensorflow_start import load_tensorflow
from toolbox.trainable_layers import set_trainable_from
from toolbox.weights.find import find_weights

TEXTURES = 210
DRAWN = 40  # 每类
BINS_DRAWN = 100
PICTURED = ("shipped", "textures")  # 页面的图画这两种
WAYS = ("lesson_1_seq", "lesson_1_model", "lesson_3")
SCORES = {
    "max_probability": lambda knowledge, features, probabilities: np.max(probabilities, axis=1),
    "similarity": lambda knowledge, features, probabilities: knowledge.similarity_of(features),
    "familiarity": lambda knowledge, features, probabilities: knowledge.familiarity_of(features, probabilities),
}


def gather_strangers(args):
    """把陌生的图片备在 work_dir/strangers，一个子文件夹一种；返回 ({种: 照片}, {包: 自带几张})。"""
    folder = args.work_dir / "strangers"
    shutil.rmtree(folder, ignore_errors=True)
    counts = strangers.shipped_pictures(folder)
    strangers.draw_textures(folder, TEXTURES)
    drawn = open_folder(drawn_flowers.draw_folder(args.work_dir / "drawn", per_class=DRAWN))
    groups = {"drawn_flowers": drawn.photos}
    for photo in open_folder(folder).photos:
        groups.setdefault(photo.class_name, []).append(photo)
    if args.other_dir:
        for photo in open_folder(args.other_dir).photos:
            groups.setdefault(f"other_{photo.class_name}", []).append(photo)
    return groups, counts


def train_lesson_1(options, folder, weights, log_dir):
    """第 1 课的各步，不写模型文件夹。返回 (冻结的部分, 网络, 它的数据, 命令行选项)。"""
    args = lesson_1.parse_arguments(options)
    keras.utils.set_random_seed(args.seed)
    generators, labels = lesson_1.make_generators(folder, args)
    base = lesson_1.build_base(weights, args)
    build = lesson_1.build_sequential if args.model == "seq" else lesson_1.build_functional
    model = build(base, len(labels))
    network, data = lesson_1.extract_features(model, generators, args)
    lesson_1.train(network, data, args, log_dir)
    return frozen_prefix.split_model(model)[0], network, data, args


def train_lesson_3(options, folder, weights, log_dir):
    """第 3 课的各步，不写模型文件夹。返回值同上。"""
    args = lesson_3.parse_arguments(options)
    keras.utils.set_random_seed(args.seed)
    parts, targets = lesson_3.split(folder, args)
    base, model = lesson_3.build_model(weights, len(folder.class_names))
    set_trainable_from(base, args.unfreeze_from)
    frozen, _ = frozen_prefix.split_model(model)
    network, head, clean, data, head_data = lesson_3.prepare(model, base, parts, targets, args, Stopwatch())
    balance = lesson_3.class_weights(targets["train"], folder.class_names)
    lesson_3.train_head(base, head, head_data, balance)
    set_trainable_from(base, args.unfreeze_from)
    lesson_3.train_last_blocks(network, data, args, balance, log_dir)
    return frozen, network, clean, args


def measure(way, seed, folder, groups, weights, args):
    """训练一次，返回 {"refused", "calibration", "strangers": {种: {分数: {"auroc", "refused"}}}}。"""
    keras.backend.clear_session()
    options = ["--seed", str(seed), "--cache-dir", str(args.work_dir / "cache")]
    if way == "lesson_3":
        trained = train_lesson_3(options, folder, weights, str(args.work_dir / "logs"))
    else:
        options += ["--model", way.rpartition("_")[2], "--test-split", "0.15"]
        trained = train_lesson_1(options, folder, weights, str(args.work_dir / "logs"))
    frozen, network, data, options = trained
    knowledge, limits = evaluation.learn_limits(network, data)
    model = evaluation.with_features(network)

    def look(batches):
        return evaluation.features_and_answers(model, batches)[:2]

    held_out = {part: look(data[part]) for part in ("validation", "test")}
    limits["strangers"] = {}
    for name, photos in groups.items():
        features = frozen_prefix.compute(frozen, photos, **feature_options(options))
        unknown = look(features.batches(np.zeros(len(photos), int)))
        limits["strangers"][name] = compare(knowledge, **held_out, unknown=unknown)
    return limits


def compare(knowledge, validation, test, unknown):
    """{分数: {"auroc", "refused": 陌生的被拒多少, "refused_test": 留出的真照片被拒多少, "histogram"}}。"""
    from sklearn.metrics import roc_auc_score

    result = {}
    for name, score in SCORES.items():
        known, strange = score(knowledge, *test), score(knowledge, *unknown)
        threshold = np.sort(score(knowledge, *validation))[int(none_of_these.REFUSED * len(validation[0]))]
        truth = np.repeat([1, 0], [len(known), len(strange)])
        result[name] = {
            "auroc": float(roc_auc_score(truth, np.concatenate([known, strange]))),
            "refused": float((strange < threshold).mean()),
            "refused_test": float((known < threshold).mean()),
            "histogram": {"test": _counts(known), "strangers": _counts(strange), "threshold": float(threshold)},
        }
    return result


def _counts(scores):
    """0 至 1 等分成 BINS_DRAWN 格，每格几张；给页面的图。"""
    return np.histogram(scores, bins=BINS_DRAWN, range=(0, 1))[0].tolist()


def once(name, args, work):
    """做过的直接读 work_dir/name.json，没有就做 work()。"""
    path = args.work_dir / f"{name}.json"
    if not path.exists():
        result = work()
        model_folder.write_json(path, result)
    return json.loads(path.read_text(encoding="utf-8"))


def runs_of(way, args, folder, groups, weights):
    """一种做法的各次训练：{"full": [各种子], "class_left_out": {类: [各种子]}}。"""
    runs = {"full": [], "class_left_out": {name: [] for name in folder.class_names}}
    for seed in range(args.seeds):
        done = once(f"{way}_{seed}", args, lambda seed=seed: measure(way, seed, folder, groups, weights, args))
        runs["full"].append(done)
        print(way, seed, "训练全部类别", done["refused"], flush=True)
    for seed in range(args.near_seeds):
        for name in folder.class_names:
            left_out = {"left_out": [photo for photo in folder.photos if photo.class_name == name]}
            rest = without(folder, name)
            done = once(
                f"{way}_{seed}_without_{name}",
                args,
                lambda seed=seed, rest=rest, left=left_out: measure(way, seed, rest, left, weights, args),
            )
            runs["class_left_out"][name].append(done)
            print(way, seed, "留出", name, done["strangers"]["left_out"]["familiarity"], flush=True)
    return runs


def without(folder, name):
    """少一类的 PhotoFolder。"""
    photos = [photo for photo in folder.photos if photo.class_name != name]
    return dataclasses.replace(
        folder, photos=photos, class_names=[other for other in folder.class_names if other != name]
    )


def summary(runs):
    """各次训练汇总成平均与范围。"""
    full, left_out = runs["full"], runs["class_left_out"]
    everyone = [run for runs_of_class in left_out.values() for run in runs_of_class]
    seed_0 = full[0]["strangers"]
    result = {"refused": {}, "calibration": {}, "strangers": {}, "class_left_out": {}}
    result["histograms"] = {
        group: {score: row["histogram"] for score, row in rows.items() if score != "familiarity"}  # 它会超过 1
        for group, rows in seed_0.items()
        if group in PICTURED
    }
    for part in ("validation", "test"):
        result["refused"][part] = experiments.mean_and_range([run["refused"][part] for run in full])
    for key in ("temperature", "error_before", "error_after"):
        result["calibration"][key] = experiments.mean_and_range([run["calibration"][key] for run in full])
    for group in full[0]["strangers"]:
        result["strangers"][group] = _by_score([run["strangers"][group] for run in full])
    for name, some in {"all": everyone, **left_out}.items():
        if some:
            result["class_left_out"][name] = _by_score([run["strangers"]["left_out"] for run in some])
    return result


def _by_score(rows):
    keys = ("auroc", "refused", "refused_test")
    return {
        score: {key: experiments.mean_and_range([row[score][key] for row in rows]) for key in keys} for score in SCORES
    }


def drawn_model(args, real, groups, weights):
    """反过来：画的花训练的模型，真花与别的都是陌生的。"""
    drawn = open_folder(drawn_flowers.draw_folder(args.work_dir / "drawn_to_train", per_class=80))
    groups = {"real_flowers": real.photos, **{name: groups[name] for name in ("shipped", "textures") if name in groups}}
    names = [(f"drawn_{seed}", seed) for seed in range(args.seeds)]
    full = [
        once(name, args, lambda seed=seed: measure("lesson_1_seq", seed, drawn, groups, weights, args))
        for name, seed in names
    ]
    return summary({"full": full, "class_left_out": {}})


def main(argv=None):
    parser = ArgumentParser("陌生的图片有多少被说成都不像，真照片有多少被误拒，校准前后的误差。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--other-dir", metavar="DIR", help="另一个照片文件夹，也当作陌生的，单独报告")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="图片、缓存与各次的结果放在哪里")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="做法")
    parser.add_argument("--seeds", type=positive_int, default=3, metavar="N", help="几个种子")
    parser.add_argument("--near-seeds", type=positive_int, default=1, metavar="N", help="留出一类时几个种子")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    load_tensorflow()
    folder, weights = open_folder(args.images_dir), find_weights()
    groups, shipped = gather_strangers(args)
    settings = {"seeds": args.seeds, "near_seeds": args.near_seeds, "shipped_pictures": shipped}
    settings |= {"photos_sha256": photo_list_hash(folder.photos), "weights": weights.name, "photos": len(folder.photos)}
    settings |= {
        name: getattr(none_of_these, name.upper()) for name in ("neighbours", "power", "refused", "share", "prototypes")
    }
    result = {"settings": settings, "photos_of": {name: len(photos) for name, photos in groups.items()}}
    for way in args.ways:
        result[way] = summary(runs_of(way, args, folder, groups, weights))
    result["drawn_flowers_model"] = drawn_model(args, folder, groups, weights)
    if args.json:
        model_folder.write_json(args.json, result)


if __name__ == "__main__":
    run_main(main)
