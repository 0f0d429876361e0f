"""第 1、2 课在由种子决定的时刻被 kill -9，再运行同一条命令：做得完，结果相同，没有多余的文件。

第 3 课的见 tests/test_hello_fine_tuning.py 的 test_killed_repeats_resume_and_agree_with_single_runs。

第 2 课从最近的检查点接着训练，打乱的顺序从那里重新开始，所以权重不逐位相同；要的是完整、走到同一步、没有多余的。
更多次的见 benchmarks/kills.py 与 benchmarks/storms.py。
"""

import json
import os
import random
import signal
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

import storm_child
from conftest import LESSONS_DIR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows 上没有 SIGKILL"),
]
LESSONS = {
    "hello_transfer_learning": ["--epochs", "1"],
    "hello_transfer_learning_2": ["--epochs", "1"],
}
SAME = ("labels.txt", "predictions.csv", "history.csv")


def run(lesson, photos, folder, *moment):
    options = ["--images-dir", photos, "--weights", "random", "--name", "run"]
    options += ["--output-dir", folder / "output", "--cache-dir", folder / "cache", *LESSONS[lesson]]
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    words = map(str, [LESSONS_DIR / f"{lesson}.py", *options])
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "STORM_LESSON": "\n".join(words)}
    command = [sys.executable, storm_child.__file__, "lesson", str(folder), *map(str, moment)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")


def names(folder):
    """全部的名字；TensorBoard 的记录、导出的模型以时间命名，换成同一个。"""
    found = set()
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        parts = ["时间" if part.startswith("events.out.") or part.isdecimal() else part for part in parts]
        if parts[0] == "output" and parts[1:2] == ["run_checkpoints"]:
            continue  # 检查点归 TensorFlow 管；下面只看它走到了哪一步
        found.add("/".join(parts))
    return found


def weights(folder):
    arrays = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    path = folder / "output" / "run" / "model.keras"
    if path.exists():
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as data, h5py.File(data) as file:
            file.visititems(keep)
    return arrays


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_killed_lesson_is_finished_by_the_same_command(lesson, first_flowers, tmp_path):
    photos = first_flowers(8)
    done = run(lesson, photos, tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    moments = random.Random(lesson)
    moment = moments.randint(1, int(done.stdout.split()[-1]))
    killed = run(lesson, photos, tmp_path / "killed", moment, moments.choice((0, 100, 300)))
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    done = run(lesson, photos, tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    whole, again = tmp_path / "whole", tmp_path / "killed"
    assert names(again) == names(whole) and not os.listdir(again / "tmp")
    metrics = [json.loads((folder / "output/run/metrics.json").read_text("utf-8")) for folder in (whole, again)]
    assert metrics[0].get("step") == metrics[1].get("step")
    if lesson != "hello_transfer_learning_2":
        for name in SAME:
            assert (again / "output/run" / name).read_bytes() == (whole / "output/run" / name).read_bytes()
        expected, found = weights(whole), weights(again)
        assert expected.keys() == found.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)
    for path in (whole / "cache").rglob("*.*"):
        assert (again / "cache" / path.relative_to(whole / "cache")).read_bytes() == path.read_bytes()
