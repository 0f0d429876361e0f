"""记下一课的终端输出，供页面引用；本机的路径换成通用的说法。

在项目的根目录里运行：python benchmarks/record_output.py 输出文件 hello_transfer_learning.py --images-dir 照片文件夹
"""

import os
import subprocess
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"
sys.path.insert(0, str(LESSONS_DIR))

from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.run import run_main


def main(argv=None):
    parser = ArgumentParser("记下一课的终端输出，供页面引用。")
    parser.add_argument("file", type=Path, help="写到这个文件")
    parser.add_argument("lesson", help="脚本名，如 hello_transfer_learning.py")
    args, options = parser.parse_known_args(argv)
    command = [sys.executable, str(LESSONS_DIR / args.lesson), *options]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # 如同激活了环境，打印的命令里就是 python
    environment = {**os.environ, "PATH": path, "PYTHONIOENCODING": "utf-8"}
    text = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True, env=environment).stdout
    for option in options:
        if Path(option).is_dir():
            for shown in (str(Path(option).resolve()), os.path.relpath(option)):
                text = text.replace(shown, Path(option).resolve().name)
    for folder, name in ((str(PROJECT_DIR) + "/", ""), (str(Path.home()), "~")):
        text = text.replace(folder, name)
    args.file.write_text(text.strip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
