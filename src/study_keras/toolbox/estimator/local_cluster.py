"""在本机的回环地址（127.0.0.1）上启动整个集群：每个角色一个进程，看着它们，最后一个不留。"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from toolbox.estimator.tf_config import Task
from toolbox.terminal.errors import UserError

_FOLLOW = "STUDY_KERAS_FOLLOW_LAUNCHER"  # 设了它的进程，标准输入一关就结束
GRACE_SECONDS = 20  # 通知结束后最多等这么久，让 chief 存好检查点


def addresses(**counts):
    """给各角色分配本机的空闲端口：addresses(chief=1, worker=2) -> {"chief": ["127.0.0.1:端口"], ...}。"""
    with contextlib.ExitStack() as stack:
        probes = {role: [stack.enter_context(socket.socket()) for _ in range(n)] for role, n in counts.items()}
        for probe in (probe for group in probes.values() for probe in group):
            probe.bind(("127.0.0.1", 0))
        return {role: [f"127.0.0.1:{probe.getsockname()[1]}" for probe in group] for role, group in probes.items()}


class LocalCluster:
    """一组进程，运行同一条命令，只有 TF_CONFIG 不同。用作上下文管理器：离开时不论为何，全部结束。

    Args:
        command: 命令与参数的列表。
        cluster: {角色: [地址, ...]}，addresses 的结果。
        show: 函数，收到各进程的每一行输出，前面已加上 [角色]。
    """

    def __init__(self, command, cluster, show=lambda line: print(line, flush=True)):
        self._command, self._cluster, self._show = [str(part) for part in command], cluster, show
        self.processes = {}  # {(角色, 第几个): Popen}
        self._pumps = []
        self._unshown = None  # 显示不出来的原因

    def start(self, role, index=0):
        """启动（或重新启动）一个角色，返回它的 Popen。"""
        config = {"cluster": self._cluster, "task": {"type": role, "index": index}}
        environment = {"TF_CONFIG": json.dumps(config), _FOLLOW: "1", "PYTHONUNBUFFERED": "1"}
        environment |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}  # 下面按 UTF-8 读
        process = subprocess.Popen(
            self._command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # 终端里的 Ctrl-C 只到启动者，由它按次序结束各进程；Windows 上是下一行
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        name = Task(role, index, self._cluster).name
        pump = threading.Thread(target=self._pump, args=(name, process.stdout), daemon=True)
        pump.start()
        self.processes[role, index] = process
        self._pumps.append(pump)
        return process

    def _pump(self, name, stream):
        for line in stream:
            if line.strip() and self._unshown is None:
                try:
                    self._show(f"[{name}] {line.rstrip()}")
                except OSError as error:  # 输出接到的一方走了：还要接着读，免得那个进程堵住
                    self._unshown = error

    def wait(self):
        """等到训练与评估的进程都正常结束；参数服务器自己从不结束。chief 做完后还没有赶上的 worker 不再等。

        Raises:
            UserError: 有进程意外结束。
            OSError: 它们的输出写不出去了。
        """
        deadline = None
        while True:
            if self._unshown:
                raise self._unshown
            codes = {key: process.poll() for key, process in self.processes.items()}
            for (role, index), code in codes.items():
                if code is not None and (code != 0 or role == "ps"):
                    raise UserError(
                        f"{Task(role, index, self._cluster).name} 意外结束了（退出码 {code}），其余的进程也已结束。"
                        "原因见它上面的输出；排除之后重新运行同一条命令。"
                    )
            running = [key for key, code in codes.items() if code is None and key[0] != "ps"]
            if not running:
                return
            if deadline is None and codes.get(("chief", 0)) == 0:
                deadline = time.monotonic() + GRACE_SECONDS
            if deadline and time.monotonic() > deadline and all(role == "worker" for role, _ in running):
                late = "、".join(Task(*key, self._cluster).name for key in running)
                return self._show(f"训练已经做完，{late} 没有赶上，不再等了。")
            time.sleep(0.2)

    def stop(self):
        """结束全部进程：先是训练与评估的（chief 要趁参数服务器还在，存好检查点），再是参数服务器。"""
        for servers in (False, True):
            group = [process for (role, _), process in self.processes.items() if (role == "ps") is servers]
            for process in group:
                with contextlib.suppress(OSError):
                    process.stdin.close()  # 约定：标准输入关了就结束，见 follow_launcher
            deadline = time.monotonic() + GRACE_SECONDS
            for process in group:
                try:
                    process.wait(max(0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for pump in self._pumps:
            pump.join(timeout=5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def launch(script, argv, more_arguments, workers, synchronous=False):
    """启动整个集群，等它做完；SIGTERM 与 Ctrl-C 都先收拾干净再结束。

    每个进程运行的都是 script，只是各有各的 TF_CONFIG：异步训练是 chief、workers 个 worker、一个参数服务器、
    evaluator；同步训练只有 worker。

    Args:
        argv: 原来的参数列表，None 表示 sys.argv；其中的 --cluster、--drawn 会去掉，再接上 more_arguments()。

    Raises:
        UserError: 已经设了 TF_CONFIG，或有进程意外结束。
    """
    if os.environ.get("TF_CONFIG"):
        raise UserError("--cluster 会自己给各进程设 TF_CONFIG，而环境里已经有一个。请先执行 unset TF_CONFIG。")
    arguments = _without_cluster(sys.argv[1:] if argv is None else argv) + more_arguments()
    worker_roles = [("worker", i) for i in range(workers)]
    if synchronous:
        cluster, roles = addresses(worker=workers), worker_roles
    else:
        cluster = addresses(chief=1, worker=workers, ps=1)
        roles = [("ps", 0), ("chief", 0), *worker_roles, ("evaluator", 0)]
    print(f"启动 {len(roles)} 个进程。TensorFlow 的端口没有认证，且监听所有网卡：请只在可信的网络里运行。", flush=True)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with LocalCluster([sys.executable, os.path.abspath(script), *arguments], cluster) as processes:
            for role, index in roles:
                processes.start(role, index)
            processes.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)


def _without_cluster(arguments):
    """去掉 "--cluster 2" 或 "--cluster=2"，以及 --drawn：画好的花另由 --images-dir 指明。"""
    arguments = [argument for argument in arguments if argument != "--drawn"]
    for i, argument in enumerate(arguments):
        if argument.split("=")[0] == "--cluster":
            return [*arguments[:i], *arguments[i + (1 if "=" in argument else 2) :]]
    return list(arguments)


def follow_launcher():
    """由 LocalCluster 启动的进程要调用它：启动者让它结束，或启动者自己死了（哪怕是 kill -9），它都跟着结束。"""
    if os.environ.pop(_FOLLOW, None):
        threading.Thread(target=_end_with_launcher, daemon=True).start()


def _end_with_launcher():
    os.read(0, 1)  # 启动者什么也不写；读到头就是管道关了
    signal.raise_signal(signal.SIGTERM)  # 正在训练的会存一个检查点；其余的就此结束
    time.sleep(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)  # 主线程卡在 TensorFlow 里，收不到信号
