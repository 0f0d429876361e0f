"""命令行的共同约定：中文帮助、一行中文错误、退出码、进度。

退出码：0 成功；1 意料之外的失败；2 输入有误（用户能改正）；130 被 Ctrl-C 中断。
"""

import argparse
import errno
import gc
import os
import re
import sys
import tempfile
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[3]
DATA_DIR = PROJECT_DIR / "data"
OUTPUT_DIR = PROJECT_DIR / "output"


class UserError(Exception):
    """用户能改正的错误。文字是一句中文：哪里不对，该怎么办。"""


# argparse 自带的英文句子 -> 中文。键是 argparse 源码里交给 gettext 的原文（Python 3.11 至 3.13）。
_ARGPARSE_CHINESE = {
    "usage: ": "用法：",
    "options": "选项",
    "positional arguments": "参数",
    "show this help message and exit": "显示这份帮助后退出",
    "argument %(argument_name)s: %(message)s": "选项 %(argument_name)s：%(message)s",
    "unrecognized arguments: %s": "不认识的选项或参数：%s",
    "the following arguments are required: %s": "缺少必需的参数：%s",
    "one of the arguments %s is required": "下列选项必须给出一个：%s",
    "not allowed with argument %s": "不能与 %s 同时使用",
    "ignored explicit argument %r": "不接受取值 %r",
    "expected one argument": "后面要跟一个值",
    "expected at most one argument": "后面最多跟一个值",
    "expected at least one argument": "后面至少要跟一个值",
    "expected %s argument": "后面要跟 %s 个值",
    "expected %s arguments": "后面要跟 %s 个值",
    "invalid %(type)s value: %(value)r": "值 %(value)r 不能当作 %(type)s",
    "invalid choice: %(value)r (choose from %(choices)s)": "没有 %(value)r 这个选择，可选：%(choices)s",
    "ambiguous option: %(option)s could match %(matches)s": "%(option)s 可能是 %(matches)s 中的任何一个，请写全",
}


class _ChineseHelpFormatter(argparse.HelpFormatter):
    """在每条帮助后注明默认值。"""

    def _get_help_string(self, action):
        text = action.help or ""
        has_default = action.default not in (None, argparse.SUPPRESS) and not isinstance(action.default, bool)
        if has_default and "%(default)" not in text:
            default = str(action.default).removeprefix(str(PROJECT_DIR) + os.sep)  # 项目里的路径写成相对的
            text += f"（默认 {default}）".replace("%", "%%")
        return text


class ArgumentParser(argparse.ArgumentParser):
    """中文的 argparse.ArgumentParser：每条帮助带默认值，出错时只有一行“错误：……”，退出码 2。"""

    def __init__(self, description, **kwargs):
        argparse._ = lambda text: _ARGPARSE_CHINESE.get(text, text)
        argparse.ngettext = lambda one, many, n: argparse._(one if n == 1 else many)
        kwargs.setdefault("formatter_class", _ChineseHelpFormatter)
        super().__init__(description=description, allow_abbrev=False, **kwargs)
        self.add_argument("--debug", action="store_true", help="出错时显示完整的调用栈")

    def error(self, message):
        print(f"错误：{message}。用 --help 查看全部选项。", file=sys.stderr)
        raise SystemExit(2)


def positive_int(text):
    """argparse 的 type：不小于 1 的整数。"""
    return _number(text, int, 1)


def non_negative_int(text):
    """argparse 的 type：不小于 0 的整数。"""
    return _number(text, int, 0)


def positive_float(text):
    """argparse 的 type：大于 0 的数。"""
    value = _number(text, float, 0)
    if value == 0:
        raise argparse.ArgumentTypeError("要大于 0")
    return value


def fraction(text):
    """argparse 的 type：0 至 0.5 的比例。"""
    value = _number(text, float, 0)
    if value > 0.5:
        raise argparse.ArgumentTypeError(f"要在 0 与 0.5 之间，给的是 {text}")
    return value


def _number(text, kind, minimum):
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} 不是{'整数' if kind is int else '数'}") from None
    if not minimum <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"要不小于 {minimum}，给的是 {text}")
    return value


