"""认出做完的实验：记录被改坏了，就再做一遍，从不出错，也不用坏的数。"""

import json
import types

import pytest

from toolbox import experiments
from toolbox.photos.folder import photo_list_hash
from toolbox.weights.find import Weights

WEIGHTS = Weights("random", None, None)
FOLDER = types.SimpleNamespace(photos=[])
METRICS = {
    **{part: {"photos": 3, "accuracy": 0.5, "loss": 1.0} for part in ("train", "validation", "test")},
    "seconds": {"训练": 1.0},
    "seed": 7,
}
SETTINGS = {"epochs": 3, "seed": 7, "weights_sha256": None, "photos_sha256": photo_list_hash([])}


def finished(tmp_path, settings=SETTINGS, metrics=METRICS):
    folder = tmp_path / "m"
    folder.mkdir(exist_ok=True)
    for name, value in {"settings.json": settings, "metrics.json": metrics}.items():
        (folder / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    args = types.SimpleNamespace(output_dir=tmp_path, name="m", epochs=3, seed=7)
    return experiments.finished(args, FOLDER, WEIGHTS)


def test_the_same_experiment_is_recognized(tmp_path):
    assert finished(tmp_path) == METRICS
    assert finished(tmp_path, settings=SETTINGS | {"epochs": 4}) is None


def test_a_folder_with_files_of_the_reader_is_kept(tmp_path, capsys):
    args = types.SimpleNamespace(output_dir=tmp_path, name="m", epochs=3, seed=7, replace=False)
    finished(tmp_path)
    assert experiments.free_name(args, FOLDER, WEIGHTS) == "m"  # 同样的实验，照旧换掉
    (tmp_path / "m" / "笔记.txt").touch()
    assert experiments.finished(args, FOLDER, WEIGHTS) == METRICS  # 不换掉它，就不碍事
    for args.replace in (False, True):
        assert experiments.free_name(args, FOLDER, WEIGHTS) == "m_2"
        assert "里有不是课程写的东西（笔记.txt），留着不动" in capsys.readouterr().out
    args.replace, args.epochs = False, 4
    assert experiments.free_name(args, FOLDER, WEIGHTS) == "m_2"


DAMAGED = [b"", b"{", b"null", b"[]", b"\xff", b"[" * 100_000, b'{"seed": ' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_records_mean_do_it_again(tmp_path, content):
    assert finished(tmp_path, settings=content) is None
    assert finished(tmp_path, metrics=content) is None


WRONG = (None, "x", [], {}, {"accuracy": None}, {"accuracy": "0.9"}, float("nan"), 10**400)


@pytest.mark.parametrize("field", [*METRICS, None])
def test_missing_null_and_wrong_fields_mean_do_it_again(tmp_path, field):
    for value in WRONG:
        if (field, value) == ("seconds", {}):  # 没有一步的用时，仍报告得出
            continue
        damaged = METRICS | {field: value} if field else {}
        assert finished(tmp_path, metrics=damaged) is None, value
    without = {key: value for key, value in METRICS.items() if key != field}
    assert finished(tmp_path, metrics=without) == (None if field else METRICS)
    settings = {key: value for key, value in SETTINGS.items() if key != "photos_sha256"}
    assert finished(tmp_path, settings=settings) is None
