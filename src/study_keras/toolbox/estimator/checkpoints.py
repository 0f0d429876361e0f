"""检查点文件夹归一个模型所有：记下它由什么训练而来，免得接着别人的检查点训练。"""

import shutil
from pathlib import Path

from toolbox.photos.folder import photo_list_hash
from toolbox.terminal.errors import UserError
from toolbox.terminal.records import read_json, write_json

RECORD = "made_from.json"


def path(results):
    """结果文件夹旁边的检查点文件夹：结果每次整个换掉，检查点一直留着。"""
    return str(results.with_name(f"{results.name}_checkpoints"))


def claim(folder, photos, weights, args):
    """建立检查点文件夹，记下是由什么训练而来；已经有了，就核对。

    Args:
        folder: path 的结果。
        photos: PhotoFolder。
        weights: weights.find.Weights。
        args: 命令行选项；其中 class_mode、seed、sync 不同，也算另一个模型。

    Raises:
        UserError: 里面是另一个模型的检查点，或来历不明的检查点。
    """
    made_from = {
        "类别": [args.class_mode, *photos.class_names],
        "照片": photo_list_hash(photos.photos),
        "权重": weights.sha256,
        "种子": args.seed,
        "训练方式": "同步" if args.sync else "异步",
    }
    record = Path(folder, RECORD)
    found = read_json(record)  # 没有记下，或记录坏了，都是来历不明
    if found is not None:
        different = [name for name, value in made_from.items() if found.get(name) != value]
    else:
        different = ["来历"] if Path(folder, "checkpoint").exists() else []
    if different:
        raise UserError(
            f"{folder} 里是另一个模型的检查点（{'、'.join(different)}不同）。请用 --name 换个名字，或先移走这个文件夹。"
        )
    if args.sync:  # 同步训练每次从头来，不留上次的
        shutil.rmtree(folder, ignore_errors=True)
    record.parent.mkdir(parents=True, exist_ok=True)
    write_json(record, made_from)


def first_checkpoint(folder):
    """model_to_estimator 存放 Keras 模型当时权重的检查点。"""
    return str(Path(folder, "keras", "keras_model.ckpt"))


def continue_from_first(folder):
    """把 first_checkpoint 当作最近的检查点：模型已经在别处训练好了。"""
    import tensorflow as tf

    tf.compat.v1.train.update_checkpoint_state(folder, first_checkpoint(folder))
