"""给可疑的标签作准备：哪些照片、它们的特征，或一个现成的模型给它们的概率。"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from toolbox import frozen_prefix
from toolbox.frozen_prefix.options import feature_options
from toolbox.later import keras
from toolbox.photos.folder import Photo, checked_pixels, is_same_list
from toolbox.photos.given_split import without_leaks
from toolbox.photos.read import IMAGE_SIZE
from toolbox.predictor import Predictor
from toolbox.saved_run import open_run
from toolbox.terminal.errors import UserError
from toolbox.terminal.text import some_of, visible
from toolbox.weights.find import find_weights


@dataclass
class Labelled:
    """要看标签的照片。

    Attributes:
        names: 各张相对于照片文件夹的路径。
        photos: 各张的 Photo；group 是几乎相同的照片的组。
        labels: 各张的标签，整数数组，形状 (张数,)，是 class_names 里的序号。
        class_names: 类别。
    """

    names: list[str]
    photos: list[Photo]
    labels: np.ndarray
    class_names: list[str]


def labelled_photos(results, class_names, fewest):
    """能看标签的照片：一张两个标签的已经另外报告，不同的照片不到 fewest 张的类别没法交叉验证，说出来。

    Raises:
        UserError: 剩下不到两类。
    """
    two_labels = {sha256 for (sha256,) in results.select("sha256", "GROUP BY sha256 HAVING COUNT(DISTINCT class) > 1")}
    members, groups = defaultdict(list), defaultdict(set)
    for name, number, sha256, leader in results.select(
        "name, class, sha256, leader", "WHERE reason IS NULL ORDER BY class, name"
    ):
        if sha256 not in two_labels:
            groups[number].add(leader)
            members[number].append((name, sha256, f"{number} {leader}"))
    kept = [number for number in members if len(groups[number]) >= fewest]
    left_out = [visible(name) for number, name in enumerate(class_names) if number not in kept]
    if left_out:
        print(f"不看标签的类别（不同的照片少于 {fewest} 张）：{'、'.join(left_out)}。")
    if len(kept) < 2:
        raise UserError(f"不同的照片不少于 {fewest} 张的类别不到两个，没法找可疑的标签。请添加照片。")
    rows = [(index, number, *member) for index, number in enumerate(kept) for member in members[number]]
    photos = [
        Photo(str(results.root / name), class_names[number], sha256, group) for _, number, name, sha256, group in rows
    ]
    labels = np.array([row[0] for row in rows])
    return Labelled([row[2] for row in rows], photos, labels, [class_names[number] for number in kept])


def pooled_features(photos, args):
    """各张照片的 1280 个特征：冻结的 MobileNetV2 之后的全局平均池化。与第 1 课同一份缓存，算过的直接用。

    Returns:
        CachedFeatures，形状 (张数, 1280)。
    """
    keras.utils.set_random_seed(0)  # --weights random 也每次相同
    base = keras.applications.MobileNetV2(
        input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=find_weights(args.weights).path
    )
    base.trainable = False
    model = keras.Sequential([base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    prefix, _ = frozen_prefix.split_model(model)
    features = frozen_prefix.compute(prefix, photos, **feature_options(args))
    print(f"特征：新算 {features.computed} 张，其余是以前算好的或内容相同的")
    return features


def model_probabilities(folder, labelled):
    """模型文件夹里的模型给各张照片的概率（校准过）：float 数组，形状 (张数, 类别数)，各行之和是 1。

    Raises:
        UserError: 不是模型文件夹，它不认识其中的类别，或照片检查之后被改过。
    """
    predictor = Predictor(folder)
    known = {label: i for i, label in enumerate(predictor.labels)}
    if unknown := [name for name in labelled.class_names if name not in known]:
        raise UserError(f"这个模型不认识类别 {some_of(unknown)}。请用照这些类别训练的模型，或不用 --model。")
    answers = predictor.predict_many(labelled.photos, load=checked_pixels)
    columns = [known[name] for name in labelled.class_names]
    probabilities = np.stack([answer.probabilities[columns] for _, answer in answers]).astype(float)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def trained_on(folder, results, class_names):
    """这个模型训练时用过的照片的名字（集合）；照片与训练时的不是同一批，就说不准，返回 None。"""
    run = open_run(folder)
    columns = "name, class, sha256, leader, part"
    every = [
        Photo(name, class_names[number], sha256, leader, part)
        for name, number, sha256, leader, part in results.select(columns, "WHERE reason IS NULL")
    ]
    if run.settings.get("given_split"):
        if any(photo.part is None for photo in every):  # 这次没有照给定的划分看：不是同一批
            return None
        every, _ = without_leaks(every)  # 训练时也去掉了
    if not is_same_list(run.settings, every):
        return None
    return {photo.file for photo in every} - {row.file for row in run.rows}


def say_trained_on(trained, labelled):
    """说清楚有几张参加过训练，以及这意味着什么。"""
    if trained is None:
        print("这批照片与训练这个模型的不是同一批，不知道哪些参加过训练；参加过的，错的标签它也背下来了。")
        return
    count = sum(name in trained for name in labelled.names)
    print(
        f"{len(labelled.names)} 张里有 {count} 张参加过这个模型的训练：它把错的标签也背下来了，"
        "这些照片的可疑标签会漏掉许多。要看它们，请不用 --model，只用 --labels（交叉验证）。"
    )
