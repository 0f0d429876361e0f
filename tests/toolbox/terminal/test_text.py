"""来自外面的文字：看不见的都现出原形，看得见的原样。"""

import pytest

from toolbox.terminal.text import breaks_a_line, visible


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
