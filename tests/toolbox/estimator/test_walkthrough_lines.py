"""原教程自己的几行：各自的错误是什么，改好的一行有效（脚本在 tests/support/walkthrough_lines.py）。"""

import re

import pytest

import old_script
from conftest import PROJECT_DIR


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    code = (PROJECT_DIR / "tests" / "support" / "walkthrough_lines.py").read_text(encoding="utf-8")
    done = old_script.run(code, tmp_path_factory.mktemp("walkthrough"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_never_ends(shown):
    assert "batches 100 of 2" in shown


def test_numpy_input_fn_wants_arrays(shown):
    assert re.search(r"^list (TypeError|ValueError) .*(dict|array)", shown, re.M)


def test_the_listener_must_be_in_a_list(shown):
    assert re.search(r"^listener TypeError .*not iterable", shown, re.M)


def test_one_epoch_ends_after_one_step(shown):
    assert "steps 1\n" in shown
    assert "saved at 1" in shown


def test_the_mended_lines_train_five_steps(shown):
    assert "mended 6\n" in shown
