"""在集群里训练同一个 Estimator：每个进程由 TF_CONFIG 里的角色决定做什么。"""

import time

from toolbox.estimator import checkpoints, cluster_task
from toolbox.estimator.bridge import tf
from toolbox.estimator.cluster_watch import WatchOthers
from toolbox.estimator.hooks import ReportEvaluation

END_SECONDS = 60  # evaluator 最多等这么久，让 chief 存好最后一个检查点


def train(estimator, task, data, hooks, listeners, wait_seconds):
    """训练到 data.max_steps；ps 以外的各个角色都调用它。

    Args:
        estimator: 要训练的 Estimator；config 的 experimental_max_worker_delay_secs 应为 0。
        task: 自己的 Task。
        data: 有 train_input、eval_input、max_steps 的对象。
        hooks, listeners: 训练的钩子，与存检查点时的 CheckpointSaverListener。
        wait_seconds: 最多等别的进程多少秒。
    """
    folder, report = estimator.model_dir, ReportEvaluation()
    if task.role == "evaluator" or not checkpoints.nothing_left(folder, data.max_steps, task.leads):  # 否则也不必等别人
        cluster_task.wait_for_others(task, wait_seconds)
        _look_again_soon()
        watch = WatchOthers(task)
        train_spec = tf.estimator.TrainSpec(data.train_input, data.max_steps, hooks, listeners)
        at_once = {"start_delay_secs": 0, "throttle_secs": 1}
        eval_spec = tf.estimator.EvalSpec(data.eval_input, None, exporters=[report], **at_once)
        tf.estimator.train_and_evaluate(estimator, train_spec, eval_spec)
        watch.finish()
    if task.leads:
        checkpoints.record_end(folder, checkpoints.latest_step(folder))
    if task.role == "evaluator":
        _evaluate_last(estimator, data, report)


def _look_again_soon():
    """后到的 worker 若赶在 chief 建好变量之前，TensorFlow 要它等 30 秒才再看一次；改成一秒。"""
    from tensorflow.python.training import session_manager

    original = session_manager.SessionManager.__init__

    def init(self, *args, **kwargs):
        original(self, *args, **{"recovery_wait_secs": 1, **kwargs})

    session_manager.SessionManager.__init__ = init


def _evaluate_last(estimator, data, report):
    """异步训练的最后一个检查点常比 max_steps 多几步，TensorFlow 的 evaluator 可能停在它之前：等到它，再评估一次。"""
    deadline = time.monotonic() + END_SECONDS
    while checkpoints.end(estimator.model_dir) < data.max_steps and time.monotonic() < deadline:
        time.sleep(0.2)
    if checkpoints.latest_step(estimator.model_dir) > report.last_step:
        result = estimator.evaluate(data.eval_input)
        report.export(estimator, None, None, result, True)
