"""参加 TensorFlow 的集群：占住自己的端口，等齐别的进程，用完离开。TF_CONFIG 的读与查在 tf_config。"""

import errno
import os
import socket
import sys
import time

from toolbox.estimator import local_cluster
from toolbox.estimator.tf_config import Task, host_and_port, read
from toolbox.terminal.errors import UserError
from toolbox.terminal.tensorflow_start import load_tensorflow


def join(synchronous=False):
    """参加集群：返回自己的 Task；没有设 TF_CONFIG（单机）则返回 None。参数服务器就此服务下去，不再返回。

    Args 与 Raises 同 read、check_port。
    """
    task = read(synchronous)
    if task is None:
        leave()  # 空的 TF_CONFIG 也算没有设，RunConfig 却读不懂它
    if synchronous:  # 先做完的 worker 一结束，TensorFlow 就大声报告它失联；不显示
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    local_cluster.follow_launcher()
    check_port(task)
    if task and task.role == "ps":
        tf = load_tensorflow()
        _server = tf.distribute.Server(task.cluster, job_name=task.role, task_index=task.index)
        print("参数服务器开始服务。它自己不会结束：别的都做完以后，由 --cluster 结束它，或按 Ctrl-C。", flush=True)
        while True:  # 不用 Server.join()：它停在 C++ 里，不理 Ctrl-C
            time.sleep(1)
    return task


def leave():
    """离开集群：此后建立的 Estimator 都在这一个进程里运行。"""
    os.environ.pop("TF_CONFIG", None)


def check_port(task):
    """确认自己的端口没有别的进程在用。task 可以是 None，evaluator 也没有端口。

    TensorFlow 总是监听所有网卡，所以这里也在所有网卡上试；TF_CONFIG 里的地址可以是路由器（NAT）外面的。

    Raises:
        UserError: 端口已被占用，或不能用。
    """
    if task is None or task.address is None:
        return
    port = host_and_port(task.address)[1]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(family) as probe:
                if sys.platform != "win32":  # 刚结束的进程留下的 TIME_WAIT 不算占用；Windows 上这个选项另有含义
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(("", port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):  # 例如这台机器没有 IPv6
                continue
            why = "已被别的进程占用。请结束那个进程" if error.errno == errno.EADDRINUSE else "没有权限用"
            raise UserError(f"{task.name} 的端口 {port} {why}，或在每台机器的 TF_CONFIG 里都换一个。") from None


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
            if not is_up(address):
                print(f"等待 {name}（{address}）……", flush=True)
            while not is_up(address):
                if time.monotonic() > deadline:
                    raise UserError(
                        f"等了 {seconds} 秒，还是连不上 {name}（{address}）。"
                        "请确认它已经启动（也可能训练早已做完），TF_CONFIG 里的地址没有写错，防火墙放行。"
                    )
                time.sleep(0.5)


def is_up(address):
    """现在连不连得上 "主机:端口"。"""
    try:
        socket.create_connection(host_and_port(address), timeout=2).close()
    except (OSError, UnicodeError):  # 主机名里有写错的点，成不了域名
        return False
    return True
