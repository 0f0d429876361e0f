"""同一批照片、同样的分类头、同样的轮数：经典做法、Keras 教程的做法、本课程，各从启动进程到存好模型要多久。

用法：python benchmarks/frozen_prefix.py --images-dir 照片文件夹 [--json docs/results/frozen_prefix.json]

每种做法是一个单独的进程，轮流运行 --repeats 遍，取中位数；然后单独比较提取特征的速度，以及它离极限
（每个核先只读照片、再只运行冻结部分，两段时间之和）还有多远。装了 PyTorch 时多一行。
"""

import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import numpy as np
import recipes

from toolbox import (
    frozen_prefix,
    model_folder,
)
from toolbox.frozen_prefix.engine import new_engine
from toolbox.photos.folder import open_folder
from toolbox.photos.read import IMAGE_SIZE, read_photo
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main
from toolbox.terminal.workers import cores
from toolbox.weights import find

LESSON = PROJECT_DIR / "src" / "study_keras" / "hello_transfer_learning.py"
RECIPES = Path(__file__).with_name("recipes.py")


def run(command):
    """运行一个进程，返回 {"seconds", "peak_memory_mb"}；后者是内存的最大值，只有 Linux 上量得到。"""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.DEVNULL)
    peak = next_look = 0
    while process.poll() is None:
        if time.monotonic() >= next_look:
            peak = max(peak, anonymous_memory_mb(process.pid))
            next_look = time.monotonic() + 0.1
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{command} 没有成功（退出码 {process.returncode}）")
    return {"seconds": time.monotonic() - start, "peak_memory_mb": peak or None}


def anonymous_memory_mb(pid):
    """进程连同它的子进程此刻的内存（不含文件缓存与映射的文件），MB；不是 Linux 则为 0。"""
    process = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        children = [child for task in (process / "task").iterdir() for child in (task / "children").read_text().split()]
        return int(status["RssAnon"].split()[0]) / 1024 + sum(map(anonymous_memory_mb, children))
    except (OSError, KeyError):  # 不是 Linux，或进程刚刚结束
        return 0


def whole_processes(args, folder):
    """各种做法轮流运行，返回 {名字: {"seconds", "peak_memory_mb", "all_seconds"}}；本课还有各步的 "stages"。"""
    output = folder / "output"
    lesson = [
        LESSON,
        "--images-dir",
        args.images_dir,
        "--weights",
        args.weights,
        "--epochs",
        args.epochs,
        "--output-dir",
        output,
        "--name",
        "run",
    ]
    names = ["classic", "tutorial", *(["pytorch"] if importlib.util.find_spec("torchvision") else [])]
    runs = {}
    for repeat in range(args.repeats):
        cache = ["--cache-dir", folder / f"cache{repeat}"]
        given = [args.images_dir, args.weights, args.epochs]
        commands = {name: [RECIPES, name, *given, folder / f"{name}.keras"] for name in names}
        commands["course, cold"] = commands["course, warm"] = [*lesson, *cache]
        for name, command in commands.items():
            runs.setdefault(name, []).append(run(command))
            if name.startswith("course"):
                metrics = json.loads((output / "run" / model_folder.METRICS_FILE).read_text(encoding="utf-8"))
                runs[name][-1]["stages"] = metrics["seconds"]
            print(f"{name}：{runs[name][-1]['seconds']:.1f} 秒", flush=True)
    return {name: median_run(results) for name, results in runs.items()}


