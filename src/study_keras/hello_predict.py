"""第 4 课：用训练好的模型认新照片，认不出的就说“都不像”。

你会学到：怎样把一张照片变成模型的输入，怎样运行 model.tflite，怎样读它给出的概率，为什么要有“都不像”这个答案。
需要：    一个模型文件夹（第 1 课或第 3 课写的），几张照片；用不着 TensorFlow，也用不着 GPU。
多久：    一张照片不到一秒；一个文件夹，两核每秒近二百张。
命令：    python src/study_keras/hello_predict.py 照片.jpg
预期：    每张照片一行：文件、类别、概率、其次的类别。讲解见 docs/study_keras/hello_predict.md。
"""

import contextlib
import io
import os
import shutil
import sys
from collections import Counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # 每个核已有自己的线程；NumPy 再分线程，只会空转着抢 CPU

from toolbox import model_folder_reader
from toolbox.photos.read import PhotoError
from toolbox.prediction import sorting
from toolbox.prediction.rows import FORMATS, NONE_OF_THESE, new_writer, row_of
from toolbox.prediction.sources import Source, Sources, is_mistyped_folder
from toolbox.prediction.watch import arriving
from toolbox.predictor import Predictor
from toolbox.terminal.arguments import ArgumentParser, positive_int, text_file
from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import OUTPUT_DIR, absolute, written_aside
from toolbox.terminal.run import run_main
from toolbox.terminal.text import visible

UNREADABLE = 3  # 退出码：有照片读不出来，其余的都认了


def parse_arguments(argv):
    parser = ArgumentParser(
        "第 4 课：用训练好的模型认新照片。退出码 0：都认了；3：有照片读不出来，其余的都认了。",
        usage="%(prog)s [选项] [模型文件夹] 照片…",
    )
    add = parser.add_argument
    photos = "照片、文件夹（含各层子文件夹）、通配符、http(s) 网址，或 -（从标准输入读清单，一行一个）"
    add("inputs", nargs="*", metavar="照片", help=f"{photos}；前面可以写模型文件夹，不写就用 output/ 里最新的")
    add("--top", type=positive_int, default=3, metavar="N", help="写出概率最大的几个类别")
    add("--format", choices=FORMATS, help="表格、CSV、JSON、每行一个的 JSON；不给就看 --out 的后缀，再不然是表格")
    add("--out", type=text_file, metavar="FILE", help="写进这个文件，不显示在屏幕上；CSV 在 Excel 里中文不会乱")
    add("--sort-into", metavar="DIR", help="把照片复制进 DIR 里各个类别的文件夹，记下每一步")
    add("--move", action="store_true", help="--sort-into 时移动，而不是复制")
    add("--undo", metavar="LOG", help="撤销一次 --sort-into，LOG 是它写的记录")
    add("--watch", metavar="DIR", help="盯着这个文件夹，来一张认一张，直到 Ctrl-C")
    args = parser.parse_mixed_args(argv, "inputs")
    only_models = args.undo and all(map(model_folder_reader.looks_like_one, args.inputs))  # 前面写了模型文件夹的不算
    if args.undo and (args.sort_into or args.watch or args.out or not only_models):
        parser.error("--undo 只撤销，不与照片、--sort-into、--watch、--out 一起用")
    if args.watch and args.format == "json":
        parser.error("--watch 没有尽头，JSON 的数组合不上；请用 --format jsonl")
    if args.move and not args.sort_into:
        parser.error("--move 要与 --sort-into 一起用")
    if args.watch and args.out:
        parser.error("--watch 没有尽头，不能与 --out 一起用；可以用 --format jsonl 再加 > 文件")
    if args.watch and args.sort_into and absolute(args.sort_into).is_relative_to(absolute(args.watch)):
        parser.error("--sort-into 的文件夹不能在 --watch 的里面：整理过去的又成了新来的")
    return args


