"""第 1 课：迁移学习（transfer learning），给冻结的 MobileNetV2 换一个新的分类头（head）。

你会学到：怎样用 ImageDataGenerator 准备照片，怎样冻结（freeze）预训练的基础模型（base model），怎样接上新的
         分类头，怎样训练、评估、预测，以及为什么冻结的部分只需计算一次。
需要：    两个 CPU 核心就够，不需要 GPU；照片下载不到时会自己画花。
多久：    两核、不算下载，十几秒到二十秒。
命令：    python src/study_keras/hello_transfer_learning.py
预期：    真实照片验证准确率约 0.90；画的花 0.85 至 0.98。讲解见 docs/study_keras/hello_transfer_learning.md。
"""

from toolbox import course, evaluation, frozen_prefix, model_folder, next_steps
from toolbox.frozen_prefix.options import feature_options
from toolbox.later import keras
from toolbox.photos.iterator import flow_from_folder
from toolbox.photos.read import IMAGE_SIZE
from toolbox.terminal.arguments import ArgumentParser, fraction, non_negative_int
from toolbox.terminal.errors import UserError
from toolbox.terminal.progress import fit_verbose
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch
from toolbox.trainable_layers import set_trainable_from, show_layers
from toolbox.weights.imagenet_labels import imagenet_labels

VALIDATION_SPLIT = 0.2
LEARNING_RATE = 2e-4  # 在验证集上从 1e-3 至 1e-4 选的；Adam 默认的 1e-3 会让各种子相差好几个百分点
CUT_LAYER = "block_16_project_BN"  # --model model 的切分点，输出 7×7×320


def parse_arguments(argv):
    parser = ArgumentParser("第 1 课：给冻结的 MobileNetV2 换一个新的分类头，训练、评估、预测。")
    name_help = "模型文件夹的名字，默认 mobilenetv2_transfer_seq 或 mobilenetv2_transfer_model"
    course.add_options(parser, epochs=5, name=None, name_help=name_help)
    course.add_replace(parser)
    course.add_class_mode(parser)
    add = parser.add_argument
    add("--model", choices=["seq", "model"], default="seq", help=f"顺序模型，或在 {CUT_LAYER} 切开的函数式模型")
    add("--trainable-base-layers", type=non_negative_int, default=0, metavar="N", help="基础模型的最后几层也训练")
    add("--test-split", type=fraction, default=0.0, metavar="X", help="另外留出多大比例作测试集")
    add("--end-to-end", action="store_true", help="经典做法：每一轮都从照片算起（慢，用来比较）")
    add("--show-layers", action="store_true", help="列出全部层；不给则只列要训练的")
    parser.not_together("--end-to-end", "--shard")
    args = parser.parse_args(argv)
    args.name = args.name or f"mobilenetv2_transfer_{args.model}"
    args.validation_split = VALIDATION_SPLIT
    return args


def make_generators(folder, args):
    """训练、验证（与测试）的迭代器，每个给出 (照片, 标签) 的批；以及标签清单。"""
    image_generator = keras.preprocessing.image.ImageDataGenerator(
        preprocessing_function=keras.applications.mobilenet_v2.preprocess_input, validation_split=VALIDATION_SPLIT
    )
    labels = folder.class_names
    if args.class_mode == "sparse":  # 编号接在 ImageNet 的 1,000 类之后：五种花是 1000 至 1004
        labels = imagenet_labels()[1:] + folder.class_names
    generators = {}
    has_test = args.test_split or any(photo.part == "test" for photo in folder.photos)
    for part in ("train", "validation", "test") if has_test else ("train", "validation"):
        generators[part] = flow_from_folder(
            image_generator,
            folder,
            subset=part,
            classes=labels,
            class_mode=args.class_mode,
            batch_size=args.batch_size,
            shuffle=(part == "train"),  # 打乱的只有训练；预测要与文件名对得上
            seed=args.seed,
            test_split=args.test_split,
        )
    return generators, labels


def build_base(weights, args):
    """冻结的、预训练的 MobileNetV2，不带顶层（include_top=False）；--model model 时只留到 CUT_LAYER 为止。"""
    base = keras.applications.MobileNetV2(input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=weights.path)
    if args.model == "model":
        base = keras.Model(base.input, base.get_layer(CUT_LAYER).output)
    for layer in base.layers:  # 冻结：训练时这些层一个数也不动
        layer.trainable = False
    if args.trainable_base_layers:
        first_trainable = base.layers[-args.trainable_base_layers :][0]
        set_trainable_from(base, first_trainable.name)
        if not base.trainable_weights:
            raise UserError("--trainable-base-layers 太小：最后这几层没有要训练的权重（批归一化不动）。请给大一些。")
    return base


