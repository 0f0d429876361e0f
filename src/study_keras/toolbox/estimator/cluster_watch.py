"""训练期间看着集群里别的进程：参数服务器断了就说出来，从没来过的 worker 最后点名。"""

import threading
import time

from toolbox.estimator.cluster_task import is_up
from toolbox.estimator.tf_config import Task

EVERY_SECONDS = 1
SILENT_SECONDS = 10  # ps 这么久连不上才说：它重新启动也要几秒


class WatchOthers:
    """一个线程隔一秒探一次各 ps（chief 还有各 worker）的端口。

    ps 断了，TensorFlow 会无声地等下去；它回来以后，训练自己从最近的检查点接着做。

    Args:
        task: 自己的 Task。
    """

    def __init__(self, task):
        self._servers = _named(task, "ps")
        self._absent = _named(task, "worker") if task.leads else {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        seen = dict.fromkeys(self._servers, time.monotonic())
        reported = set()
        while not self._over.wait(EVERY_SECONDS):
            self._absent = {name: address for name, address in self._absent.items() if not is_up(address)}
            for name, address in self._servers.items():
                if is_up(address):
                    seen[name] = time.monotonic()
                    if name in reported:
                        print(f"{name}（{address}）又连上了，从最近的检查点接着训练。", flush=True)
                        reported.remove(name)
                elif time.monotonic() - seen[name] > SILENT_SECONDS and name not in reported:
                    reported.add(name)
                    print(
                        f"连不上 {name}（{address}）已 {SILENT_SECONDS} 秒，训练停着等它。它若已结束，请在它的机器上"
                        "原样再启动它一个，其余的不用动：会从最近的检查点接着训练。",
                        flush=True,
                    )

    def finish(self):
        """训练做完了：不再看，说出从没来过的 worker。"""
        self._over.set()
        self._thread.join()
        for name, address in self._absent.items():
            print(f"{name}（{address}）始终没有来；它的那一份步数由别的进程做了。", flush=True)


def _named(task, role):
    """{名字: 地址}。"""
    return {Task(role, i, task.cluster).name: address for i, address in enumerate(task.cluster.get(role, ()))}
