"""文件与文件夹：课程的几个固定位置，写在旁边再改名，SHA-256。"""

import hashlib
import itertools
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from toolbox.terminal.errors import UserError
from toolbox.terminal.leftovers import aside_of, clear, remove_leftovers
from toolbox.terminal.text import visible

PROJECT_DIR = Path(__file__).resolve().parents[4]
DATA_DIR = PROJECT_DIR / "data"
OUTPUT_DIR = PROJECT_DIR / "output"


def absolute(path):
    """展开 ~ 与链接之后的绝对路径（Path）；指回自己的链接原样给出，由打开它的一步去说，Path.resolve 会在这里出错。"""
    return Path(os.path.realpath(os.path.expanduser(path)))


def sha256_of(path):
    """文件的 SHA-256，十六进制小写。"""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_aside(path, reproducible=False, or_beside=False):
    """打开一个写在 path 旁边的文件；正常结束时改名为 path，出错或中断时删掉。

    Args:
        path: 正式的名字；已有同名文件就换掉。
        reproducible: 同名必同内容，坏了也认得出、算得回来（缓存的各段）：已有就保留已有的，
            也不等内容落到磁盘（fsync）就改名，断电时最多要重算。
        or_beside: 已有的换不掉（Windows 上正被 Excel 之类开着）时，改用旁边的名字，说出来；不给就是 OSError。

    Raises:
        OSError: 写不了；filename 是 path。
    """
    path = Path(path)
    aside = aside_of(path)
    try:
        with open(aside, "xb") as file:  # x：不会顺着别人放好的链接写到别处
            yield file
            if not reproducible:
                file.flush()
                os.fsync(file.fileno())
        if not (reproducible and path.exists()):
            _replace_file(aside, path, or_beside)
        if not reproducible:
            flush_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(aside)):  # 磁盘满了的错误自己不带文件名
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def write_aside(path, content, **options):
    """把 content（bytes）写成 path；options 与出错同 written_aside。"""
    with written_aside(path, **options) as file:
        file.write(content)


def _rename(source, target):
    """os.replace；Windows 上杀毒、索引、网盘同步会把刚写完的文件占住片刻，所以多试几秒。"""
    for _ in range(50 if sys.platform == "win32" else 0):
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(0.1)
    return os.replace(source, target)


def _replace_file(aside, path, or_beside):
    try:
        _rename(aside, path)
    except PermissionError:
        if not or_beside:
            raise
        print(_keep_beside(aside, path), file=sys.stderr)


def _keep_beside(aside, path):
    """path 换不掉：做好的不丢，给它旁边没有人用的名字。返回要说的一句。"""
    other = unused(path)
    _rename(aside, other)
    return f"{visible(path)} 换不掉（正被别的程序开着，或没有权限），写好的在 {visible(other)}。"


def unused(path):
    """path，或在名字后添上 _2、_3……的第一个还没有的。"""
    if not os.path.lexists(path):
        return path
    tries = (path.with_name(f"{path.stem}_{number}{path.suffix}") for number in itertools.count(2))
    return next(path for path in tries if not os.path.lexists(path))


@contextmanager
def folder_written_aside(target):
    """给出 target 旁边的一个新文件夹；正常结束时改名为 target（已有的换掉），出错或中断时删掉。

    Raises:
        UserError: 已有的换不掉（Windows 上里面有文件正被别的程序开着）；写好的改名为 target_2，不丢。
    """
    target = Path(target)
    with temporary_folder(target.name, target.parent) as aside:
        yield aside
        _flush_tree(aside)
        _replace_folder(aside, target)
        flush_folder(target.parent)


def _flush_tree(folder):
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            flush_folder(path)
        elif path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())


def flush_folder(folder):
    """让文件夹里的名字落到磁盘：没有这一步，断电可以回到改名之前。Windows 上没有这个办法。"""
    if os.name != "nt":
        with suppress(OSError):  # 有的网络文件系统不支持；只许写、不许看的文件夹打不开
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


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
    folder = aside_of(parent / name)
    try:
        folder.mkdir(0o700 if private else 0o777)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_files_together():
    """其间这个进程与它启动的进程（pip、工作进程）的临时文件，都在一个自己的文件夹里，结束时删掉。

    TensorFlow 会在系统的临时文件夹里留下 __autograph_generated_file*.py；这样，即使被强行结束，下次开始时也都清掉。
    """
    with ExitStack() as stack:
        with suppress(OSError, UserError):  # 没有能写的临时文件夹：用到它的一步会说
            folder = str(stack.enter_context(temporary_folder("study_keras")))
            before = tempfile.tempdir, os.environ.get("TMPDIR")
            stack.callback(_use_temporary_folder, *before)
            _use_temporary_folder(folder, folder)
        yield


def _use_temporary_folder(tempdir, variable):
    tempfile.tempdir = tempdir
    if variable is None:
        os.environ.pop("TMPDIR", None)
    else:
        os.environ["TMPDIR"] = variable


def _put_copy(aside, target):
    copy = aside_of(target)
    try:
        _copy(aside, copy)
        try:
            _rename(copy, target)
        except PermissionError:  # 抄的这份也被占住了：直接抄过去，这样被强行结束会只有一半
            _copy(copy, target)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _copy(folder, target):
    """把文件夹抄成 target；抄不完就删掉抄了的。不用 copytree：它把出的错变成一串文字。"""
    try:
        for path in [folder, *folder.rglob("*")]:
            place = target / path.relative_to(folder)
            if path.is_dir():
                place.mkdir()
            else:
                shutil.copyfile(path, place)
        _flush_tree(target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _replace_folder(aside, target):
    """让 aside 取代 target。若恰在两次改名之间被强行结束，下次开始时把旧的放回去。"""
    old = aside_of(target, "old")
    try:
        while True:
            try:
                _rename(target, old)
            except FileNotFoundError:
                pass
            except PermissionError:
                raise UserError(f"{_keep_beside(aside, target)}请关掉那个程序，再改名，或直接用它。") from None
            try:
                return _rename(aside, target)
            except PermissionError:
                if not target.exists():  # Windows 上里面有文件被占住：用抄的一份，不丢掉做好的
                    return _put_copy(aside, target)
            except OSError:
                if not target.exists():
                    raise
            clear(old, target)  # 同时运行的另一个进程刚刚换上了它的：再换一次
    finally:
        clear(old, target)
