"""答案写成什么样：终端里的表格、CSV、JSON、每行一个的 JSON（JSON Lines）。"""

import csv
import json

from toolbox.terminal.records import FORMULA_STARTS, cell
from toolbox.terminal.text import breaks_a_line, columns, fit, visible

NONE_OF_THESE = "都不像"
FORMATS = ("table", "csv", "json", "jsonl")
_SHORTEST_FILE = 16  # 表格里文件名一栏至少这么宽


def row_of(file, answer, top):
    """一张照片的一行：{"file", "answer", "known", "top": [{"class", "probability"}, ...]}。

    Args:
        answer: predictor.Answer。
        top: 写出概率最大的几个类别。
    """
    ranked = [{"class": name, "probability": round(probability, 6)} for name, probability in answer.top(top)]
    shown = ranked[0]["class"] if answer.known else NONE_OF_THESE
    name = visible(file) if breaks_a_line(file) else file
    return {"file": name, "answer": shown, "known": answer.known, "top": ranked}


class _Writer:
    def close(self):
        """写完了；多半没有要收尾的。"""


class Table(_Writer):
    """列对得齐的表格，不超过 width 列；一行一行地写，不必等全部认完。"""

    def __init__(self, file, labels, top, width):
        self._file = file
        widest = max(columns(visible(label)) for label in labels)
        nearest = f"{NONE_OF_THESE}（）"
        self._answer = min(widest + columns(nearest), max(20, width // 3))
        rest = width - self._answer - 8
        self._others = 0 if top == 1 or rest < 2 * _SHORTEST_FILE else min((top - 1) * (widest + 5) + 1, rest // 2) - 2
        self._name = rest - (self._others + 2 if self._others else 0)
        self._line("文件", "答案", "概率", "其次" if self._others else "")

    def _line(self, file, answer, probability, others):
        cells = fit(file, self._name, keep_end=True), fit(answer, self._answer), fit(probability, 4, right=True)
        print("  ".join([*cells, fit(others, self._others)]).rstrip(), file=self._file, flush=True)

    def write(self, row):
        first, *others = row["top"]
        answer = visible(first["class"]) if row["known"] else f"{NONE_OF_THESE}（{visible(first['class'])}）"
        runners_up = " ".join(
            f"{visible(each['class'])} {each['probability']:.0%}" for each in others if each["probability"] >= 0.005
        )
        self._line(visible(row["file"]), answer, f"{first['probability']:.0%}", runners_up)


class Csv(_Writer):
    """一张照片一行：file、answer，然后是各个类别与概率。"""

    def __init__(self, file, top):
        self._file, self._writer = file, csv.writer(file, lineterminator="\n")
        pairs = [f"{name}_{i}" for i in range(1, top + 1) for name in ("class", "probability")]
        self._writer.writerow(["file", "answer", *pairs])

    def write(self, row):
        pairs = [value for each in row["top"] for value in (cell(each["class"]), each["probability"])]
        file = f"./{row['file']}" if row["file"].startswith(FORMULA_STARTS) else row["file"]  # 仍是同一个文件
        self._writer.writerow([file, cell(row["answer"]), *pairs])
        self._file.flush()


class JsonLines(_Writer):
    """每行一个 JSON。"""

    def __init__(self, file):
        self._file = file

    def write(self, row):
        print(json.dumps(row, ensure_ascii=False), file=self._file, flush=True)


class Json:
    """一个 JSON 数组。"""

    def __init__(self, file):
        self._file, self._between = file, "[\n"

    def write(self, row):
        self._file.write(self._between + json.dumps(row, ensure_ascii=False))
        self._between = ",\n"

    def close(self):
        self._file.write("\n]\n" if self._between == ",\n" else "[]\n")


def new_writer(kind, file, labels, top, width):
    """kind：FORMATS 之一；file：打开的文字文件；width：表格最多几列宽。"""
    if kind == "table":
        return Table(file, labels, top, width)
    return Csv(file, top) if kind == "csv" else {"json": Json, "jsonl": JsonLines}[kind](file)
