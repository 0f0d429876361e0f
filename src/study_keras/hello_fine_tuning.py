"""第 3 课：微调（fine-tuning），让 MobileNetV2 的最后几块也学一学。

你会学到：怎样严格划分训练、验证、测试，怎样解冻最后几块而不动批归一化（batch normalization），
         怎样增强（augment）照片又只算一次冻结的部分，怎样选学习率，怎样用几个种子报告平均与范围。
需要：    两个 CPU 核心就够，不需要 GPU；照片下载不到时会自己画花。
多久：    两核、1,500 张照片、不算下载，约一分钟。
命令：    python src/study_keras/hello_fine_tuning.py
预期：    1,500 张真实照片的测试准确率约 0.93。讲解见 docs/study_keras/hello_fine_tuning.md。
"""

import toolbox  # noqa: F401  没有装包时，在这里就说清楚

# isort: split

import argparse
import inspect
import itertools
import math

import numpy as np
from PIL import Image, ImageEnhance

from toolbox import course, evaluation, experiments, frozen_prefix, model_folder, next_steps
from toolbox.frozen_prefix.options import feature_options
from toolbox.later import keras, tf
from toolbox.photos.read import IMAGE_SIZE
from toolbox.photos.split import split_photos
from toolbox.photos.views import CLEAN, View
from toolbox.terminal.arguments import LARGEST_SEED, ArgumentParser, positive_float, positive_int
from toolbox.terminal.errors import UserError
from toolbox.terminal.progress import fit_verbose
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch
from toolbox.terminal.text import visible
from toolbox.trainable_layers import movement, set_trainable_from

VALIDATION, TEST = 0.15, 0.15  # 其余 70% 训练
HEAD_EPOCHS = 10
HEAD_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.004
LABEL_SMOOTHING = 0.1
DROPOUT = 0.2
WARM_UP = 0.1  # 前十分之一的步数里，学习率从零升到最高
PATIENCE = 3  # 验证损失几轮不降就停
MOST_WEIGHT = 5  # 类别权重的上限：再大，几张照片就左右了每一步；与别的上限没有细比
PHASES = ("训练分类头", "训练最后几块")


def parse_arguments(argv):
    parser = ArgumentParser("第 3 课：解冻 MobileNetV2 的最后几块，用增强的照片微调，严格地评估。")
    name_help = "模型文件夹的名字；--repeats 会再加上种子"
    course.add_options(parser, epochs=6, name="mobilenetv2_fine_tuned", name_help=name_help)
    course.add_replace(parser)
    add = parser.add_argument
    add("--unfreeze-from", default="block_13_expand", metavar="LAYER", help="从基础模型的哪一层起解冻")
    add("--views", type=positive_int, default=4, metavar="N", help="每张训练照片几个视图：1 个原样，其余是增强的")
    add("--learning-rate", type=positive_float, default=5e-4, metavar="X", help="解冻后的最高学习率")
    repeats = "用 N 个种子各做一遍，报告平均与范围；中断后会接着做"
    add("--repeats", type=positive_int, default=1, metavar="N", help=repeats)
    add("--find-lr", action="store_true", help="不训练到底，只试各个学习率，画出损失曲线")
    add("--end-to-end", action="store_true", help="经典做法：每一轮都从照片算起（慢，用来比较）")
    parser.not_together("--end-to-end", "--shard")
    parser.not_together("--repeats", "--find-lr")
    args = parser.parse_args(argv)
    if args.seed + args.repeats - 1 > LARGEST_SEED:
        parser.error(f"--seed 加上 --repeats 超过了最大的种子 {LARGEST_SEED}")
    return args


