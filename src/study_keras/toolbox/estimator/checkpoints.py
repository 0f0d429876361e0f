"""检查点文件夹归一个模型所有，同一时刻只有一个训练在用；坏了的、写了一半的，都说得出来。"""

import re
import sys
from contextlib import contextmanager
from pathlib import Path

from toolbox.model_folder_reader import LITERT_FILE, MODEL_FILE
from toolbox.photos.folder import given_split_hash, photo_list_hash
from toolbox.terminal.errors import UserError, recognized
from toolbox.terminal.leftovers import clear, remove_leftovers
from toolbox.terminal.locks import hold
from toolbox.terminal.records import read_json, write_json
from toolbox.terminal.text import visible

RECORD = "made_from.json"
END = "trained_to.json"
LOCK = ".in_use.lock"
_WRITTEN = re.compile(
    r"checkpoint(\.tmp.*)?|model\.ckpt-.*|graph\.pbtxt|events\.out\.tfevents\..*|keras|eval|eval_.*|trained_to\.json"
)
_LISTING = re.compile(rb'(?:\w+: (?:"(?:[^"\\\n]|\\.)*"|[-+.\w]+)\r?\n)+')  # 清单的各行：名字，文字或数
_HALF_WRITTEN = re.compile(r".*\.tempstate.*|model\.ckpt-.*_temp")
_held = []  # 锁要一直留着，进程结束才放开


def path(results):
    """结果文件夹旁边的检查点文件夹：结果每次整个换掉，检查点一直留着。

    Raises:
        UserError: 路径里有通配符：TensorFlow 找检查点时把它当成通配符，一个也找不到。
    """
    folder = str(results.with_name(f"{results.name}_checkpoints"))
    if wild := sorted(set(folder) & set("*?" if sys.platform == "win32" else "*?[\\")):
        why = f"检查点的路径 {visible(folder)} 里有 {wild[0]}，TensorFlow 会把它当成通配符"
        raise UserError(f"{why}。请用 --output-dir 换个位置，或用 --name 换个名字。")
    return folder


def refuse_keras_model(results):
    """结果文件夹里若是第 1 课或第 3 课的模型，就拒绝：写下去会把它换掉。

    Raises:
        UserError
    """
    if any((results / name).exists() for name in (MODEL_FILE, LITERT_FILE)):
        raise UserError(f"{visible(results)} 里是第 1 课或第 3 课的模型，写下去会把它换掉。请用 --name 换个名字。")


