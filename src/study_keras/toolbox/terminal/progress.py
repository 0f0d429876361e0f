"""长步骤的进度：做了多少、每秒多少、还要多久。"""

import os
import sys
import time

BAR = "{desc}：{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"  # tqdm 的格式
WIDEST_BAR = 90  # 列；窗口再宽，进度条也不再加长
NARROW = 80  # 列；Keras 训练时的进度条比它宽，窗口窄了会折行，一轮刷出几十行


class Progress:
    """长步骤的进度：终端里是 tqdm 进度条（带速率与剩余时间）；输出不是终端时，隔几秒打一行。

    速率从第一批做完时算起：之前的准备（如转换模型）不算在内，否则一开头的剩余时间会大上百倍；
    算了 seconds_before_estimate 秒以后，才说速率与剩余时间。

    用法：with Progress("提取", total=1500, unit="张") as progress: progress.update(1)
    """

    def __init__(self, label, total, unit="张", seconds_between_lines=5.0, seconds_before_estimate=2.0):
        self._label, self._total, self._unit = label, total, unit  # 单位是 B（字节）的，写成 MB
        self._interval, self._before_estimate = seconds_between_lines, seconds_before_estimate
        self._bar = None
        self._done = self._done_first = 0
        self._first = None  # 第一批做完的时刻，那时做了 _done_first 个

    def __enter__(self):
        self._last_line = time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._total,
                desc=self._label,
                unit=self._unit,
                unit_scale=self._unit == "B",
                ncols=min(_columns(sys.stderr), WIDEST_BAR),
                bar_format=BAR,
            )
        return self

    def update(self, count=1):
        """又完成了 count 个。"""
        now = time.monotonic()
        self._done += count
        if self._first is None:
            self._first, self._done_first = now, self._done
        if self._bar is not None:
            self._bar.bar_format = BAR + self._estimate(now)
            self._bar.update(count)
        elif now - self._last_line >= self._interval:
            self._last_line = now
            done = f"{self._amount(self._done)}/{self._amount(self._total)}"
            print(f"{self._label}：{done}{self._estimate(now)}", flush=True)

    def _estimate(self, now):
        """“，每秒 300 张，剩余约 3 秒”；还说不准就是空的。"""
        seconds = now - self._first
        rate = (self._done - self._done_first) / max(seconds, 1e-9)
        if seconds < self._before_estimate or not rate:
            return ""
        left = f"，剩余约 {(self._total - self._done) / rate:.0f} 秒" if self._total else ""
        return f"，每秒 {self._amount(rate)}{left}"

    def _amount(self, number):
        if number is None:
            return "?"
        if self._unit == "B":
            return f"{number / 1e6:.1f} MB"
        return f"{number:.0f} {self._unit}"

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()


def fit_verbose():
    """交给 fit 的 verbose：宽的终端里是 Keras 的进度条（"auto"），否则一轮一行（2）。"""
    return "auto" if sys.stdout.isatty() and _columns(sys.stdout) >= NARROW else 2


def _columns(terminal):
    return os.get_terminal_size(terminal.fileno()).columns or NARROW  # 有的伪终端不知道自己多宽，说是 0
