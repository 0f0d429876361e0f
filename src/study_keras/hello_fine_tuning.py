"""第 3 课：微调（fine-tuning），让 MobileNetV2 的最后几块也学一学。

你会学到：怎样诚实地划分训练、验证、测试，怎样解冻最后几块而不动批归一化（batch normalization），
         怎样增强（augment）照片又只算一次冻结的部分，怎样选学习率，怎样用几个种子报告平均与范围。
需要：    两个 CPU 核心就够，不需要 GPU；照片下载不到时会自己画花。
多久：    两核、1,500 张照片、不算下载，一分多钟。
命令：    python src/study_keras/hello_fine_tuning.py
预期：    1,500 张真实照片的测试准确率约 0.93。讲解见 docs/study_keras/hello_fine_tuning.md。
"""

import argparse
import itertools
import math
import sys

import numpy as np
from PIL import Image, ImageEnhance

from toolbox import course, experiments, model_folder
from toolbox.frozen_prefix import options as prefix_options
from toolbox.photos.read import IMAGE_SIZE
from toolbox.photos.split import split_photos
from toolbox.terminal.arguments import ArgumentParser, non_negative_int, positive_float, positive_int
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import OUTPUT_DIR
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch, peak_memory_mb
from toolbox.terminal.tensorflow_start import load_tensorflow, preload_tensorflow
from toolbox.weights import find

VALIDATION, TEST = 0.15, 0.15  # 其余 70 % 训练
HEAD_EPOCHS, HEAD_LEARNING_RATE = 10, 3e-3
WEIGHT_DECAY = 0.004
LABEL_SMOOTHING = 0.1
DROPOUT = 0.2
WARM_UP = 0.1  # 前十分之一的步数里，学习率从零升到最高
PATIENCE = 3  # 验证损失几轮不降就停
PART_NAMES = {"train": "训练", "validation": "验证", "test": "测试"}
RECIPE = ("unfreeze_from", "views", "epochs", "learning_rate", "batch_size", "end_to_end", "seed")  # 决定结果的选项


def parse_arguments(argv):
    parser = ArgumentParser("第 3 课：解冻 MobileNetV2 的最后几块，用增强的照片微调，诚实地评估。")
    add, count = parser.add_argument, positive_int
    course.add_options(parser)
    add("--weights", default="auto", metavar="W", help="底座的权重：auto、imagenet、torchvision、random 或 .h5 文件")
    add("--unfreeze-from", default="block_13_expand", metavar="LAYER", help="从底座的哪一层起解冻")
    add("--views", type=count, default=4, metavar="N", help="每张训练照片几个视图：1 个原样，其余是增强的")
    add("--epochs", type=count, default=6, metavar="N", help="解冻后最多训练几轮")
    add("--learning-rate", type=positive_float, default=5e-4, metavar="X", help="解冻后的最高学习率")
    add("--batch-size", type=count, default=32, metavar="N", help="一批几张")
    add("--seed", type=non_negative_int, default=0, metavar="N", help="随机种子，也决定怎样划分")
    add("--repeats", type=count, default=1, metavar="N", help="用 N 个种子各做一遍，报告平均与范围；中断后会接着做")
    add("--find-lr", action="store_true", help="不训练到底，只试各个学习率，画出损失曲线")
    add("--end-to-end", action="store_true", help="经典做法：每一轮都从照片算起（慢，用来比较）")
    add("--output-dir", default=str(OUTPUT_DIR), metavar="DIR", help="模型文件夹写在哪里")
    add("--name", default="mobilenetv2_fine_tuned", metavar="NAME", help="模型文件夹的名字；--repeats 会再加上种子")
    prefix_options.add_options(parser)
    return parser.parse_args(argv)


