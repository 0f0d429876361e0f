"""异常说成的一句中文：怪对地方，办法也对。"""

import errno
import shutil
import time
from collections import namedtuple

import pytest

from toolbox.terminal.errors import UserError, disk_errors, explain, recognized, wrong_clock


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_the_remedy_for_a_full_disk_fits_the_place(code):
    assert "--output-dir" in explain(OSError(code, "x"))
    with (
        pytest.raises(UserError, match=r"（/权重）。.*，或改 KERAS_HOME。") as failure,
        disk_errors("/权重", "改 KERAS_HOME"),
    ):
        raise OSError(code, "x")
    assert "--output-dir" not in str(failure.value)


def test_the_file_that_is_known_is_named():
    with pytest.raises(UserError, match="找不到文件或文件夹（/a/b）"), disk_errors("/a", "换一处"):
        raise FileNotFoundError(errno.ENOENT, "x", "/a/b")


def test_errors_that_are_no_disk_errors_pass():
    with pytest.raises(UserError, match="^甲。$"), disk_errors("/a", "换一处"):
        raise UserError("甲。")
    with pytest.raises(ValueError), disk_errors("/a", "换一处"):
        raise ValueError


def test_a_name_with_braces_is_shown_as_it_is():
    assert "（{x}）" in explain(OSError(errno.EIO, "broken {}", "{x}"))


@pytest.mark.parametrize(("free", "is_blamed"), [(0, True), (10**9, False)])
def test_a_full_temporary_folder_is_blamed_only_when_it_is_full(monkeypatch, free, is_blamed):
    """临时文件没有名字，错误里也就没有：不能怪到别的文件夹上。"""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(free))
    with pytest.raises(UserError) as failure, disk_errors("/结果", "换 --output-dir"):
        raise OSError(errno.ENOSPC, "x")
    assert ("TMPDIR" in str(failure.value)) == is_blamed
    assert ("/结果" in str(failure.value)) != is_blamed
    assert "TMPDIR" not in explain(OSError(errno.ENOSPC, "x", "/有名字的"))


def test_a_full_disk_reported_by_tensorflow_is_recognized():
    assert recognized(RuntimeError("a/b.data; No space left on device [Op:SaveV2]")).errno == errno.ENOSPC


def test_what_is_not_known_stays_as_it_is():
    for error in (RuntimeError("shape mismatch"), UserError("x"), OSError(errno.EIO, "x"), MemoryError()):
        assert recognized(error) is error


def test_an_error_of_ours_inside_tensorflow_is_taken_out():
    text = "Error in user-defined function: UserError: 照片 a.jpg 读不出来了。\nTraceback (most recent call last):\n  x"
    inner = recognized(RuntimeError(text))
    assert isinstance(inner, UserError) and str(inner) == "照片 a.jpg 读不出来了。"


def test_memory_that_tensorflow_has_not_is_memory():
    assert isinstance(recognized(RuntimeError("OOM when allocating tensor with shape[1]")), MemoryError)


def test_names_in_explanations_cannot_disturb_the_screen():
    assert r"（a\x1b[31m\nb\u2028c）" in explain(OSError(errno.EIO, "x", "a\x1b[31m\nb\u2028c"))


def test_a_clock_that_was_never_set_is_named(monkeypatch):
    assert wrong_clock() == ""
    monkeypatch.setattr(time, "localtime", lambda: time.gmtime(0))
    assert "1970 年" in wrong_clock() and "校准" in wrong_clock()
