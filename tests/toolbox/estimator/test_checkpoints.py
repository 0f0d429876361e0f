"""检查点的来历记录：整个换掉；缺了、坏了、被改过，都当作来历不明，一句话拒绝。"""

import types

import pytest

from toolbox.estimator import checkpoints
from toolbox.terminal.errors import UserError
from toolbox.weights.find import Weights

PHOTOS = types.SimpleNamespace(class_names=["甲", "乙"], photos=[])
WEIGHTS = Weights("random", None, None)
ARGS = types.SimpleNamespace(class_mode="categorical", seed=0, sync=False)


def claim(folder):
    checkpoints.claim(folder, PHOTOS, WEIGHTS, ARGS)


DAMAGED = [b"", b"null", b"[]", b"{", b"{}", b'{"\xe7": 1}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", None]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_record_means_origin_unknown(tmp_path, content):
    folder = tmp_path / "m_checkpoints"
    claim(folder)
    record = folder / checkpoints.RECORD
    good = record.read_bytes()
    claim(folder)
    record.unlink()
    if content is not None:
        record.write_bytes(content)
    (folder / "checkpoint").touch()
    with pytest.raises(UserError, match="另一个模型的检查点"):
        claim(folder)
    record.write_bytes(good)
    claim(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint", checkpoints.RECORD]


def test_a_half_written_record_without_checkpoints_is_replaced(tmp_path):
    folder = tmp_path / "m_checkpoints"
    folder.mkdir()
    (folder / checkpoints.RECORD).write_bytes(b"{")
    claim(folder)
    claim(folder)
