"""在一个照片文件夹上用几个种子重复一种做法，把测试准确率的平均与范围、用时、内存、设置记进 docs/results/做法.json。

用法：python benchmarks/record_results.py lesson_3 --images-dir 照片文件夹
每个种子都在新的进程里、从空的缓存开始，用时从进程启动算到结束。划分都是约 70/15/15，同一个种子的测试照片相同。
做完的种子记在 --work-dir 里，中断后再运行同一条命令会接着做。
"""

import csv
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"
sys.path.insert(0, str(LESSONS_DIR))

from toolbox import experiments, model_folder
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main

LESSON_1 = [str(LESSONS_DIR / "hello_transfer_learning.py"), "--test-split", "0.15"]
LESSON_3 = [str(LESSONS_DIR / "hello_fine_tuning.py")]
WRONG_WAYS = str(PROJECT_DIR / "benchmarks" / "wrong_ways.py")
WAYS = {
    "lesson_1_seq": [*LESSON_1, "--model", "seq"],
    "lesson_1_model": [*LESSON_1, "--model", "model"],
    "random_weights": [*LESSON_1, "--weights", "random"],
    "lesson_3": LESSON_3,
    "lesson_3_one_view": [*LESSON_3, "--views", "1"],
    "lesson_3_eight_views": [*LESSON_3, "--views", "8"],
    "moving_batch_norm": [WRONG_WAYS, "moving_batch_norm"],
    "cached_augmentation": [WRONG_WAYS, "cached_augmentation"],
    "stopping_on_test": [WRONG_WAYS, "stopping_on_test"],
    "from_scratch": [
        WRONG_WAYS, "from_scratch", "--weights", "random", "--end-to-end", "--epochs", "10", "--learning-rate", "3e-3",
    ],
}  # fmt: skip
PLACES = ("images_dir", "output_dir", "cache_dir", "name", "debug", "drawn", "shard", "seed", "repeats", "find_lr")


def run(way, args, seed):
    """一个种子：返回它的 metrics，外加整个进程的用时与 CPU 时间。"""
    folder = args.work_dir / f"{way}_{seed}"
    finished = folder / "finished.json"
    if finished.exists():
        return json.loads(finished.read_text(encoding="utf-8"))
    options = ["--images-dir", args.images_dir, "--output-dir", folder, "--name", "run", "--seed", seed]
    options += ["--cache-dir", args.cache_dir] if args.cache_dir else ["--no-cache"]
    start, cpu = time.monotonic(), children_cpu_seconds()
    subprocess.run([sys.executable, *WAYS[way], *map(str, options)], check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    metrics["stages"] = metrics.pop("seconds")
    metrics["seconds"] = round(time.monotonic() - start, 1)
    metrics["cpu_seconds"] = round(children_cpu_seconds() - cpu, 1)
    settings = json.loads((folder / "run" / "settings.json").read_text(encoding="utf-8"))
    metrics["settings"] = {key: value for key, value in settings.items() if key not in PLACES}
    model_folder.write_json(finished, metrics)
    return metrics


def children_cpu_seconds():
    times = os.times()
    return times.children_user + times.children_system


def main(argv=None):
    parser = ArgumentParser("用几个种子重复一种做法，记下测试准确率的平均与范围。")
    parser.add_argument("way", choices=list(WAYS), help="做法")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--seeds", type=positive_int, default=5, metavar="N", help="几个种子")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="各个种子的结果放在哪里")
    parser.add_argument("--cache-dir", metavar="DIR", help="共用冻结部分的输出（不给则每个种子从头算，用时才可比）")
    args = parser.parse_args(argv)
    runs = []
    for seed in range(args.seeds):
        runs.append(run(args.way, args, seed))
        print(f"种子 {seed}：测试准确率 {runs[-1]['test']['accuracy']:.4f}，{runs[-1]['seconds']:.0f} 秒", flush=True)
    settings = [metrics.pop("settings") for metrics in runs]
    result = {}
    for part in ("validation", "test"):
        result[part] = experiments.mean_and_range([run[part]["accuracy"] for run in runs])
    for key in ("seconds", "cpu_seconds", "peak_memory_mb"):
        result[key] = experiments.mean_and_range([run[key] for run in runs])
    history = args.work_dir / f"{args.way}_0" / "run" / "history.csv"
    with open(history, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    result["history"] = {key: [float(row[key]) for row in rows] for key in ("accuracy", "val_accuracy")}  # 种子 0
    result |= {"cores": os.cpu_count(), "machine": platform.machine(), "settings": settings[0], "runs": runs}
    model_folder.write_json(PROJECT_DIR / "docs" / "results" / f"{args.way}.json", result)
    test = result["test"]
    print(f"{args.way}：测试准确率平均 {test['mean']:.4f}，范围 {test['lowest']:.4f} 至 {test['highest']:.4f}")


if __name__ == "__main__":
    run_main(main)
