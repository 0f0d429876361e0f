"""TF_CONFIG 的读与查：写对了得到自己的角色，写错了只有一行中文。"""

import json
import os
import socket

import pytest

from toolbox.estimator import cluster_task
from toolbox.estimator.cluster_task import Task
from toolbox.terminal.errors import UserError

CLUSTER = {"chief": ["127.0.0.1:2221"], "worker": ["127.0.0.1:2222", "127.0.0.1:2223"], "ps": ["127.0.0.1:2224"]}
CHIEF = {"type": "chief", "index": 0}


def read(monkeypatch, config, **kwargs):
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    return cluster_task.read(**kwargs)


def test_not_in_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster_task.read() is None
    assert read(monkeypatch, {}) is None


def test_every_trainer_computes_its_own_shard_and_reads_in_its_own_order(monkeypatch):
    tasks = []
    for role, index in [("chief", 0), ("worker", 0), ("worker", 1)]:
        tasks.append(read(monkeypatch, {"cluster": CLUSTER, "task": {"type": role, "index": index}}))
    assert [task.shard for task in tasks] == [(1, 3), (2, 3), (3, 3)]
    assert [task.order for task in tasks] == [0, 1, 2]
    for role in ("ps", "evaluator"):
        task = read(monkeypatch, {"cluster": CLUSTER, "task": {"type": role, "index": 0}})
        assert task.shard is None and task.order is None


@pytest.mark.parametrize("address", ["[::1]:2222", "[2001:db8::7]:2222", "gpu-7.lab.example:2222", "203.0.113.9:1"])
def test_any_address_of_a_machine_is_accepted(monkeypatch, address):
    task = read(monkeypatch, {"cluster": {**CLUSTER, "chief": [address]}, "task": CHIEF})
    assert task.address == address


@pytest.mark.parametrize("host", ["gpu..lab", "g" * 64 + ".lab"])
def test_a_host_that_is_no_name_is_not_up(host):
    assert not cluster_task.is_up(f"{host}:2222")


def test_one_process_leads(monkeypatch):
    assert Task("chief", 0, CLUSTER).leads
    assert not Task("worker", 0, CLUSTER).leads
    workers_only = {"worker": CLUSTER["worker"]}
    task = read(monkeypatch, {"cluster": workers_only, "task": {"type": "worker", "index": 0}}, synchronous=True)
    assert task.leads and task.name == "worker 0"
    assert not Task("worker", 1, workers_only).leads


@pytest.mark.parametrize(
    "config, why",
    [
        ('{"cluster": ', "不是合法的 JSON"),
        ("[1]", "不是一个 JSON 对象"),
        ({"cluster": {"boss": ["a:1"]}, "task": CHIEF}, "只能有这些角色"),
        ({"cluster": ["a:1"], "task": CHIEF}, "只能有这些角色"),
        ({"cluster": {**CLUSTER, "ps": "127.0.0.1:1"}, "task": CHIEF}, "的 ps 应当是"),
        ({"cluster": {**CLUSTER, "ps": ["127.0.0.1"]}, "task": CHIEF}, "的 ps 应当是"),
        ({"cluster": {**CLUSTER, "ps": ["127.0.0.1:99999"]}, "task": CHIEF}, "的 ps 应当是"),
        ({"cluster": {**CLUSTER, "ps": CLUSTER["chief"]}, "task": CHIEF}, "重复的地址"),
        ({"cluster": {"chief": ["a:1"]}, "task": CHIEF}, "至少 1 个 ps"),
        ({"cluster": {"worker": ["a:1"], "ps": ["a:2"]}, "task": {"type": "worker", "index": 0}}, "1 个 chief"),
        ("[" * 100_000, "不是一个正常的 JSON 对象"),
        ('{"cluster": ' + "9" * 5000 + "}", "不是一个正常的 JSON 对象"),
        ({"task": CHIEF}, "没有 cluster"),
        ({"cluster": {}, "task": CHIEF}, "没有 cluster"),
        ({"cluster": CLUSTER, "task": CHIEF, "model_dir": "/tmp/m"}, "model_dir.*--output-dir"),
        ({"cluster": {**CLUSTER, "ps": ["127.0.0.1:２２２２"]}, "task": CHIEF}, "的 ps 应当是"),
        ({"cluster": {**CLUSTER, "ps": ["::1:2222"]}, "task": CHIEF}, "的 ps 应当是"),
        ({"cluster": {**CLUSTER, "ps": [2222]}, "task": CHIEF}, "的 ps 应当是"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": False}}, "的 task 应当像"),
        ({"cluster": CLUSTER}, "的 task 应当像"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": "0"}}, "的 task 应当像"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}, "只有 2 个"),
        ({"cluster": CLUSTER, "task": {"type": "evaluator", "index": 1}}, "只有 1 个"),
    ],
)
def test_malformed(monkeypatch, config, why):
    with pytest.raises(UserError, match=why) as failure:
        read(monkeypatch, config)
    assert "\n" not in str(failure.value)
    assert str(failure.value).startswith("环境变量 TF_CONFIG") and "正确的样子" in str(failure.value)


def test_synchronous_training_has_only_workers(monkeypatch):
    with pytest.raises(UserError, match="只能有 worker"):
        read(monkeypatch, {"cluster": CLUSTER, "task": CHIEF}, synchronous=True)


@pytest.fixture
def listening():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_taken_port(listening):
    with pytest.raises(UserError, match=f"chief 的端口 {listening.split(':')[1]} 已被别的进程占用"):
        cluster_task.check_port(Task("chief", 0, {"chief": [listening]}))


def test_address_outside_a_router_is_not_this_machines_own():
    """NAT 后面的机器，TF_CONFIG 里写的是路由器的地址：看的只是端口。"""
    port = cluster_task.local_cluster.addresses(chief=1)["chief"][0].rpartition(":")[2]
    cluster_task.check_port(Task("chief", 0, {"chief": [f"192.0.2.1:{port}"]}))


def test_port_taken_on_another_address_of_the_machine(listening):
    port = listening.rpartition(":")[2]
    with pytest.raises(UserError, match=f"chief 的端口 {port} 已被别的进程占用"):
        cluster_task.check_port(Task("chief", 0, {"chief": [f"192.0.2.1:{port}"]}))


def test_waits_for_those_it_needs(listening):
    free = cluster_task.local_cluster.addresses(chief=1)["chief"]
    cluster_task.wait_for_others(Task("chief", 0, {"chief": free, "ps": [listening]}), 1)
    with pytest.raises(UserError, match=f"等了 1 秒，还是连不上 chief（{free[0]}）"):
        cluster_task.wait_for_others(Task("worker", 0, {"chief": free, "ps": [listening], "worker": ["a:1"]}), 1)


@pytest.mark.parametrize("value", ["", "  ", "{}"])
def test_an_empty_tf_config_is_one_machine(monkeypatch, value):
    """RunConfig 自己也读 TF_CONFIG，却读不懂空的。"""
    monkeypatch.setenv("TF_CONFIG", value)
    assert cluster_task.join() is None and "TF_CONFIG" not in os.environ
