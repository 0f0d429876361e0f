"""挑出 docs/results/ 里各个结果所用的那 1,500 张照片：复制到一个新的文件夹，逐张核对 SHA-256。

用法：python benchmarks/select_photos.py flower_photos 新文件夹
清单是 docs/results/flower_photos_1500.txt，每行“SHA-256  类别/文件名”，与 sha256sum 的格式相同。
"""

import shutil
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import folder_written_aside, sha256_of
from toolbox.terminal.run import run_main

PHOTO_LIST = PROJECT_DIR / "docs" / "results" / "flower_photos_1500.txt"


def read_list():
    """[(SHA-256, 类别/文件名)]。"""
    return [line.split("  ", 1) for line in PHOTO_LIST.read_text(encoding="utf-8").splitlines()]


def main(argv=None):
    parser = ArgumentParser("挑出各个结果所用的 1,500 张照片。")
    parser.add_argument("flower_photos", type=Path, help="flower_photos 文件夹，里面是五个类别")
    parser.add_argument("target", type=Path, help="复制到这个新的文件夹")
    args = parser.parse_args(argv)
    if args.target.exists():
        raise UserError(f"{args.target} 已经存在。请换一个新的文件夹名。")
    with folder_written_aside(args.target.absolute()) as aside:
        for sha256, name in read_list():
            photo = args.flower_photos / name
            if not photo.is_file() or sha256_of(photo) != sha256:
                raise UserError(f"{photo} 不存在，或内容与清单不符。请用 toolbox/flower_photos.py 重新取得照片。")
            (aside / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(photo, aside / name)
    print(f"挑出 {len(read_list()):,} 张，放在 {args.target}。")


if __name__ == "__main__":
    run_main(main)