def claim(folder, photos, weights, args):
    """建立并占住检查点文件夹，记下是由什么训练而来；已经有了，就核对。

    Args:
        folder: path 的结果。
        photos: PhotoFolder。
        weights: weights.find.Weights。
        args: 命令行选项；其中 class_mode、seed、sync 不同，也算另一个模型。

    Raises:
        UserError: 另一个训练正在用它，里面是另一个模型的检查点，或来历不明的检查点。
    """
    made_from = {
        "类别": [args.class_mode, *photos.class_names],
        "照片": photo_list_hash(photos.photos),
        "划分": given_split_hash(photos.photos),
        "权重": weights.sha256,
        "种子": args.seed,
        "训练方式": "同步" if args.sync else "异步",
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    refusal = f"另一个训练正在用 {folder}，同时写会把对方的权重当成自己的。请等它结束，或用 --name 换个名字。"
    lock = hold(Path(folder, LOCK), refusal)
    record = Path(folder, RECORD)
    found = read_json(record)  # 没有记下，或记录坏了，都是来历不明
    if found is not None:
        found.setdefault("划分", made_from["划分"])  # 以前没有记
        different = [name for name, value in made_from.items() if found.get(name) != value]
    else:
        different = ["来历"] if Path(folder, "checkpoint").exists() else []
    why = f"{visible(folder)} 里是另一个模型的检查点（{'、'.join(different)}不同）" if different else None
    if why is None and not args.sync:  # 同步训练从头来，不看它
        why = _damaged_listing(folder)
    if why:
        lock.release()  # 不用它，就不占着
        raise UserError(f"{why}。请用 --name 换个名字，或先移走这个文件夹。")
    _held.append(lock)
    remove_leftovers(folder)
    _clear(folder, everything=args.sync)  # 同步训练每次从头来，不留上次的；读者自己放进来的不动
    write_json(record, made_from)


def _damaged_listing(folder):
    """检查点的清单坏了（多半是断电）就说出来：TensorFlow 会当作没有检查点，从头训练，盖掉原来的。"""
    listing = Path(folder, "checkpoint")
    content = listing.read_bytes() if listing.exists() else None
    if content is not None and not (content.startswith(b"model_checkpoint_path: ") and _LISTING.fullmatch(content)):
        return f"检查点的清单 {visible(listing)} 坏了，不知道训练到了哪里"
    return None


def _clear(folder, everything):
    """清掉被杀的进程写了一半的检查点；everything 则连写好的也清掉。"""
    for left in Path(folder).iterdir():
        if _HALF_WRITTEN.fullmatch(left.name) or (everything and _WRITTEN.fullmatch(left.name)):
            clear(left, left)


def record_end(folder, step):
    """chief 训练完了：记下最后一个检查点是第几步，evaluator 等的就是它。"""
    write_json(Path(folder, END), {"step": step})


def end(folder):
    """record_end 记下的步数；还没有就是 -1。"""
    step = (read_json(Path(folder, END)) or {}).get("step")
    return step if isinstance(step, int) else -1


def first_checkpoint(folder):
    """model_to_estimator 存放 Keras 模型当时权重的检查点。"""
    return str(Path(folder, "keras", "keras_model.ckpt"))


def continue_from_first(folder):
    """把 first_checkpoint 当作最近的检查点：模型已经在别处训练好了。"""
    import tensorflow as tf

    tf.compat.v1.train.update_checkpoint_state(folder, first_checkpoint(folder))


def latest_step(folder):
    """最近的检查点是第几步；没有是 0。"""
    import tensorflow as tf

    latest = tf.train.latest_checkpoint(folder) or ""
    _, _, step = latest.rpartition("model.ckpt-")
    return int(step) if step.isdecimal() else 0


def nothing_left(folder, max_steps, leads=True):
    """最近的检查点是不是已经到了 max_steps；到了就说清楚，以及该怎么办。leads：评估与导出由这个进程做。"""
    done = latest_step(folder)
    if done >= max_steps:
        rest = "：只评估、预测、导出。" if leads else "。"
        print(f"检查点已经是第 {done} 步，这次要到第 {max_steps} 步，没有什么要训练的{rest}")
        print("要接着训练，请调大 --epochs 或 --steps；要从头训练，请用 --name 换个名字。", flush=True)
    return done >= max_steps


@contextmanager
def errors_explained(folder):
    """其间 TensorFlow 的各种状态错误，说成一句中文的 UserError：磁盘满了，或检查点坏了。"""
    import tensorflow as tf

    broken = (
        tf.errors.DataLossError,
        tf.errors.NotFoundError,
        tf.errors.OutOfRangeError,
        tf.errors.InvalidArgumentError,
    )
    try:
        yield
    except tf.errors.OpError as error:
        text, cause = str(error), recognized(error)
        if isinstance(cause, OSError):
            raise UserError(f"磁盘满了（{folder}）。请腾出空间，或用 --output-dir 换一个磁盘。") from error
        if cause is not error:
            raise cause from error
        if isinstance(error, broken) and ("model.ckpt" in text or "checkpoint" in text.lower()):
            raise UserError(
                f"检查点坏了，或缺了一部分（{folder}）。请移走这个文件夹，或用 --name 换个名字，从头训练。"
            ) from error
        raise UserError(f"TensorFlow 报告：{type(error).__name__}: {' '.join(text.split())[:200]}。") from error
