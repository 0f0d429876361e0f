"""old_scripts/ 里 Estimator 时代的脚本：只换 import tensorflow as tf 一行就能运行，学得会，也不冒出英文的警告。"""

import re
from pathlib import Path

import pytest

import old_script

SCRIPTS = sorted(Path(__file__).with_name("old_scripts").glob("*.py"))

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_runs_after_changing_only_its_import(path, tmp_path):
    if "pandas" in path.stem:
        pytest.importorskip("pandas", reason="pandas_input_fn 要有 pandas")
    text = path.read_text(encoding="utf-8")
    name = "tf1 as tf" if path.stem.startswith("v1_") else "tf"
    changed, count = re.subn(r"^import tensorflow as tf$", f"from toolbox.estimator import {name}", text, flags=re.M)
    assert count == 1
    done = old_script.run(changed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"^accuracy ([\d.]+)$", done.stdout, re.M)[1]) > 0.85
    assert done.stderr == ""
