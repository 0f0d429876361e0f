"""一课用哪些照片：自己的文件夹、已有的或下载的 flower_photos、自己画的花。"""

from toolbox import drawn_flowers, flower_photos
from toolbox.photos.folder import open_folder
from toolbox.terminal.files import DATA_DIR


def add_options(parser):
    """给 parser 添上 --images-dir 与 --drawn。"""
    parser.add_argument(
        "--images-dir", metavar="DIR", help="自己的照片：一个子文件夹一个类别；不给则用 flower_photos，没有就下载"
    )
    parser.add_argument("--drawn", action="store_true", help="不用照片，立刻用自己画的花")


def find(args):
    """按选项打开照片文件夹，返回 PhotoFolder；下载不到 flower_photos 时改用画的花，并说清楚。"""
    if args.images_dir:
        return open_folder(args.images_dir)
    if not args.drawn:
        try:
            return open_folder(flower_photos.fetch())
        except flower_photos.DownloadFailed as error:
            print(f"\n！！！没有真实照片：{error}\n！！！下面改用自己画的花，准确率不能与真实照片相比。\n", flush=True)
    return open_folder(drawn_flowers.draw_folder(DATA_DIR / "drawn_flowers"))
