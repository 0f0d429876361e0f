"""画一个花的照片文件夹：没有网络、拿不到真照片时，课程仍能从头走到尾。

五类，每类一个子文件夹，布局与 flower_photos 相同。第 i 张照片只由（种子，类别，i）决定：同一台机器上字节相同，
与一共画多少张、用几个进程无关。画法见 flower_painting。
"""

import io
import math
import os
import re
import sys
from argparse import ArgumentTypeError
from contextlib import nullcontext
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # 直接运行时也能找到 toolbox

from toolbox.terminal.arguments import ArgumentParser, positive_int, seed
from toolbox.terminal.commands import command
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import DATA_DIR, absolute, write_aside
from toolbox.terminal.leftovers import remove_leftovers
from toolbox.terminal.locks import one_process_at_a_time
from toolbox.terminal.progress import Progress
from toolbox.terminal.records import read_json, write_json
from toolbox.terminal.run import run_main
from toolbox.terminal.text import visible
from toolbox.terminal.workers import cores, process_pool

CLASS_NAMES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
VERSION = 1  # 画法一改就加一，旧画会重画
STAMP = "drawn.json"
ELSEWHERE = f"运行 {command('toolbox/drawn_flowers.py')} --output-dir 文件夹（课文脚本再用 --images-dir 指明）"
_PHOTOS_PER_TASK = 8
_LONGEST_SIDE = 450  # 像素；画的都不超过


def draw_folder(folder, per_class=80, seed=0, workers=None):
    """把五类花画进 folder/<类名>/0000.jpg……；已经画好的留用，中断后再次调用就接着画。

    Args:
        folder: 目标文件夹；不存在就建立。
        per_class: 每类几张。上次画得更多时，多出的删掉。
        seed: 种子，不小于 0。与上次不同时全部重画。
        workers: 进程数；None 表示与 CPU 核数相同。不影响画出的内容。

    Returns:
        Path，即 folder。

    Raises:
        UserError: folder 是文件，里面有不是本模块画的东西（不会去动它们），或写不进去。
    """
    folder = Path(folder)
    with disk_errors(folder, ELSEWHERE):
        _refuse_other_files(folder)
        if _is_drawn(folder, per_class, seed):  # 只读的也能用
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(_lock_file(folder), "往同一个文件夹里画花"):
            _draw_all(_prepare(folder, per_class, seed), workers)
    return folder


def _lock_file(folder):
    """锁在文件夹旁边，免得混进照片里；旁边写不了，才放进去。"""
    return (folder.parent if os.access(folder.parent, os.W_OK) else folder) / f".{folder.name}.lock"


def _draw_all(tasks, workers):
    workers = min(workers or cores(), len(tasks) // 2)  # 张数少，开进程的时间比画的时间还长
    total = sum(len(numbers) for *_, numbers in tasks)
    with Progress("画花", total) as progress, process_pool(workers) if workers > 1 else nullcontext() as pool:
        for done in (pool.map if pool else map)(_draw, tasks):
            progress.update(done)


def _refuse_other_files(folder):
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} 是一个文件，不能往里面画花。请换一个文件夹。")
    if not folder.exists() or (folder / STAMP).exists():
        return
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"{folder} 里已有不是画出来的文件；为了不弄乱它们，没有画。请换一个空文件夹。")


def _is_drawn(folder, per_class, seed):
    """要的都画好了，而且没有多出来的；顺便清掉被强行结束的留下的。"""
    for place in (folder, *(folder / name for name in CLASS_NAMES)):
        remove_leftovers(place)
    wanted = {_file_name(number) for number in range(per_class)}
    most = max(per_class, _most_drawn(folder, per_class))
    return _is_stamped(folder, seed) and all(
        _numbered(folder / name, most) == wanted and all(_is_whole(folder / name / photo) for photo in wanted)
        for name in CLASS_NAMES
    )


def _is_stamped(folder, seed):
    stamp = _stamp(folder)
    return (stamp.get("version"), stamp.get("seed")) == (VERSION, seed)


def _stamp(folder):
    """戳的内容；没有、读不懂都是空的。"""
    return read_json(folder / STAMP) or {}


def _most_drawn(folder, per_class):
    """以前每类最多画到几张，照戳说的；以前的戳没有说，就看哪些像是画的，没有画过是 0。"""
    most = _stamp(folder).get("per_class")
    if isinstance(most, int):
        return most
    photos = [folder / class_name / name for class_name in CLASS_NAMES for name in _numbered(folder / class_name)]
    return max((int(photo.stem) + 1 for photo in photos if _looks_drawn(photo, per_class)), default=0)


def _looks_drawn(photo, per_class):
    """画的都不大（见 flower_painting），拍的大得多；打不开的（没有写全），编号小于 per_class 就算画的。"""
    from PIL import Image

    try:
        with Image.open(photo, formats=["JPEG"]) as image:
            return max(image.size) <= _LONGEST_SIDE
    except OSError:
        return int(photo.stem) < per_class


def _numbered(class_folder, most=math.inf):
    """class_folder 里编号小于 most 的各张的名字；写法不同的（如 00001.jpg）不是画的，是读者自己的照片。"""
    names = os.listdir(class_folder) if class_folder.is_dir() else []
    drawn = (name for name in names if re.fullmatch(r"[0-9]{4,}\.jpg", name))
    return {name for name in drawn if name == _file_name(int(Path(name).stem)) and int(Path(name).stem) < most}


