"""集群稳不稳：同一条命令一遍遍运行，旁边另有一件占满各核的工作，记下每一次的验证准确率与各进程做了几步。

已记在 --json 里的不再重做，所以可以分几次运行。用法：
    python benchmarks/cluster.py --runs 10 --json docs/results/cluster.json
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"
sys.path.insert(0, str(LESSONS_DIR))

from toolbox import drawn_flowers, model_folder
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main

SIZES = (2, 8)  # worker 的个数
STEPS, BATCH, PER_CLASS = 300, 8, 24  # 与测试相同
FLOOR = 0.8  # 测试要求的最低准确率


@contextlib.contextmanager
def another_job():
    """其间每个核上都有一个只管算的进程。"""
    jobs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for job in jobs:
            job.kill()
            job.wait()


def run(workers, photos, cache_dir):
    """运行一次，返回 {"accuracy": 验证准确率, "steps": {进程: 步数}}。"""
    with tempfile.TemporaryDirectory() as folder, another_job():
        options = {"images-dir": photos, "cache-dir": cache_dir, "output-dir": folder, "cluster": workers}
        options |= {"steps": STEPS, "batch-size": BATCH, "wait-seconds": 600}
        command = [sys.executable, str(LESSONS_DIR / "hello_transfer_learning_2.py")]
        command += [f"--{name}={value}" for name, value in options.items()]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            raise RuntimeError(f"退出码 {done.returncode}：{done.stdout[-2000:]}{done.stderr[-2000:]}")
        metrics = json.loads((Path(folder) / "mobilenetv2_estimator" / "metrics.json").read_text(encoding="utf-8"))
        steps = re.findall(r"\[(.+?)\] 训练停在第 \d+ 步，其中 (\d+) 步由这个进程做", done.stdout)
        return {"accuracy": metrics["validation"]["accuracy"], "steps": {name: int(count) for name, count in steps}}


def main(argv=None):
    parser = ArgumentParser("集群稳不稳：一遍遍运行，旁边另有一件占满各核的工作。")
    parser.add_argument("--runs", type=positive_int, default=10, metavar="N", help="每种大小的集群运行几次")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    results = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        photos = drawn_flowers.draw_folder(Path(temporary) / "flowers", per_class=PER_CLASS)
        for i in range(args.runs):
            for workers in SIZES:
                runs = results.setdefault(f"{workers}", {"runs": []})["runs"]
                if len(runs) <= i:
                    runs.append(run(workers, photos, Path(temporary) / "cache"))
                    results["floor"] = FLOOR
                    model_folder.write_json(args.json, results)
                    print(f"{workers} 个 worker，第 {i + 1} 次：{runs[-1]}", flush=True)
    for workers in SIZES:
        accuracies = [each["accuracy"] for each in results[f"{workers}"]["runs"]]
        print(f"{workers} 个 worker，{len(accuracies)} 次：{min(accuracies):.3f} 至 {max(accuracies):.3f}")


if __name__ == "__main__":
    run_main(main)
