"""参加 TensorFlow 的集群：每个进程都从环境变量 TF_CONFIG 得知全体的地址与自己的角色。"""

import errno
import json
import os
import socket
import sys
import time
from dataclasses import dataclass

from toolbox.estimator import local_cluster
from toolbox.terminal.errors import UserError
from toolbox.terminal.tensorflow_start import load_tensorflow

ROLES = ("chief", "worker", "ps", "evaluator")
EXAMPLE = (
    '{"cluster": {"chief": ["10.0.0.1:2222"], "worker": ["10.0.0.2:2222"], "ps": ["10.0.0.3:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Task:
    """集群里的一个进程。

    Attributes:
        role: chief（首席，存检查点）、worker（只训练）、ps（参数服务器，存放权重）、evaluator（只评估）。
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
        """是不是领头的一个：chief；没有 chief 时是 worker 0。"""
        return self.role == "chief" or ("chief" not in self.cluster and (self.role, self.index) == ("worker", 0))

    @property
    def shard(self):
        """自己该读训练照片中的哪些：一个切片。chief 与各 worker 平分，其余角色不读。"""
        trainers = [(role, i) for role in ("chief", "worker") for i in range(len(self.cluster.get(role, ())))]
        if (self.role, self.index) not in trainers:
            return slice(0)
        return slice(trainers.index((self.role, self.index)), None, len(trainers))


def join(synchronous=False):
    """参加集群：返回自己的 Task；没有设 TF_CONFIG（单机）则返回 None。参数服务器就此服务下去，不再返回。

    Args 与 Raises 同 read、check_port。
    """
    task = read(synchronous)
    if synchronous:  # 先做完的 worker 一结束，TensorFlow 就大声报告它失联；不显示
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    local_cluster.follow_launcher()
    check_port(task)
    if task and task.role == "ps":
        tf = load_tensorflow()
        tf.distribute.Server(task.cluster, job_name=task.role, task_index=task.index).join()
    return task


def leave():
    """离开集群：此后建立的 Estimator 都在这一个进程里运行。"""
    os.environ.pop("TF_CONFIG", None)


def read(synchronous=False):
    """读环境变量 TF_CONFIG，返回 Task；没有设，或里面没有集群，则返回 None。

    Args:
        synchronous: True 表示同步训练，只有 worker；否则 chief 一个、ps 至少一个。

    Raises:
        UserError: 写错了；说明错在哪里。
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"不是合法的 JSON（第 {error.lineno} 行第 {error.colno} 个字符处）") from None
    except (ValueError, RecursionError):
        raise _wrong("里的数太长，或嵌套太深") from None
    if not isinstance(config, dict):
        raise _wrong("不是一个 JSON 对象")
    if not config.get("cluster"):
        return None
    cluster = _checked_cluster(config["cluster"])
    role, index = _checked_task(config.get("task"), cluster)
    if synchronous and set(cluster) != {"worker"}:
        raise _wrong("与 --sync 不合：同步训练只能有 worker")
    if not synchronous and (len(cluster.get("chief", ())) != 1 or "ps" not in cluster):
        raise _wrong("里要有 1 个 chief、至少 1 个 ps")
    return Task(role, index, cluster)


def _wrong(why):
    return UserError(f"环境变量 TF_CONFIG {why}。正确的样子：{EXAMPLE}")


def _checked_cluster(cluster):
    if not isinstance(cluster, dict) or not set(cluster) <= set(ROLES):
        raise _wrong(f"的 cluster 只能有这些角色：{'、'.join(ROLES)}")
    for role, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses or not all(map(_is_address, addresses)):
            raise _wrong(f'的 {role} 应当是 ["主机:端口", ...]')
    everyone = [address for addresses in cluster.values() for address in addresses]
    if len(set(everyone)) < len(everyone):
        raise _wrong("里有重复的地址")
    return {role: addresses for role, addresses in cluster.items() if role != "evaluator"}  # 它不参加训练，不监听端口


def _is_address(text):
    host, _, port = str(text).rpartition(":")
    return isinstance(text, str) and bool(host) and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536


def _checked_task(task, cluster):
    role, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    if role not in ROLES or type(index) is not int:
        raise _wrong(f'的 task 应当像 {{"type": "worker", "index": 0}}，type 是 {"、".join(ROLES)} 之一')
    count = 1 if role == "evaluator" else len(cluster.get(role, ()))
    if not 0 <= index < count:
        raise _wrong(f"的 task 是第 {index} 个 {role}，而 {role} 只有 {count} 个（从 0 数起）")
    return role, index


def check_port(task):
    """确认自己的端口没有别的进程在用。task 可以是 None，evaluator 也没有端口。

    Raises:
        UserError: 端口已被占用，或地址不是这台机器的。
    """
    if task is None or task.address is None:
        return
    host, _, port = task.address.rpartition(":")
    with socket.socket() as probe:
        if sys.platform != "win32":  # 刚结束的进程留下的 TIME_WAIT 不算占用；Windows 上这个选项另有含义
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"端口 {port} 已被别的进程占用。请结束那个进程"
            else:
                why = f"地址 {task.address} 不能用（{error.strerror or error}）。请检查它是不是这台机器的"
            raise UserError(f"{task.name} 的{why}，或在每台机器的 TF_CONFIG 里都换一个。") from None


def wait_for_others(task, seconds):
    """等到缺了就不能开始的进程都连得上：chief 等各 ps，worker 还要等 chief。

    不先探一探，TensorFlow 会无声地等下去，也不理 Ctrl-C。task 可以是 None。

    Raises:
        UserError: 过了 seconds 秒还有连不上的。
    """
    needed = {"chief": ["ps"], "worker": ["ps", "chief"]}.get(task.role, []) if task else []
    deadline = time.monotonic() + seconds
    for role in needed:
        for index, address in enumerate(task.cluster.get(role, ())):
            name = Task(role, index, task.cluster).name
            if not _is_up(address):
                print(f"等待 {name}（{address}）……", flush=True)
            while not _is_up(address):
                if time.monotonic() > deadline:
                    raise UserError(
                        f"等了 {seconds} 秒，还是连不上 {name}（{address}）。"
                        "请确认它已经启动，TF_CONFIG 里的地址没有写错，防火墙放行。"
                    )
                time.sleep(0.5)


def _is_up(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True
