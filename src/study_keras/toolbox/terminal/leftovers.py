"""写了一半的东西：叫什么名字，主人不在了就清掉。

名字是 .{正式的名字}.{机器}.{进程}.{这次运行}-{第几个}.writing（让了位的旧东西是 .old）。名字里的机器、进程与运行
合起来，说得出它的主人还在不在：不在了的，下次开始时清掉。
"""

import functools
import hashlib
import itertools
import os
import re
import shutil
import socket
import sys
import uuid
from contextlib import suppress
from pathlib import Path

_RUN = os.urandom(4).hex()  # 容器里每次运行常是同一个进程号，靠它分得清
_numbers = itertools.count()
_ASIDE = re.compile(r"\.(.+)\.([0-9a-f]{8})\.(\d{1,9})\.([0-9a-f]{8})-\d+\.(writing|old)", re.DOTALL)


def is_leftover(name):
    """name 是不是写了一半的东西的名字。"""
    return _ASIDE.fullmatch(name) is not None


def remove_leftovers(folder):
    """清掉本机被强行结束的进程留在 folder 里的半成品；别的机器的、还在运行的进程的不动。"""
    for path in Path(folder).glob(".*"):
        found = _ASIDE.fullmatch(path.name)
        if found and not _owner_is_running(*found.group(2, 3, 4)):
            with suppress(OSError):  # 别人的，或另一个进程正在清
                clear(path, path.with_name(found[1]))


def clear(path, target):
    """删掉半成品 path；它若是让了位的旧文件夹，而正式的名字 target 空着，就放回去。"""
    if path.name.endswith(".old") and path.exists() and not target.exists():
        os.replace(path, target)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def aside_of(path, kind="writing"):
    """写 path 时先用的名字，在它旁边；主人不在了，remove_leftovers 会清掉。"""
    return path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.{_RUN}-{next(_numbers)}.{kind}")


def _owner_is_running(machine, pid, run):
    if machine not in (_machine(), _machine(with_address=False)):  # 后者是以前的版本写的
        return True
    return run == _RUN if int(pid) == os.getpid() else is_running(int(pid))


@functools.cache
def _machine(with_address=True):
    """这台机器的代号，Linux 上细到容器：进程号只在同一个容器里才说明什么。同名的机器（克隆来的）靠网卡的地址分得清。"""
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    node = uuid.getnode()
    has_address = with_address and not node >> 40 & 1  # 这一位是 1：没有网卡，是这次运行随机取的
    address = f"{node:x}" if has_address else ""
    return hashlib.sha256(os.fsencode(socket.gethostname() + container + address)).hexdigest()[:8]


def is_running(pid):
    """本机上编号为 pid 的进程还在不在。"""
    if sys.platform == "win32":  # 在 Windows 上 os.kill 会真的结束进程
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_running_on_windows(pid):
    """打得开、而且还没有退出码的，或不让打开的，都还在。"""
    import ctypes

    query, access_denied, still_active = 0x1000, 5, 259  # PROCESS_QUERY_LIMITED_INFORMATION 等，见 winbase.h
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.OpenProcess.restype = ctypes.c_void_p
    handle = kernel32.OpenProcess(query, False, pid)
    if not handle:
        return ctypes.get_last_error() == access_denied
    code = ctypes.c_ulong()
    known = kernel32.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(code))
    kernel32.CloseHandle(ctypes.c_void_p(handle))
    return not known or code.value == still_active
