"""页面里的命令，依页面的顺序，在项目的一份新副本里原样运行：照着书做，每一条都做得成。

只有 python 换成运行测试的那个，照片是画的花（放在页面用的各个名字之下，免得下载）；装包与克隆由 .ci/run 做。
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from conftest import LESSONS_DIR, PROJECT_DIR, hear_ctrl_c

ORDER = ["README.md", "docs/use_your_photos.md"]
ORDER += [
    f"docs/study_keras/hello_{name}.md"
    for name in ("transfer_learning", "transfer_learning_2", "fine_tuning", "predict", "report", "export")
]
ORDER += ["docs/study_keras/hello_web_page.md", "docs/study_keras/hello_photo_check.md"]
ORDER += ["docs/cached_features.md", "docs/cluster.md", "docs/none_of_these.md", "docs/pitfalls.md", "docs/options.md"]
PHOTO_FOLDERS = ["我的照片", "照片文件夹", "你的照片文件夹", "data/flower_photos"]
FEW = ["新照片文件夹", "新照片", "照片"]
BROKEN = "照片文件夹/daisy/截断.jpg"
ENDLESS = {"--serve": "127.0.0.1:8000", "--watch": "盯着"}  # 不会自己结束的 -> 等到输出里有它，再按 Ctrl-C
FINDINGS = 3  # 第 8 课有发现时的退出码
NOT_HERE = ["unshare ", "export TF_CONFIG", "共享文件夹\n"]  # 几台机器：见 test_two_hosts_with_addresses_of_their_own

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="页面里的命令是给 sh 的；Windows 的写法见 README"),
]


def commands():
    """依页面的顺序：(页, 命令)；重复的只留第一条。benchmarks/ 与测试的命令另由记录与 .ci/run 运行。"""
    found = {}
    for page in ORDER:
        text = (PROJECT_DIR / page).read_text(encoding="utf-8")
        blocks = re.findall(r"^ *```sh\n(.*?)^ *```|^\| 命令 \| ([^\n]*)$", text, re.DOTALL | re.MULTILINE)
        for block in map("".join, blocks):
            if any(word in block for word in NOT_HERE):
                continue
            for command in re.findall(r"python (src/study_keras/[^#\n`]+)", block):
                found.setdefault(command.strip(), page)
    return [(page, command) for command, page in found.items()]


@pytest.fixture(scope="module")
def project(first_flowers, tmp_path_factory):
    """项目的一份新副本，照片已在页面用的各个名字之下。"""
    root = tmp_path_factory.mktemp("新副本") / "study_keras"
    leave = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("src", "docs", "requirements"):
        shutil.copytree(PROJECT_DIR / name, root / name, ignore=leave)
    shutil.copy(PROJECT_DIR / "ImageNetLabels.txt", root)
    photos = first_flowers(12)
    for folder in PHOTO_FOLDERS:
        shutil.copytree(photos, root / folder)
    flower = next(photos.glob("daisy/*.jpg"))
    for folder in FEW:
        (root / folder).mkdir()
        shutil.copy(flower, root / folder / "花.jpg")
    for name in ("照片.jpg", "新照片.jpg"):
        shutil.copy(flower, root / name)
    (root / BROKEN).write_bytes(flower.read_bytes()[:2000])
    change = {"file": "tulips/0003.jpg", "action": "leave_out"}  # 第 5 课的网页下载的清单
    changes = {"version": 1, "folder": str(root / "照片文件夹"), "changes": [change]}
    (root / "photo_changes.json").write_text(json.dumps(changes), encoding="utf-8")
    return root


def start(command, root):
    """命令里的“…”与“日期-时间”换成真的文件名，在 root 里启动。"""
    words = []
    for word in shlex.split(command):
        pattern = word.replace("日期-时间", "*").replace("…", "*")
        words += [str(path.relative_to(root)) for path in root.glob(pattern)] if "*" in pattern else [word]
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *words], cwd=root, env=environment, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=hear_ctrl_c,
    )  # fmt: skip


def until_it_says(process, text):
    """读到含 text 的一行，再按 Ctrl-C；返回读到的。"""
    shown = []
    for line in process.stdout:
        shown.append(line)
        if text in line:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            return "".join(shown) + process.stdout.read()
    return "".join(shown)


def take_litertjs(project, request):
    """LiteRT.js 放进 project，免得再取一次；取不到就说一声，返回 False。"""
    try:
        packages = request.getfixturevalue("litertjs_packages")
    except pytest.skip.Exception as skipped:
        warnings.warn(f"第 7 课的命令没有运行：{skipped}", stacklevel=1)
        return False
    (project / "data" / "litertjs").mkdir()
    for path in packages.values():
        shutil.copy(path, project / "data" / "litertjs")
    return True


def test_every_command_of_every_page_runs_in_order(project, request):
    every, failed = commands(), []
    assert len(every) > 15 and {Path(command.split()[0]).name for _, command in every} == {
        path.name for path in LESSONS_DIR.glob("hello_*.py")
    }
    if not take_litertjs(project, request):
        every = [(page, command) for page, command in every if "hello_web_page" not in command]
    for page, command in every:
        process = start(command, project)
        endless = [text for option, text in ENDLESS.items() if option in command.split()]
        shown = until_it_says(process, endless[0]) if endless else process.communicate(timeout=600)[0]
        expected = {0, 130} if endless else {0, FINDINGS} if "hello_photo_check" in command else {0}
        if process.wait() not in expected or (endless and endless[0] not in shown):
            failed.append(f"{page}：{command}：退出码 {process.returncode}\n{shown[-1500:]}")
    assert not failed, "\n\n".join(failed)
    for result in ("检查.html", "答案.csv", "output/*/report/report.html", "output/export/certificate.json"):
        assert list(project.glob(result)), result
    assert (project / BROKEN).exists()  # 移走又移回
    assert not (project / "照片文件夹" / "tulips" / "0003.jpg").exists()  # 照清单移走了
