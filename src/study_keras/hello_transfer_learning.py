"""第 1 课：迁移学习（transfer learning），给冻结的 MobileNetV2 换一个新的头（head）。

你会学到：怎样用 ImageDataGenerator 准备照片，怎样冻结（freeze）预训练的底座（base），怎样接上新的头，
         怎样训练、评估、预测，以及为什么冻结的部分只需计算一次。
需要：    两个 CPU 核心就够，不需要 GPU；照片下载不到时会自己画花。
多久：    两核、不算下载，约半分钟。
命令：    python src/study_keras/hello_transfer_learning.py
预期：    真实照片验证准确率约 0.90；画的花 0.85 至 0.98。讲解见 docs/study_keras/hello_transfer_learning.md。
"""

import sys

import numpy as np

from toolbox import course, model_folder
from toolbox.frozen_prefix import options as prefix_options
from toolbox.photos.read import IMAGE_SIZE
from toolbox.terminal.arguments import ArgumentParser, fraction, non_negative_int, positive_int
from toolbox.terminal.files import OUTPUT_DIR
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch, peak_memory_mb
from toolbox.terminal.tensorflow_start import load_tensorflow, preload_tensorflow
from toolbox.weights import find
from toolbox.weights.imagenet_labels import imagenet_labels

VALIDATION_SPLIT = 0.2
LEARNING_RATE = 2e-4  # 在验证集上从 1e-3 至 1e-4 选的；Adam 默认的 1e-3 会让各种子相差好几个百分点
CUT_LAYER = "block_16_project_BN"  # --model model 的切口，输出 7x7x320
PART_NAMES = {"train": "训练", "validation": "验证", "test": "测试"}
LOSSES = {"categorical": "categorical_crossentropy", "sparse": "sparse_categorical_crossentropy"}


def parse_arguments(argv):
    parser = ArgumentParser("第 1 课：给冻结的 MobileNetV2 换一个新的头，训练、评估、预测。")
    add, count = parser.add_argument, positive_int
    course.add_options(parser)
    add("--weights", default="auto", metavar="W", help="底座的权重：auto、imagenet、torchvision、random 或 .h5 文件")
    add("--class-mode", choices=list(LOSSES), default="categorical", help="标签是独热向量，或接着 ImageNet 编号的整数")
    add("--model", choices=["seq", "model"], default="seq", help=f"顺序模型，或在 {CUT_LAYER} 切开的函数式模型")
    add(
        "--trainable-base-layers", type=non_negative_int, default=0, metavar="N", help="底座最后几层也训练"
    )
    add("--epochs", type=count, default=5, metavar="N", help="训练几轮")
    add("--batch-size", type=count, default=32, metavar="N", help="一批几张")
    add("--seed", type=non_negative_int, default=0, metavar="N", help="随机种子，也决定怎样划分")
    add("--test-split", type=fraction, default=0.0, metavar="X", help="另外留出多大比例作测试集")
    add("--end-to-end", action="store_true", help="经典做法：每一轮都从照片算起（慢，用来比较）")
    add("--output-dir", default=str(OUTPUT_DIR), metavar="DIR", help="模型文件夹写在哪里")
    add("--name", metavar="NAME", help="模型文件夹的名字，默认 mobilenetv2_transfer_seq 或 mobilenetv2_transfer_model")
    prefix_options.add_options(parser)
    args = parser.parse_args(argv)
    args.name = args.name or f"mobilenetv2_transfer_{args.model}"
    args.validation_split = VALIDATION_SPLIT
    return args


def make_generators(folder, args):
    """训练、验证（与测试）的迭代器，每个给出 (照片, 标签) 的批；以及标签清单。"""
    from tensorflow.keras.applications.mobilenet_v2 import preprocess_input
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    from toolbox.photos.iterator import flow_from_folder

    image_generator = ImageDataGenerator(preprocessing_function=preprocess_input, validation_split=VALIDATION_SPLIT)
    labels = folder.class_names
    if args.class_mode == "sparse":  # 编号接在 ImageNet 的 1,000 类之后：五种花是 1000 至 1004
        labels = imagenet_labels()[1:] + folder.class_names
    subsets = {"train": "training", "validation": "validation", "test": "test"}
    generators = {
        part: flow_from_folder(
            image_generator,
            folder,
            subset=subset,
            classes=labels,
            class_mode=args.class_mode,
            batch_size=args.batch_size,
            shuffle=(part == "train"),  # 打乱的只有训练；预测要与文件名对得上
            seed=args.seed,
            test_split=args.test_split,
        )
        for part, subset in subsets.items()
        if part != "test" or args.test_split
    }
    return generators, labels


