"""长步骤的进度：做了多少、每秒多少、还要多久。"""

import sys
import time


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
