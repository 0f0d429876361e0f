"""命令行选项：中文帮助（注明默认值），出错时只有一行中文，退出码 2。"""

import argparse
import itertools
import os
import re
import sys
from pathlib import Path

from toolbox.photos.formats import FORMAT_OF_SUFFIX, RAW_SUFFIXES
from toolbox.terminal.files import PROJECT_DIR
from toolbox.terminal.text import visible, wrapped

LARGEST_SEED = 2**32 - 1  # NumPy 与 Keras 的种子都是 32 位的
_LARGEST = 10**9  # 再大的个数、大小，不是写错了，就是做不到
_SMALLEST = 1e-12

# argparse 自带的英文句子 -> 中文。键是 argparse 源码里交给 gettext 的原文（Python 3.11 至 3.13）。
_ARGPARSE_CHINESE = {
    "usage: ": "用法：",
    "options": "选项",
    "positional arguments": "参数",
    "show this help message and exit": "显示这份帮助后退出",
    "argument %(argument_name)s: %(message)s": "选项 %(argument_name)s：%(message)s",
    "unrecognized arguments: %s": "不认识的选项或参数：%s",
    "the following arguments are required: %s": "缺少必需的参数：%s",
    "not allowed with argument %s": "不能与 %s 同时使用",
    "ignored explicit argument %r": "不接受取值 %r",
    "expected one argument": "后面要跟一个值",
    "expected at least one argument": "后面至少要跟一个值",
    "invalid choice: %(value)r (choose from %(choices)s)": "没有 %(value)r 这个选择，可选：%(choices)s",
}


class _ChineseHelpFormatter(argparse.HelpFormatter):
    """在每条帮助后注明默认值；按终端的列数折行，argparse 自己把汉字也算作一列。"""

    def _split_lines(self, text, width):
        return wrapped(text, width)

    def _fill_text(self, text, width, indent):
        return "\n".join(indent + line for line in wrapped(text, width - len(indent)))

    def _get_help_string(self, action):
        text = action.help or ""
        has_default = action.default not in (None, argparse.SUPPRESS) and not isinstance(action.default, bool)
        if has_default and "%(default)" not in text:
            default = str(action.default).removeprefix(str(PROJECT_DIR) + os.sep)  # 项目里的路径写成相对的
            text += f"（默认 {default}）".replace("%", "%%")
        return text


class ArgumentParser(argparse.ArgumentParser):
    """中文的 argparse.ArgumentParser：每条帮助带默认值，出错时只有一行“错误：……”，退出码 2。"""

    def __init__(self, description, **kwargs):
        argparse._ = lambda text: _ARGPARSE_CHINESE.get(text, text)
        argparse.ngettext = lambda one, many, n: argparse._(one if n == 1 else many)
        kwargs.setdefault("formatter_class", _ChineseHelpFormatter)
        super().__init__(description=description, allow_abbrev=False, **kwargs)
        self.add_argument("--debug", action="store_true", help="出错时显示完整的调用栈")
        self._alternatives = []

    def not_together(self, *options):
        """这几个选项（如 "--shard"）只能给一个，否则有一个会白给。"""
        self._alternatives.append(options)

    def parse_known_args(self, args=None, namespace=None):
        self._refuse_empty(sys.argv[1:] if args is None else args)
        found, rest = super().parse_known_args(args, namespace)
        for options in self._alternatives:
            names = [(option, option.strip("-").replace("-", "_")) for option in options]
            given = [option for option, name in names if getattr(found, name) != self.get_default(name)]
            if len(given) > 1:
                self.error(f"{' 不与 '.join(given[:2])} 一起用：只有一个会起作用")
        return found, rest

    def parse_mixed_args(self, args, positional):
        """同 parse_args，但选项可以写在位置参数之间；-- 之后的都归 positional（nargs="*" 的那一个）。"""
        args = sys.argv[1:] if args is None else args
        self._refuse_empty(args)  # 新的 Python 里 parse_intermixed_args 不经过 parse_known_args
        end = args.index("--") if "--" in args else len(args)
        found = self.parse_intermixed_args(args[:end])
        setattr(found, positional, [*getattr(found, positional), *args[end + 1 :]])
        return found

    def _refuse_empty(self, args):
        """空的参数会被当作眼下的文件夹，或当作没有给；--name=-- 的值会被 argparse 丢掉，留下一个空列表。"""
        for before, argument in itertools.pairwise(["", *args]):
            if re.fullmatch(r"--[\w-]+=--", argument):
                self.error(f"选项 {argument[:-3]}：值不能是 --")
            if argument == "" or re.fullmatch(r"--[\w-]+=", argument):
                name = argument[:-1] or (before if re.match("--.", before) else "有一个参数")
                self.error(f"{name} 是空的，多半是变量没有设")

    def error(self, message):
        print(f"错误：{visible(message)}。用 --help 查看全部选项。", file=sys.stderr)
        raise SystemExit(2)


def positive_int(text):
    """argparse 的 type：1 至十亿的整数。"""
    return _number(text, int, 1)


def non_negative_int(text):
    """argparse 的 type：0 至十亿的整数。"""
    return _number(text, int, 0)


def seed(text):
    """argparse 的 type：随机种子，0 至 LARGEST_SEED 的整数。"""
    return _number(text, int, 0, LARGEST_SEED)


def positive_float(text):
    """argparse 的 type：大于 0 的数；小得、大得单精度浮点装不下或没有意义的不要。"""
    return _number(text, float, _SMALLEST)


def fraction(text):
    """argparse 的 type：0 至 0.5 的比例。"""
    return _number(text, float, 0, 0.5)


def text_file(text):
    """argparse 的 type：要写的文件（Path）。已有的别的东西不能被它换掉：文件夹、设备；照片的名字多半是漏写了文件名。"""
    text = os.path.expanduser(text)
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} 是文件夹，这里要写一个文件的名字")
    if os.path.exists(text) and not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} 不是普通的文件")
    if os.path.splitext(text)[1].lower() in FORMAT_OF_SUFFIX.keys() | RAW_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{_shown(text)} 是照片的名字，写进去就把照片换掉了")
    return Path(text)


def _number(text, kind, smallest, largest=_LARGEST):
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{_shown(text)!r} 不是{'整数' if kind is int else '数'}") from None
    if not value >= smallest:
        raise argparse.ArgumentTypeError(f"要不小于 {smallest}，给的是 {_shown(text)}")
    if value > largest:
        raise argparse.ArgumentTypeError(f"要不大于 {largest}，给的是 {_shown(text)}")
    return value


def _shown(text):
    return text if len(text) <= 40 else f"{text[:40]}……"
