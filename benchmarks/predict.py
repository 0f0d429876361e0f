"""第 4 课有多快：认一张照片（整个进程）与载入 model.keras 再认比，认一个文件夹离极限（读照片 + 运行模型）还有多远。

用法：python benchmarks/predict.py 模型文件夹 照片文件夹 [--json docs/results/predict.json]
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # 与第 4 课相同

from toolbox.litert_model import LiteRTModel
from toolbox.photos.read import read_photo
from toolbox.predictor import Predictor
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main
from toolbox.terminal.workers import cores

LESSON = PROJECT_DIR / "src" / "study_keras" / "hello_predict.py"
WITH_KERAS = """
import sys
import keras
import numpy as np
from PIL import Image

folder, photo = sys.argv[1:]
model = keras.models.load_model(folder + "/model.keras")
labels = open(folder + "/labels.txt", encoding="utf-8").read().splitlines()
image = Image.open(photo).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
probabilities = model.predict(np.asarray(image)[np.newaxis] / np.float32(127.5) - 1, verbose=0)[0]
print(labels[probabilities.argmax()], probabilities.max())
"""


def seconds_of(command):
    start = time.monotonic()
    subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
    return time.monotonic() - start


def cold_start(folder, photo, repeats):
    """一张照片，从启动进程到说出答案：两种做法轮流运行，各取中位数。"""
    runs = {"model.tflite": [], "model.keras": []}
    for _ in range(repeats):
        runs["model.tflite"].append(seconds_of([LESSON, folder, photo]))
        runs["model.keras"].append(seconds_of(["-c", WITH_KERAS, folder, photo]))
    medians = {name: statistics.median(seconds) for name, seconds in runs.items()}
    return {"seconds": runs, "times_faster": medians["model.keras"] / medians["model.tflite"]}


def of_every_core(function, items):
    """每个核一个线程做 function，一共几秒。"""
    start = time.monotonic()
    with ThreadPoolExecutor(cores()) as pool:
        done = list(pool.map(function, items))
    return time.monotonic() - start, done


def folder_speed(folder, photos, repeats):
    """认一个文件夹用的时间，与极限（先只读照片、再只运行模型，两段时间之和）之比，各取中位数。"""
    predictor, model = Predictor(folder), LiteRTModel((folder / "model.tflite").read_bytes())
    seconds, limits = [], []
    for _ in range(repeats):
        reading, pixels = of_every_core(read_photo, photos)
        running, _ = of_every_core(lambda photo: model(photo)["probabilities"], pixels)
        limits.append(reading + running)
        start = time.monotonic()
        count = sum(1 for _ in predictor.predict_many(photos))
        seconds.append(time.monotonic() - start)
    share = statistics.median(limits) / statistics.median(seconds)
    return {"photos": count, "seconds": seconds, "limit_seconds": limits, "share_of_limit": share}


def memory(folder, photos):
    """认少与多的照片，整个进程最多占多少内存（MB）；只有 Linux 上量得到。"""
    peaks = {}
    if sys.platform != "linux":
        return peaks
    for count in (len(photos) // 10, len(photos)):
        listed = "\n".join(map(str, photos[:count]))
        code = (
            f"import sys; sys.path.insert(0, {str(LESSON.parent)!r}); import hello_predict\n"
            f"hello_predict.main([{str(folder)!r}, '-', '--format', 'jsonl'])\n"
            "from toolbox.terminal.stopwatch import peak_memory_mb; print(peak_memory_mb(), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], input=listed, text=True, capture_output=True, check=True)
        peaks[count] = int(done.stderr.split()[-1])
    return peaks


def main(argv=None):
    parser = ArgumentParser("第 4 课有多快：一张照片的冷启动，与认一个文件夹的速度。")
    parser.add_argument("model", type=Path, help="模型文件夹，要有 model.keras 与 model.tflite")
    parser.add_argument("photos", type=Path, help="照片文件夹")
    parser.add_argument("--repeats", type=positive_int, default=5, metavar="N", help="各做几遍，取中位数")
    parser.add_argument("--json", type=Path, metavar="FILE", help="把结果写进这个文件")
    args = parser.parse_args(argv)
    photos = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    result = {"machine": f"{platform.machine()}，{cores()} 核，{platform.system()}"}
    result["cold_start"] = cold_start(args.model, photos[0], args.repeats)
    result["folder"] = folder_speed(args.model, photos, args.repeats)
    result["peak_memory_mb"] = memory(args.model, photos)
    print(f"一张照片：比载入 model.keras 再认快 {result['cold_start']['times_faster']:.1f} 倍")
    print(f"一个文件夹：极限的 {result['folder']['share_of_limit']:.2f}；内存 {result['peak_memory_mb']}")
    if args.json:
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