def run(main, argv=None, when_interrupted="没有写出半成品；重新运行同一条命令即可。"):
    """运行一课的 main(argv)，把各种结局变成约定的退出码，然后退出进程。

    Args:
        main: 接受参数列表（或 None）的函数。
        argv: 传给 main 的参数；None 表示用 sys.argv。
        when_interrupted: Ctrl-C 时说的一句话：已保存什么、怎样继续。
    """
    if sys.stderr is sys.__stderr__:  # 另开一个：without_native_messages 拦住 2 号描述符时，Python 的信息照样显示
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding)
    for stream in (sys.stdout, sys.stderr):  # GBK 控制台遇到不能显示的字时不应崩溃
        stream.reconfigure(errors="replace", **({} if stream.isatty() else {"encoding": "utf-8"}))
    debug = "--debug" in (sys.argv if argv is None else argv)
    try:
        main(argv)
    except KeyboardInterrupt:
        print(f"\n已中断。{when_interrupted}", file=sys.stderr)
        _exit(130)
    except BrokenPipeError:  # 例如输出接到 head，读的一方先走了
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _exit(1)
    except (UserError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        print(f"错误：{explain(error)}", file=sys.stderr)
        _exit(2 if isinstance(error, (UserError, OSError)) else 1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()[:300]
        print(f"错误：程序没有料到的情况（{reason}）。加上 --debug 再运行一次可看到完整的调用栈。", file=sys.stderr)
        _exit(1)
    _exit(0)


def explain(error):
    """把异常说成一句中文：哪里不对，该怎么办。"""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "内存不够。请调小 --batch-size，或关掉别的程序。"
    where = f"（{error.filename}）" if getattr(error, "filename", None) else ""
    known = {
        "ENOSPC": "磁盘满了{}。请腾出空间，或用 --output-dir、--cache-dir 换一个磁盘。",
        "EDQUOT": "磁盘配额用完了{}。请腾出空间，或用 --output-dir、--cache-dir 换一个磁盘。",
        "EACCES": "没有权限{}。请换一个能读写的文件夹，或修改它的权限。",
        "EPERM": "没有权限{}。请换一个能读写的文件夹，或修改它的权限。",
        "EROFS": "这个磁盘是只读的{}。请用 --output-dir、--cache-dir 换一个能写的文件夹。",
        "ENOENT": "找不到文件或文件夹{}。请检查路径。",
        "ENOTDIR": "路径中有一段是文件，不是文件夹{}。请检查路径。",
        "EISDIR": "这里要的是文件，给的是文件夹{}。请检查路径。",
        "EEXIST": "已经有同名的文件{}。请换个名字，或先移走它。",
        "EMFILE": "打开的文件太多{}。请先运行 ulimit -n 4096 再试。",
    }
    other = f"系统报告：{error.strerror or error}{{}}。请检查路径与磁盘。"
    return known.get(errno.errorcode.get(error.errno), other).format(where)


def _exit(code):
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass
    gc.freeze()  # 进程就要结束，不必再在上百万个对象里找垃圾：快半秒
    if _loading_tensorflow.locked():  # 出错或被中断时还在载入：不等它，而库载入到一半不能照常退出
        os._exit(code)
    raise SystemExit(code)


@contextmanager
def without_native_messages():
    """其间由 C++ 直接写到标准错误的英文信息都收起来；出错时照样显示。

    TensorFlow 启动时的信息在它的日志系统就绪之前写出，TF_CPP_MIN_LOG_LEVEL 管不到，只能在文件描述符上拦。
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(screen, messages.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


_loading_tensorflow = threading.Lock()


def load_tensorflow():
    """导入并返回 tensorflow，不显示它启动时的一串英文信息；preload_tensorflow 正在载入，就等它。"""
    with _loading_tensorflow:
        if "tensorflow" not in sys.modules:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            with _without_garbage_collection(), without_native_messages():
                import absl.logging
                import tensorflow as tf

                absl.logging.set_verbosity(absl.logging.ERROR)
                tf.config.list_physical_devices()  # 找 GPU 也有一串信息，让它现在就说完
        return sys.modules["tensorflow"]


def preload_tensorflow():
    """在另一个线程里先载入起来；主线程等着别的进程检查照片时，解释器正好空着。之后照常调用 load_tensorflow。"""
    import imagehash  # noqa: F401
    import scipy.fftpack  # noqa: F401  两个线程都要用的库先导入好：同时第一次导入同一个库会出错

    def load():
        with suppress(Exception):  # 主线程调用 load_tensorflow 时会再遇到，由它来说
            load_tensorflow()

    threading.Thread(target=load, daemon=True).start()


@contextmanager
def _without_garbage_collection():
    """其间不找垃圾，之后也不再看其间建立的对象：上百万个都会一直用到最后，一遍遍扫描它们要半秒多。"""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


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


class Progress:
    """长步骤的进度：终端里是 tqdm 进度条（带速率与剩余时间）；输出不是终端时，隔几秒打一行。

    用法：with Progress("提取", total=1500, unit="张") as progress: progress.update(1)
    """

    def __init__(self, label, total, unit="张", unit_scale=False, seconds_between_lines=5.0):
        self._label, self._total, self._unit, self._unit_scale = label, total, unit, unit_scale
        self._interval = seconds_between_lines
        self._bar = None
        self._done = 0

    def __enter__(self):
        self._start = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._total,
                desc=self._label,
                unit=self._unit,
                unit_scale=self._unit_scale,
                bar_format="{desc}：{percentage:3.0f}%|{bar:30}| {n_fmt}/{total_fmt} {rate_fmt}，剩余 {remaining}",
            )
        return self

    def update(self, count=1):
        """又完成了 count 个。"""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= self._interval:
            self._last_line = time.monotonic()
            self._print_line()

    def _print_line(self):
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        left = f"，剩余约 {(self._total - self._done) / rate:.0f} 秒" if self._total and rate else ""
        print(
            f"{self._label}：{self._amount(self._done)}/{self._amount(self._total)}，每秒 {self._amount(rate)}{left}",
            flush=True,
        )

    def _amount(self, number):
        if number is None:
            return "?"
        if self._unit_scale:  # 字节
            return f"{number / 1e6:.1f} MB"
        return f"{number:.0f} {self._unit}"

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()
