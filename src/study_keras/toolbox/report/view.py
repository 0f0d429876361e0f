"""把一次训练的各个数、照片整理成网页模板（body.html）要的样子，顺便画出各图的 PNG。"""

from collections import Counter

import numpy as np

from toolbox.model_folder_reader import METRICS_FILE
from toolbox.photos.split import PART_NAMES
from toolbox.report import contents, figures, metrics
from toolbox.report.pictures import data_uri, overlay, thumbnails
from toolbox.terminal.commands import quoted
from toolbox.terminal.errors import UserError
from toolbox.terminal.text import visible

MOST_NAMED = 20
_HIDDEN = ("versions", "class_names")  # 另有地方写
_MAP_WIDTH, _MAP_HEIGHT, _MAP_SIDE = 1200, 760, 44


def build(run, held_out, studied, folder):
    """模板要的一切，一个字典。

    Args:
        run: SavedRun。
        held_out: HeldOut，已去掉内容改过的照片。
        studied: contents.Studied；一张照片也没有找到，或都改过时为 None。
        folder: 各图的 PNG 写在这里。
    """
    numbers = contents.numbers(run)
    figures.draw_confusion(numbers["matrix"], numbers["names"], folder / "confusion.png")
    shares = numbers["matrix"] / np.maximum(numbers["matrix"].sum(axis=1, keepdims=True), 1)
    curves = figures.draw_curves(run.history, folder / "curves.png") if run.history else ""
    view = {"title": run.folder.name, "held_out": held_out, "most_named": MOST_NAMED, "curves": curves}
    view |= {**numbers, "shares": shares, "parts": _parts(run), "facts": _facts(run, held_out), "studied": None}
    view["training"] = Counter(photo.class_name for photo in held_out.training)
    view["settings"] = {key: value for key, value in run.settings.items() if key not in _HIDDEN}
    view["folder"] = str(held_out.root or run.settings.get("images_dir") or "")
    given_split = ["--given-split"] if run.settings.get("given_split") else []
    view["apply"] = [quoted(view["folder"]), *given_split, "--apply", "photo_changes.json", "--move-to", "moved_photos"]
    view["page_key"] = f"{run.folder.name} {run.settings.get('photos_sha256', '')}"
    tested = [k for k, row in enumerate(numbers["classes"]) if row["photos"]]  # 没有照片的（只被认成过）不比
    view["weakest"] = min(tested, key=lambda k: numbers["classes"][k]["f1"][0])
    view["tested"] = len(tested)
    view["colours"] = figures.colours(len(numbers["names"]))
    if studied:
        view["studied"] = _studied(studied, run, folder)
    return view


def _parts(run):
    """每一部分：名字、张数、准确率与区间、损失。"""
    rows = []
    for part, name in PART_NAMES.items():
        score = run.metrics.get(part)
        if score:
            if not all(isinstance(score.get(number), (int, float)) for number in ("accuracy", "photos", "loss")):
                raise UserError(f"{visible(run.folder / METRICS_FILE)} 里{name}的成绩不全。请再训练一次。")
            low, high = metrics.wilson(round(score["accuracy"] * score["photos"]), score["photos"])
            rows.append({"part": part, "name": name, "low": low, "high": high, **score})
    return rows


def _facts(run, held_out):
    """训练了什么：[(名目, 内容)]。"""
    settings = run.settings
    recipe = "第 1 课，" + ("函数式模型" if settings.get("model") == "model" else "顺序模型")
    if "unfreeze_from" in settings:
        recipe = f"第 3 课，从 {settings['unfreeze_from']} 起微调"
    sha256 = settings.get("weights_sha256")
    weights = f"{run.metrics.get('weights', '')}" + (f"，SHA-256 {sha256[:16]}…" if sha256 else "")
    versions = "，".join(f"{name} {version}" for name, version in settings.get("versions", {}).items())
    seconds = sum(run.metrics.get("seconds", {}).values())
    facts = [
        ("做法", recipe),
        ("照片", str(held_out.root or settings.get("images_dir") or "")),
        ("照片清单", f"SHA-256 {settings.get('photos_sha256', '')[:16]}…"),
        ("基础模型的权重", weights),
        ("种子", settings.get("seed", "")),
        ("轮数", len(run.history.get("loss", [])) or settings.get("epochs", "")),
        ("训练一共用时", f"{seconds:.0f} 秒"),
        ("版本", versions),
    ]
    return [(name, value) for name, value in facts if value != ""]


