"""由手写的各个文件重新生成 constraints.txt 与 lock.txt（带哈希）：python requirements/update.py

手写的是 requirements.txt 与本文件夹里其余的 .txt：每行一个包、一个版本、一句理由。改了其中一行就运行本脚本；
后面写上包名（间接的也行）则先换成它们最新的版本，写回手写的文件。没有点到的包，版本能不变就不变。
锁由 uv 解出，Linux、macOS、Windows 与 Python 3.11 至 3.13 通用。
uv 不读 pip 的镜像设置，要用镜像请设环境变量 UV_DEFAULT_INDEX。
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.errors import UserError
from toolbox.terminal.run import run_main

FOLDER = PROJECT_DIR / "requirements"
LOCK, CONSTRAINTS = FOLDER / "lock.txt", FOLDER / "constraints.txt"
HANDWRITTEN = [PROJECT_DIR / "requirements.txt", *sorted(set(FOLDER.glob("*.txt")) - {LOCK, CONSTRAINTS})]
PIN = re.compile(r"^([\w.-]+)==(\S+)( *)", re.MULTILINE)
UV = "uv==0.13.9"
HEADER = "# -*- coding: utf-8 -*-\n# {}由 requirements/update.py 生成，不要手改。\n"
LOCK_USE = "全部包（含测试所用的）的版本与哈希：pip install --require-hashes -r requirements/lock.txt；"


def normal_name(name):
    """包名的标准写法：小写，分隔符都写成连字符（PyPA 的 Simple repository API 规范）。"""
    return re.sub("[-_.]+", "-", name).lower()


def resolve(tools, newest=()):
    """解出锁的正文：手写的版本照旧，newest 里的包取最新的。"""
    pins = {pin for path in HANDWRITTEN for pin in PIN.findall(path.read_text(encoding="utf-8"))}
    wanted = sorted({name if normal_name(name) in newest else f"{name}=={version}" for name, version, _ in pins})
    result = Path(tools, "lock.txt")
    result.write_bytes(LOCK.read_bytes())  # uv 从要写的文件里读出原来的版本，能留就留
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--output-file", str(result)]
    command += ["--universal", "--python-version", "3.11", "--python", sys.executable, "--generate-hashes"]
    command += ["--no-header", "--no-annotate", *(f"--upgrade-package={name}" for name in newest)]
    environment = {**os.environ, "PYTHONPATH": tools}
    if subprocess.run(command, input="\n".join(wanted), encoding="utf-8", env=environment).returncode:
        raise UserError("没有解出能一起装的版本，原因见上面 uv 的说明。请改手写的版本，或检查网络与 UV_DEFAULT_INDEX。")
    return result.read_text(encoding="utf-8")


def without_hashes(lock):
    return re.sub(r" \\\n( +--hash=\S+( \\)?\n)+", "\n", lock)


def write_newest(lock, newest):
    """把锁里 newest 各包的版本写回手写的文件；各版 Python 不同时取最旧的，它在哪里都能装。"""
    versions = {}
    for name, version, _ in PIN.findall(without_hashes(lock)):
        versions.setdefault(normal_name(name), version)

    def renewed(match):
        name, version, spaces = match.groups()
        version = versions[normal_name(name)] if normal_name(name) in newest else version
        return f"{name}=={version}".ljust(len(match[0]) - 2) + "  " if spaces else f"{name}=={version}"

    for path in HANDWRITTEN:
        path.write_bytes(PIN.sub(renewed, path.read_text(encoding="utf-8")).encode())


def main(argv=None):
    parser = ArgumentParser("由手写的各个文件重新生成 requirements/ 里的 constraints.txt 与 lock.txt。")
    parser.add_argument("packages", nargs="*", metavar="包名", help="先换成最新版本的包")
    newest = [normal_name(name) for name in parser.parse_args(argv).packages]
    with tempfile.TemporaryDirectory() as tools:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", tools, UV]
        if subprocess.run(install).returncode:
            raise UserError(f"没有装上 {UV}，请检查网络与 pip 的镜像设置。")
        if newest:
            write_newest(resolve(tools, newest), newest)
        lock = resolve(tools)
    CONSTRAINTS.write_bytes((HEADER.format("lock.txt 去掉哈希；") + without_hashes(lock)).encode())
    LOCK.write_bytes((HEADER.format(LOCK_USE) + lock).encode())
    print(f"写好了 {len(PIN.findall(lock))} 行版本。")


if __name__ == "__main__":
    run_main(main)
