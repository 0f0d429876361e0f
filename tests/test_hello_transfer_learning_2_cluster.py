"""第 2 课在集群上，都是真的进程、真的网络（回环地址）：整个集群、进程被杀后归队、同步训练。"""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf

import hello_transfer_learning_2 as lesson
import lesson_2_run
from conftest import LESSONS_DIR
from lesson_2_run import checkpoint_steps
from toolbox.estimator import local_cluster

pytestmark = pytest.mark.slow


ENGLISH_WARNING = r"Warning|WARNING|deprecated|^[WE]0000"


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


@pytest.fixture(scope="module")
def whole_cluster(flowers, cache_dir, tmp_path_factory):
    """一条命令的集群，途中又有第二个想用同一个文件夹：(输出文件夹, 选项, 第一个的输出, 第二个的退出码与输出)。"""
    output_dir = tmp_path_factory.mktemp("output")
    arguments = lesson_2_run.options(flowers, cache_dir, output_dir, "--steps", 300)
    first = lesson_2_run.start(*arguments, "--cluster", "2")
    shown = lesson_2_run.read_until(first.stdout, "[chief] —— 训练 ——")  # 它已占住文件夹
    second = lesson_2_run.start(*arguments, "--cluster", "1")
    refused = second.communicate()[0]
    shown = "".join(shown) + first.communicate()[0]
    assert first.returncode == 0, shown[-3000:]
    return output_dir, arguments, shown, (second.returncode, refused)


def test_one_command_starts_a_whole_cluster(whole_cluster):
    output_dir, _, shown, _ = whole_cluster
    assert lesson_2_run.metrics_of(output_dir)["validation"]["accuracy"] >= 0.8
    assert last_step(output_dir) >= 300
    (whole,) = set(re.findall(r"训练 (\d+) 张；一轮", shown))
    read = dict(re.findall(r"\[(chief|worker 0|worker 1)\] 这个进程读 (\d+) 张", shown))
    assert read == dict.fromkeys(("chief", "worker 0", "worker 1"), whole)  # 每个都读全部，只是顺序不同
    steps = dict(re.findall(r"\[(.+?)\] 训练停在第 \d+ 步，其中 (\d+) 步由这个进程做", shown))
    assert set(steps) == {"chief", "worker 0", "worker 1"} and sum(map(int, steps.values())) >= 300
    evaluated = re.findall(r"\[evaluator\] 评估：第 (\d+) 步，验证准确率 ([\d.]+)", shown)
    assert int(evaluated[-1][0]) == last_step(output_dir) and float(evaluated[-1][1]) >= 0.8
    assert not re.search(ENGLISH_WARNING, shown)


def test_a_second_cluster_on_the_same_folder_is_refused(whole_cluster):
    code, shown = whole_cluster[3]
    assert code == 2 and "[chief] 错误：另一个训练正在用" in shown


def test_a_cluster_with_nothing_left_to_train_says_so(whole_cluster):
    """训练完了，再用同一个文件夹启动集群：不等人，说清楚，照样给出结果。"""
    output_dir, arguments, *_ = whole_cluster
    before = last_step(output_dir)
    shown = lesson_2_run.run(*arguments, "--cluster", "1")
    assert f"[chief] 检查点已经是第 {before} 步，这次要到第 300 步，没有什么要训练的" in shown and "--name" in shown
    assert "[worker] 检查点已经是第" in shown and "没有赶上" not in shown  # 谁也不等谁
    assert lesson_2_run.metrics_of(output_dir)["step"] == before


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


def test_eight_workers_are_as_steady(flowers, cache_dir, tmp_path):
    lesson_2_run.run(*lesson_2_run.options(flowers, cache_dir, tmp_path, "--steps", 300, "--cluster", 8))
    assert lesson_2_run.metrics_of(tmp_path)["validation"]["accuracy"] >= 0.8


def test_a_parameter_server_that_died_is_reported_and_restarting_it_alone_is_enough(flowers, cache_dir, tmp_path):
    shown = []
    arguments = lesson_2_run.options(flowers, cache_dir, tmp_path, "--steps", 600)
    cluster = local_cluster.addresses(chief=1, worker=1, ps=1)
    command = [sys.executable, lesson_2_run.SCRIPT, *arguments]
    with local_cluster.LocalCluster(command, cluster, shown.append) as members:
        for role in ("ps", "chief", "worker"):
            members.start(role)
        wait_until(lambda: len(checkpoint_steps("\n".join(shown))) > 1)
        members.processes["ps", 0].kill()
        members.processes["ps", 0].wait()
        wait_until(lambda: any("连不上 ps" in line and "原样再启动它" in line for line in shown))
        members.start("ps")
        members.wait()
    assert any("又连上了" in line for line in shown)
    assert any("步接着训练" in line for line in shown)  # 进度不从头数
    own = [int(found[1]) for line in shown if (found := re.search(r"其中 (\d+) 步由这个进程做", line))]
    assert len(own) == 2 and sum(own) >= 600
    assert last_step(tmp_path) >= 600 and lesson_2_run.metrics_of(tmp_path)["validation"]["accuracy"] >= 0.8


@pytest.mark.skipif(os.name == "nt", reason="Windows 上没有发给单个进程的 SIGINT")
def test_a_parameter_server_ends_with_ctrl_c(tmp_path):
    cluster = local_cluster.addresses(chief=1, ps=1)
    config = json.dumps({"cluster": cluster, "task": {"type": "ps", "index": 0}})
    process = lesson_2_run.start("--images-dir", str(tmp_path), TF_CONFIG=config)
    try:
        lesson_2_run.read_until(process.stdout, "参数服务器开始服务")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130 and "已中断" in process.stdout.read()
    finally:
        process.kill()


def test_synchronous_training_of_two_processes(flowers, cache_dir, tmp_path, capfd):
    lesson.main(lesson_2_run.options(flowers, cache_dir, tmp_path, "--cluster", 2, "--sync", "--epochs", 8))
    shown = capfd.readouterr().out
    losses = {role: re.findall(rf"\[{role}\] .*loss: ([\d.]+)", shown) for role in ("worker 0", "worker 1")}
    assert len(losses["worker 0"]) == 8 and losses["worker 0"] == losses["worker 1"]
    assert lesson_2_run.metrics_of(tmp_path)["validation"]["accuracy"] >= 0.8


def test_two_hosts_with_addresses_of_their_own(flowers, cache_dir, tmp_path):
    """两个网络命名空间当两台主机：chief 在一台，worker 与 ps 在另一台。"""
    script = LESSONS_DIR.parents[1] / "benchmarks" / "two_hosts.py"
    options = {"images-dir": flowers, "output-dir": tmp_path, "cache-dir": cache_dir, "steps": 100}
    command = [sys.executable, str(script), *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if "不能建网络命名空间" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert re.search(r"\[worker 10\.77\.15\.2\] 训练停在第 \d+ 步", done.stdout)
    assert last_step(tmp_path) >= 100 and lesson_2_run.metrics_of(tmp_path)["validation"]["accuracy"] >= 0.8
