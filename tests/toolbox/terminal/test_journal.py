"""流水账：写下的读得回来，没有写完的一行不算，不是 JSON 对象的不认。"""

import pytest

from toolbox.terminal.journal import new_journal, read_journal, write_step


def test_reads_back_every_step_and_names_a_torn_last_line(tmp_path):
    path, steps = (
        tmp_path / "账.jsonl",
        [{"file": "a\u2028b.jpg"}, {"file": "\udcff.jpg", "to": "玫瑰"}, {"file": "\ud83d.jpg"}],
    )
    with new_journal(path) as journal:
        for step in steps:
            write_step(journal, step)
            assert read_journal(path)[0][-1] == step  # 写一步就已在磁盘上
    assert read_journal(path) == (steps, False)
    path.write_bytes(path.read_bytes()[:-5])
    assert read_journal(path) == (steps[:-1], True)


def test_never_writes_over_a_journal(tmp_path):
    (tmp_path / "账.jsonl").write_text("")
    with pytest.raises(FileExistsError):
        new_journal(tmp_path / "账.jsonl")


@pytest.mark.parametrize("line", ["[]", "1", "{", "玫瑰"])
def test_refuses_what_is_not_a_journal(tmp_path, line):
    (tmp_path / "账.jsonl").write_text(f'{{"file": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(ValueError):
        read_journal(tmp_path / "账.jsonl")