def build_sequential(base, num_classes):
    """顺序模型：基础模型、全局平均池化、两个全连接层、softmax。"""
    layers = keras.layers
    return keras.Sequential(
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
    """函数式模型：从切分点往后换成自己的卷积、批归一化、ReLU，从头训练。"""
    layers = keras.layers
    x = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(base.output)
    x = layers.BatchNormalization(momentum=0.9, name="head_bn")(x)  # 步数少，默认的 0.99 跟不上
    x = layers.ReLU(name="head_relu")(x)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    return keras.Model(base.input, layers.Dense(num_classes, activation="softmax", name="head_softmax")(x))


def build_model(weights, labels, args):
    """--model 要的那一个模型；列出它要训练的层。"""
    base = build_base(weights, args)
    model = (build_sequential if args.model == "seq" else build_functional)(base, len(labels))
    show_layers(model, base, args.show_layers)
    return model


def extract_features(model, generators, args):
    """特征提取（feature extraction）：冻结的部分对同一张照片总给出同样的输出，所以只算一次，留在磁盘上。

    返回 (冻结部分之后的网络, 它的数据)；数据与 generators 是同样的照片、标签和批，只是照片换成了它的特征。
    """
    frozen, network = frozen_prefix.split_model(model)
    extractor = frozen_prefix.FeatureExtractor(frozen, **feature_options(args))
    data, computed = {}, 0
    for part, generator in generators.items():
        features = extractor.compute(generator.photos)
        computed += features.computed
        if not args.shard:
            shuffle = part == "train"
            data[part] = features.batches(generator.targets, args.batch_size, shuffle=shuffle, seed=args.seed)
    print(f"每张照片的特征 {features.shape[1:]}；新算 {computed} 张，其余是以前算好的或内容相同的")
    return network, data


def train(network, data, args, log_dir):
    """编译、训练，返回每一轮的损失与准确率。"""
    network.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=course.LOSSES[args.class_mode],
        metrics=["accuracy"],
        jit_compile=False,  # XLA 编译比这几轮训练还久
    )
    evaluation.explain_epochs()
    history = network.fit(
        data["train"],
        validation_data=data["validation"],
        epochs=args.epochs,
        shuffle=False,  # data["train"] 自己每轮打乱
        verbose=fit_verbose(),
        callbacks=[keras.callbacks.TensorBoard(log_dir, write_graph=False)],
    )
    return history.history


def evaluate(network, data):
    """每一部分的损失与准确率。"""
    return {part: network.evaluate(batches, verbose=0, return_dict=True) for part, batches in data.items()}


def predict(network, data):
    """没有参加训练的每张照片，各个类别的概率。这些批没有打乱，行与文件对得上。"""
    return {part: network.predict(batches, verbose=0) for part, batches in data.items() if part != "train"}


def main(argv=None):
    args = parse_arguments(argv)
    stage = Stopwatch()
    folder, weights = course.start(args, stage)
    keras.utils.set_random_seed(args.seed)
    with stage("数据"):
        generators, labels = make_generators(folder, args)
        parts = {part: generator.photos for part, generator in generators.items()}
        evaluation.show_first_batch(generators["train"], labels)
    with stage("模型"):
        model = build_model(weights, labels, args)
    network, data = model, generators  # 经典做法（--end-to-end）：每一轮都从照片算起
    if not args.end_to_end:
        with stage("计算冻结的部分"):
            network, data = extract_features(model, generators, args)
        if course.shard_is_done(args):
            return
    with course.results_folder(args, folder, weights) as results:
        with stage("训练"):
            history = train(network, data, args, results / "logs")
        with stage("评估"):
            metrics = evaluation.report(evaluate(network, data), parts)
        with stage("预测"):
            probabilities = predict(network, data)
            predictions = evaluation.prediction_rows(probabilities, parts, folder, labels)
        with stage("都不像与校准"):
            knowledge, limits = evaluation.learn_limits(network, data)
        outcome = model_folder.Outcome(metrics | limits, predictions, model, history, parts, probabilities, knowledge)
        metrics = model_folder.save(results, stage, args, folder, weights, labels, outcome)
    evaluation.summarize(metrics, predictions, model_folder.target_folder(args.output_dir, args.name))
    next_steps.show(args, folder, "hello_transfer_learning.py")


if __name__ == "__main__":
    run_main(main, when_interrupted="缓存的特征都在，没有写出半成品；重新运行同一条命令会接着做。")
