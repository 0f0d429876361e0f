"""证书：每个格式在每张留出的照片上，与 Keras 的答案差多少。"""

import json
from pathlib import Path

import numpy as np

from toolbox.export import runtimes
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import sha256_of
from toolbox.terminal.text import visible

FILE = "certificate.json"
KEPT = "predictions.npz"  # 各格式与 Keras 的概率，--verify 用
EXACT = ("savedmodel", "litert", "onnx")  # 这几种是 float32，应当答得一样
CLEAR_LEAD = 0.01  # 最大的两个概率差得比这还少，谁排第一不算数
ACCURACY_LOSS = 0.02  # 量化之后准确率最多低这么多
SAME_AGAIN = 1e-3  # 换一台机器再算，float32 的概率最多差这么多
NAMED = 5


def row(format, folder, measured, expected, true):
    """一个格式的一行。

    Args:
        measured: runtimes.measure 的结果。
        expected: Keras 的概率 (n, 类别数)。
        true: 真实类别 (n,)。
    """
    probabilities, milliseconds, memory = measured
    best, right = probabilities.argmax(axis=1), expected.argmax(axis=1)
    path = Path(folder) / runtimes.FILES[format]
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {
        "photos": len(true),
        "bytes": sum(file.stat().st_size for file in files),
        "accuracy": float((best == true).mean()),
        "keras_accuracy": float((right == true).mean()),
        "same_top_class": float((best == right).mean()),
        "largest_difference": float(np.abs(probabilities - expected).max()),
        "milliseconds_a_photo": round(milliseconds, 2),
        "peak_memory_mb": memory,
        "runtime": runtimes.runtime_name(format),
        "sha256": {file.relative_to(folder).as_posix(): sha256_of(file) for file in sorted(files)},
    }


def disagreeing(probabilities, expected):
    """哪几行的第一名与 Keras 不同，而 Keras 的前两名相差超过 CLEAR_LEAD；返回行号。"""
    second, first = np.sort(expected, axis=1)[:, -2:].T
    same = (probabilities.argmax(axis=1) == expected.argmax(axis=1)) & np.isfinite(probabilities).all(axis=1)
    return np.flatnonzero(~same & (first - second > CLEAR_LEAD))


def check_exact(format, probabilities, expected, names):
    """float32 的格式要与 Keras 答得一样。

    Raises:
        UserError: 有照片答得不一样；点名。
    """
    different = disagreeing(probabilities, expected) if format in EXACT else []
    if len(different):
        shown = "、".join(visible(names[i]) for i in different[:NAMED])
        raise UserError(
            f"{format} 与 Keras 的答案不同：{len(names)} 张中有 {len(different)} 张，如 {shown}。什么也没有写出。"
            "请照 requirements.txt 与 requirements/export.txt 重装各个包，或用 --formats 去掉它。"
        )


def advice(format, entry):
    """量化之后准确率低得太多时，要说的一句；否则 None。"""
    loss = entry["keras_accuracy"] - entry["accuracy"]
    if loss <= ACCURACY_LOSS:
        return None
    instead = "" if format == "litert-fp16" else "请改用 --formats litert-fp16：只大一倍，几乎没有损失。"
    return f"注意：{format} 的准确率低了 {loss:.3f}，超过 {ACCURACY_LOSS}。{instead}"


def table(rows):
    """各个格式一行的表，几行文字。"""
    lines = ["格式           大小     准确率   第一名相同  概率最多差  一张     内存      运行环境"]
    for format, entry in rows.items():
        memory = f"{entry['peak_memory_mb']:5} MB" if entry["peak_memory_mb"] else "     -"
        lines.append(
            f"{format:12} {entry['bytes'] / 1e6:5.1f} MB   {entry['accuracy']:.4f}   {entry['same_top_class']:7.2%}    "
            f"{entry['largest_difference']:.6f}  {entry['milliseconds_a_photo']:5.1f} ms  {memory}  {entry['runtime']}"
        )
    return "\n".join(lines)


def write(folder, rows, kept):
    """certificate.json 与 predictions.npz。kept：{格式或 keras: 概率}，以及 names、true。"""
    text = json.dumps({"clear_lead": CLEAR_LEAD, "formats": rows}, ensure_ascii=False, indent=2)
    (Path(folder) / FILE).write_text(text + "\n", encoding="utf-8")
    np.savez(Path(folder) / KEPT, **kept)


def read(folder):
    """读回 (各格式的行, 留下的答案)。

    Raises:
        UserError: 不是导出的文件夹，或已损坏。
    """
    try:
        rows = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))["formats"]
        with np.load(Path(folder) / KEPT, allow_pickle=False) as kept:
            return {name: rows[name] for name in runtimes.FILES if name in rows}, dict(kept)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(
            f"{visible(folder)} 不是第 6 课导出的文件夹，或已损坏（{visible(error)[:100]}）。请检查路径。"
        ) from None


def problem_with(format, folder, entry, probabilities, kept):
    """再验一次：文件的哈希、答案都要与当时的相同；返回哪里不同，没有就是 None。"""
    for name, sha256 in entry["sha256"].items():
        file = Path(folder) / name
        if not file.is_file() or sha256_of(file) != sha256:
            return f"{name} 变了，或不见了"
    if probabilities is None:
        return None
    most = np.abs(probabilities - kept[format]).max()
    different = len(disagreeing(probabilities, kept[format]))
    if different or (format in EXACT and not most <= SAME_AGAIN):
        return f"{different} 张照片的第一名与当时不同，概率最多差 {most:.2g}"
    return None