def augment(image, size, seed):
    """一个增强的视图：裁下 50 % 至 100 % 的面积，可能左右翻转，亮度与对比度各变至多 20 %。

    只由照片与 seed 决定：同一张照片的同一个视图，什么时候算都一样，所以冻结部分的输出可以留着用。
    """
    random = np.random.default_rng(seed)
    area, shape = random.uniform(0.5, 1), np.exp(random.uniform(-0.29, 0.29))  # 宽高比变化 3/4 至 4/3
    width = min(1, np.sqrt(area * shape)) * image.width
    height = min(1, np.sqrt(area / shape)) * image.height
    left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
    image = image.resize(size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(random.uniform(0.8, 1.2))
    return np.asarray(ImageEnhance.Contrast(image).enhance(random.uniform(0.8, 1.2)))


def make_views(count):
    """训练照片的各个视图：第一个原样，其余增强。"""
    from toolbox.photos.views import CLEAN, View

    return [CLEAN, *(View(f"augment-1 {k}", augment) for k in range(1, count))]


def build_model(weights, num_classes):
    """底座、全局平均池化、Dropout、softmax。返回 (底座, 模型)，二者共用各层。"""
    from tensorflow.keras import Model, layers
    from tensorflow.keras.applications import MobileNetV2

    base = MobileNetV2(input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=weights.path)
    x = layers.GlobalAveragePooling2D(name="head_pool")(base.output)
    x = layers.Dropout(DROPOUT, name="head_dropout")(x)
    return base, Model(base.input, layers.Dense(num_classes, activation="softmax", name="head_softmax")(x))


def unfreeze(base, first_layer=None):
    """从 first_layer 起解冻底座，None 表示全部冻结；批归一化一律冻结。

    批归一化若可训练，它的均值与方差会在每一批上移动，这么少的照片只会把预训练的统计量带偏；
    在 Keras 3 里 base(x, training=False) 挡不住，要逐层写 trainable = False。
    """
    from tensorflow.keras.layers import BatchNormalization

    names = [layer.name for layer in base.layers]
    if first_layer is not None and first_layer not in names:
        convolutions = "、".join(layer.name for layer in base.layers if "Conv" in type(layer).__name__)
        raise UserError(f"底座里没有 {first_layer} 这一层。--unfreeze-from 可选（卷积层，从前到后）：{convolutions}。")
    first = len(names) if first_layer is None else names.index(first_layer)
    for i, layer in enumerate(base.layers):
        layer.trainable = i >= first and not isinstance(layer, BatchNormalization)


def class_weights(targets):
    """{类别编号: 权重}：照片少的类别权重大，各类合起来一样重。targets 是独热标签。"""
    counts = targets.sum(axis=0)
    return {i: len(targets) / (len(counts) * count) for i, count in enumerate(counts)}


def warm_up_and_cosine(highest, steps):
    """学习率：先线性升到 highest，再按余弦降到零。"""
    from tensorflow.keras.optimizers.schedules import CosineDecay

    warm_up = math.ceil(WARM_UP * steps)
    return CosineDecay(highest / warm_up, max(1, steps - warm_up), warmup_target=highest, warmup_steps=warm_up)


def compile_network(network, learning_rate):
    from tensorflow.keras import losses, optimizers

    network.compile(
        optimizer=optimizers.AdamW(learning_rate, weight_decay=WEIGHT_DECAY),
        loss=losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
    )


def fit(network, data, epochs, balance, callbacks=()):
    return network.fit(
        data["train"],
        validation_data=data["validation"],
        epochs=epochs,
        class_weight=balance,
        callbacks=list(callbacks),
        shuffle=False,  # 顺序由 data["train"] 每轮打乱
        verbose="auto" if sys.stdout.isatty() else 2,
    ).history


def find_learning_rate(network, batches):
    """学习率每一步乘同一个数，从 1e-6 升到 1。返回 (各步的学习率, 各步的损失, 损失还没有升高的最大学习率)。"""
    compile_network(network, 1e-6)
    rates, losses = np.geomspace(1e-6, 1, 100), []
    for rate, batch in zip(rates, itertools.chain.from_iterable(itertools.repeat(batches)), strict=False):
        network.optimizer.learning_rate = rate
        network.reset_metrics()  # train_on_batch 给出的是自上次清零以来的平均
        losses.append(float(network.train_on_batch(*batch)[0]))
    smooth = np.convolve(losses, np.ones(9) / 9, mode="valid")  # 第 i 个是第 i 至 i + 8 步的平均
    calm = np.flatnonzero(smooth <= 1.1 * np.mean(losses[:20]))  # 头 20 步的学习率小得什么也动不了，作比较的底
    return rates, losses, rates[calm[-1] + 4] if len(calm) else rates[0]


def evaluate(network, data, parts, folder):
    """每一部分的张数、准确率、损失；以及没有参加训练的每张照片的预测。"""
    metrics, predictions = {}, []
    for part, photos in parts.items():
        loss, accuracy = network.evaluate(data[part], verbose=0)
        metrics[part] = {"photos": len(photos), "accuracy": accuracy, "loss": loss}
        print(f"{PART_NAMES[part]}：{len(photos)} 张，准确率 {accuracy:.4f}，损失 {loss:.4f}")
        if part != "train":
            for photo, row in zip(photos, network.predict(data[part], verbose=0), strict=True):
                best = row.argmax()
                predictions.append((folder.name(photo), photo.class_name, folder.class_names[best], row[best]))
    return metrics, sorted(predictions)


def kept_outputs(prefix, parts, targets, args):
    """冻结部分的输出，每个视图只算一次。返回两份数据：(每张照片原样的视图, 训练时每轮从各视图中任选一个)。"""
    from toolbox import frozen_prefix

    clean, options = {}, prefix_options.chosen(args)
    for part, photos in parts.items():
        views = make_views(args.views if part == "train" else 1)
        outputs = frozen_prefix.compute(prefix, photos, views=views, **options)
        rows = np.arange(len(outputs)).reshape(len(photos), len(views))  # 每张照片各个视图的行号
        clean[part] = outputs.batches(targets[part], args.batch_size, rows=rows[:, 0])
        if part == "train":
            augmented = outputs.batches(targets[part], args.batch_size, rows=rows, shuffle=True, seed=args.seed)
    return clean, {**clean, "train": augmented}


def pooled(body, clean, targets, args):
    """训练头用的数据：底座全部冻结时，池化之后的 1280 个数也只需算一次。"""
    import tensorflow as tf

    data = {}
    for part in ("train", "validation"):
        examples = tf.data.Dataset.from_tensor_slices((body.predict(clean[part], verbose=0), targets[part]))
        data[part] = examples.shuffle(len(targets[part]), seed=args.seed).batch(args.batch_size)
    return data


def run_once(args, folder, weights, stage):
    """一个种子的整个实验：划分、建模、训练、评估、保存。返回 metrics；用 --find-lr 或 --shard 时返回 None。"""
    from tensorflow import keras

    from toolbox import frozen_prefix
    from toolbox.photos.keras_datasets import every_epoch

    keras.backend.clear_session()
    keras.utils.set_random_seed(args.seed)
    parts = split_photos(folder.photos, VALIDATION, TEST, args.seed)
    print("划分：" + "，".join(f"{PART_NAMES[part]} {len(photos)} 张" for part, photos in parts.items()))
    one_hot = dict(zip(folder.class_names, np.eye(len(folder.class_names), dtype=np.float32), strict=True))
    targets = {part: np.stack([one_hot[photo.class_name] for photo in photos]) for part, photos in parts.items()}
    balance = class_weights(targets["train"])

    with stage("模型"):
        base, model = build_model(weights, len(folder.class_names))
        unfreeze(base, args.unfreeze_from)
        before = model.get_weights()

    if args.end_to_end:  # 经典做法：每一轮都从照片算起，增强也重新抽取
        network = head = model
        clean, data = every_epoch(parts, targets, make_views(args.views), args.batch_size, args.seed)
        head_data = data
    else:
        with stage("计算冻结的部分"):  # 增强在切口之前
            prefix, network = frozen_prefix.split_model(model)
            clean, data = kept_outputs(prefix, parts, targets, args)
        if args.shard:
            print("这一份算完了。各份都算完后，不带 --shard 再运行一次。")
            return None
        with stage("池化之后"):
            unfreeze(base)  # 训练头时底座全部冻结，同样的办法再用一次：在池化之后再切一刀
            body, head = frozen_prefix.split_model(network)
            head_data = pooled(body, clean, targets, args)

    with stage("训练头"):  # 头的初值是随机的：先单独训练它，免得它的大梯度毁了底座
        unfreeze(base)
        compile_network(head, HEAD_LEARNING_RATE)
        history = fit(head, head_data, HEAD_EPOCHS, balance)

    unfreeze(base, args.unfreeze_from)
    if args.find_lr:
        with stage("试各个学习率"):
            experiments.report_learning_rates(args, *find_learning_rate(network, data["train"]))
        return None
    with model_folder.writing(args.output_dir, args.name) as results:
        with stage("训练最后几块"):
            compile_network(network, warm_up_and_cosine(args.learning_rate, args.epochs * len(data["train"])))
            stop = keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
            board = keras.callbacks.TensorBoard(results / "logs", write_graph=False)
            for key, values in fit(network, data, args.epochs, balance, [stop, board]).items():
                history[key] += values
            moved = experiments.movement(model, before)
            if min(history["val_loss"][HEAD_EPOCHS:]) > min(history["val_loss"][:HEAD_EPOCHS]):
                print("！！！没有比只训练头更好。请调小 --learning-rate，或用 --unfreeze-from 从更靠后的层解冻。")
        with stage("评估"):  # 测试集只在这里读一次；一切选择都已在验证集上做完
            metrics, predictions = evaluate(network, clean, parts, folder)
        with stage("保存"):
            model.save(results / model_folder.MODEL_FILE)
            model_folder.write_texts(results, vars(args), weights, folder, folder.class_names, predictions)
            model_folder.write_history(results, history)
        metrics |= {"moved": moved, "seconds": stage.seconds, "peak_memory_mb": peak_memory_mb()}
        metrics |= {"seed": args.seed, "weights": weights.name}
        model_folder.write_json(results / model_folder.METRICS_FILE, metrics)
    print(f"模型文件夹：{model_folder.target_folder(args.output_dir, args.name)}")
    return metrics


def main(argv=None):
    args = parse_arguments(argv)
    model_folder.target_folder(args.output_dir, args.name)
    stage = Stopwatch()
    preload_tensorflow()
    with stage("找照片"):
        folder = course.find(args)
        folder.report()
    with stage("找权重"):
        weights = find.find_weights(args.weights)
        print(f"底座的权重：{weights.name}")
    with stage("载入 TensorFlow"):
        load_tensorflow()

    if args.repeats == 1:
        run_once(args, folder, weights, stage)
        return
    runs = []
    for seed in range(args.seed, args.seed + args.repeats):
        print(f"\n===== 种子 {seed} =====")
        again = argparse.Namespace(**{**vars(args), "seed": seed, "name": f"{args.name}_seed{seed}"})
        done = experiments.finished(again, RECIPE, folder, weights)
        print("以前已经做完，直接用它的结果。" if done else "")
        runs.append(done or run_once(again, folder, weights, Stopwatch()))
    if all(runs):
        experiments.report_repeats(args, runs)


if __name__ == "__main__":
    run_main(main, when_interrupted="已算好的冻结部分的输出、做完的种子都在；重新运行同一条命令会接着做。")
