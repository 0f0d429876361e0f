"""检查点文件夹：一次只由一个训练用，认得出来历，清掉写了一半的，坏了的说得出来。"""

import argparse
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from conftest import LESSONS_DIR
from toolbox.estimator import checkpoints
from toolbox.terminal.errors import UserError

PHOTOS = SimpleNamespace(class_names=["daisy", "roses"], photos=[])
WEIGHTS = SimpleNamespace(sha256="0" * 64)


def claim(folder, **options):
    args = argparse.Namespace(**{"class_mode": "categorical", "seed": 0, "sync": False, **options})
    try:
        checkpoints.claim(folder, PHOTOS, WEIGHTS, args)
    finally:
        while checkpoints._held:
            checkpoints._held.pop().release()


def test_a_folder_in_use_is_refused_until_its_process_dies(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        "from toolbox.terminal.locks import hold\n"
        f"lock = hold({str(tmp_path / checkpoints.LOCK)!r}, ''); print('locked', flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"locked"
    with pytest.raises(UserError, match="另一个训练正在用.*--name"):
        claim(tmp_path)
    process.kill()
    process.communicate()
    claim(tmp_path)


@pytest.mark.parametrize("name", ["model.keras", "model.tflite"])
def test_a_model_of_another_lesson_is_not_replaced(tmp_path, name):
    checkpoints.refuse_keras_model(tmp_path)
    checkpoints.refuse_keras_model(tmp_path / "还没有")
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="第 1 课或第 3 课的模型.*--name"):
        checkpoints.refuse_keras_model(tmp_path)


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000, '{"种子": 0}', "\ud800"])
def test_a_record_that_is_not_ours_is_another_origin(tmp_path, content):
    (tmp_path / checkpoints.RECORD).write_bytes(content.encode("utf-8", "surrogatepass"))
    (tmp_path / "checkpoint").touch()
    with pytest.raises(UserError, match="另一个模型的检查点"):
        claim(tmp_path)


LISTING = b'model_checkpoint_path: "model.ckpt-38"\n'


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * len(LISTING), b"\xff\xfe", b"junk", LISTING[:-9], LISTING + b"all_mod", LISTING + b"\0" * 99],
)
def test_a_damaged_listing_is_not_taken_for_no_checkpoint(tmp_path, content):
    claim(tmp_path)
    (tmp_path / "checkpoint").write_bytes(LISTING)
    claim(tmp_path)
    (tmp_path / "checkpoint").write_bytes(content)
    with pytest.raises(UserError, match="清单.*坏了.*--name"):
        claim(tmp_path)
    (tmp_path / "checkpoint").write_bytes(LISTING)
    claim(tmp_path)


def test_half_written_checkpoints_are_cleared_and_whole_ones_kept(tmp_path):
    claim(tmp_path)
    whole = ["checkpoint", "model.ckpt-38.index", "model.ckpt-38.data-00000-of-00001"]
    half = ["model.ckpt-76.index.tempstate123", "model.ckpt-76.data-00000-of-00001.tempstate123"]
    for name in (*whole, *half):
        (tmp_path / name).write_bytes(LISTING)
    (tmp_path / "model.ckpt-76_temp").mkdir()
    claim(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {*whole, checkpoints.RECORD}
    assert not [path for path in tmp_path.iterdir() if "temp" in path.name]


def test_synchronous_training_starts_from_an_empty_folder(tmp_path):
    claim(tmp_path, sync=True)
    for folder in ("keras", "eval_validation", "我的文件夹"):
        (tmp_path / folder).mkdir()
    written = (
        "checkpoint",
        "checkpoint.tmp0a1b",
        "model.ckpt-38.index",
        "graph.pbtxt",
        "events.out.tfevents.1.host",
        checkpoints.END,
    )
    for name in (*written, "我的笔记.txt"):
        (tmp_path / name).write_bytes(b"x")
    claim(tmp_path, sync=True)
    left = {path.name for path in tmp_path.iterdir()} - {checkpoints.LOCK}
    assert left == {checkpoints.RECORD, "我的笔记.txt", "我的文件夹"}  # 读者自己的不动


def save(folder, step):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", initializer=tf.zeros(100))
        session.run(variable.initializer)
        return tf.compat.v1.train.Saver().save(session, str(folder / "model.ckpt"), global_step=step)


def restore(path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("v", initializer=tf.zeros(100))
        tf.compat.v1.train.Saver().restore(session, path)


@pytest.mark.parametrize("part, left", [(".index", 40), (".data-00000-of-00001", 7), (".data-00000-of-00001", None)])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path, part, left):
    path = save(tmp_path, 7)
    assert checkpoints.latest_step(tmp_path) == 7
    file = tmp_path / f"model.ckpt-7{part}"
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(UserError, match="检查点坏了.*--name"), checkpoints.errors_explained(tmp_path):
        restore(path)


def test_a_full_disk_is_one_sentence(tmp_path):
    error = tf.errors.ResourceExhaustedError(None, None, f"{tmp_path}/model.ckpt-7.data; No space left on device")
    with pytest.raises(UserError, match="磁盘满了.*腾出空间"), checkpoints.errors_explained(tmp_path):
        raise error


def test_the_end_of_training_is_remembered(tmp_path):
    assert checkpoints.end(tmp_path) == -1
    checkpoints.record_end(tmp_path, 303)
    assert checkpoints.end(tmp_path) == 303


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
    (folder / "checkpoint").write_bytes(LISTING)
    with pytest.raises(UserError, match="另一个模型的检查点"):
        claim(folder)
    record.write_bytes(good)
    claim(folder)
    assert {path.name for path in folder.iterdir()} - {checkpoints.LOCK} == {"checkpoint", checkpoints.RECORD}


def test_a_half_written_record_without_checkpoints_is_replaced(tmp_path):
    folder = tmp_path / "m_checkpoints"
    folder.mkdir()
    (folder / checkpoints.RECORD).write_bytes(b"{")
    claim(folder)
    claim(folder)


def test_nothing_left_to_train_says_what_to_do(tmp_path, capsys):
    assert not checkpoints.nothing_left(tmp_path, 7)
    save(tmp_path, 7)
    assert not checkpoints.nothing_left(tmp_path, 8) and capsys.readouterr().out == ""
    assert checkpoints.nothing_left(tmp_path, 7)
    shown = capsys.readouterr().out
    assert "第 7 步" in shown and "--epochs" in shown and "--name" in shown


@pytest.mark.parametrize("name", ["m*", "什么?", *([] if sys.platform == "win32" else ["模型[1]"])])
def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused_before_training(tmp_path, name):
    with pytest.raises(UserError, match="通配符.*--output-dir.*--name"):
        checkpoints.path(tmp_path / name)
    assert checkpoints.path(tmp_path / "模型 1") == str(tmp_path / "模型 1_checkpoints")
