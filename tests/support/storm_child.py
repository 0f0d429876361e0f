"""另起一个进程做一件事；可以让它在第几次改动磁盘时（或再过若干毫秒）被强行结束（SIGKILL）。

用法：python storm_child.py 做什么 文件夹 [第几次 毫秒]；正常结束时在标准输出的最后一行打印一共改动了几次。
"""

import itertools
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

LESSONS_DIR = Path(__file__).resolve().parents[2] / "src" / "study_keras"
sys.path[:0] = [str(LESSONS_DIR), str(Path(__file__).parent)]
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
_count = 0


def draw(folder):
    from toolbox.drawn_flowers import draw_folder

    draw_folder(folder / "drawn", per_class=1, seed=7, workers=1)


def extract(folder):
    from toolbox import flower_photos
    from toolbox.terminal.files import sha256_of

    flower_photos.fetch(folder / "data", archive=folder / "a.tgz", sha256=sha256_of(folder / "a.tgz"))


def download(folder):
    from flower_archives import PATIENT
    from toolbox import flower_photos
    from toolbox.terminal.files import sha256_of

    digest = sha256_of(folder / "a.tgz")
    flower_photos.fetch(folder / "data", [os.environ["STORM_URL"]], sha256=digest, timing=PATIENT)


def convert(folder):
    """torchvision 的权重换算成 .h5；张量是随机的，不需要网络。"""
    import numpy as np

    from toolbox.weights import find, torchvision
    from toolbox.weights.keras_layers import keras_layers

    random, tensors, names = np.random.default_rng(0), {}, itertools.count()
    order = {"kernel": (3, 2, 0, 1), "depthwise_kernel": (2, 3, 0, 1)}
    for weights in keras_layers().values():
        for weight, shape in weights.items():
            if len(shape) == 4:
                shape = [shape[i] for i in order[weight]]
            tensors[f"t{next(names)}"] = random.random(shape[::-1] if len(shape) == 2 else shape, np.float32)
    torchvision.fetch, torchvision.read_pth = bytes, lambda _: tensors
    os.environ["KERAS_HOME"] = str(folder / "keras")
    find.find_weights("torchvision")


def save(folder):
    """换掉已有的模型文件夹。"""
    from toolbox import model_folder

    for _ in range(2):
        with model_folder.writing(folder / "output", "m") as results:
            model_folder.write_labels(results, ["甲", "乙"])
            model_folder.write_predictions(results, [("甲/a.jpg", "甲", "乙", 0.5)])
            (results / "logs").mkdir()
            (results / "logs" / "events.out.tfevents.x").write_bytes(bytes(100_000))
            model_folder.write_json(results / "settings.json", {"seed": 0})


def lesson(folder):
    """STORM_LESSON 是脚本与选项，用换行分开。"""
    sys.argv = os.environ["STORM_LESSON"].split("\n")
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ending:
        if ending.code:
            raise


OPERATIONS = {function.__name__: function for function in (draw, extract, download, convert, save)}


def _watch(folder, moment, milliseconds):
    """数一数对 folder 的改动；到了第 moment 次，再过 milliseconds 就强行结束。"""

    def kill():
        time.sleep(milliseconds / 1000)
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(event, arguments):
        global _count
        is_change = event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if is_change and str(arguments[0]).startswith(str(folder)):
            _count += 1
            if _count == moment:
                threading.Thread(target=kill, daemon=True).start() if milliseconds else kill()

    sys.addaudithook(hook)


def main():
    from toolbox.terminal.run import run_main

    name, folder, *moment = sys.argv[1:]
    operation = OPERATIONS.get(name, lesson)
    _watch(folder, *map(int, moment or ("0", "0")))
    try:
        operation(Path(folder)) if operation is lesson else run_main(lambda _: operation(Path(folder)), [])
    finally:
        print(_count, flush=True)


if __name__ == "__main__":
    main()
