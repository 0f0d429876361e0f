"""读回一次训练：模型文件夹里，模型之外的一切。"""

import functools
from dataclasses import dataclass
from pathlib import Path

from toolbox import model_folder_reader as reader
from toolbox import none_of_these
from toolbox.terminal.errors import UserError
from toolbox.terminal.records import read_csv, read_json
from toolbox.terminal.text import some_of, visible

_COLUMNS = ["file", "true", "predicted", "probability"]


@dataclass(frozen=True)
class Row:
    """predictions.csv 的一行。"""

    file: str
    true: str
    predicted: str
    probability: float


@dataclass
class SavedRun:
    """一次训练留下的记录。

    Attributes:
        labels: 模型的各个输出是什么类别，可能有重名（sparse 时接在 ImageNet 的 1,000 类之后）。
        history: {"accuracy": [...], ...}，每轮一个数；分几段训练的，"phase" 是各轮属于哪一段；没有 history.csv 则为空。
        rows: 没有参加训练的每张照片一个 Row。
        temperature: 模型文件夹里记着的校准的温度；以前的版本没有记，则为 None。
    """

    folder: Path
    settings: dict
    labels: list[str]
    metrics: dict
    history: dict[str, list]
    rows: list[Row]
    temperature: float | None

    @functools.cached_property
    def class_names(self):
        """真的出现的类别（有照片的，或被认成的），按模型输出的顺序。"""
        occurring = {row.true for row in self.rows} | {row.predicted for row in self.rows}
        return sorted(occurring, key=self.output_of.get)

    @functools.cached_property
    def output_of(self):
        """{类别: 它是模型的第几个输出}；重名的取后一个，与训练时相同。"""
        return {label: i for i, label in enumerate(self.labels)}


def open_run(folder):
    """读模型文件夹，返回 SavedRun。

    Raises:
        UserError: 不是完整的模型文件夹，或有文件损坏、对不上。
    """
    folder = reader.find(folder)
    labels = reader.read_labels(folder)
    rows = _read_predictions(folder / "predictions.csv")
    unknown = sorted({name for row in rows for name in (row.true, row.predicted)} - set(labels))
    if unknown:
        raise UserError(f"{folder / 'predictions.csv'} 里的类别 {some_of(unknown)} 不在 labels.txt 里。{_TRAIN_AGAIN}")
    knowledge = none_of_these.load(folder)
    return SavedRun(
        folder,
        reader.read_settings(folder),
        labels,
        _read_metrics(folder / reader.METRICS_FILE),
        _read_history(folder / "history.csv"),
        rows,
        knowledge.temperature if knowledge else None,
    )


_TRAIN_AGAIN = "这个模型文件夹不完整或损坏了，请再训练一次。"


def _read_metrics(path):
    metrics = read_json(path)
    if metrics is None:
        raise UserError(f"{visible(path)} 不见了，或读不懂。{_TRAIN_AGAIN}")
    return metrics


def _read_predictions(path):
    try:
        rows = [Row(*(row[name] for name in _COLUMNS[:3]), float(row["probability"])) for row in read_csv(path)]
    except FileNotFoundError:
        raise UserError(f"缺 {visible(path)}。{_TRAIN_AGAIN}") from None
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} 里的列应是 {'、'.join(_COLUMNS)}。{_TRAIN_AGAIN}") from None
    if not rows:
        raise UserError(f"{path} 里一张照片也没有。{_TRAIN_AGAIN}")
    if not all(0 <= row.probability <= 1 for row in rows):
        raise UserError(f"{path} 里有不在 0 与 1 之间的概率。{_TRAIN_AGAIN}")
    return rows


def _read_history(path):
    """能当作数的各列；没有这个文件则为空。"""
    if not path.exists():
        return {}
    history = {}
    rows = read_csv(path)
    for name in ("accuracy", "val_accuracy", "loss", "val_loss"):
        try:
            history[name] = [float(row[name]) for row in rows]
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path} 里没有 {name} 这一列，或有的不是数。{_TRAIN_AGAIN}") from None
    if rows and "phase" in rows[0]:
        history["phase"] = [row["phase"] for row in rows]
    return history
