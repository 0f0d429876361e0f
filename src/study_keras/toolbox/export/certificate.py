"""证书：每个格式在每张留出的照片上，与 Keras 的答案差多少。"""

from pathlib import Path

import numpy as np

from toolbox.export import runtimes
from toolbox.litert_model import CLEAR_LEAD, differing
from toolbox.model_folder_reader import LABELS_FILE
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import sha256_of
from toolbox.terminal.records import read_arrays, read_json, write_json
from toolbox.terminal.text import some_of, visible

FILE = "certificate.json"
KEPT = "predictions.npz"  # 各格式与 Keras 的概率，留出的照片的清单，--verify 用
EXACT = ("savedmodel", "litert", "onnx")  # 这几种是 float32，应当答得一样
ACCURACY_LOSS = 0.02  # 量化之后准确率最多低这么多
SAME_AGAIN = 1e-3  # 换一台机器再算，float32 的概率最多差这么多


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
    labels = Path(folder) / LABELS_FILE  # 类别的名字也不能变
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
        "sha256": {file.relative_to(folder).as_posix(): sha256_of(file) for file in sorted({*files, labels})},
    }


def check_exact(format, probabilities, expected, names):
    """float32 的格式要与 Keras 答得一样。

    Raises:
        UserError: 有照片答得不一样；点名。
    """
    different = differing(probabilities, expected) if format in EXACT else []
    if len(different):
        shown = some_of([names[i] for i in different])
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


def write(folder, rows, answers, photos):
    """写 certificate.json 与 predictions.npz。

    Args:
        rows: {格式: 证书的一行}。
        answers: {格式或 keras: 概率}。
        photos: HeldOut。
    """
    about = {"clear_lead": CLEAR_LEAD, "images_dir": photos.root, "formats": rows}
    write_json(Path(folder) / FILE, about)
    sha256s = [photo.sha256 for photo in photos.photos]
    np.savez(Path(folder) / KEPT, names=np.array(photos.names), true=photos.true, sha256=np.array(sha256s), **answers)


def read(folder):
    """读回 (各格式的行, 留下的答案与照片的清单, 导出时的照片文件夹)。

    Raises:
        UserError: 不是导出的文件夹，或已损坏。
    """
    about = read_json(Path(folder) / FILE) or {}
    try:
        rows = {name: about["formats"][name] for name in runtimes.FILES if name in about["formats"]}
        kept = read_arrays(Path(folder) / KEPT)
        _check(rows, kept)
        root = str(Path(about["images_dir"]))
    except Exception as error:  # 坏的 zip 与 npy 会给出各式各样的异常；--debug 看得见是哪一个
        wrong = f"{visible(folder)} 不是第 6 课导出的文件夹，已损坏，或是以前的版本导出的"
        raise UserError(f"{wrong}。请检查路径，或重新导出。") from error
    return rows, kept, root


def _check(rows, kept):
    """各行与留下的答案对得上；对不上则抛出异常。"""
    count = len(kept["keras"])
    lengths = [len(kept[name]) for name in ("names", "true", "sha256")]
    shapes = [kept[format].shape for format in rows]
    hashes = all(isinstance(hash, str) for row in rows.values() for hash in row["sha256"].values())
    if not (rows and hashes and lengths == [count] * 3 and shapes == [kept["keras"].shape] * len(rows)):
        raise ValueError("证书与留下的答案对不上")


def changed_file(folder, entry):
    """再验一次：文件的哈希都要与当时的相同；返回哪里不同，没有就是 None。entry：证书的一行。"""
    for name, sha256 in entry["sha256"].items():
        file = Path(folder) / name
        if not file.is_file() or sha256_of(file) != sha256:
            return f"{name} 变了，或不见了"
    return None


def changed_answers(format, probabilities, kept):
    """再验一次：答案要与当时留下的 kept 相同；返回哪里不同，没有就是 None。"""
    most = np.abs(probabilities - kept[format]).max()
    different = len(differing(probabilities, kept[format], np.inf))
    if different or (format in EXACT and not most <= SAME_AGAIN):
        return f"{different} 张照片的第一名与当时不同，概率最多差 {most:.2g}"
    return None
