"""异常说成的一句中文：怪对地方，办法也对。"""

import errno

import pytest

from toolbox.terminal.errors import UserError, disk_errors, explain


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
