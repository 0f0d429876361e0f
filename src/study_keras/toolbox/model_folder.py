"""模型文件夹：一次训练的全部成果。要么完整，要么不存在；后面各课只需要它。"""

import os
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from toolbox import litert_model
from toolbox.model_folder_reader import (
    FORMAT,
    LABELS_FILE,
    LITERT_FILE,
    LITERT_HASH,
    METRICS_FILE,
    MODEL_FILE,
    REPORT_FILES,
    SETTINGS_FILE,
)
from toolbox.photos.folder import SPLIT_HASH, given_split_hash, photo_list_hash
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import absolute, folder_written_aside, sha256_of
from toolbox.terminal.foreign_files import refuse_foreign
from toolbox.terminal.locks import only_process
from toolbox.terminal.plots import training_curves
from toolbox.terminal.records import write_csv, write_json
from toolbox.terminal.stopwatch import peak_memory_mb
from toolbox.terminal.text import breaks_a_line, some_of, visible

WRITTEN = {  # 一次训练、第 4 课与第 5 课会写在里面的
    *(SETTINGS_FILE, LABELS_FILE, METRICS_FILE, MODEL_FILE, LITERT_FILE, "predictions.csv", "history.csv"),
    *("curves.png", "logs/*tfevents*", "thresholds.json", "training_features.npz", "saved_model/*"),
    *(f"report/{name}" for name in REPORT_FILES),
    *("logs", "report", "saved_model"),  # 是链接的：删掉的只是链接
}
_KIND, _REMEDY = "模型文件夹", "请用 --name 换个名字，或先移走它。"
LONGEST_NAME = 180  # 字节；文件系统容许 255，写的时候还要加上临时的前后缀


def target_folder(output_dir, name):
    """模型文件夹的位置 output_dir/name；先检查能不能写在那里，好在训练之前就发现。

    Raises:
        UserError: name 不是一个文件夹名，output_dir 不能写，或同名的不是模型文件夹。
    """
    target = _place(output_dir, name)
    refuse_foreign(target, SETTINGS_FILE, None, _KIND, _REMEDY)
    return target


def _place(output_dir, name):
    if name in ("", ".", "..") or Path(name).name != name or breaks_a_line(name):
        raise UserError(f"--name 要的是一个文件夹名，不能是 {visible(name)!r}。")
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        raise UserError(
            f"--name 太长（{len(name)} 个字）：最多 {LONGEST_NAME} 字节，即 {LONGEST_NAME // 3} 个汉字。请换个短的。"
        )
    output_dir = absolute(output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"--output-dir {output_dir} 是一个文件，或在一个文件之下。请换一个文件夹。") from None
    if not os.access(output_dir, os.W_OK | os.X_OK):
        raise UserError(f"没有权限写 {output_dir}。请用 --output-dir 换一个文件夹，或修改它的权限。")
    return output_dir / name


@contextmanager
def writing(output_dir, name):
    """给出一个写在旁边的临时文件夹；正常结束时改名为 output_dir/name（换掉旧的），出错或中断时删掉。

    Raises:
        UserError: 同 target_folder；里面有不是课程写的东西；另一个进程正在写同一个模型文件夹。
    """
    target = _place(output_dir, name)
    with _only_writer(target):
        refuse_foreign(target, SETTINGS_FILE, WRITTEN, _KIND, _REMEDY)
        with folder_written_aside(target) as aside:
            yield aside


def refuse_if_being_written(target):
    """另一个进程若正在写模型文件夹 target，现在就说，不等到训练之前。

    Raises:
        UserError
    """
    if _lock_file(target).exists():
        with _only_writer(target):
            pass  # 写它的进程已经不在了


def _only_writer(target):
    return only_process(_lock_file(target), f"另一次运行正在写 {target}。请等它结束，或用 --name 换个名字。")


def _lock_file(target):
    return target.with_name(f".{target.name}.lock")


@dataclass
class Outcome:
    """一次训练得到了什么。

    Attributes:
        metrics: evaluation.report 的结果。
        predictions: evaluation.prediction_rows 的结果。
        model, history: Keras 模型与每一轮的记录；没有就不写 model.keras、model.tflite、history.csv 与 curves.png。
        parts, probabilities: {部分: 照片}，没有参加训练的各部分的概率 {部分: 数组}；model.tflite 要逐张答得一样。
        knowledge: none_of_these.Knowledge；没有就不写 thresholds.json 与 training_features.npz。
    """

    metrics: dict
    predictions: list
    model: object = None
    history: dict | None = None
    parts: dict | None = None
    probabilities: dict | None = None
    knowledge: object = None


