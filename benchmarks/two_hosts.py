"""一个真的跨主机的集群：两个网络命名空间（network namespace）当两台主机，各有自己的地址，中间一条网线（veth）。

chief 在一台，worker 与 ps 在另一台，输出文件夹共享。只有 Linux、且有权建网络命名空间（root）时才行。用法：
    python benchmarks/two_hosts.py --images-dir 照片文件夹 --output-dir 共享文件夹 [--steps 300] [--record 文件]
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"
sys.path.insert(0, str(LESSONS_DIR))

from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.errors import UserError
from toolbox.terminal.run import run_main

ADDRESSES = {"a": "10.77.15.1", "b": "10.77.15.2"}  # 只在这两个命名空间里有
CLUSTER = {"chief": ["10.77.15.1:2222"], "worker": ["10.77.15.2:2222"], "ps": ["10.77.15.2:2223"]}
HOST_OF = {"chief": "a", "worker": "b", "ps": "b"}


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def two_hosts():
    """给出 {"a": 命名空间的名字, "b": ……}；用完删掉，网线随之消失。"""
    names = {host: f"study-keras-{os.getpid()}-{host}" for host in ADDRESSES}
    try:
        try:
            for name in names.values():
                ip("netns", "add", name)
            cable = ("type", "veth", "peer", "name", "cable", "netns", names["b"])
            ip("-n", names["a"], "link", "add", "cable", *cable)
            for host, name in names.items():
                ip("-n", name, "address", "add", f"{ADDRESSES[host]}/24", "dev", "cable")
                for device in ("lo", "cable"):
                    ip("-n", name, "link", "set", device, "up")
        except (OSError, subprocess.CalledProcessError) as error:
            why = (getattr(error, "stderr", "") or str(error)).strip()
            raise UserError(f"这里不能建网络命名空间（{why}）。请在 Linux 上用 root 运行。") from None
        yield names
    finally:
        for name in names.values():
            with contextlib.suppress(OSError):
                subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def start(role, namespace, options, lines):
    """在一台“主机”上启动一个角色；它的输出一行行加上角色与地址，放进 lines。"""
    config = {"cluster": CLUSTER, "task": {"type": role, "index": 0}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    script = str(LESSONS_DIR / "hello_transfer_learning_2.py")
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, script, *options],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip

    def pump():
        for line in process.stdout:
            if line.strip():
                lines.append(f"[{role} {ADDRESSES[HOST_OF[role]]}] {line.rstrip()}")
                print(lines[-1], flush=True)

    threading.Thread(target=pump, daemon=True).start()
    return process


def main(argv=None):
    parser = ArgumentParser("一个真的跨主机的集群：两个网络命名空间当两台主机。")
    parser.add_argument("--images-dir", required=True, metavar="DIR", help="照片文件夹")
    parser.add_argument("--output-dir", required=True, metavar="DIR", help="共享文件夹")
    parser.add_argument("--cache-dir", metavar="DIR", help="缓存的特征放在哪里，默认在共享文件夹里")
    parser.add_argument("--steps", type=positive_int, default=300, metavar="N", help="训练几步")
    parser.add_argument("--record", type=Path, metavar="FILE", help="输出也写到这个文件")
    args = parser.parse_args(argv)
    lines, processes = [], {}
    options = ["--images-dir", args.images_dir, "--output-dir", args.output_dir, "--steps", str(args.steps)]
    options += [
        "--cache-dir",
        args.cache_dir or f"{args.output_dir}/cache",
        "--batch-size",
        "8",
        "--wait-seconds",
        "600",
    ]
    with two_hosts() as names:
        try:
            for role, host in HOST_OF.items():
                processes[role] = start(role, names[host], options, lines)
            codes = [processes[role].wait() for role in ("chief", "worker")]
        finally:
            for process in processes.values():
                process.terminate()
                process.wait()
    if any(codes):
        raise UserError(f"chief 与 worker 的退出码是 {codes}，应当都是 0；原因见上面的输出。")
    if args.record:
        text = "\n".join(lines).replace(str(Path(args.images_dir).resolve()), Path(args.images_dir).name)
        text = text.replace(str(Path(args.output_dir).resolve()), "共享文件夹").replace(str(Path.home()), "~")
        args.record.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