def show_first_batch(generator, labels):
    images, targets = generator[0]
    ids = targets.argmax(axis=1) if targets.ndim == 2 else targets.astype(int)
    print(f"第一批照片：形状 {images.shape}，取值 {images.min():.2f} 至 {images.max():.2f}")
    print(f"第一批标签：形状 {targets.shape}，前 5 个是 {'、'.join(f'{i} {labels[i]}' for i in ids[:5])}")
    print(f"类别编号：{generator.class_indices}")


def build_base(weights, model_kind):
    """预训练的 MobileNetV2，不带顶层；--model model 时只留到 CUT_LAYER 为止。"""
    from tensorflow.keras import Model
    from tensorflow.keras.applications import MobileNetV2

    base = MobileNetV2(input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=weights.path)
    return base if model_kind == "seq" else Model(base.input, base.get_layer(CUT_LAYER).output)


def freeze(base, trainable_layers):
    """冻结底座，只留最后 trainable_layers 层；批归一化（batch normalization）一律不动。

    要逐层设置：先写 base.trainable = False 再把几层改回 True，训练了什么因 Keras 的版本而异，见 docs/pitfalls.md。
    """
    from tensorflow.keras.layers import BatchNormalization

    first_trainable = len(base.layers) - trainable_layers
    for i, layer in enumerate(base.layers):
        layer.trainable = i >= first_trainable and not isinstance(layer, BatchNormalization)