def save(results, stage, args, photos, weights, labels, outcome):
    """把一次训练的全部成果写进 results（writing 给出的文件夹），返回补上用时、内存、种子与权重之后的 metrics。

    Args:
        stage: Stopwatch；各步的用时也写进 metrics.json。
        args: 命令行选项，写进 settings.json。
        photos: PhotoFolder。
        weights: weights.find.Weights。
        labels: 模型各个输出是什么类别。
        outcome: Outcome。

    Raises:
        UserError: model.tflite 与 Keras 的答案不同。
    """
    with stage("保存"):
        if outcome.model is not None:
            outcome.model.save(results / MODEL_FILE)
            write_litert(results, outcome.model, outcome.parts, outcome.probabilities, photos)
            write_history(results, outcome.history)
        if outcome.knowledge is not None:
            outcome.knowledge.save(results)
        write_settings(results, vars(args), weights, photos)
        write_labels(results, labels)
        write_predictions(results, outcome.predictions)
    metrics = outcome.metrics | {"seconds": stage.seconds, "peak_memory_mb": peak_memory_mb()}
    metrics = metrics | {"seed": args.seed, "weights": weights.name}
    write_json(results / METRICS_FILE, metrics)
    return metrics


def write_litert(folder, model, parts, probabilities, photos):
    """model.tflite：转换，在每一张没有参加训练的照片上与 Keras 比对，答得一样才写。参数同 Outcome。

    Raises:
        UserError: 有照片答得不一样；点名。
    """
    content = litert_model.convert(model)
    converted = litert_model.LiteRTModel(content)
    held_out = [photo for part in probabilities for photo in parts[part]]
    answers, _ = litert_model.run_on_photos(converted, held_out)
    differing = litert_model.differing(answers, np.concatenate(list(probabilities.values())))
    if len(differing):
        names = some_of([photos.name(held_out[i]) for i in differing])
        raise UserError(
            f"转换成的 {LITERT_FILE} 与 Keras 的答案不同：{len(held_out)} 张中有 {len(differing)} 张，如 {names}。"
            "没有写出模型文件夹。请照 requirements.txt 重装 tensorflow 与 ai-edge-litert，再运行一次。"
        )
    (folder / LITERT_FILE).write_bytes(content)  # 整个文件夹会一起改名
    print(f"{LITERT_FILE}：在 {len(held_out)} 张没有参加训练的照片上与 Keras 答得一样")


def write_settings(folder, settings, weights, photos):
    """settings.json：格式的编号、全部选项、各包的版本、权重与照片清单的哈希、照片里真有的类别。

    Args:
        settings: {选项: 值}。
        weights: weights.find.Weights。
        photos: PhotoFolder。
    """
    packages = ("tensorflow", "keras", "numpy", "pillow", "ai-edge-litert")
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
    extra = {
        "versions": versions,
        "weights_sha256": weights.sha256,
        "photos_sha256": photo_list_hash(photos.photos),
        SPLIT_HASH: given_split_hash(photos.photos),
        "excluded_files": len(photos.problems),
        "class_names": photos.class_names,
    }
    if settings.get("images_dir"):  # 换个文件夹运行后面的课，也找得到
        extra["images_dir"] = photos.root
    if settings.get("cache_dir"):
        extra["cache_dir"] = absolute(settings["cache_dir"])
    if (folder / LITERT_FILE).exists():
        extra[LITERT_HASH] = sha256_of(folder / LITERT_FILE)
    write_json(folder / SETTINGS_FILE, {"format": FORMAT, **settings, **extra})


def write_labels(folder, labels):
    """labels.txt：一行一个类别，顺序就是模型输出的顺序。"""
    (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def write_predictions(folder, rows):
    """predictions.csv：每张留出的照片一行 (文件, 真实类别, 预测类别, 概率)。"""
    cells = ((name, true, predicted, f"{probability:.6f}") for name, true, predicted, probability in rows)
    write_csv(folder / "predictions.csv", ["file", "true", "predicted", "probability"], cells)


def write_history(folder, history):
    """history.csv 与 curves.png：每一轮（epoch）的损失与准确率。

    Args:
        history: {"accuracy": [...], "val_accuracy": [...], "loss": [...], "val_loss": [...]}，每轮一个数；
            分几段训练的还有 "phase"，每轮属于哪一段，图上标出来。
    """
    names = list(history)
    epochs = enumerate(zip(*history.values(), strict=True), start=1)
    rows = ([epoch, *(v if isinstance(v, str) else f"{v:.6f}" for v in values)] for epoch, values in epochs)
    write_csv(folder / "history.csv", ["epoch", *names], rows)
    training_curves(history).savefig(folder / "curves.png", dpi=100)
