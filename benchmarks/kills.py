"""第 1 课在随机的时刻被 kill -9，再运行同一条命令：仓库逐字节相同，模型逐位相同。

用法：python benchmarks/kills.py --images-dir 照片文件夹 --json docs/results/kills.json
先不打扰地运行一次，作为比较的标准；以后每次都从空的缓存开始，杀在它用时之内的某一刻。有一次不同就以退出码 1 结束。
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSON = PROJECT_DIR / "src" / "study_keras" / "hello_transfer_learning.py"
sys.path.insert(0, str(LESSON.parent))

from toolbox import model_folder
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main


def start(args, folder):
    folder.mkdir(exist_ok=True)
    options = ["--images-dir", args.images_dir, "--weights", args.weights, "--cache-dir", folder / "cache"]
    command = [sys.executable, "-u", LESSON, *options, "--output-dir", folder / "output", "--name", "run"]
    with open(folder / "output.txt", "w", encoding="utf-8") as file:
        return subprocess.Popen(list(map(str, command)), stdout=file)


def contents(folder):
    """(仓库里每个文件的字节, 模型里每个权重的字节)。"""
    import h5py

    cache = folder / "cache"
    store = {path.relative_to(cache).as_posix(): path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    weights = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            weights[name] = item[()].tobytes()

    with zipfile.ZipFile(folder / "output" / "run" / model_folder.MODEL_FILE) as archive:
        with archive.open("model.weights.h5") as data, h5py.File(data) as file:
            file.visititems(keep)
    return store, weights


def last_stage(folder):
    lines = (folder / "output.txt").read_text(encoding="utf-8").splitlines()
    stages = [line.strip("— ") for line in lines if line.startswith("——")]
    return stages[-1] if stages else "启动"


def main(argv=None):
    parser = ArgumentParser("第 1 课在随机的时刻被强行结束，接着做完，结果是不是一样。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--weights", default="auto", metavar="W", help="基础模型的权重")
    parser.add_argument("--kills", type=positive_int, default=20, metavar="N", help="杀几次")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    moments, results = random.Random(0), []
    with tempfile.TemporaryDirectory() as temporary:
        reference = Path(temporary, "reference")
        began = time.monotonic()
        if start(args, reference).wait():
            raise RuntimeError("第 1 课没有成功")
        whole = time.monotonic() - began
        expected = contents(reference)
        while len(results) < args.kills:
            folder = Path(temporary, str(len(results)))
            process, seconds = start(args, folder), moments.uniform(0, whole)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
            if process.wait() == 0:  # 这一遍比作标准的那遍快，没有杀到：不算，换一个时刻
                shutil.rmtree(folder)
                continue
            stage = last_stage(folder)
            half_written = (folder / "output" / "run").exists()
            finished = start(args, folder).wait() == 0
            same = finished and not half_written and contents(folder) == expected
            results.append({"seconds": round(seconds, 2), "stage": stage, "identical": same})
            print(f"第 {len(results)} 次：{seconds:.1f} 秒时在“{stage}”，{'相同' if same else '不同'}", flush=True)
    if args.json:
        model_folder.write_json(args.json, {"whole_seconds": round(whole, 2), "kills": results})
    if not all(result["identical"] for result in results):
        raise RuntimeError("有一次不同")


if __name__ == "__main__":
    run_main(main)
