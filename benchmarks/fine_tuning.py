"""到达同样的验证准确率要多久：冻结部分只算一次，与每一轮都从照片算起（--end-to-end）相比。

用法：python benchmarks/fine_tuning.py --images-dir 照片文件夹 --json docs/results/fine_tuning_speed.json
两种做法在同一个进程里先后各做一遍第 3 课，步骤、轮数、种子都相同；前者从空的缓存开始，计算各个视图的时间也算在内。
“同样的验证准确率”取两者各自最高值中较低的一个。机器忙时用时会变，CPU 时间的比值更稳。
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import hello_fine_tuning as lesson
from toolbox import model_folder
from toolbox.terminal.arguments import ArgumentParser, non_negative_int
from toolbox.terminal.run import run_main
from toolbox.terminal.tensorflow_start import load_tensorflow


def timed(options, moments):
    """做一遍第 3 课，把每一轮结束时的 (秒, CPU 秒, 验证准确率) 添进 moments；从载入 TensorFlow 之后算起。"""
    from tensorflow import keras

    run_once, fit = lesson.run_once, lesson.fit
    start = []

    def started(*args):
        start.extend((time.monotonic(), time.process_time()))
        return run_once(*args)

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            moments.append((time.monotonic() - start[0], time.process_time() - start[1], logs["val_accuracy"]))

    def fit_with_clock(network, data, epochs, balance, callbacks=()):
        return fit(network, data, epochs, balance, [*callbacks, Clock()])

    with mock.patch.object(lesson, "run_once", started), mock.patch.object(lesson, "fit", fit_with_clock):
        lesson.main(options)


def main(argv=None):
    parser = ArgumentParser("到达同样的验证准确率，两种做法各要多久。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--seed", type=non_negative_int, default=0, metavar="N", help="随机种子")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    load_tensorflow()
    ways = {"kept": ["--no-cache"], "end_to_end": ["--end-to-end"]}
    moments = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for way, options in ways.items():
            common = ["--images-dir", args.images_dir, "--seed", str(args.seed), "--output-dir", folder, "--name", way]
            timed([*common, *options], moments[way])
    target = min(max(accuracy for *_, accuracy in rounds) for rounds in moments.values())
    reached = {way: next(r for r in rounds if r[2] >= target) for way, rounds in moments.items()}
    result = {"validation_accuracy": target}
    for i, clock in enumerate(("seconds", "cpu_seconds")):
        result[clock] = {way: round(reached[way][i], 1) for way in ways}
        result[clock]["ratio"] = round(reached["end_to_end"][i] / reached["kept"][i], 2)
        last = {way: rounds[-1][i] - rounds[-2][i] for way, rounds in moments.items()}
        result[clock]["per_epoch"] = {way: round(seconds, 1) for way, seconds in last.items()}
    result["epochs"] = {way: [[round(x, 4) for x in row] for row in rounds] for way, rounds in moments.items()}
    print(json.dumps({key: value for key, value in result.items() if key != "epochs"}, ensure_ascii=False, indent=2))
    if args.json:
        model_folder.write_json(args.json, result)


if __name__ == "__main__":
    run_main(main)
