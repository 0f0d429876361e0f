"""两个进程同时写同一处：谁也不出错，结果是完整的一份，没有多余的文件。

缓存的特征见 test_store.py，同时下载见 test_flower_photos.py，不同种子的画见 test_drawn_flowers.py。
"""

import os
import subprocess
import sys

import pytest

import storm_child
from conftest import LESSONS_DIR
from flower_archives import ARCHIVE
from storms import contents

REPLACING = f"""
import sys; sys.path.insert(0, {str(LESSONS_DIR)!r})
from toolbox import model_folder
from toolbox.terminal.errors import UserError
try:
    for _ in range(150):
        with model_folder.writing(sys.argv[1], "m") as results:
            model_folder.write_json(results / "settings.json", {{"by": sys.argv[2]}})
            (results / "saved_model").mkdir()
            model_folder.write_labels(results / "saved_model", [sys.argv[2]])
except UserError:
    sys.exit(2)
"""


def test_one_model_folder(tmp_path):
    both = [subprocess.Popen([sys.executable, "-c", REPLACING, str(tmp_path), who]) for who in "ab"]
    codes = [process.wait() for process in both]
    assert 0 in codes and set(codes) <= {0, 2}  # 后来的那一个等到了，或在开头就被拒绝
    assert contents(tmp_path) in [
        {
            "m": None,
            "m/saved_model": None,
            "m/saved_model/labels.txt": f"{who}\n".encode(),
            "m/settings.json": f'{{\n  "by": "{who}"\n}}\n'.encode(),
        }
        for who in "ab"
    ]


@pytest.mark.parametrize("operation", ["draw", "extract", "convert", "save"])
def test_the_same_command(operation, tmp_path):
    made = []
    for name, count in (("one", 1), ("two", 3)):
        folder = tmp_path / name
        (folder / "tmp").mkdir(parents=True)
        (folder / "a.tgz").write_bytes(ARCHIVE)
        environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
        command = [sys.executable, storm_child.__file__, operation, str(folder)]
        together = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(count)]
        codes = [process.wait() for process in together]
        assert 0 in codes and set(codes) <= ({0, 2} if operation == "save" else {0})  # 同名的模型文件夹：后来的被拒绝
        made.append(contents(folder))
    assert made[0] == made[1]
