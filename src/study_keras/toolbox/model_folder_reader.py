"""读一个模型文件夹：确认它完整、读得懂，有哪些类别；写它的是 model_folder。"""

import json
import os
from pathlib import Path

from toolbox.terminal.errors import UserError
from toolbox.terminal.files import absolute
from toolbox.terminal.records import read_csv
from toolbox.terminal.tensorflow_start import load_tensorflow
from toolbox.terminal.text import visible

LABELS_FILE = "labels.txt"
MODEL_FILE = "model.keras"
LITERT_FILE = "model.tflite"
SETTINGS_FILE = "settings.json"
METRICS_FILE = "metrics.json"
REPORT_FILES = ("report.html", "confusion.png", "curves.png", "reliability.png", "map.png")  # 第 5 课写在 report/ 里的
LITERT_HASH = "model_tflite_sha256"  # settings.json 里的一项：坏了的 .tflite 会让解释器崩溃，用之前先核对
FORMAT = 3  # 写进 settings.json；旧版本读不懂时加一。1（没有写）：没有 model.tflite；2：训练照片的特征没有开平方
_TRAIN_AGAIN = "请用别处的备份，或重新训练。"


def read_labels(folder):
    """读 labels.txt。

    Raises:
        UserError: 不是 UTF-8 的文字。
    """
    path = Path(folder) / LABELS_FILE
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{visible(path)} 不是 UTF-8 的文字，已损坏。{_TRAIN_AGAIN}") from None


def read_settings(folder):
    """读 settings.json，返回 dict。

    Raises:
        UserError: 读不懂，或是更新的课程写的。
    """
    path = Path(folder) / SETTINGS_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        written_by = int(settings.get("format", 1))
    except (ValueError, TypeError, AttributeError, RecursionError):  # 不是 JSON，或不是课程写的那种
        raise UserError(f"{visible(path)} 读不懂，已损坏。{_TRAIN_AGAIN}") from None
    if written_by > FORMAT:
        newer = f"{visible(folder)} 是更新的课程写的（格式 {written_by}，这里只懂到 {FORMAT}）"
        raise UserError(f"{newer}。请更新课程：git pull。")
    return settings


def load_keras_model(path):
    """读 model.keras，返回 Keras 模型；安全模式（safe mode），不运行文件带来的代码。要导入 TensorFlow。

    Raises:
        UserError: 打不开，多半已损坏。
    """
    keras = load_tensorflow().keras
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # 损坏的文件抛出的异常五花八门
        reason = visible(str(error).strip().split("\n")[0][:200])
        raise UserError(f"打不开 {visible(path)}，多半已损坏（{reason}）。{_TRAIN_AGAIN}") from None


def looks_like_one(path):
    """是不是模型文件夹，缺了文件的也算：照片的文件夹里没有这些名字的文件。"""
    folder = os.path.expanduser(path)
    return any(os.path.isfile(os.path.join(folder, name)) for name in (SETTINGS_FILE, LITERT_FILE, MODEL_FILE))


def find(folder):
    """确认 folder 是一个完整的模型文件夹，返回 Path。

    Raises:
        UserError: 不存在，缺文件，读不懂，或是更新的课程写的。
    """
    folder = absolute(folder)
    if not folder.is_dir():
        raise UserError(f"没有模型文件夹 {visible(folder)}。请检查路径，或先运行第 1 课。")
    missing = [name for name in (LABELS_FILE, SETTINGS_FILE) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in (LITERT_FILE, MODEL_FILE)):
        missing.insert(0, LITERT_FILE)
    if missing:
        lack = f"{visible(folder)} 不是完整的模型文件夹（缺 {'、'.join(missing)}）"
        raise UserError(f"{lack}。请检查路径，或先运行第 1 课。")
    read_settings(folder)
    return folder


def newest(output_dir):
    """output_dir 里最近写成的、完整的模型文件夹。

    Raises:
        UserError: 一个也没有。
    """
    output_dir = absolute(output_dir)
    written = [path.parent for path in output_dir.glob(f"*/{SETTINGS_FILE}") if not path.parent.name.startswith(".")]
    usable = [folder for folder in written if any((folder / name).is_file() for name in (LITERT_FILE, MODEL_FILE))]
    if not usable:
        raise UserError(f"{visible(output_dir)} 里还没有模型文件夹。请先运行第 1 课，或写出模型文件夹的路径。")
    return max(usable, key=lambda folder: (folder / SETTINGS_FILE).stat().st_mtime)


def classes(folder):
    """模型真正要分的类别，返回 (名字, 各自是模型的第几个输出)。

    --class-mode sparse 的模型有 1,005 个输出，前 1,000 个是 ImageNet 的，训练时从没出现过。以前写的文件夹没有记下
    有哪些类别，就看 predictions.csv 里的真实类别；没有它，就是 labels.txt 的全部。

    Raises:
        UserError: labels.txt 里没有这些类别。
    """
    labels = read_labels(folder)
    number = {label: i for i, label in enumerate(labels)}  # 有重名的，训练时用的是最后一个
    names = read_settings(folder).get("class_names") or _true_classes(folder) or list(number)
    if not isinstance(names, list) or not set(names) <= set(number):
        raise UserError(f"{visible(Path(folder) / LABELS_FILE)} 与训练时的类别对不上，已损坏。{_TRAIN_AGAIN}")
    return names, [number[name] for name in names]


def _true_classes(folder):
    try:
        return sorted({row["true"] for row in read_csv(Path(folder) / "predictions.csv")})
    except (OSError, UserError, KeyError):
        return []
