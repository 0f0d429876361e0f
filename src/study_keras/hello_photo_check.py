"""第 8 课：检查照片。训练失败，十有八九是照片的问题；先花几秒看一遍，免得白训练一小时。

你会学到：照片文件夹里常有什么毛病，怎样用几个简单的数找出太小、太暗、模糊的照片，
         怎样让模型自己说出哪些标签可疑（confident learning），怎样移走照片又随时能移回来。
需要：    两个 CPU 核心就够；--labels 与 --page 另要几个包：pip install -r requirements/photo_check.txt
多久：    两核、1,500 张照片，几秒；加 --labels，十几秒。
命令：    python src/study_keras/hello_photo_check.py 照片文件夹
预期：    退出码 0 没有发现，3 有发现，2 用法不对。讲解见 docs/study_keras/hello_photo_check.md。
"""

import toolbox  # noqa: F401  没有装包时，在这里就说清楚

# isort: split

import json
import math
import sys
from contextlib import nullcontext, redirect_stdout

import numpy as np
from PIL import Image, ImageChops

from toolbox.frozen_prefix.options import add_feature_options, refuse_cache_among_photos
from toolbox.photo_check.changes import read_changes
from toolbox.photo_check.examine import examine
from toolbox.photo_check.findings import KINDS, Finding, class_sizes, find_all
from toolbox.photo_check.labels import labelled_photos, model_probabilities, pooled_features, say_trained_on, trained_on
from toolbox.photo_check.moving import MOVABLE, aside_folder, carry_out, chosen_files, set_aside, undo
from toolbox.photo_check.page import write_page
from toolbox.photo_check.results import open_results
from toolbox.photo_check.show import as_json, print_findings
from toolbox.photos.folder import class_folders, find_root
from toolbox.photos.walk import Walk
from toolbox.terminal import packages
from toolbox.terminal.arguments import ArgumentParser, text_file
from toolbox.terminal.errors import UserError
from toolbox.terminal.run import run_main
from toolbox.terminal.tensorflow_start import preload_tensorflow
from toolbox.terminal.text import visible

SMALL = 112  # 像素；短边不到模型输入（224）的一半，放大两倍以上
DARK = 60  # 0 至 255；95% 的像素都不比它亮，就是太暗
BLURRED = 15  # 224×224 的灰度图上拉普拉斯的方差；真实的花都在它以上，再模糊两个像素的约八成在它以下（见页面）
PANORAMA = 2.5  # 长边是短边的几倍
FOLDS = 5
REGULARISATION = 0.1  # 逻辑回归的 C，越小越不肯相信个别照片；在花与蚂蚁、蜜蜂上从 0.01 至 10 比过
MOST_TRAINING = 10_000  # 每次至多用这么多张来学：内存与用时都不随张数涨
DOUBTFUL = 0.02  # 最多列出这么大比例的照片
BAR = 40  # 条形图最长几格


def measure(pixels):
    """两个数说出一张照片的亮度与清晰度。

    亮度：每个像素取红、绿、蓝中最大的，比 95% 的像素都亮的那个值，0 至 255。平均值不行：夜里一朵亮的花也是好照片。
    清晰度：灰度图的拉普拉斯（每个像素与上下左右四个的差）的方差。模糊就是相邻的像素差不多，方差就小。
    出处：Pech-Pacheco 等，Diatom autofocusing in brightfield microscopy: a comparative study，ICPR 2000。

    Args:
        pixels: 模型看到的像素，uint8，形状 (高, 宽, 3)。

    Returns:
        (亮度, 清晰度)。
    """
    image = Image.fromarray(pixels)
    red, green, blue = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    darker = np.cumsum(brightest.histogram())  # 有几个像素不比它亮
    brightness = np.searchsorted(darker, 0.95 * darker[-1])
    gray = np.asarray(image.convert("L"), np.float32)
    around = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
    return brightness, (around - 4 * gray[1:-1, 1:-1]).var()


def suspicious(width, height, brightness, sharpness):
    """一张照片为什么可疑：依次给出 (种类, 说明)。宽高是原图的像素。"""
    if max(width, height) > PANORAMA * min(width, height):
        yield "panorama", f"{width}×{height} 像素"
    if min(width, height) < SMALL:
        yield "small", f"{width}×{height} 像素"
    elif brightness < DARK:
        yield "dark", f"95% 的像素不比 {brightness:.0f} 亮（最亮是 255）"
    elif sharpness < BLURRED:  # 太小的放大了、太暗的，都必然看着模糊，不必说两遍
        yield "blurred", f"清晰度 {sharpness:.1f}"


