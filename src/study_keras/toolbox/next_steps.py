"""一课做完之后说的“接下来”：适合刚做的事，学的路与用的路各有下一步。"""

from toolbox import drawn_flowers, model_folder
from toolbox.terminal.commands import command, quoted
from toolbox.terminal.files import PROJECT_DIR

FINE_TUNING = "hello_fine_tuning.py"


def show(args, photos, lesson):
    """打印接下来可以做什么，命令都是照抄就能运行的。

    Args:
        args: 命令行选项。
        photos: PhotoFolder，刚用过的照片。
        lesson: 刚运行的脚本的名字。
    """
    target = model_folder.target_folder(args.output_dir, args.name)
    own = args.images_dir and not is_drawn(photos)
    print("\n===== 接下来 =====")
    for what, line in _with_own_photos(photos, target) if own else _towards_own_photos(photos, target, lesson):
        print(f"{what}：\n  {line}")
    if lesson == FINE_TUNING:
        print(f"接着学，哪里容易悄悄做错：\n  {quoted(PROJECT_DIR / 'docs' / 'pitfalls.md')}")
    else:
        same_photos = ["--images-dir", photos.root] if args.images_dir else ["--drawn"] if is_drawn(photos) else []
        print(f"接着学，第 3 课微调：\n  {command(FINE_TUNING, *same_photos)}")


def is_drawn(photos):
    """这些照片是不是 drawn_flowers 画的。"""
    return (photos.root / drawn_flowers.STAMP).is_file()


def _with_own_photos(photos, target):
    """用的是读者自己的照片：查照片，认新照片，看错处。"""
    yield "查一查照片本身有没有毛病", command("hello_photo_check.py", photos.root)
    yield "认新的照片", command("hello_predict.py", target, "新照片.jpg")
    yield "看它错在哪里", command("hello_report.py", target)


def _towards_own_photos(photos, target, lesson):
    """用的是现成的或画的花：看错处，换成自己的照片。"""
    yield "看它错在哪里", command("hello_report.py", target)
    which = "这些花是画的。" if is_drawn(photos) else ""
    own = f"{which}换成你自己的照片：一个文件夹，里面一个子文件夹放一类，每类几十张"
    yield own, command(lesson, "--images-dir", "照片文件夹")
