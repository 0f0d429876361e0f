"""命令行的共同约定：中文帮助、一行中文错误、退出码、进度。

退出码：0 成功；1 意料之外的失败；2 输入有误（用户能改正）；130 被 Ctrl-C 中断。
"""

import gc
import os
import re
import signal
import sys
import traceback
from contextlib import suppress

from toolbox.terminal import packages
from toolbox.terminal.errors import UserError, explain, recognized
from toolbox.terminal.files import temporary_files_together
from toolbox.terminal.tensorflow_start import is_loading
from toolbox.terminal.text import console_bytes, visible


def run_main(main, argv=None, when_interrupted="没有写出半成品；重新运行同一条命令即可。"):
    """运行一课的 main(argv)，把各种结局变成约定的退出码，然后退出进程。

    Args:
        main: 接受参数列表（或 None）的函数。
        argv: 传给 main 的参数；None 表示用 sys.argv。
        when_interrupted: Ctrl-C 时说的一句话：已保存什么、怎样继续。
    """
    _prepare_streams()
    _end_at_the_second_interrupt(when_interrupted)
    debug = "--debug" in (sys.argv if argv is None else argv)
    try:
        with temporary_files_together():
            main(argv)
    except KeyboardInterrupt:
        print(f"\n已中断。{when_interrupted}", file=sys.stderr)
        _exit(130)
    except SystemExit as done:
        _exit(done.code or 0)
    except BrokenPipeError:  # 例如输出接到 head，读的一方先走了
        _give_up_output()
        _exit(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        text, code = _told(recognized(error))
        print(f"错误：{text}", file=sys.stderr)
        _exit(code)
    _exit(0)


def _prepare_streams():
    """终端以外的输出用 UTF-8，除非读者用 PYTHONIOENCODING 另外说了；GBK 控制台遇到不能显示的字也不崩溃。"""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # 用的就是空着的这一号：别的文件不会占了去
    for name in ("stdout", "stderr"):  # 关掉了的（>&-、pythonw）：写了也没有人看
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    if sys.stderr is sys.__stderr__:  # 另开一个：without_native_messages 拦住 2 号描述符时，Python 的信息照样显示
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding)
    asked = os.environ.get("PYTHONIOENCODING", "")
    for stream in (sys.stdout, sys.stderr):
        keep_encoding = stream.isatty() or asked.partition(":")[0]
        stream.reconfigure(errors="replace", **({} if keep_encoding else {"encoding": "utf-8"}))


def _end_at_the_second_interrupt(when_interrupted):
    """第一次 Ctrl-C 照常（KeyboardInterrupt，各步收拾好再停）；收拾时又按一次，说一句就立刻结束。"""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # 后台运行的命令不理 Ctrl-C，照旧
        return
    message = console_bytes(f"\n已强行结束。{when_interrupted}\n")

    def end(*_):
        os.write(2, message)  # print 可能正被打断在半途
        os._exit(130)

    def interrupt(*arguments):
        signal.signal(signal.SIGINT, end)
        signal.default_int_handler(*arguments)

    signal.signal(signal.SIGINT, interrupt)


def _told(error):
    """(说 error 的一句话, 退出码)。"""
    if isinstance(error, (UserError, OSError)):
        return visible(explain(error)), 2
    if isinstance(error, MemoryError):
        return explain(error), 1
    if isinstance(error, ModuleNotFoundError) and error.name in packages.REQUIRED:
        return f"{packages.lacking(error.name)}。{packages.remedy()}", 2
    reason = visible(re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()[:300])
    return f"程序没有料到的情况（{reason}）。加上 --debug 再运行一次可看到完整的调用栈。", 1


def _give_up_output():
    """标准输出写不出去了：其余的不要了，免得 Python 结束时再写一次，又出一段英文。"""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _exit(code):
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        code = code or 1
    except OSError as error:  # 重定向到的磁盘满了
        _give_up_output()
        if code in (0, 3):  # 别的错误已经说过了
            print(f"错误：标准输出没有写完：{visible(explain(error))}", file=sys.stderr)
            code = 2
    with suppress(OSError):
        sys.stderr.flush()
    gc.freeze()  # 进程就要结束，不必再在上百万个对象里找垃圾：快半秒
    if is_loading():  # 出错或被中断时还在载入：不等它，而库载入到一半不能照常退出
        os._exit(code)
    raise SystemExit(code)
