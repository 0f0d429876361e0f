"""用上每个核。要占着 Python 解释器锁（GIL）的工作给进程，在线程里它们只能轮流做；其余的给线程，不必另起进程。"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from toolbox.terminal.errors import UserError

_MAX_WORKERS = 32  # Windows 最多容许 61 个


@contextmanager
def process_pool(workers):
    """给出一个 ProcessPoolExecutor；出错或 Ctrl-C 时，还没开始的都取消。

    Args:
        workers: 想要几个进程；不会多于这个进程能用的 CPU 核数。

    Raises:
        UserError: 有一个工作进程意外结束了。
    """
    workers = max(1, min(workers, cores(), _MAX_WORKERS))
    # 一律用 spawn：父进程可能正在载入 TensorFlow，带着它的线程 fork 会死锁
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare_worker) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise UserError(
                "一个工作进程意外结束了，多半是内存不够：请关掉别的程序，再运行同一条命令。"
                '若是你自己写的脚本，要把主程序放在 if __name__ == "__main__": 之下。'
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _prepare_worker():
    """工作进程的准备：Ctrl-C 由父进程处理；父进程被杀时跟着退出，不留孤儿；让父进程先用 CPU。"""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):  # Windows 上没有
        os.nice(5)  # 父进程可能正在载入 TensorFlow

    def follow_parent():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()


def map_in_threads(function, items):
    """每个核一个线程做 function(item)，按 items 的顺序依次给出结果；随时只有几项在内存里，items 可以没有尽头。

    给大半时间不占解释器锁的工作用：解码、缩放、运行模型。
    """
    with ThreadPoolExecutor(cores()) as pool:
        waiting = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 4 * cores():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # 出错或 Ctrl-C：还没开始的都取消
                future.cancel()


def cores():
    """这个进程可以用几个核。"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
