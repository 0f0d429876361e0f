"""选项的取值：做不到的、会让后面出错的，当场一句话拒绝，退出码 2。"""

import pytest

import hello_export
import hello_fine_tuning
import hello_transfer_learning
import hello_transfer_learning_2
from toolbox.terminal import arguments


def refused(capsys, parse, given):
    with pytest.raises(SystemExit) as ending:
        parse(given)
    message = capsys.readouterr().err
    assert ending.value.code == 2 and message.startswith("错误：") and message.count("\n") == 1
    return message


@pytest.mark.parametrize(
    "given",
    [
        ["--seed", "4294967296"],
        ["--seed", "-1"],
        ["--seed", "1e3"],
        ["--seed", "9" * 5000],
        ["--batch-size", "1" + "0" * 30],
        ["--batch-size", "1e30"],
        ["--batch-size", "0"],
        ["--epochs", "2147483648"],
        ["--trainable-base-layers", "9999999999"],
        ["--test-split", "nan"],
        ["--cache-limit", "1e300"],
        ["--cache-limit", "inf"],
        ["--name=--"],
        ["--output-dir=--"],
        ["--seed=--"],
        ["--no\x1b[31m\u2028such"],
    ],
)
def test_impossible_values_are_refused_at_once(capsys, given):
    message = refused(capsys, hello_transfer_learning.parse_arguments, given)
    assert len(message) < 200 and "\x1b" not in message and "\u2028" not in message


@pytest.mark.parametrize("value", ["1e300", "1e-300", "0", "nan", "inf", "-1"])
def test_impossible_learning_rates_are_refused_at_once(capsys, value):
    assert "--learning-rate" in refused(capsys, hello_fine_tuning.parse_arguments, ["--learning-rate", value])


@pytest.mark.parametrize(
    "lesson, given",
    [
        (hello_transfer_learning, "--end-to-end --shard 1/2"),
        (hello_transfer_learning, "--no-cache --shard 1/2"),
        (hello_transfer_learning, "--images-dir x --drawn"),
        (hello_fine_tuning, "--end-to-end --shard 1/2"),
        (hello_fine_tuning, "--repeats 2 --find-lr"),
        (hello_transfer_learning_2, "--sync --mirrored --cluster 2"),
        (hello_transfer_learning_2, "--cluster 2 --mirrored"),
        (hello_export, "--verify x --formats onnx"),
        (hello_export, "--verify x --out y"),
        (hello_export, "模型 --verify x"),
        (hello_export, "--formats litert --serve-check"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(capsys, monkeypatch, lesson, given):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    message = refused(capsys, lesson.parse_arguments, given.split())
    assert any(option in message for option in given.split() if option.startswith("--"))


def test_every_seed_of_the_repeats_must_be_possible(capsys):
    given = ["--seed", str(arguments.LARGEST_SEED - 2), "--repeats"]
    assert hello_fine_tuning.parse_arguments([*given, "3"]).repeats == 3
    assert "--repeats" in refused(capsys, hello_fine_tuning.parse_arguments, [*given, "4"])


def test_the_largest_possible_values_are_accepted():
    args = hello_transfer_learning.parse_arguments(["--seed", "4294967295", "--cache-limit", "1000000000"])
    assert args.seed == arguments.LARGEST_SEED and args.cache_limit == 1e9
    assert hello_transfer_learning.parse_arguments(["--name=--x"]).name == "--x"
