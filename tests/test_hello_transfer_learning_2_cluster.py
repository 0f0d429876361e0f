"""第 2 课在集群上，都是真的进程、真的网络（回环地址）：整个集群、进程被杀后归队、同步训练。"""

import re
import sys
import time

import pytest
import tensorflow as tf

import hello_transfer_learning_2 as lesson
import lesson_2_run
from lesson_2_run import checkpoint_steps
from toolbox.estimator import local_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flowers(first_flowers):
    return first_flowers(24)


def wait_until(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "等不到"
        time.sleep(0.1)


def last_step(output_dir):
    latest = tf.train.latest_checkpoint(output_dir / "mobilenetv2_estimator_checkpoints")
    return int(latest.rpartition("-")[2])


def test_one_command_starts_a_whole_cluster(flowers, cache_dir, tmp_path, capfd):
    lesson.main(lesson_2_run.options(flowers, cache_dir, tmp_path, "--cluster", 2, "--steps", 300))
    shown = capfd.readouterr().out
    assert lesson_2_run.metrics_of(tmp_path)["validation"]["accuracy"] >= 0.8
    assert last_step(tmp_path) >= 300
    (whole,) = set(re.findall(r"训练 (\d+) 张；一轮", shown))
    shards = dict(re.findall(r"\[(chief|worker 0|worker 1)\] 这个进程读 (\d+) 张", shown))
    assert set(shards) == {"chief", "worker 0", "worker 1"} and sum(map(int, shards.values())) == int(whole)
    steps = dict(re.findall(r"\[(.+?)\] 训练停在第 \d+ 步，其中 (\d+) 步由这个进程做", shown))
    assert set(steps) == {"chief", "worker 0", "worker 1"} and sum(map(int, steps.values())) >= 300
    evaluated = re.findall(r"\[evaluator\] 评估：第 (\d+) 步，验证准确率 ([\d.]+)", shown)
    assert int(evaluated[-1][0]) >= 300 and float(evaluated[-1][1]) >= 0.8


def test_killed_worker_rejoins_and_killed_chief_resumes(flowers, cache_dir, tmp_path):
    """训练途中 kill -9 一个 worker 与 chief，再各自重新启动；训练照样到头，准确率不变。"""
    shown = []

    def lines_of(role, start=0):
        return "\n".join(line for line in shown[start:] if line.startswith(f"[{role}]"))

    arguments = lesson_2_run.options(flowers, cache_dir, tmp_path, "--steps", 1000)
    cluster = local_cluster.addresses(chief=1, worker=2, ps=1)
    command = [sys.executable, lesson_2_run.SCRIPT, *arguments]
    with local_cluster.LocalCluster(command, cluster, show=shown.append) as processes:
        for role, index in [("ps", 0), ("chief", 0), ("worker", 0), ("worker", 1), ("evaluator", 0)]:
            processes.start(role, index)
        wait_until(lambda: "开始训练" in lines_of("worker 0") and len(checkpoint_steps(lines_of("chief"))) > 1)
        for role in ("worker", "chief"):
            processes.processes[role, 0].kill()
            processes.processes[role, 0].wait()
        saved, restarted_at = last_step(tmp_path), len(shown)
        processes.start("chief")
        processes.start("worker")
        processes.wait()

    assert 0 < saved < 1000
    assert checkpoint_steps(lines_of("chief", restarted_at))[0] >= saved
    for role in ("chief", "worker 0"):
        assert int(re.search(r"其中 (\d+) 步由这个进程做", lines_of(role, restarted_at))[1]) > 0
    assert last_step(tmp_path) >= 1000
    assert lesson_2_run.metrics_of(tmp_path)["validation"]["accuracy"] >= 0.8


def test_synchronous_training_of_two_processes(flowers, cache_dir, tmp_path, capfd):
    lesson.main(lesson_2_run.options(flowers, cache_dir, tmp_path, "--cluster", 2, "--sync", "--epochs", 8))
    shown = capfd.readouterr().out
    losses = {role: re.findall(rf"\[{role}\] .*loss: ([\d.]+)", shown) for role in ("worker 0", "worker 1")}
    assert len(losses["worker 0"]) == 8 and losses["worker 0"] == losses["worker 1"]
    assert lesson_2_run.metrics_of(tmp_path)["validation"]["accuracy"] >= 0.8
