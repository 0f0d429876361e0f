"""各课共同的部分：共同的选项，以及一课的开头（找到照片与权重，载入 TensorFlow）。"""

from contextlib import contextmanager

from toolbox import drawn_flowers, experiments, flower_photos, model_folder
from toolbox.frozen_prefix.options import add_feature_options, refuse_cache_among_photos
from toolbox.photos.folder import open_folder, refuse_among_photos
from toolbox.terminal.arguments import positive_int, seed
from toolbox.terminal.errors import UserError, wrong_clock
from toolbox.terminal.files import DATA_DIR, OUTPUT_DIR, absolute
from toolbox.terminal.leftovers import remove_leftovers
from toolbox.terminal.tensorflow_start import load_tensorflow, preload_tensorflow
from toolbox.terminal.text import visible
from toolbox.weights.find import CHOICES, find_weights

LOSSES = {"categorical": "categorical_crossentropy", "sparse": "sparse_categorical_crossentropy"}


def add_options(parser, epochs, name, name_help="模型文件夹的名字"):
    """给 parser 添上各课共同的选项。

    Args:
        epochs: --epochs 的默认值。
        name: --name 的默认值。
    """
    add = parser.add_argument
    add("--images-dir", metavar="DIR", help="自己的照片：一个子文件夹一个类别；不给则用 flower_photos，没有就下载")
    add("--drawn", action="store_true", help="不用照片，立刻用自己画的花")
    parser.not_together("--images-dir", "--drawn")
    split = "--images-dir 里已分好 train、val（与 test），照着它划分，不再另分"
    add("--given-split", action="store_true", help=split)
    sources = "auto、imagenet、torchvision、random 或 .h5 文件"
    add("--weights", default="auto", metavar="W", help=f"基础模型的权重：{sources}")
    add("--epochs", type=positive_int, default=epochs, metavar="N", help="最多训练几轮")
    add("--batch-size", type=positive_int, default=32, metavar="N", help="一批几张")
    add("--seed", type=seed, default=0, metavar="N", help="随机种子，也决定怎样划分")
    add("--output-dir", default=str(OUTPUT_DIR), metavar="DIR", help="模型文件夹写在哪里")
    add("--name", default=name, metavar="NAME", help=name_help)
    add_feature_options(parser)


def add_replace(parser):
    """给 parser 添上 --replace（第 1、3 课）。"""
    parser.add_argument(
        "--replace", action="store_true", help="同名的模型文件夹即使设置不同也换掉；不给则留着，这次的叫 名字_2"
    )


def add_class_mode(parser):
    """给 parser 添上 --class-mode（第 1、2 课）。"""
    parser.add_argument(
        "--class-mode",
        choices=list(LOSSES),
        default="categorical",
        metavar="MODE",
        help="标签是独热向量（categorical），或接着 ImageNet 编号的整数（sparse）",
    )


def find_photos(args):
    """按选项打开照片文件夹，返回 PhotoFolder；下载不到 flower_photos 时改用画的花，并说清楚。"""
    if args.images_dir is not None:
        folder = open_folder(args.images_dir, given_split=args.given_split)
        if getattr(args, "test_split", 0) and any(photo.part == "test" for photo in folder.photos):
            print("注意：照片文件夹里已分好 test/，--test-split 不起作用。")
        return folder
    if args.given_split:
        raise UserError("--given-split 要与 --images-dir 一起用：其余的照片没有现成的划分。")
    if not args.drawn:
        try:
            return open_folder(flower_photos.fetch())
        except flower_photos.DownloadFailed as error:
            print(f"\n注意：没有真实照片：{visible(error)}")
            print("注意：下面改用自己画的花，准确率不能与真实照片相比。\n", flush=True)
    return open_folder(drawn_flowers.draw_folder(DATA_DIR / "drawn_flowers"))


def target_folder(args):
    """结果要写进的文件夹；训练之前就确认写得下去，而且不在照片文件夹里：否则下次它就成了一个类别。

    Raises:
        UserError: 写不下去，或在照片文件夹里。
    """
    output = absolute(args.output_dir)
    for photos in [args.images_dir] if args.images_dir else [DATA_DIR / "flower_photos", DATA_DIR / "drawn_flowers"]:
        refuse_among_photos("--output-dir", output, photos)
        refuse_cache_among_photos(args, photos)
    if problem := wrong_clock():
        raise UserError(f"{problem}。")
    target = model_folder.target_folder(args.output_dir, args.name)
    remove_leftovers(output)
    return target


def start(args, stage):
    """一课的开头：确认结果写得下去，找到照片与权重，载入 TensorFlow。

    Args:
        args: 命令行选项。
        stage: Stopwatch。

    Returns:
        (PhotoFolder, Weights)。

    Raises:
        UserError: 照片、权重或输出文件夹有问题。
    """
    model_folder.refuse_if_being_written(target_folder(args))
    preload_tensorflow()
    folder, weights = find_inputs(args, stage)
    with stage("载入 TensorFlow"):
        tf = load_tensorflow()
        print(f"GPU：{len(tf.config.list_physical_devices('GPU'))} 个（没有也可以）")
    return folder, weights


def find_inputs(args, stage):
    """找到照片与权重，说出找到了什么；返回与 Raises 同 start。"""
    with stage("找照片"):
        folder = find_photos(args)
        folder.report()
    with stage("找权重"):
        weights = find_weights(args.weights)
        print(f"基础模型的权重：{visible(weights.name)}")
    return folder, weights


@contextmanager
def results_folder(args, photos, weights):
    """给出写这次结果的临时文件夹，正常结束时改名；同名的已是别的设置的模型，就改 args.name，说出来。

    Args 与 Raises 同 experiments.free_name、model_folder.writing。
    """
    args.name = experiments.free_name(args, photos, weights)
    with model_folder.writing(args.output_dir, args.name) as results:
        yield results


def shard_is_done(args):
    """用了 --shard 就说明接下来做什么，返回 True：这一份算完了，没有别的可做。"""
    if args.shard:
        print("这一份算完了。各份都算完后，不带 --shard 再运行一次。")
    return bool(args.shard)


def found_options(args):
    """先把照片与权重备好，返回指明它们的选项：各进程直接用，下载只做一次。"""
    folder = find_photos(args)
    weights = find_weights(args.weights)
    own = weights.name not in CHOICES  # 不是读者自己的文件，就说名字：记在结果里的才是它
    return ["--images-dir", folder.root, "--weights", weights.path if own else weights.name]
