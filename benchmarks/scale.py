"""照片从一千张到几万张：第 1 课的用时与内存怎样随张数变。内存应当几乎不变，用时应当成正比。

用法：python benchmarks/scale.py --work-dir 放画的花与缓存的文件夹 [--json docs/results/scale.json]

照片是画的花，从最多的规模开始，画好的留在 --work-dir 里。每个规模运行两种模型，各一轮，冻结部分都从头算。
"""

import json
import shutil
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

from frozen_prefix import LESSON, run

from toolbox import drawn_flowers, model_folder
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.run import run_main

COUNTS = [1000, 4000, 16000, 64000]


def main(argv=None):
    parser = ArgumentParser("用时与内存怎样随照片的张数变。")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="画的花与缓存放在哪里")
    parser.add_argument("--counts", type=positive_int, nargs="+", default=COUNTS, help="各规模的张数")
    parser.add_argument("--weights", default="auto", metavar="W", help="基础模型的权重")
    parser.add_argument("--json", type=Path, metavar="FILE", help="结果写到这个文件")
    args = parser.parse_args(argv)
    results = []
    for count in sorted(args.counts, reverse=True):  # 画花只会删去多出的，不必重画
        photos = drawn_flowers.draw_folder(args.work_dir / "photos", count // len(drawn_flowers.CLASS_NAMES))
        for model in ("seq", "model"):
            cache, output = args.work_dir / "cache", args.work_dir / "output"
            measured = run([
                LESSON, "--images-dir", photos, "--weights", args.weights, "--model", model, "--epochs", 1,
                "--cache-dir", cache, "--output-dir", output, "--name", "scale", "--replace",
            ])  # fmt: skip
            stages = json.loads((output / "scale" / "metrics.json").read_text(encoding="utf-8"))["seconds"]
            shutil.rmtree(cache)
            results.append({"photos": count, "model": model, **measured, "stages": stages})
            print(
                f"{count:>6} 张，{model:<6}{measured['seconds']:>8.0f} 秒，内存 {measured['peak_memory_mb']} MB，"
                f"{'，'.join(f'{name} {seconds:.0f}' for name, seconds in stages.items())}",
                flush=True,
            )
    if args.json:
        model_folder.write_json(args.json, results[::-1])


if __name__ == "__main__":
    run_main(main)