def at_most(most, rows, labels):
    """rows 里至多 most 行，次序不变：每一类的前一百行先要，少见的类别不会一行也没有；余下的靠前的先要。"""
    rank = np.empty(len(rows), int)
    for label in np.unique(labels[rows]):
        at = np.flatnonzero(labels[rows] == label)
        rank[at] = np.minimum(np.arange(len(at)), 100)
    return rows[np.sort(np.argsort(rank, kind="stable")[:most])]


def cross_validated(features, labels, groups):
    """每张照片各类的概率，都由没有见过它的分类器给出：分成五份，每次用四份学，看余下的一份（交叉验证）。

    几乎相同的照片在同一份里，否则就是偷看。分类器是特征上的逻辑回归（logistic regression）；
    特征先减去平均，收敛快得多。

    Args:
        features: CachedFeatures，形状 (张数, 特征数)；要哪几行就从磁盘读哪几行。
        labels: 整数数组，形状 (张数,)。
        groups: 各张属于哪一组几乎相同的照片。

    Returns:
        数组，形状 (张数, 类别数)，各行之和是 1。
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    probabilities = np.zeros((len(labels), labels.max() + 1))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for seen, unseen in folds.split(labels, labels, groups):
        chosen = at_most(MOST_TRAINING, np.random.default_rng(0).permutation(seen), labels)
        logistic = LogisticRegression(C=REGULARISATION, max_iter=1000)
        with threadpool_limits(1):  # 矩阵又窄又小，几个线程分着算，等来等去反而慢几倍
            classifier = make_pipeline(StandardScaler(with_std=False), logistic).fit(features[chosen], labels[chosen])
        for rows in np.array_split(unseen, math.ceil(len(unseen) / 1000)):
            probabilities[np.ix_(rows, classifier.classes_)] = classifier.predict_proba(features[rows])
    return probabilities


def doubtful(probabilities, labels):
    """可疑的标签，最可疑的在前：照片的序号，至多全部的 DOUBTFUL。

    confident learning（Northcutt 等，JAIR 2021）：先看一类里的照片通常得到多高的概率，别的类别高过那里通常的水平，
    标签就可疑；再按“给自己标签的概率”从小到大排。照片少时它可能一张也不敢说，余下的名额就给被认成别的类的。
    """
    from cleanlab.filter import find_label_issues

    ranked = {"return_indices_ranked_by": "self_confidence", "n_jobs": 1}
    confident = find_label_issues(labels, probabilities, **ranked)
    mistaken = find_label_issues(labels, probabilities, filter_by="predicted_neq_given", **ranked)
    return list(dict.fromkeys([*confident, *mistaken]))[: math.ceil(DOUBTFUL * len(labels))]


def find_doubtful_labels(args, results, class_names):
    """依次给出标签可疑的照片（Finding），最可疑的在前。"""
    labelled = labelled_photos(results, class_names, FOLDS)
    trained = set()
    if args.model:
        trained = trained_on(args.model, results, class_names)
        say_trained_on(trained, labelled)
        probabilities = model_probabilities(args.model, labelled)
    else:
        groups = [photo.group for photo in labelled.photos]
        probabilities = cross_validated(pooled_features(labelled.photos, args), labelled.labels, groups)
    for i in doubtful(probabilities, labelled.labels):
        own, best = labelled.labels[i], probabilities[i].argmax()
        detail = f"标的是 {labelled.class_names[own]}（概率 {probabilities[i, own]:.2f}）"
        detail += f"，更像 {labelled.class_names[best]}（{probabilities[i, best]:.2f}）"
        name = labelled.names[i]
        yield Finding("labels", (name,), detail + ("，参加过训练" if name in (trained or ()) else ""))


def show_classes(sizes):
    """每一类的张数与条形图。sizes：{类别: 张数}。"""
    largest = max(1, *sizes.values())
    print(f"\n{len(sizes)} 类，能读的照片共 {sum(sizes.values())} 张：")
    for name, size in sizes.items():
        bar = "█" * round(BAR * size / largest) or "▏" * bool(size)
        print(f"  {visible(name)}\t{size}\t{bar}")


def parse_arguments(argv):
    parser = ArgumentParser("第 8 课：检查一个照片文件夹，看看哪些照片会坏事。只看不动，除非用 --move-to 或 --apply。")
    add = parser.add_argument
    add("folder", metavar="DIR", help="照片文件夹：一个子文件夹一个类别")
    add("--given-split", action="store_true", help="DIR 里已分好 train、val（与 test）")
    add("--labels", action="store_true", help="找可疑的标签：特征上的逻辑回归，交叉验证")
    add("--model", metavar="MODEL_DIR", help="用这个模型文件夹里的模型找可疑的标签（含 --labels）")
    add(
        "--weights", default="auto", metavar="W", help="--labels 用的基础模型的权重：auto、imagenet、torchvision 或 .h5"
    )
    add("--format", choices=["table", "json"], default="table", help="结果写成表，或 JSON")
    add("--page", type=text_file, metavar="FILE", help="另写一个带缩略图的网页，一个文件，离线能看")
    add("--move-to", metavar="DIR", help="把 --findings 选的或 --apply 清单里的文件移到这里（从不删除），并写日志")
    add("--findings", nargs="+", choices=MOVABLE, metavar="KIND", help=f"移走哪几种发现：{' '.join(MOVABLE)}")
    add("--apply", metavar="LIST", help="照改动清单（第 5 课的报告里下载的 JSON）移走、改标签，要同时给 --move-to")
    add("--undo", metavar="LOG", help="照移动的日志把文件移回原处")
    add_feature_options(parser, shard=False)
    args = parser.parse_args(argv)
    looking = args.labels or args.model or args.page or args.format == "json"
    if args.undo and (args.move_to or args.apply or args.findings or looking):
        parser.error("--undo 只移回，不与别的选项一起用")
    if args.apply and looking:
        parser.error("--apply 只照清单移动，不与 --labels、--model、--page、--format json 一起用")
    if "labels" in (args.findings or ()) and not (args.labels or args.model):
        parser.error("--findings labels 要与 --labels 或 --model 一起用，才会去找可疑的标签")
    if bool(args.move_to) != bool(args.findings or args.apply) or (args.findings and args.apply):
        parser.error("--move-to 要与 --findings 或 --apply 中的一个一起用")
    return args


def missing_packages(args):
    """要用而没有装的包，安装时的名字。别的检查照做，最后才说。"""
    needed = {"sklearn": "scikit-learn", "cleanlab": "cleanlab"} if args.labels or args.model else {}
    needed |= {"jinja2": "jinja2"} if args.page else {}
    return packages.missing(**needed)


def apply_changes(args, root):
    """照清单移走、改标签。"""
    _, sources = class_folders(root, Walk(root), args.given_split)
    moves = read_changes(args.apply, root, sources)
    carry_out(moves, root, aside_folder(args.move_to, root))


def check(args, root, missing):
    """检查的各步，返回 ({类别: 张数}, [Finding, ...])。"""
    walk = Walk(root)
    labels = (args.labels or args.model) and not {"cleanlab", "scikit-learn"} & set(missing)
    if labels and not args.model:
        preload_tensorflow()  # 检查照片时，主进程正闲着
    with open_results(root, args.cache_dir, keep=not args.no_cache) as results:
        class_names, too_alike = examine(results, walk, measure, args.given_split)
        findings = list(find_all(results, walk, class_names, too_alike, suspicious))
        if labels:
            findings += find_doubtful_labels(args, results, class_names)
        return class_sizes(results, class_names), findings


def main(argv=None):
    args = parse_arguments(argv)
    root = find_root(args.folder)
    if args.undo:
        return undo(args.undo, root)
    if args.apply:
        return apply_changes(args, root)
    refuse_cache_among_photos(args, root)
    missing = missing_packages(args)
    aside = aside_folder(args.move_to, root) if args.move_to else None
    with redirect_stdout(sys.stderr) if args.format == "json" else nullcontext():  # 标准输出里只有 JSON
        sizes, findings = check(args, root, missing)
    if args.format == "json":
        print(json.dumps(as_json(root, sizes, findings), indent=2))
    else:
        show_classes(sizes)
        print_findings(findings)
    with redirect_stdout(sys.stderr) if args.format == "json" else nullcontext():
        if args.page and "jinja2" not in missing:
            write_page(args.page, root, sizes, findings)
        if aside:
            set_aside(chosen_files(findings, args.findings), root, aside)
    if missing:
        install = packages.install("requirements/photo_check.txt")
        raise UserError(f"没有装 {'、'.join(missing)}，用它的一步没有做，别的都做了。请运行 {install} ，再来一次。")
    if any(not KINDS[finding.kind].is_note for finding in findings):
        sys.exit(3)


if __name__ == "__main__":
    run_main(
        main, when_interrupted="查过的都记下了；重新运行同一条命令会接着查。移动的都在日志里，用 --undo 移得回来。"
    )