def _is_whole(photo):
    """是不是写全了的 JPEG：断电会留下空的、截断的；它们画得回来，所以写的时候不等落到磁盘（快得多）。"""
    with open(photo, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2))
        return file.read() == b"\xff\xd9"


def _prepare(folder, per_class, seed):
    """查看文件夹，删去不该留的，返回还要画的：[(folder, seed, 类名, 编号列表)]。"""
    same, most, new = _is_stamped(folder, seed), _most_drawn(folder, per_class), {"version": VERSION, "seed": seed}
    present_of = {name: _numbered(folder / name, max(most, per_class)) for name in CLASS_NAMES}
    _refuse_readers_photos(folder, present_of, most)
    found = _stamp(folder) or ({} if (folder / STAMP).exists() else new)  # 读不懂的，与哪个种子都不同
    stamp = {name: found.get(name) for name in new}
    # 戳：哪个种子画的，每类最多画到几张；编号再大的不是画的。先说到几张为止是画的：删到一半、画到一半被杀，也认得出
    write_json(folder / STAMP, {**stamp, "per_class": max(most, per_class)})
    tasks, removed = [], 0
    for class_name, present in present_of.items():
        (folder / class_name).mkdir(exist_ok=True)
        wanted = {_file_name(number): number for number in range(per_class)}
        kept = {name for name in present & wanted.keys() if same and _is_whole(folder / class_name / name)}
        for name in present - kept:
            (folder / class_name / name).unlink(missing_ok=True)
        removed += len(present - kept)
        numbers = [number for name, number in wanted.items() if name not in kept]
        for first in range(0, len(numbers), _PHOTOS_PER_TASK):
            tasks.append((folder, seed, class_name, numbers[first : first + _PHOTOS_PER_TASK]))
    write_json(folder / STAMP, {**new, "per_class": per_class})  # 删完旧画才能换戳，否则中断后会把旧画当成新画
    if removed:
        print(f"{visible(folder)} 里有 {removed} 张以前画的，这次用不着（张数或种子不同，或没有写全），已删去。")
    return tasks


def _refuse_readers_photos(folder, present_of, most):
    """编号不小于 most 的不是画的；这次要画到那里，就会与它们相撞。"""
    own = [f"{name}/{photo}" for name, photos in present_of.items() for photo in sorted(photos)]
    own = [path for path in own if int(Path(path).stem) >= most]
    if own:
        raise UserError(f"{visible(folder)} 里的 {own[0]} 不是画的，再画就与它重名。请移走它，或换一个文件夹。")


def _file_name(number):
    return f"{number:04d}.jpg"


def _draw(task):
    """画一项任务里的照片，返回张数。在工作进程里运行。"""
    folder, seed, class_name, numbers = task
    for number in numbers:
        write_aside(folder / class_name / _file_name(number), jpeg(class_name, number, seed), reproducible=True)
    return len(numbers)


def jpeg(class_name, number, seed=0):
    """class_name 的第 number 张：JPEG 的字节，与 draw_folder 画的相同。"""
    import numpy as np

    from toolbox.flower_painting.painter import paint

    rng = np.random.default_rng([seed, CLASS_NAMES.index(class_name), number])
    photo, content = paint(class_name, rng), io.BytesIO()
    photo.save(content, "JPEG", quality=int(rng.integers(60, 93)))
    return content.getvalue()


def save_contact_sheet(folder, file, columns=8, side=104):
    """把每类的前 columns 张缩成一行，存成一张样张图，供人看。"""
    from PIL import Image, ImageOps

    sheet = Image.new("RGB", (columns * side, len(CLASS_NAMES) * side), "white")
    for row, class_name in enumerate(CLASS_NAMES):
        for column, path in enumerate(sorted((Path(folder) / class_name).glob("*.jpg"))[:columns]):
            with Image.open(path) as photo:
                sheet.paste(ImageOps.fit(photo, (side - 2, side - 2)), (column * side + 1, row * side + 1))
    content = io.BytesIO()
    sheet.quantize(256).save(content, "PNG", optimize=True)  # 256 色够看，文件小得多
    write_aside(Path(file), content.getvalue())


def _png_file(text):
    """argparse 的 type：要写的 PNG 文件。"""
    path = absolute(text)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise ArgumentTypeError(f"{text} 要是一个 .png 文件的名字")
    return path


def main(argv=None):
    parser = ArgumentParser("画五类花的照片（雏菊、蒲公英、玫瑰、向日葵、郁金香），供没有网络时上课用。")
    default_dir = DATA_DIR / "drawn_flowers"
    parser.add_argument("--output-dir", type=absolute, default=default_dir, metavar="DIR", help="画到哪个文件夹")
    parser.add_argument("--per-class", type=positive_int, default=80, metavar="N", help="每类几张")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="种子：相同则画相同")
    parser.add_argument("--contact-sheet", type=_png_file, metavar="FILE", help="另存一张样张图（PNG），每类八张")
    args = parser.parse_args(argv)

    folder = draw_folder(args.output_dir, args.per_class, args.seed)
    print(f"画好了：{visible(folder)}，{len(CLASS_NAMES)} 类，每类 {args.per_class} 张。")
    print(f"接下来用它上第 1 课：\n  {command('hello_transfer_learning.py', '--images-dir', folder)}")
    if args.contact_sheet:
        save_contact_sheet(folder, args.contact_sheet)
        print(f"样张：{visible(args.contact_sheet)}")


if __name__ == "__main__":
    run_main(main, when_interrupted="画完的照片都留着；重新运行同一条命令就接着画。")
