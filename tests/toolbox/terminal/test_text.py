"""来自外面的文字：看不见的都现出原形，看得见的原样。"""

import pytest

from toolbox.terminal.text import breaks_a_line, columns, fit, visible, wrapped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("猫 与 dog.jpg", "猫 与 dog.jpg"),
        ("👩\u200d🔬é", "👩\u200d🔬é"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31m红", "\\x1b[31m红"),
        ("a\u2028b\u0085", "a\\u2028b\\x85"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        ("\udcb9\udcb7", "\\xb9\\xb7"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text, shown):
    assert visible(text) == shown
    visible(text).encode("utf-8")


def test_what_breaks_a_line():
    assert all(map(breaks_a_line, ["a\nb", "a\rb", "a\u2028b", "a\u2029b", "\udcb9", "a\x00b", "a\x85b"]))
    assert not any(map(breaks_a_line, ["猫", "a b,c", "👩\u200d🔬", "=1+1", '"q"']))


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("abc", 3), ("郁金香", 6), ("（a）", 5), ("e\u0301", 1), ("ｱＡ", 3)]
)
def test_width_on_a_terminal(text, width):
    assert columns(text) == width


def test_fit_is_exactly_that_wide():
    assert fit("花", 4) == "花  " and fit("花", 4, right=True) == "  花" and fit("abcd", 4) == "abcd"
    assert fit("郁金香 tulips", 6) == "郁金…" + " " and fit("郁金香", 5, keep_end=True) == "…金香"
    assert fit("郁金香", 1) == "…" and fit("郁金香", 0) == ""
    for width in range(12):
        assert columns(fit("a郁b金c香d", width)) == columns(fit("a郁b金c香d", width, keep_end=True)) == width


def test_lines_are_broken_by_columns_not_by_characters():
    text = "每张训练照片几个视图：1 个原样，其余是增强的 (augmented) views（默认 4）"
    for width in (14, 20, 33, 60, 200):
        lines = wrapped(text, width)
        assert max(map(columns, lines)) <= width + 2  # 行末的标点不另起一行
        assert not any(line.startswith(tuple("，。；：、）")) for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")  # 一个字也不丢，英文的词不拆开
        assert sum("augmented" in line for line in lines) == 1
    assert wrapped("甲乙丙丁", 4) == ["甲乙", "丙丁"] and wrapped("", 10) == [""]
