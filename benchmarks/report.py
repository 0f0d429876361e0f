"""写一份报告要多久：同一个模型文件夹写两次，第一次可能要算特征，第二次特征都在缓存里；记进 docs/results/report.json。

用法：python benchmarks/report.py output/mobilenetv2_fine_tuned
用时从进程启动算到结束。顺便记下报告里的几个数，供页面引用。
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"
sys.path.insert(0, str(LESSONS_DIR))

from toolbox import model_folder
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.run import run_main

NUMBERS = {  # 名字 -> 网页里的哪一处
    "held_out": r"没有参加训练的 (\d+) 张照片",
    "right": r"模型认对了 (\d+) 张",
    "doubtful": r"标签可疑</span><strong>(\d+) 张",
    "error_before": r"校准误差（ECE）<b>([\d.]+)</b>",
    "error_after": r"ECE 变为 <b>([\d.]+)</b>",
    "temperature": r"除以温度 <b>([\d.]+)</b>",
}


def write_report(model_dir, folder):
    """写一次，返回 {"seconds": 秒, "stages": {步骤: 秒}, "bytes": 网页的字节数} 与网页的文字。"""
    command = [sys.executable, str(LESSONS_DIR / "hello_report.py"), str(model_dir), "--out", str(folder)]
    start = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    seconds = round(time.monotonic() - start, 1)
    line = next(line for line in done.stdout.splitlines() if line.startswith("各步用时"))
    stages = {name: float(value) for name, value in re.findall(r"[：，]([^：，]+?) ([\d.]+) 秒", line)}
    html = (folder / "report.html").read_text(encoding="utf-8")
    return {"seconds": seconds, "stages": stages, "bytes": len(html.encode())}, html


def main(argv=None):
    parser = ArgumentParser("记下写一份报告要多久。")
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="模型文件夹")
    file = PROJECT_DIR / "docs" / "results" / "report.json"
    parser.add_argument("--json", type=Path, default=file, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    metrics = json.loads((args.model_dir / model_folder.METRICS_FILE).read_text(encoding="utf-8"))
    parts = [metrics[part]["photos"] for part in ("train", "validation", "test") if part in metrics]
    result = {"photos": sum(parts), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "warm"):
            result[name], html = write_report(args.model_dir, Path(folder) / "report")
            print(f"{name}：{result[name]['seconds']} 秒", flush=True)
    result |= {name: float(re.search(pattern, html)[1]) for name, pattern in NUMBERS.items()}
    result |= {name: int(result[name]) for name in ("held_out", "right", "doubtful")}
    model_folder.write_json(args.json, result)


if __name__ == "__main__":
    run_main(main)
