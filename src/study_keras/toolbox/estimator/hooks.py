"""Estimator 训练时的钩子：显示进度、收到结束信号时存好检查点再停、报告每次评估。"""

import os
import signal
import sys
from contextlib import suppress

from toolbox.estimator.bridge import Exporter, SessionRunHook, tf
from toolbox.terminal.progress import Progress
from toolbox.terminal.text import console_bytes

_STOPPING = "\n做完这一步就存好检查点停下；再按一次 Ctrl-C 立刻结束。\n"


class ShowProgress(SessionRunHook):
    """用全局步数（global step）显示进度；集群里它由各个 worker 一起推进。

    Args:
        total: 训练到第几步为止。
    """

    def __init__(self, total):
        self._total = total
        self._own_steps = 0
        self._progress = None

    def after_create_session(self, session, coord):
        step = session.run(tf.compat.v1.train.get_global_step())
        if self._progress:  # ps 重新启动过：TensorFlow 从最近的检查点另起一个会话，退回了几步
            print(f"从第 {step} 步接着训练", flush=True)
            self._progress.update(step - self._step)
            self._step = step
            return
        self._step = step
        print(f"从第 {self._step} 步开始训练，到第 {self._total} 步为止", flush=True)
        self._progress = Progress("训练", total=max(self._total - self._step, 0), unit="步").__enter__()

    def before_run(self, run_context):
        return tf.compat.v1.train.SessionRunArgs(tf.compat.v1.train.get_global_step())

    def after_run(self, run_context, run_values):
        self._progress.update(run_values.results - self._step)
        self._step = run_values.results
        self._own_steps += 1

    def end(self, session):
        self._progress.__exit__()
        step = session.run(tf.compat.v1.train.get_global_step())  # after_run 见到的可能还没有加上最后一步
        print(f"训练停在第 {step} 步，其中 {self._own_steps} 步由这个进程做", flush=True)


class StopOnSignal(SessionRunHook):
    """训练期间收到 SIGTERM 或 Ctrl-C，就在这一步之后停下：循环正常结束，Estimator 会存下最后的检查点。

    第二次 Ctrl-C 照常立刻中断。训练返回后要调用 finish。
    """

    _received = None

    def begin(self):
        self._previous = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}

    def _ask(self, number, frame):
        self._received = number
        self._restore()
        with suppress(OSError):  # 输出接到的 tee 之类也收到了 Ctrl-C，已经走了
            os.write(2, console_bytes(_STOPPING))  # print 可能正被打断在半途

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def after_run(self, run_context, run_values):
        if self._received:
            run_context.request_stop()

    def end(self, session):
        self._restore()

    def finish(self):
        """收到过信号就结束进程：Ctrl-C 是 KeyboardInterrupt，SIGTERM 的退出码是 143。"""
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        if self._received:
            print("收到结束信号（SIGTERM），已停在这一步；重新运行同一条命令会接着训练。", file=sys.stderr)
            raise SystemExit(128 + signal.SIGTERM)


class ReportEvaluation(Exporter):
    """evaluator 每评估完一个检查点就打一行。Estimator 没有“评估之后”的钩子，导出器（exporter）恰在那时被调用。"""

    name = "report"
    last_step = -1

    def export(self, estimator, export_path, checkpoint_path, eval_result, is_the_final_export):
        self.last_step = eval_result["global_step"]
        step, accuracy = eval_result["global_step"], eval_result["accuracy"]
        print(f"评估：第 {step} 步，验证准确率 {accuracy:.4f}，损失 {eval_result['loss']:.4f}", flush=True)