def build_sequential(base, num_classes):
    """顺序模型：底座、全局平均池化、两个全连接层、softmax。"""
    from tensorflow.keras import Sequential, layers

    return Sequential(
        [
            base,
            layers.GlobalAveragePooling2D(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )


def build_functional(base, num_classes):
    """函数式模型：从切口往后换成自己的卷积、批归一化、ReLU，从头训练。"""
    from tensorflow.keras import Model, layers

    x = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(base.output)
    x = layers.BatchNormalization(momentum=0.9, name="head_bn")(x)  # 步数少，默认的 0.99 跟不上
    x = layers.ReLU(name="head_relu")(x)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    return Model(base.input, layers.Dense(num_classes, activation="softmax", name="head_softmax")(x))


def show_model(model, base):
    """列出全部层，标出要训练的；再数一数可训练与冻结的权重。"""
    nested = base if base in model.layers else None
    all_layers = (nested.layers if nested else []) + [layer for layer in model.layers if layer is not nested]
    for layer in all_layers:
        mark = "训练" if layer.trainable_weights else "冻结" if layer.weights else "无权重"
        name, kind, shape = layer.name, type(layer).__name__, str(layer.output.shape[1:])
        print(f"  {name:<28}{kind:<24}{shape:<18}{layer.count_params():>10,} {mark}")
    trained = [layer.name for layer in all_layers if layer.trainable_weights]
    print(f"共 {len(all_layers)} 层（底座 {len(base.layers)} 层），要训练的 {len(trained)} 层：{'、'.join(trained)}")
    for label, weights in (("可训练", model.trainable_weights), ("冻结", model.non_trainable_weights)):
        print(f"{label}的权重：{len(weights)} 个张量，共 {sum(np.prod(w.shape, dtype=int) for w in weights):,} 个数")


def batches_of_outputs(outputs, generators, args):
    """与 generators 同样的照片、标签和批，只是照片换成了它在切口处的输出。"""
    data, start = {}, 0
    for part, generator in generators.items():
        rows = np.arange(start, start + len(generator.photos))
        shuffle = part == "train"
        data[part] = outputs.batches(generator.targets, args.batch_size, rows=rows, shuffle=shuffle, seed=args.seed)
        start += len(rows)
    return data


def train(network, data, args, log_dir):
    """编译、训练，返回每一轮的损失与准确率。"""
    from tensorflow.keras.callbacks import TensorBoard
    from tensorflow.keras.optimizers import Adam

    loss = LOSSES[args.class_mode]
    network.compile(Adam(LEARNING_RATE), loss, metrics=["accuracy"], jit_compile=False)  # XLA 编译比这几轮训练还久
    history = network.fit(
        data["train"],
        validation_data=data["validation"],
        epochs=args.epochs,
        shuffle=False,  # data["train"] 自己每轮打乱
        verbose="auto" if sys.stdout.isatty() else 2,
        callbacks=[TensorBoard(log_dir, write_graph=False)],
    )
    return history.history


def evaluate(network, data, generators):
    """每一部分的张数、准确率、损失。"""
    metrics = {}
    for part, batches in data.items():
        loss, accuracy = network.evaluate(batches, verbose=0)
        metrics[part] = {"photos": len(generators[part].photos), "accuracy": accuracy, "loss": loss}
        print(f"{PART_NAMES[part]}：{len(generators[part].photos)} 张，准确率 {accuracy:.4f}，损失 {loss:.4f}")
    return metrics


def predict(network, data, generators, folder, labels):
    """没有参加训练的每张照片一行：(文件, 真实类别, 预测类别, 概率)。这些批没有打乱，行与文件对得上。"""
    predictions = []
    for part in data.keys() - {"train"}:
        probabilities = network.predict(data[part], verbose=0)
        for photo, row in zip(generators[part].photos, probabilities, strict=True):
            predictions.append((folder.name(photo), photo.class_name, labels[row.argmax()], row.max()))
    print(f"{len(predictions)} 张没有参加训练的照片都有了预测。")
    return sorted(predictions)


def main(argv=None):
    args = parse_arguments(argv)
    target = model_folder.target_folder(args.output_dir, args.name)
    stage = Stopwatch()
    preload_tensorflow()
    with stage("找照片"):
        folder = course.find(args)
        folder.report()
    with stage("找权重"):
        weights = find.find_weights(args.weights)
        print(f"底座的权重：{weights.name}")
    with stage("载入 TensorFlow"):
        tf = load_tensorflow()
        from tensorflow import keras

        from toolbox import frozen_prefix

        print(f"GPU：{len(tf.config.list_physical_devices('GPU'))} 个（没有也可以）")
        keras.utils.set_random_seed(args.seed)

    with stage("数据"):
        generators, labels = make_generators(folder, args)
        show_first_batch(generators["train"], labels)

    with stage("模型"):
        base = build_base(weights, args.model)
        freeze(base, args.trainable_base_layers)
        model = {"seq": build_sequential, "model": build_functional}[args.model](base, len(labels))
        show_model(model, base)

    if args.end_to_end:
        network, data = model, generators
    else:  # 冻结的部分对同一张照片总给出同样的输出：只算一次，再只训练它后面的部分
        with stage("计算冻结的部分"):
            prefix, network = frozen_prefix.split_model(model)
            photos = [photo for generator in generators.values() for photo in generator.photos]
            outputs = frozen_prefix.compute(prefix, photos, **prefix_options.chosen(args))
            print(f"每张照片在切口处 {outputs.shape[1:]}；新算 {outputs.computed} 张，其余是以前算好的或内容相同的")
        if args.shard:
            print("这一份算完了。各份都算完后，不带 --shard 再运行一次。")
            return
        data = batches_of_outputs(outputs, generators, args)

    with model_folder.writing(args.output_dir, args.name) as results:
        with stage("训练"):
            history = train(network, data, args, results / "logs")
        with stage("评估"):
            metrics = evaluate(network, data, generators)
        with stage("预测"):
            predictions = predict(network, data, generators, folder, labels)
        with stage("保存"):
            model.save(results / model_folder.MODEL_FILE)
            model_folder.write_texts(results, vars(args), weights, folder, labels, predictions)
            model_folder.write_history(results, history)
        metrics["seconds"], metrics["peak_memory_mb"] = stage.seconds, peak_memory_mb()
        metrics["seed"], metrics["weights"] = args.seed, weights.name
        model_folder.write_json(results / model_folder.METRICS_FILE, metrics)
    summarize(metrics, predictions, target)


def summarize(metrics, predictions, folder):
    """用几行中文总结：照片、每类准确率、各步用时、错得最有把握的五张、接下来做什么。"""
    print("\n===== 小结 =====")
    counts = "，".join(f"{PART_NAMES[part]} {metrics[part]['photos']} 张" for part in PART_NAMES if part in metrics)
    print(f"照片：{counts}；底座的权重：{metrics['weights']}")
    print("没有参加训练的照片上，每一类的准确率：")
    for name in sorted({true for _, true, _, _ in predictions}):
        right = [predicted == true for _, true, predicted, _ in predictions if true == name]
        print(f"  {name}：{np.mean(right):.3f}（{sum(right)}/{len(right)}）")
    for part in ("validation", "test"):
        if part in metrics:
            print(f"{PART_NAMES[part]}准确率（accuracy）：{metrics[part]['accuracy']:.4f}")
    print("各步用时：" + "，".join(f"{name} {seconds:.1f} 秒" for name, seconds in metrics["seconds"].items()))
    mistakes = sorted((row for row in predictions if row[1] != row[2]), key=lambda row: -row[3])
    print(f"共错 {len(mistakes)} 张，错得最有把握的：" if mistakes else "一张也没有错。")
    for name, true, predicted, probability in mistakes[:5]:
        print(f"  {name}：是 {true}，认成了 {predicted}（概率 {probability:.2f}）")
    print(f"模型文件夹：{folder}")
    print("接下来：用 --images-dir 换成你自己的照片；加 --end-to-end 看经典做法慢多少；读 docs/pitfalls.md。")


if __name__ == "__main__":
    run_main(main, when_interrupted="已算好的冻结部分的输出都在，没有写出半成品；重新运行同一条命令会接着做。")
