"""冻结部分只算一次：在第一个要训练的层之前切开模型，前一半对每张照片只算一次，结果留在磁盘上，只训练后一半。

    prefix, suffix = split_model(model)      # 两半与 model 共用各层：训练 suffix 就是训练 model
    outputs = compute(prefix, photos)        # 每张照片（或它的每个视图）一行
    suffix.fit(outputs.batches(labels, shuffle=True), shuffle=False)
"""

import hashlib
import itertools
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from toolbox import photo_folder, prefix_engine
from toolbox.command_line import Progress, UserError
from toolbox.prefix_options import CACHE_DIR, CACHE_LIMIT_GB
from toolbox.prefix_outputs import PrefixOutputs, cores, row_key
from toolbox.prefix_store import PrefixStore

DECODING_VERSION = 1  # 改了照片的读法或缩放，就加一：旧的输出不再能用


def split_model(model):
    """在第一个要训练的层之前切开模型，返回 (prefix, suffix)，二者都是与 model 共用各层的 keras.Model。

    切在最靠后的这样一处：之前的层都冻结，而且只有一个张量从前一半通到后一半（残差连接跨过的地方不能切）。
    每次输出都不同的层（Dropout、随机增强）与会动的批归一化也归后一半。嵌套的模型会被展开，可以切在它里面。

    Args:
        model: 单输入、单输出的 Keras 3 模型（Sequential 或函数式）。

    Raises:
        UserError: 没有要训练的层，或没有冻结的层。
    """
    import keras

    image = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    steps = []  # 按计算的顺序：(层, 各输入张量的 id, 输出张量)

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras.Sequential) or hasattr(layer, "_run_through_graph"):
            return _run(layer, args[0], call)
        inputs = {id(value) for value in keras.tree.flatten((args, kwargs)) if keras.utils.is_keras_tensor(value)}
        output = layer(*args, **kwargs)
        steps.append((layer, inputs, output))
        return output

    output = _run(model, image, call)
    trained = {id(variable) for variable in model.trainable_variables}
    if not trained:
        raise UserError("模型里没有要训练的层。请让最后几层可以训练（trainable = True）。")
    first = next(i for i, (layer, *_) in enumerate(steps) if _changes(layer, trained))
    needed = {id(output)}  # 从后往前走：后面各步要用到、而来源还在前面的张量
    for i, (_, inputs, made) in reversed(list(enumerate(steps))):
        if i < first and needed == {id(made)}:
            prefix = keras.Model(image, made, name="prefix")
            if prefix.weights:
                return prefix, keras.Model(made, output, name="suffix")
        needed = needed - {id(made)} | inputs
    raise UserError("模型从第一层起就要训练，没有什么可以只算一次。请用 --end-to-end。")


def _run(model, tensor, call):
    """依次对 model 的各层做 call(层, 输入)，返回最后的输出。"""
    import keras

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            tensor = call(layer, tensor)
        return tensor
    return model._run_through_graph(tensor, call_fn=call)  # 函数式模型逐层计算的入口；Keras 没有公开的


def _changes(layer, trained):
    """训练时这一层会不会变，或者每次的输出会不会不同。"""
    import keras

    if not isinstance(layer, keras.Layer):
        return False  # 加减乘除之类没有变量的运算
    moving = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable  # 均值与方差会动
    random = len(layer.variables) > len(layer.weights)  # 多出来的是随机数发生器的状态
    return moving or random or not trained.isdisjoint(map(id, layer.variables))


@dataclass(frozen=True)
class View:
    """照片的一种样子。

    Attributes:
        key: 名字；render 有任何不同，名字就要不同。
        render: 函数 (PIL.Image, (高, 宽), seed) -> uint8 数组 (高, 宽, 3)。seed 由照片的内容与 key 决定，
            随机的增强只能用它作种子：同一张照片的同一个视图永远相同。
    """

    key: str
    render: Callable


def _resize(image, size, seed):
    height, width = size
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


CLEAN = View("clean", _resize)  # 与 photo_folder.read_photo 相同