def median_run(results):
    seconds = [result["seconds"] for result in results]
    middle = sorted(results, key=lambda result: result["seconds"])[len(results) // 2]
    return {**middle, "all_seconds": seconds}


def extraction(args, folder, photos):
    """每秒多少张：提取特征、model.predict（都从照片文件开始），以及只读照片、只运行冻结部分。"""
    from tensorflow import keras
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    weights = find.find_weights(args.weights).path
    prefix, _ = frozen_prefix.split_model(recipes.build_model(weights, 5))
    preprocess = keras.applications.mobilenet_v2.preprocess_input
    batches = ImageDataGenerator(preprocessing_function=preprocess).flow_from_directory(
        args.images_dir, target_size=IMAGE_SIZE, shuffle=False, interpolation="bilinear"
    )  # 与本课同样的像素
    start = time.monotonic()
    frozen_prefix.compute(prefix, photos[:1], cache_dir=folder / "convert", engine="litert")
    results = {"convert_seconds": time.monotonic() - start}
    store = next((folder / "convert").iterdir())
    engine = new_engine("litert", prefix, store)
    pixels = read_photo(photos[0].path)[np.newaxis]

    def extract():
        for path in store.glob("*.rows"):
            path.unlink()
        frozen_prefix.compute(prefix, photos, cache_dir=folder / "convert", engine="litert")

    def decode(some):
        for photo in some:
            read_photo(photo.path)

    def run_prefix(some):
        for _ in some:
            engine.run(pixels)

    parts = {
        "extract": extract,
        "decode_only": lambda: on_all_cores(decode, photos),
        "prefix_only": lambda: on_all_cores(run_prefix, photos),
    }
    seconds = timed(parts, args.repeats + 2)
    # predict 放在最后：它的生成器会改 malloc 的设置，使同一进程里此后的解码慢百分之几，而本课提取在前
    seconds |= timed({"predict": lambda: prefix.predict(batches, verbose=0)}, args.repeats + 2)
    rates = {name: len(photos) / statistics.median(times) for name, times in seconds.items()}
    rates["predict_fastest"] = len(photos) / min(seconds["predict"])
    rates["limit"] = 1 / (1 / rates["decode_only"] + 1 / rates["prefix_only"])
    return results | {"photos_per_second": rates}


def timed(parts, repeats):
    """轮流运行各段，返回 {名字: 各次的秒数}。"""
    seconds = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            start = time.monotonic()
            part()
            seconds[name].append(time.monotonic() - start)
    return seconds


def on_all_cores(work, photos):
    """每个核一个线程，各做一份。"""
    threads = [threading.Thread(target=work, args=(photos[i :: cores()],)) for i in range(cores())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(argv=None):
    parser = ArgumentParser("冻结的部分只算一次，比每一轮都算快多少。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--weights", default="auto", metavar="W", help="基础模型的权重")
    parser.add_argument("--epochs", type=positive_int, default=5, metavar="N", help="训练几轮")
    parser.add_argument("--repeats", type=positive_int, default=1, metavar="N", help="运行几遍，取中位数")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    photos = open_folder(args.images_dir).photos
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "cores": cores(),
            "machine": platform.machine(),
            "photos": len(photos),
            "epochs": args.epochs,
            "whole_process": whole_processes(args, Path(folder)),
            **extraction(args, Path(folder), photos),
        }
    seconds = {name: result["seconds"] for name, result in results["whole_process"].items()}
    rates = results["photos_per_second"]
    results["ratios"] = {
        "cold": seconds["classic"] / seconds["course, cold"],
        "warm": seconds["classic"] / seconds["course, warm"],
        "tutorial": seconds["classic"] / seconds["tutorial"],
        "extract_to_predict": rates["extract"] / rates["predict"],
        "extract_to_predict_fastest": rates["extract"] / rates["predict_fastest"],
        "extract_to_limit": rates["extract"] / rates["limit"],
    }
    report(results)
    if args.json:
        model_folder.write_json(args.json, results)


def report(results):
    print(f"\n{results['photos']} 张照片，{results['epochs']} 轮，{results['cores']} 核；从启动进程到存好模型：")
    classic_seconds = results["whole_process"]["classic"]["seconds"]
    for name, result in results["whole_process"].items():
        rate = results["photos"] * results["epochs"] / result["seconds"]
        memory = f"{result['peak_memory_mb']:.0f} MB" if result["peak_memory_mb"] else "未测"
        times = f"{classic_seconds / result['seconds']:.1f} 倍"
        print(f"  {name:<14}{result['seconds']:>8.1f} 秒{rate:>8.0f} 张/秒  内存 {memory}  {times}")
    print(f"提取特征（转换一次 {results['convert_seconds']:.1f} 秒，不算在内），每秒张数：")
    for name, rate in results["photos_per_second"].items():
        print(f"  {name:<16}{rate:>8.0f}")
    ratios = results["ratios"]
    print(
        f"  是 predict 的 {ratios['extract_to_predict']:.2f} 倍（与它最快的一次比，"
        f"{ratios['extract_to_predict_fastest']:.2f} 倍），是极限的 {ratios['extract_to_limit']:.2f}"
    )


if __name__ == "__main__":
    run_main(main)
