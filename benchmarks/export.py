"""各种模型导出成各种格式的证书：第 1 课的两种分类头、两种标签，第 3 课；都在没有参加训练的真实照片上。

用法：python benchmarks/export.py --images-dir 照片文件夹 --work-dir 模型与导出放在哪里
记进 docs/results/export.json；训练过的模型留在 --work-dir 里，再运行就不再训练。
"""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"
sys.path.insert(0, str(LESSONS_DIR))

from toolbox import model_folder
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.run import run_main

MODELS = {
    "seq_categorical": ["hello_transfer_learning.py"],
    "seq_sparse": ["hello_transfer_learning.py", "--class-mode", "sparse"],
    "model_categorical": ["hello_transfer_learning.py", "--model", "model"],
    "model_sparse": ["hello_transfer_learning.py", "--model", "model", "--class-mode", "sparse"],
    "lesson_3": ["hello_fine_tuning.py"],
}
KEPT = ("photos", "bytes", "accuracy", "keras_accuracy", "same_top_class", "largest_difference")
KEPT += ("milliseconds_a_photo", "peak_memory_mb", "runtime")


def run(script, *options):
    command = [sys.executable, str(LESSONS_DIR / script), *map(str, options)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def certificate_of(name, args):
    """训练（或用以前训练好的）、导出，返回证书：{格式: 一行}。"""
    script, *options = MODELS[name]
    folder = args.work_dir / "models" / name
    if not folder.exists():
        places = ["--output-dir", folder.parent, "--name", name, "--cache-dir", args.work_dir / "cache"]
        run(script, "--images-dir", args.images_dir, *places, *options)
    exported = args.work_dir / "exports" / name
    run("hello_export.py", folder, "--out", exported, "--images-dir", args.images_dir)
    formats = json.loads((exported / "certificate.json").read_text(encoding="utf-8"))["formats"]
    return {format: {key: row[key] for key in KEPT} for format, row in formats.items()}


def main(argv=None):
    parser = ArgumentParser("各种模型导出成各种格式的证书。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="模型、缓存与导出放在哪里")
    file = PROJECT_DIR / "docs" / "results" / "export.json"
    parser.add_argument("--json", type=Path, default=file, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    result = {"cores": os.cpu_count(), "models": {}}
    for name in MODELS:
        result["models"][name] = certificate_of(name, args)
        print(name, {format: row["accuracy"] for format, row in result["models"][name].items()}, flush=True)
    model_folder.write_json(args.json, result)


if __name__ == "__main__":
    run_main(main)
