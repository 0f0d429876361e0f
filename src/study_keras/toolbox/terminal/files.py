"""文件与文件夹：课程的几个固定位置，写在旁边再改名，一次只让一个进程做，SHA-256。

写了一半的东西叫 .{正式的名字}.{机器}.{进程}.{这次运行}-{第几个}.writing。名字里的机器、进程与运行合起来，
说得出它的主人还在不在：不在了的，下次开始时清掉。
"""

import functools
import hashlib
import itertools
import os
import re
import shutil
import socket
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from toolbox.terminal.errors import UserError

PROJECT_DIR = Path(__file__).resolve().parents[4]
DATA_DIR = PROJECT_DIR / "data"
OUTPUT_DIR = PROJECT_DIR / "output"

_RUN = os.urandom(4).hex()  # 容器里每次运行常是同一个进程号，靠它分得清
_numbers = itertools.count()
_ASIDE = re.compile(r"\.(.+)\.([0-9a-f]{8})\.(\d{1,9})\.([0-9a-f]{8})-\d+\.(writing|old)", re.DOTALL)


def absolute(path):
    """展开 ~ 与链接之后的绝对路径（Path）；指回自己的链接原样给出，由打开它的一步去说，Path.resolve 会在这里出错。"""
    return Path(os.path.realpath(os.path.expanduser(path)))


def sha256_of(path):
    """文件的 SHA-256，十六进制小写。"""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_aside(path, reproducible=False):
    """打开一个写在 path 旁边的文件；正常结束时改名为 path，出错或中断时删掉。

    Args:
        path: 正式的名字；已有同名文件就换掉。
        reproducible: 同名必同内容，坏了也认得出、算得回来（缓存的各段）：已有就保留已有的，
            也不等内容落到磁盘（fsync）就改名，断电时最多要重算。

    Raises:
        OSError: 写不了；filename 是 path。
    """
    path = Path(path)
    aside = _aside(path, "writing")
    try:
        with open(aside, "xb") as file:  # x：不会顺着别人放好的链接写到别处
            yield file
            if not reproducible:
                file.flush()
                os.fsync(file.fileno())
        if not (reproducible and path.exists()):
            os.replace(aside, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # 磁盘满了的错误自己不带文件名
        raise
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_written_aside(target):
    """给出 target 旁边的一个新文件夹；正常结束时改名为 target（已有的换掉），出错或中断时删掉。"""
    target = Path(target)
    with temporary_folder(target.name, target.parent) as aside:
        yield aside
        for path in aside.rglob("*"):
            if path.is_file():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
        _replace_folder(aside, target)


@contextmanager
def temporary_folder(name, parent=None):
    """给出 parent（默认是系统的临时文件夹）里的一个新文件夹，用完删掉；名字里有 name。

    Raises:
        UserError: 没有能写的临时文件夹。
    """
    private = parent is None
    try:
        parent = Path(tempfile.gettempdir() if private else parent)
    except FileNotFoundError:
        raise UserError("没有能写的临时文件夹。请腾出磁盘空间，或把环境变量 TMPDIR 设成一个能写的文件夹。") from None
    remove_leftovers(parent)
    folder = _aside(parent / name, "writing")
    try:
        folder.mkdir(0o700 if private else 0o777)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace_folder(aside, target):
    """让 aside 取代 target。若恰在两次改名之间被强行结束，下次开始时把旧的放回去。"""
    old = _aside(target, "old")
    try:
        while True:
            with suppress(FileNotFoundError):
                os.replace(target, old)
            try:
                os.replace(aside, target)
                return
            except OSError:
                if not target.exists():
                    raise
            _clear(old, target)  # 同时运行的另一个进程刚刚换上了它的：再换一次
    finally:
        _clear(old, target)


def remove_leftovers(folder):
    """清掉本机被强行结束的进程留在 folder 里的半成品；别的机器的、还在运行的进程的不动。"""
    for path in Path(folder).glob(".*"):
        found = _ASIDE.fullmatch(path.name)
        if found and not _owner_is_running(*found.group(2, 3, 4)):
            with suppress(OSError):  # 别人的，或另一个进程正在清
                _clear(path, path.with_name(found[1]))


def _clear(path, target):
    """删掉半成品 path；它若是让了位的旧文件夹，而正式的名字 target 空着，就放回去。"""
    if path.name.endswith(".old") and path.exists() and not target.exists():
        os.replace(path, target)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _aside(path, kind):
    return path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.{_RUN}-{next(_numbers)}.{kind}")


def _owner_is_running(machine, pid, run):
    if machine != _machine():
        return True
    return run == _RUN if int(pid) == os.getpid() else is_running(int(pid))


@functools.cache
def _machine():
    """这台机器的代号，Linux 上细到容器：进程号只在同一个容器里才说明什么。"""
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    return hashlib.sha256(os.fsencode(socket.gethostname() + container)).hexdigest()[:8]


def is_running(pid):
    """本机上编号为 pid 的进程还在不在；Windows 上不便查，一律当作还在。"""
    if sys.platform == "win32":  # 在 Windows 上 os.kill 会真的结束进程
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def only_process(lock_file, refusal):
    """里面只能有一个进程；别的进程已经在里面就不等，立刻说 refusal。进程一结束锁就没有了，不论怎样结束。

    Raises:
        UserError: 别的进程在里面；文字是 refusal。
    """
    import filelock

    lock = filelock.FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(refusal) from None
    try:
        yield
    finally:
        with suppress(OSError):  # 趁还锁着删掉，不留在读者的文件夹里；Windows 上删不掉开着的文件
            os.unlink(lock_file)
        lock.release()


@contextmanager
def one_process_at_a_time(lock_file, doing):
    """同一时刻只有一个进程在里面；别的进程等着，并说明在等什么。进程一结束锁就没有了，不论怎样结束。"""
    import filelock

    lock = filelock.FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"另一个进程正在{doing}，等它结束……", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