def choose_model(inputs):
    """第一个参数若是模型文件夹就用它，否则用 output/ 里最新的。返回 (Predictor, 其余的参数)。"""
    if inputs and model_folder_reader.looks_like_one(inputs[0]):
        return Predictor(inputs[0]), inputs[1:]
    if len(inputs) > 1 and is_mistyped_folder(inputs[0]):
        raise UserError(f"没有 {visible(inputs[0])}。若是模型文件夹，请检查路径；若是照片，请写上后缀。")
    folder = model_folder_reader.newest(OUTPUT_DIR)
    print(f"用最新的模型：{visible(folder)}", file=sys.stderr)
    return Predictor(folder), inputs


def find_photos(args, inputs):
    """要认的照片，一批一批的；--watch 时没有尽头。"""
    if args.watch:
        if inputs:
            raise UserError("用了 --watch 就不要再写照片。")
        return arriving(args.watch)
    if not inputs:
        raise UserError("没有给出照片。请在命令后面写上照片、文件夹或网址；用 --help 看全部写法。")
    return [Sources(inputs, absolute(args.sort_into) if args.sort_into else None)]


def recognize(predictor, sources, counts):
    """读照片，缩放，运行模型：依次给出 (Source, Answer)。读不出来的说出名字与原因，数进 counts。"""
    for source, answer in predictor.predict_many(sources, load=Source.load):
        if isinstance(answer, PhotoError):
            counts["读不出来"] += 1
            print(f"读不出来：{visible(source.file)}：{visible(answer)}", file=sys.stderr, flush=True)
        else:
            counts["认了" if answer.known else NONE_OF_THESE] += 1
            yield source, answer


@contextlib.contextmanager
def writing_answers(args, labels):
    """给出写答案的对象：写到屏幕，或写在 --out 旁边、全部认完再改成正式的名字。"""
    suffix = args.out.suffix.lower().lstrip(".") if args.out else ""
    kind = args.format or (suffix if suffix in FORMATS else "table")
    top, width = min(args.top, len(labels)), shutil.get_terminal_size().columns
    if args.out is None:
        with contextlib.closing(new_writer(kind, sys.stdout, labels, top, width)) as writer:
            yield writer  # 中断了，JSON 的数组也要合上
        return
    with disk_errors(args.out, "用 --out 换一个地方"), written_aside(absolute(args.out), or_beside=True) as file:
        encoding = "utf-8-sig" if kind == "csv" else "utf-8"  # 开头的 BOM 让 Excel 知道是 UTF-8
        text = io.TextIOWrapper(file, encoding=encoding, newline="\n")
        writer = new_writer(kind, text, labels, top, width)
        yield writer
        writer.close()
        text.flush()
        text.detach()  # 文件由 written_aside 来关


def report(counts, photos):
    """认了几张、读不出来几张、略过了什么；都写在标准错误上，不混进答案里。"""
    total = sum(counts.values())
    counted = "，".join(f"{name} {counts[name]} 张" for name in ("认了", NONE_OF_THESE, "读不出来") if counts[name])
    ignored = getattr(photos[0], "ignored", {})
    skipped = "；略过：" + "、".join(f"{visible(name)}（{n} 处）" for name, n in ignored.items()) if ignored else ""
    print(f"共 {total} 张：{counted}{skipped}" if total else f"没有找到照片{skipped}", file=sys.stderr)


def main(argv=None):
    args = parse_arguments(argv)
    if args.undo:
        return sorting.undo(args.undo)
    predictor, inputs = choose_model(args.inputs)
    photos = find_photos(args, inputs)
    counts = Counter()
    writing = writing_answers(args, predictor.labels)
    with writing as answers, sorting.sorting_into(args.sort_into, predictor.labels, args.move) as sort:
        for sources in photos:
            for source, answer in recognize(predictor, sources, counts):
                row = row_of(source.file, answer, args.top)
                answers.write(row)
                sort(source, row["top"][0]["class"] if answer.known else None)
        if not counts:  # 在这里出错，--out 原来的文件就留着
            report(counts, photos)
            raise UserError("一张照片也没有找到。请检查路径。")
    report(counts, photos)
    if counts["读不出来"]:
        raise SystemExit(UNREADABLE)


if __name__ == "__main__":
    run_main(main, when_interrupted="已经写出的答案、整理好的照片都在；--out 的文件没有写出来。")
