"""集群的启动与收拾：用不含 TensorFlow 的小脚本代替各进程，很快。"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import LESSONS_DIR, hear_ctrl_c
from toolbox.estimator import local_cluster
from toolbox.terminal.errors import UserError

# 每个进程写下自己的编号；收到结束信号的 chief 写下“存好了”；其余按 PLAN 行事
MEMBER = """
import json, os, pathlib, signal, sys, time
sys.path.insert(0, {lessons!r})
from toolbox.estimator import local_cluster
task = json.loads(os.environ["TF_CONFIG"])["task"]
name = task["type"] + str(task["index"])
folder = pathlib.Path({folder!r})
def save(*_):
    (folder / "saved").write_text(name)
    sys.exit(143)
if task["type"] == "chief":
    signal.signal(signal.SIGTERM, save)
local_cluster.follow_launcher()
(folder / (name + ".pid")).write_text(str(os.getpid()))
print("我是", name)
plan = json.loads(sys.argv[1]).get(name, "finish")
while plan == "stay":
    time.sleep(0.05)
sys.exit(7 if plan == "fail" else 0)
"""
LAUNCH = "import sys; sys.path.insert(0, {lessons!r}); from toolbox.estimator import local_cluster; "
LAUNCH += "from toolbox.terminal.run import run_main; "
LAUNCH += "run_main(lambda argv: local_cluster.launch({script!r}, argv, list, 2), argv=[{plan!r}])"


@pytest.fixture
def member(tmp_path):
    script = tmp_path / "member.py"
    script.write_text(MEMBER.format(lessons=str(LESSONS_DIR), folder=str(tmp_path)), encoding="utf-8")
    return script


def plan(**roles):
    return json.dumps(roles)


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "等不到"
        time.sleep(0.05)


def is_running(path):
    try:
        os.kill(int(path.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def pid_files(folder):
    return [path for path in folder.glob("*.pid") if path.read_text()]


def test_ends_the_parameter_server_when_the_others_are_done(member, tmp_path, capfd):
    local_cluster.launch(member, ["--cluster", "2", plan(ps0="stay")], list, workers=2)
    shown = capfd.readouterr().out
    for role in ("chief", "worker 0", "worker 1", "ps", "evaluator"):
        assert f"[{role}] 我是 {role.replace(' ', '') if ' ' in role else role + '0'}" in shown
    assert len(pid_files(tmp_path)) == 5
    assert not any(map(is_running, pid_files(tmp_path)))
    assert "没有认证" in shown


@pytest.mark.parametrize("victim", ["chief0", "worker1", "ps0", "evaluator0"])
def test_when_one_fails_the_others_are_ended(member, tmp_path, victim):
    roles = {name: "stay" for name in ("chief0", "worker0", "worker1", "ps0", "evaluator0")}
    with pytest.raises(UserError, match=f"{victim[:-1]}.*退出码 7"):
        local_cluster.launch(member, [plan(**{**roles, victim: "fail"})], list, workers=2)
    assert not any(map(is_running, pid_files(tmp_path)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows 没有这些信号")
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_process_outlives_the_launcher(member, tmp_path, number, code):
    stay = plan(chief0="stay", worker0="stay", worker1="stay", ps0="stay", evaluator0="stay")
    source = LAUNCH.format(lessons=str(LESSONS_DIR), script=str(member), plan=stay)
    launcher = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.DEVNULL, preexec_fn=hear_ctrl_c)
    wait_until(lambda: len(pid_files(tmp_path)) == 5)
    launcher.send_signal(number)
    assert launcher.wait(30) == code
    wait_until(lambda: not any(map(is_running, pid_files(tmp_path))))
    assert (tmp_path / "saved").read_text() == "chief0"


def test_a_worker_that_missed_the_training_is_named_and_not_waited_for(member, monkeypatch, capfd):
    monkeypatch.setattr(local_cluster, "GRACE_SECONDS", 1)
    local_cluster.launch(member, [plan(ps0="stay", worker1="stay")], list, workers=2)
    assert "训练已经做完，worker 1 没有赶上" in capfd.readouterr().out


def test_refuses_to_start_inside_another_cluster(member, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UserError, match="unset TF_CONFIG"):
        local_cluster.launch(member, [], list, workers=2)


def test_addresses_are_free_and_on_loopback():
    cluster = local_cluster.addresses(chief=1, worker=3)
    everyone = cluster["chief"] + cluster["worker"]
    assert len(set(everyone)) == 4
    assert all(address.startswith("127.0.0.1:") for address in everyone)


def test_a_reader_that_went_away_does_not_block_the_processes(tmp_path):
    """--cluster | head：输出写不出去了，仍要把各进程的话读完，它们才结束得了；之后照常报告管道断了。"""
    script = tmp_path / "talks.py"
    script.write_text("print('x' * 79 + chr(10), end='', flush=True)\nprint(('y' * 79 + chr(10)) * 5000)\n")

    def gone(text):
        raise BrokenPipeError(32, "Broken pipe")

    with local_cluster.LocalCluster([sys.executable, script], {"worker": ["127.0.0.1:1"]}, show=gone) as cluster:
        process = cluster.start("worker")
        assert process.wait(timeout=30) == 0
        with pytest.raises(BrokenPipeError):
            cluster.wait()
