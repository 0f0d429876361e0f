"""一次只让一个进程做。锁随进程一起没有，不论它怎样结束。"""

import errno
import functools
import os
from contextlib import contextmanager, suppress

from toolbox.terminal.errors import UserError

_CANNOT_LOCK = errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS


@contextmanager
def only_process(lock_file, refusal):
    """里面只能有一个进程；别的进程已经在里面就不等，立刻说 refusal。进程一结束锁就没有了，不论怎样结束。

    Raises:
        UserError: 别的进程在里面；文字是 refusal。
    """
    lock = hold(lock_file, refusal)
    try:
        yield
    finally:
        with suppress(OSError):  # 趁还锁着删掉，不留在读者的文件夹里；Windows 上删不掉开着的文件
            os.unlink(lock_file)
        lock.release()


@contextmanager
def one_process_at_a_time(lock_file, doing):
    """同一时刻只有一个进程在里面；别的进程等着，并说明在等什么。进程一结束锁就没有了，不论怎样结束。"""
    lock, free = _try(lock_file)
    if not free:
        print(f"另一个进程正在{doing}，等它结束……", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def hold(lock_file, refusal):
    """占住 lock_file，返回锁；一直占到它的 release，或这个进程结束。

    Raises:
        UserError: 别的进程占着；文字是 refusal。
    """
    lock, free = _try(lock_file)
    if not free:
        raise UserError(refusal)
    return lock


def _try(lock_file):
    """(锁, 占住了没有)，不等。"""
    import filelock

    lock = filelock.FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return lock, False
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        _say_it_cannot_lock()
    return lock, True


@functools.cache
def _say_it_cannot_lock():
    print("注意：这个磁盘不能加锁（有的网络硬盘是这样）：请不要同时运行两次。", flush=True)
