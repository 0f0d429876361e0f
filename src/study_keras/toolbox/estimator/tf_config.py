"""环境变量 TF_CONFIG：每个进程由它得知集群全体的地址与自己的角色。读来的一律先查，写错了只有一行中文。"""

import json
import os
import re
from dataclasses import dataclass

from toolbox.terminal.errors import UserError

ROLES = ("chief", "worker", "ps", "evaluator")
EXAMPLE = (
    '{"cluster": {"chief": ["10.0.0.1:2222"], "worker": ["10.0.0.2:2222"], "ps": ["10.0.0.3:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Task:
    """集群里的一个进程。

    Attributes:
        role: chief（存检查点）、worker（只训练）、ps（参数服务器，存放权重）、evaluator（只评估）。
        index: 同一角色里的第几个，从 0 数起。
        cluster: {角色: ["主机:端口", ...]}；evaluator 不在里面。
    """

    role: str
    index: int
    cluster: dict

    @property
    def name(self):
        return f"{self.role} {self.index}" if len(self.cluster.get(self.role, ())) > 1 else self.role

    @property
    def address(self):
        """自己的 "主机:端口"；evaluator 没有。"""
        return self.cluster[self.role][self.index] if self.role in self.cluster else None

    @property
    def leads(self):
        """是不是 chief；没有 chief 时是 worker 0。"""
        return self.role == "chief" or ("chief" not in self.cluster and (self.role, self.index) == ("worker", 0))

    @property
    def trainers(self):
        """参加训练的各个进程：[(角色, 第几个), ...]。"""
        return [(role, i) for role in ("chief", "worker") for i in range(len(self.cluster.get(role, ())))]

    @property
    def order(self):
        """自己是第几个参加训练的进程，从 0 数起；各按各的顺序读照片。不参加训练的是 None。"""
        return self.trainers.index((self.role, self.index)) if (self.role, self.index) in self.trainers else None

    @property
    def shard(self):
        """自己先算哪一份缓存的特征：(第几份, 共几份)，从 1 数起；不参加训练的是 None。"""
        return None if self.order is None else (self.order + 1, len(self.trainers))


def read(synchronous=False):
    """读环境变量 TF_CONFIG，返回 Task；没有设，或里面没有集群，则返回 None。

    Args:
        synchronous: True 表示同步训练，只有 worker；否则 chief 一个、ps 至少一个。

    Raises:
        UserError: 写错了；说明错在哪里。
    """
    config = _parsed(os.environ.get("TF_CONFIG", "").strip() or "{}")
    if not config:
        return None
    if not config.get("cluster"):
        raise _wrong("里没有 cluster，或它是空的；只用一台机器，就不要设 TF_CONFIG（unset TF_CONFIG）")
    if "model_dir" in config:
        raise _wrong("里有 model_dir，而检查点的位置由 --output-dir 与 --name 决定；请去掉它")
    cluster = _checked_cluster(config["cluster"])
    role, index = _checked_task(config.get("task"), cluster)
    if synchronous and set(cluster) != {"worker"}:
        raise _wrong("与 --sync 不合：同步训练只能有 worker")
    if not synchronous and (len(cluster.get("chief", ())) != 1 or "ps" not in cluster):
        raise _wrong("里要有 1 个 chief、至少 1 个 ps")
    return Task(role, index, cluster)


def _parsed(text):
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"不是合法的 JSON（第 {error.lineno} 行第 {error.colno} 个字符处）") from None
    except (RecursionError, ValueError):  # 套得太深，或数字太长
        raise _wrong("不是一个正常的 JSON 对象") from None
    if not isinstance(config, dict):
        raise _wrong("不是一个 JSON 对象")
    return config


def _wrong(why):
    return UserError(f"环境变量 TF_CONFIG {why}。正确的样子：{EXAMPLE}")


def _checked_cluster(cluster):
    if not isinstance(cluster, dict) or not set(cluster) <= set(ROLES):
        raise _wrong(f"的 cluster 只能有这些角色：{'、'.join(ROLES)}")
    for role, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses or not all(map(host_and_port, addresses)):
            raise _wrong(f'的 {role} 应当是 ["主机:端口", ...]')
    everyone = [address for addresses in cluster.values() for address in addresses]
    if len(set(everyone)) < len(everyone):
        raise _wrong("里有重复的地址")
    return {role: addresses for role, addresses in cluster.items() if role != "evaluator"}  # 它不参加训练，不监听端口


def host_and_port(address):
    """ "主机:端口" 或 "[IPv6]:端口" -> (主机, 端口)；写得不对是 None。"""
    match = isinstance(address, str) and _ADDRESS.fullmatch(address)
    if not match or not 0 < int(match[2]) < 65536:
        return None
    return match[1].strip("[]"), int(match[2])


def _checked_task(task, cluster):
    role, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    if role not in ROLES or type(index) is not int:  # False 也是 int
        raise _wrong(f'的 task 应当像 {{"type": "worker", "index": 0}}，type 是 {"、".join(ROLES)} 之一')
    count = 1 if role == "evaluator" else len(cluster.get(role, ()))
    if not 0 <= index < count:
        raise _wrong(f"的 task 是第 {index} 个 {role}，而 {role} 只有 {count} 个（从 0 数起）")
    return role, index
