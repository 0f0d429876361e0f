"""TF_CONFIG 的读与查：写对了得到自己的角色，写错了只有一行中文。"""

import json
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


def test_every_trainer_reads_its_own_shard_and_together_they_read_all(monkeypatch):
    photos = list(range(11))
    shards = []
    for role, index in [("chief", 0), ("worker", 0), ("worker", 1)]:
        task = read(monkeypatch, {"cluster": CLUSTER, "task": {"type": role, "index": index}})
        shards.append(photos[task.shard])
    assert sorted(sum(shards, [])) == photos
    assert min(map(len, shards)) >= 3
    for role in ("ps", "evaluator"):
        task = read(monkeypatch, {"cluster": CLUSTER, "task": {"type": role, "index": 0}})
        assert photos[task.shard] == []


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


def test_address_of_another_machine():
    with pytest.raises(UserError, match="192.0.2.1:2222 不能用"):
        cluster_task.check_port(Task("chief", 0, {"chief": ["192.0.2.1:2222"]}))


def test_waits_for_those_it_needs(listening):
    free = cluster_task.local_cluster.addresses(chief=1)["chief"]
    cluster_task.wait_for_others(Task("chief", 0, {"chief": free, "ps": [listening]}), 1)
    with pytest.raises(UserError, match=f"等了 1 秒，还是连不上 chief（{free[0]}）"):
        cluster_task.wait_for_others(Task("worker", 0, {"chief": free, "ps": [listening], "worker": ["a:1"]}), 1)
