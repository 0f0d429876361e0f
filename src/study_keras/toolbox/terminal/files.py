"""文件与文件夹：课程的几个固定位置，写在旁边再改名，不换掉别人的东西，SHA-256。"""

import fnmatch
import hashlib
import itertools
import os
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from toolbox.terminal.errors import UserError
from toolbox.terminal.leftovers import aside_of, clear, is_leftover, remove_leftovers
from toolbox.terminal.text import visible

PROJECT_DIR = Path(__file__).resolve().parents[4]
DATA_DIR = PROJECT_DIR / "data"
OUTPUT_DIR = PROJECT_DIR / "output"

SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}  # 操作系统自己放进文件夹的
_LEFT_BY_OTHERS = re.compile(  # 还有网络硬盘、笔记本、正开着文件的办公软件
    rf"{'|'.join(SYSTEM_FILES)}|\.ds_store|\._.*|\.directory|@eadir|\.ipynb_checkpoints|\.~lock\..*#|~\$.*", re.I
)


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
            _flush_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # 磁盘满了的错误自己不带文件名
        raise
    finally:
        aside.unlink(missing_ok=True)


def write_aside(path, content, **options):
    """把 content（bytes）写成 path；options 与出错同 written_aside。"""
    with written_aside(path, **options) as file:
        file.write(content)


def _replace_file(aside, path, or_beside):
    try:
        os.replace(aside, path)
    except PermissionError:
        if not or_beside:
            raise
        print(_keep_beside(aside, path), file=sys.stderr)


def _keep_beside(aside, path):
    """path 换不掉：做好的不丢，给它旁边没有人用的名字。返回要说的一句。"""
    other = unused(path)
    os.replace(aside, other)
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
        for path in [aside, *aside.rglob("*")]:
            if path.is_dir():
                _flush_folder(path)
            elif path.is_file():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
        _replace_folder(aside, target)
        _flush_folder(target.parent)


def refuse_foreign(target, mark, written, kind, remedy):
    """target 要整个换掉：它若不是课程写的，或里面还有别的东西，就拒绝，免得弄丢。

    Args:
        target: 文件夹；没有、是空的都行。
        mark: 课程写的文件夹里必有的文件。
        written: 课程会写在里面的，同 foreign_names；None 表示不看有没有别的。
        kind: 它该是什么，如“模型文件夹”。
        remedy: 该怎么办，一句话。

    Raises:
        UserError: target 是文件，没有 mark，或有课程不会写的东西。
    """
    if target.is_file():
        raise UserError(f"{visible(target)} 是一个文件，不是{kind}。{remedy}")
    if target.is_dir() and any(map(_somebodys, os.listdir(target))) and not (target / mark).exists():
        raise UserError(f"{visible(target)} 已存在，而且不是{kind}。{remedy}")
    if written is not None and (foreign := foreign_names(target, written)):
        named = "、".join(map(visible, foreign[:3])) + ("等" if len(foreign) > 3 else "")
        raise UserError(f"{visible(target)} 里有不是课程写的东西（{named}），换掉整个文件夹会弄丢它们。{remedy}")


def foreign_names(folder, written):
    """folder 里（连同各层子文件夹）课程不会写的文件，相对路径，排好序；没有 folder 就是空的。

    Args:
        written: 课程会写的相对路径，用 / 分隔，可以有通配符（* 也代表 /）。系统与别的程序顺手放的、写了一半的不算。
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=_unless_missing):
        inside = Path(place).relative_to(folder)
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = filter(_somebodys, folders)
        found += [(inside / name).as_posix() for name in filter(_somebodys, files + links)]
    return sorted(path for path in found if not any(fnmatch.fnmatchcase(path, pattern) for pattern in written))


def _unless_missing(error):
    if not isinstance(error, FileNotFoundError):
        raise error


def _somebodys(name):
    return not is_leftover(name) and not _LEFT_BY_OTHERS.fullmatch(name)


def _flush_folder(folder):
    """让文件夹里的名字落到磁盘：没有这一步，断电可以回到改名之前。Windows 上没有这个办法。"""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # 有的网络文件系统不支持
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


def _replace_folder(aside, target):
    """让 aside 取代 target。若恰在两次改名之间被强行结束，下次开始时把旧的放回去。"""
    old = aside_of(target, "old")
    try:
        while True:
            try:
                os.replace(target, old)
            except FileNotFoundError:
                pass
            except PermissionError:
                raise UserError(f"{_keep_beside(aside, target)}请关掉那个程序，再改名，或直接用它。") from None
            try:
                return os.replace(aside, target)
            except OSError:
                if not target.exists():
                    raise
            clear(old, target)  # 同时运行的另一个进程刚刚换上了它的：再换一次
    finally:
        clear(old, target)
