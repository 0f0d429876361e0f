"""许多次风暴：随机弄坏的输入，每种十万个；在随机的时刻被 kill -9，每种许多次。有一次不合约定就以退出码 1 结束。

用法：python benchmarks/storms.py --json docs/results/storms.json [--seconds 600]
试过的记在那个文件里，再运行就接着试；第 i 次的输入、时刻只由 i 决定，出了毛病可以重现。
输入与检查见 tests/support/fuzzing.py。
"""

import contextlib
import io
import itertools
import random
import sys
import tempfile
import time
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT_DIR / folder) for folder in ("src/study_keras", "tests", "tests/support")]

from toolbox.terminal.arguments import ArgumentParser, non_negative_int
from toolbox.terminal.records import read_json, write_json
from toolbox.terminal.run import run_main

_IN_MEMORY = Path("/dev/shm")  # 有就用它：十万个小文件不必真的写到磁盘
_INPUTS_BETWEEN_SAVES = 500


def one_input(name, number, folder):
    """第 number 个输入的结局；不合约定就是异常。"""
    from fuzzing import TARGETS

    make, check = TARGETS[name]
    return check(make(random.Random(f"{name} {number}")), folder)


def one_kill(storm, number, folder):
    killed = storm.kill_and_go_on(random.Random(f"{storm.operation} {number}"), number)
    return "杀到了" if killed else "还没杀就做完了"


def attempt(record, try_one, *arguments):
    """试一次，记下结局。"""
    number = record["tried"]
    try:
        outcome = try_one(*arguments)
    except Exception as error:
        record["faults"].append({"number": number, "error": f"{type(error).__name__}: {error}"[:500]})
    else:
        record["outcomes"][outcome] = record["outcomes"].get(outcome, 0) + 1
    record["tried"] += 1


def fuzz(name, record, most, deadline):
    """试到 most 个，或到时候为止；每隔一段给出一次，好存盘。"""
    parent = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        while record["tried"] < most and time.monotonic() < deadline:
            for _ in range(min(_INPUTS_BETWEEN_SAVES, most - record["tried"])):
                with contextlib.redirect_stdout(io.StringIO()):
                    attempt(record, one_input, name, record["tried"], Path(folder))
            yield


def kill(operation, record, most, deadline):
    from storms import Storm, new_server

    if record["tried"] >= most or time.monotonic() > deadline:
        return
    with tempfile.TemporaryDirectory() as folder, new_server() as server:
        storm = Storm(operation, Path(folder), server)
        while record["tried"] < most and time.monotonic() < deadline:
            attempt(record, one_kill, storm, record["tried"], Path(folder))
            yield


def turns(results, args, deadline):
    """轮流试各种：时间不够时，每种都试到一些。"""
    from fuzzing import TARGETS
    from storm_child import OPERATIONS

    kinds = [(fuzz, "inputs", name, args.inputs) for name in TARGETS]
    kinds += [(kill, "kills", name, args.kills) for name in OPERATIONS]
    running = []
    for run, group, name, most in kinds:
        record = results.setdefault(group, {}).setdefault(name, {"tried": 0, "outcomes": {}, "faults": []})
        running.append((group, name, record, run(name, record, most, deadline)))
    while running:
        for turn in list(running):
            group, name, record, steps = turn
            if next(steps, "完了") == "完了":
                running.remove(turn)
            else:
                yield group, name, record


def main(argv=None):
    parser = ArgumentParser("许多次风暴：随机弄坏的输入，随机的时刻被强行结束。")
    parser.add_argument("--inputs", type=non_negative_int, default=100_000, metavar="N", help="每种输入试到几个")
    parser.add_argument("--kills", type=non_negative_int, default=200, metavar="N", help="每件事杀到几次")
    parser.add_argument("--seconds", type=non_negative_int, default=86_400, metavar="N", help="最多试几秒，下次接着试")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="结果写到这个文件；已有就接着试")
    args = parser.parse_args(argv)
    results = read_json(args.json) or {}
    for count, (group, name, record) in enumerate(turns(results, args, time.monotonic() + args.seconds)):
        write_json(args.json, results)
        if count % 10 == 0:
            print(f"{group} {name}：试了 {record['tried']} 次，不合约定 {len(record['faults'])} 次", flush=True)
    records = list(itertools.chain.from_iterable(group.items() for group in results.values()))
    for name, record in records:
        print(f"{name}：试了 {record['tried']} 次，结局 {record['outcomes']}，不合约定 {len(record['faults'])} 次")
    if any(record["faults"] for _, record in records):
        raise RuntimeError("有不合约定的，见结果里的 faults")


if __name__ == "__main__":
    run_main(main)