def compute(
    prefix,
    photos,
    *,
    views=(CLEAN,),
    cache_dir=CACHE_DIR,
    keep=True,
    limit_gb=CACHE_LIMIT_GB,
    engine="auto",
    shard=None,
):
    """对每张照片的每个视图运行 prefix，返回 PrefixOutputs；磁盘上已有的不再算。

    每个核一个线程，各自读照片、运行 prefix、把输出写进仓库；占用的内存与照片数无关。随时可以中断或被杀，
    再运行一次就接着算；几个进程、几台机器可以同时写同一个 cache_dir。

    Args:
        prefix: split_model 的前一半；或任何输入 [-1, 1] 的 (n, 高, 宽, 3)、输出一个张量的模型（tf_keras 的也行）。
        photos: photo_folder.Photo 的列表。
        keep: False 表示写在临时文件夹里，用完删掉。
        limit_gb: cache_dir 最多用多少 GB（10 的 9 次方字节）。
        engine: "auto"（有 GPU 时用 keras）、"litert" 或 "keras"。
        shard: (i, n) 表示只算 n 份中的第 i 份（1 到 n），供 n 台机器分头算；之后不带 shard 再调用一次就齐了。

    Raises:
        UserError: 超过 limit_gb、磁盘放不下，或有照片读不出来。
    """
    engine = prefix_engine.choose(engine)
    temporary = None if keep else tempfile.TemporaryDirectory(prefix="frozen_prefix-", ignore_cleanup_errors=True)
    root = Path(cache_dir).expanduser() if keep else Path(temporary.name)
    row_shape = prefix.output_shape[1:]
    content = f"{prefix_engine.fingerprint(prefix)} {engine} {DECODING_VERSION}"
    name = f"{'x'.join(map(str, row_shape))}-{engine}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    outputs = PrefixOutputs(PrefixStore(root / name, row_shape), photos, views, temporary)
    outputs.find(outputs.parts())
    missing = {part: count for part in outputs.parts(shard) if (count := len(outputs.missing(part)))}
    outputs.computed = sum(missing.values())
    if missing:
        _check_space(root, outputs.computed * outputs.store.row_bytes, limit_gb if keep else float("inf"))
        with Progress("计算冻结部分", total=outputs.computed) as progress:
            _compute_parts(outputs, list(missing), prefix_engine.new_engine(engine, prefix, root / name), progress)
        outputs.find(list(missing))
    return outputs


def _check_space(root, needed, limit_gb):
    used = sum(path.stat().st_size for path in root.rglob("*.rows"))
    free = shutil.disk_usage(root).free
    sizes = f"冻结部分的输出还要写 {needed / 1e9:.2f} GB"
    if used + needed > limit_gb * 1e9:
        raise UserError(
            f"{sizes}，加上 {root} 里已有的 {used / 1e9:.2f} GB，超过上限 {limit_gb:g} GB。"
            "请删掉这个文件夹里不再用的，或调大 --cache-limit。"
        )
    if needed > free:
        raise UserError(f"{sizes}，而 {root} 所在的磁盘只剩 {free / 1e9:.2f} GB。请用 --cache-dir 换一个磁盘。")


def _compute_parts(outputs, parts, engine, progress):
    """每个核一个线程，各自一份一份地取来算。"""
    waiting = deque(parts)

    def work():
        runner = engine.runner()
        while True:
            try:
                part = waiting.popleft()
            except IndexError:
                return
            _compute_part(outputs.store, engine, runner, part, outputs.missing(part), progress)

    with ThreadPoolExecutor(cores()) as pool:
        try:
            for future in as_completed([pool.submit(work) for _ in range(cores())]):
                future.result()
        finally:
            waiting.clear()  # 出错或 Ctrl-C：各线程写完手上的一份就停


def _compute_part(store, engine, runner, part, records, progress):
    """算出一份里缺的行，写成一个段文件。records：{键: (照片, 视图)}。"""
    keys = sorted(records, key=lambda key: (records[key][0].sha256, records[key][1].key))  # 同一张照片的视图相邻
    if store.segment(part, keys).exists():  # 同时运行的另一个进程刚刚算好
        progress.update(len(keys))
        return
    with store.writing(part, keys) as append:
        pixels = _pixels((records[key] for key in keys), engine.image_size)
        while batch := list(itertools.islice(pixels, engine.batch_size)):
            append(runner(np.stack(batch)))
            progress.update(len(batch))


def _pixels(records, size):
    """依次给出各个视图的 uint8 像素；同一张照片只读一次。"""
    for photo, group in itertools.groupby(records, key=lambda record: record[0]):
        try:
            image = photo_folder.open_image(photo.path, 2 * max(size))
        except (photo_folder.PhotoError, OSError) as error:
            raise UserError(f"照片 {photo.path} 读不出来了（{error}）。请检查它，再运行同一条命令。") from None
        for _, view in group:
            yield view.render(image, size, int.from_bytes(row_key(photo, view)[:8], "big"))