def split(folder, args):
    """按种子划分，返回 ({部分: 照片}, {部分: 独热标签})。"""
    parts = split_photos(folder.photos, VALIDATION, TEST, args.seed)
    print("划分：" + "，".join(f"{evaluation.PART_NAMES[part]} {len(photos)} 张" for part, photos in parts.items()))
    one_hot = dict(zip(folder.class_names, np.eye(len(folder.class_names), dtype=np.float32), strict=True))
    targets = {part: np.stack([one_hot[photo.class_name] for photo in photos]) for part, photos in parts.items()}
    return parts, targets


def augment(image, size, seed):
    """一个增强的视图：裁下 50% 至 100% 的面积，可能左右翻转，亮度与对比度各变至多 20%。

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
    """训练照片的各个视图：第一个原样，其余增强。源代码也记下：改了 augment，缓存里以前的就不再用。"""
    return [CLEAN, *(View(f"augment-1 {k}", augment, inspect.getsource(augment)) for k in range(1, count))]


def build_model(weights, num_classes):
    """基础模型、全局平均池化、Dropout、softmax。返回 (基础模型, 模型)，二者共用各层。"""
    layers = keras.layers
    base = keras.applications.MobileNetV2(input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=weights.path)
    x = layers.GlobalAveragePooling2D(name="head_pool")(base.output)
    x = layers.Dropout(DROPOUT, name="head_dropout")(x)
    return base, keras.Model(base.input, layers.Dense(num_classes, activation="softmax", name="head_softmax")(x))


def new_model(args, folder, weights):
    """这个种子的模型，已经按 --unfreeze-from 解冻；返回同 build_model。"""
    keras.backend.clear_session()
    keras.utils.set_random_seed(args.seed)
    base, model = build_model(weights, len(folder.class_names))
    set_trainable_from(base, args.unfreeze_from)
    if not base.trainable_weights:
        nothing = f"--unfreeze-from {visible(args.unfreeze_from)}：从这一层起没有可以训练的权重"
        raise UserError(f"{nothing}。请从更靠前的卷积层解冻，如 block_16_expand。")
    return base, model


def class_weights(targets, class_names):
    """{类别编号: 权重}：照片少的类别权重大，各类合起来一样重；但至多 MOST_WEIGHT。targets 是独热标签。"""
    counts = targets.sum(axis=0)
    weights = {i: len(targets) / (len(counts) * count) for i, count in enumerate(counts)}
    for i, weight in weights.items():
        if weight > MOST_WEIGHT:
            few = f"类别 {visible(class_names[i])} 只有 {counts[i]:.0f} 张训练照片"
            print(f"注意：{few}，要各类一样重，一张得顶 {weight:.0f} 张；只让它顶 {MOST_WEIGHT} 张。请多拍几张。")
    return {i: min(weight, MOST_WEIGHT) for i, weight in weights.items()}


def warm_up_and_cosine(highest, steps):
    """学习率：先线性升到 highest，再按余弦降到零。"""
    warm_up = math.ceil(WARM_UP * steps)
    decay = keras.optimizers.schedules.CosineDecay
    return decay(highest / warm_up, max(1, steps - warm_up), warmup_target=highest, warmup_steps=warm_up)


def compile_network(network, learning_rate):
    network.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=WEIGHT_DECAY),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
    )


def fit(network, data, epochs, balance, callbacks=()):
    evaluation.explain_epochs()
    return network.fit(
        data["train"],
        validation_data=data["validation"],
        epochs=epochs,
        class_weight=balance,
        callbacks=list(callbacks),
        shuffle=False,  # 顺序由 data["train"] 每轮打乱
        verbose=fit_verbose(),
    ).history


def extract_features(frozen, parts, targets, args):
    """冻结部分的特征，每个视图只算一次。返回两份数据：(每张照片原样的视图, 训练时每轮从各视图中任选一个)。"""
    extractor = frozen_prefix.FeatureExtractor(frozen, **feature_options(args))
    clean, augmented = {}, {}
    for part, photos in parts.items():
        features = extractor.compute(photos, make_views(args.views if part == "train" else 1))
        if args.shard:
            continue
        clean[part] = augmented[part] = features.batches(targets[part], args.batch_size)
        if part == "train":
            shuffled = {"shuffle": True, "augmented": True, "seed": args.seed}
            augmented[part] = features.batches(targets[part], args.batch_size, **shuffled)
    return clean, augmented


def pool_features(body, clean, targets, args):
    """训练分类头用的数据：基础模型全部冻结时，池化之后的 1280 个数也只需算一次。"""
    data = {}
    for part in ("train", "validation"):
        examples = tf.data.Dataset.from_tensor_slices((body.predict(clean[part], verbose=0), targets[part]))
        data[part] = examples.shuffle(len(targets[part]), seed=args.seed).batch(args.batch_size)
    return data


def prepare(model, base, parts, targets, args, stage):
    """返回 (解冻后训练的网络, 分类头, 原样的数据, 训练的数据, 训练分类头的数据)；用了 --shard 则返回 None。"""
    if args.end_to_end:  # 经典做法：每一轮都从照片算起，增强也重新抽取
        from toolbox.photos.photo_batches import PhotoBatches  # 要导入 Keras；--help 不必等它

        views, size = make_views(args.views), args.batch_size
        clean = {part: PhotoBatches(photos, targets[part], views[:1], size) for part, photos in parts.items()}
        data = {**clean, "train": PhotoBatches(parts["train"], targets["train"], views, size, True, args.seed)}
        return model, model, clean, data, data
    with stage("计算冻结的部分"):  # 增强在切分点之前
        frozen, network = frozen_prefix.split_model(model)
        clean, data = extract_features(frozen, parts, targets, args)
    if course.shard_is_done(args):
        return None
    with stage("池化之后"):
        set_trainable_from(base, None)  # 训练分类头时基础模型全部冻结，同样的办法再用一次：在池化之后再切一刀
        body, head = frozen_prefix.split_model(network)
        return network, head, clean, data, pool_features(body, clean, targets, args)


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


def train_head(base, head, data, balance):
    """分类头的初值是随机的：先单独训练它，免得它的大梯度毁了基础模型。返回每一轮的损失与准确率。"""
    set_trainable_from(base, None)
    compile_network(head, HEAD_LEARNING_RATE)
    return fit(head, data, HEAD_EPOCHS, balance)


def train_last_blocks(network, data, args, balance, log_dir):
    """解冻之后的训练：学习率先升后降，验证损失不再下降就停，取最好的一轮。返回每一轮的损失与准确率。"""
    compile_network(network, warm_up_and_cosine(args.learning_rate, args.epochs * len(data["train"])))
    stop = keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
    board = keras.callbacks.TensorBoard(log_dir, write_graph=False)
    return fit(network, data, args.epochs, balance, [stop, board])


def keep_the_better(model, network, data, args, head_alone, histories):
    """验证损失低的一个留在 model 里：微调之后的，或只训练分类头的（权重是 head_alone）。返回留下的是哪一段训练的。"""
    before = histories[0]["val_loss"][-1]
    after = min(filter(math.isfinite, histories[1]["val_loss"]), default=math.inf)  # 学习率太大，损失可能不再是数
    better = PHASES[after <= before]
    print(f"验证损失：只训练分类头 {before:.4f}，微调之后 {after:.4f}；留下{better}之后的模型。")
    if better == PHASES[0]:
        print("微调没有更好。再试各个学习率（100 步），好建议一个……", flush=True)
        model.set_weights(head_alone)
        rate = min(find_learning_rate(network, data["train"])[2], args.learning_rate / 3)  # 总比这次的小
        model.set_weights(head_alone)
        print(f"建议：--learning-rate {rate:.0e}，或从更靠后的层解冻：--unfreeze-from block_16_expand。")
    return better


def fine_tune(model, network, data, args, balance, head_history, log_dir):
    """训练最后几块，再与只训练分类头的相比，留下更好的。返回 (两段每一轮的记录, 留下的是哪一段训练的)。"""
    head_alone = model.get_weights()
    histories = [head_history, train_last_blocks(network, data, args, balance, log_dir)]
    phases = [phase for phase, history in zip(PHASES, histories, strict=True) for _ in history["loss"]]
    both = {key: histories[0][key] + histories[1][key] for key in histories[0]} | {"phase": phases}
    return both, keep_the_better(model, network, data, args, head_alone, histories)


def evaluate(network, data):
    """每一部分的损失与准确率，以及没有参加训练的每张照片的概率。测试集只在这里读一次。"""
    scores = {part: network.evaluate(batches, verbose=0, return_dict=True) for part, batches in data.items()}
    held_out = ("validation", "test")
    return scores, {part: network.predict(data[part], verbose=0) for part in held_out}


def assess(network, data, parts, folder):
    """评估训练好的网络，记住它见过什么；返回 Outcome，还缺模型与每一轮的记录。"""
    scores, probabilities = evaluate(network, data)
    metrics = evaluation.report(scores, parts)
    predictions = evaluation.prediction_rows(probabilities, parts, folder, folder.class_names)
    knowledge, limits = evaluation.learn_limits(network, data)
    return model_folder.Outcome(
        metrics | limits, predictions, parts=parts, probabilities=probabilities, knowledge=knowledge
    )


def run_once(args, folder, weights, stage):
    """一个种子的整个实验：划分、建模、训练、评估、保存。返回 metrics；用 --find-lr 或 --shard 时返回 None。"""
    parts, targets = split(folder, args)
    with stage("模型"):
        base, model = new_model(args, folder, weights)
        before = model.get_weights()
    prepared = prepare(model, base, parts, targets, args, stage)
    if prepared is None:
        return None
    network, head, clean, data, head_data = prepared
    balance = class_weights(targets["train"], folder.class_names)
    with stage(PHASES[0]):
        head_history = train_head(base, head, head_data, balance)
    set_trainable_from(base, args.unfreeze_from)
    if args.find_lr:
        with stage("试各个学习率"):
            return experiments.report_learning_rates(args, *find_learning_rate(network, data["train"]))
    with course.results_folder(args, folder, weights) as results:
        with stage(PHASES[1]):
            history, kept = fine_tune(model, network, data, args, balance, head_history, results / "logs")
        with stage("评估"):
            outcome = assess(network, clean, parts, folder)
            outcome.metrics |= {"moved": movement(model, before), "kept": kept}
            outcome.model, outcome.history = model, history
        metrics = model_folder.save(results, stage, args, folder, weights, folder.class_names, outcome)
    evaluation.summarize(metrics, outcome.predictions, model_folder.target_folder(args.output_dir, args.name))
    return metrics


def main(argv=None):
    args = parse_arguments(argv)
    stage = Stopwatch()
    folder, weights = course.start(args, stage)
    if args.repeats == 1:
        if run_once(args, folder, weights, stage):
            next_steps.show(args, folder, "hello_fine_tuning.py")
        return
    runs = []
    for seed in range(args.seed, args.seed + args.repeats):
        print(f"\n===== 种子 {seed} =====")
        again = argparse.Namespace(**{**vars(args), "seed": seed, "name": f"{args.name}_seed{seed}"})
        done = experiments.finished(again, folder, weights)
        if not done:
            again.name = experiments.free_name(again, folder, weights)
            done = experiments.finished(again, folder, weights)
        print("以前已经做完，直接用它的结果。" if done else "")
        runs.append(done or run_once(again, folder, weights, Stopwatch()))
    if all(runs):
        experiments.report_repeats(args, runs)
        next_steps.show(again, folder, "hello_fine_tuning.py")


if __name__ == "__main__":
    run_main(main, when_interrupted="缓存的特征、做完的种子都在；重新运行同一条命令会接着做。")