def _studied(studied, run, folder):
    """看照片的各节。"""
    answers, chosen = studied.answers, studied.chosen
    training = answers.held_out.training
    neighbours = [[training[j] for j in row] for row in studied.neighbours]
    large = [answers.photos[i] for i in _shown(chosen)] + [photo for row in neighbours for photo in row]
    small, large = thumbnails([answers.photos[i] for i in chosen.on_map], large)
    calibration = contents.calibration(answers)
    calibration["figure"] = figures.draw_reliability(calibration, folder / "reliability.png")
    view = {"calibration": calibration, "doubtful": chosen.doubtful, "wrong": int((~answers.right).sum())}
    view["mistakes"] = _mistakes(studied, neighbours, large)
    view["right"] = [
        {**card(answers, i, large), "look": data_uri(overlay(large[answers.photos[i].file], heat))}
        for i, heat in zip(chosen.right, studied.right_maps[0], strict=True)
    ]
    view["pairs"] = [
        {
            "names": (answers.class_names[a], answers.class_names[b]),
            "count": count,
            "sides": [[card(answers, i, large) for i in side] for side in sides],
        }
        for a, b, count, *sides in chosen.pairs
    ]
    view["doubts"] = [card(answers, i, large) for i in chosen.doubts]
    view["map"] = _map(studied, small, folder)
    return view


def _shown(chosen):
    """要大的缩略图的照片的序号。"""
    pairs = [i for _, _, _, *sides in chosen.pairs for side in sides for i in side]
    return [*chosen.mistakes, *chosen.right, *chosen.doubts, *pairs]


def card(answers, i, large):
    """一张照片：名字、标签、认成什么、概率、图。"""
    row, probability = answers.held_out.rows[i], answers.probabilities[i]
    return {
        "file": row.file,
        "true": row.true,
        "predicted": row.predicted,
        "probability": float(answers.confidence[i]),
        "of_label": float(probability[answers.true[i]]),
        "image": data_uri(large[answers.photos[i].file]),
    }


def _mistakes(studied, neighbours, large):
    answers = studied.answers
    cards = []
    for place, i in enumerate(studied.chosen.mistakes):
        image = large[answers.photos[i].file]
        looks = [data_uri(overlay(image, maps[place])) for maps in studied.mistake_maps]
        near = [{"class": photo.class_name, "image": data_uri(large[photo.file])} for photo in neighbours[place]]
        cards.append({**card(answers, i, large), "looks": looks, "near": near})
    return cards


def _map(studied, small, folder):
    """二维图上的每张照片；错的最后画，不被盖住。"""
    answers, chosen = studied.answers, studied.chosen
    images = [small[answers.photos[i].file] for i in chosen.on_map]
    classes = answers.true[chosen.on_map]
    figures.draw_map(studied.points, images, classes, answers.class_names, folder / "map.png")
    dots = []
    for i, image, (x, y) in zip(chosen.on_map, images, studied.points, strict=True):
        row = answers.held_out.rows[i]
        place = {"x": x * (_MAP_WIDTH - _MAP_SIDE), "y": y * (_MAP_HEIGHT - _MAP_SIDE), "class": int(answers.true[i])}
        place |= {"file": row.file, "true": row.true, "predicted": row.predicted, "right": bool(answers.right[i])}
        dots.append({**place, "image": data_uri(image, 70)})
    size = {"width": _MAP_WIDTH, "height": _MAP_HEIGHT, "side": _MAP_SIDE}
    return {"dots": sorted(dots, key=lambda dot: not dot["right"]), **size, "photos": len(answers.photos)}
