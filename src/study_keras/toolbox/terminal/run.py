"""命令行的共同约定：中文帮助、一行中文错误、退出码、进度。

退出码：0 成功；1 意料之外的失败；2 输入有误（用户能改正）；130 被 Ctrl-C 中断。
"""

import gc
import os
import re
import sys
import traceback

from toolbox.terminal.errors import UserError, explain, full_disk
from toolbox.terminal.files import temporary_files_together
from toolbox.terminal.tensorflow_start import is_loading
from toolbox.terminal.text import visible


def run_main(main, argv=None, when_interrupted="没有写出半成品；重新运行同一条命令即可。"):
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
        with temporary_files_together():
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
        print(f"错误：{visible(explain(error))}", file=sys.stderr)
        _exit(2 if isinstance(error, (UserError, OSError)) else 1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        _exit(_explain_unexpected(error))
    _exit(0)


def _explain_unexpected(error):
    """说出意料之外的 error，返回退出码。"""
    if full := full_disk(error):
        print(f"错误：{visible(explain(full))}", file=sys.stderr)
        return 2
    reason = visible(re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()[:300])
    print(f"错误：程序没有料到的情况（{reason}）。加上 --debug 再运行一次可看到完整的调用栈。", file=sys.stderr)
    return 1


def _exit(code):
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass
    gc.freeze()  # 进程就要结束，不必再在上百万个对象里找垃圾：快半秒
    if is_loading():  # 出错或被中断时还在载入：不等它，而库载入到一半不能照常退出
        os._exit(code)
    raise SystemExit(code)
