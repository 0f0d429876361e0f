"""一次只让一个进程做；不能加锁的磁盘上，说一声，照做。"""

import errno

import filelock
import pytest

from toolbox.terminal import locks
from toolbox.terminal.errors import UserError


def test_two_at_once_are_refused(tmp_path):
    lock = locks.hold(tmp_path / "锁", "已有一个。")
    with pytest.raises(UserError, match="已有一个"):
        locks.hold(tmp_path / "锁", "已有一个。")
    lock.release()
    locks.hold(tmp_path / "锁", "已有一个。").release()


@pytest.mark.parametrize("number", sorted({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}))
def test_a_disk_that_cannot_lock_is_said_and_used(tmp_path, monkeypatch, capsys, number):
    def cannot(*_, **__):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", cannot)
    locks._say_it_cannot_lock.cache_clear()
    with locks.only_process(tmp_path / "锁", "已有一个。"), locks.one_process_at_a_time(tmp_path / "锁 2", "做"):
        pass
    assert capsys.readouterr().out.count("不能加锁") == 1


def test_other_errors_stay_errors(tmp_path):
    (tmp_path / "文件").touch()
    with pytest.raises(OSError):
        locks.hold(tmp_path / "文件" / "锁", "已有一个。")
