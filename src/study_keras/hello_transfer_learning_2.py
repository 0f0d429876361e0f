"""第 2 课：把同一个 Keras 模型变成 Estimator，在一台机器或一个集群上训练、评估、预测、导出。

你会学到：怎样用 model_to_estimator 转换模型而不丢掉预训练的权重，怎样写输入函数（input function），
         怎样在保存检查点（checkpoint）时做自己的事，怎样导出 SavedModel，怎样不改代码就在集群上训练。
需要：    两个 CPU 核心就够；与第 1 课同一个环境。
多久：    两核约一分钟。
命令：    python src/study_keras/hello_transfer_learning_2.py     （集群：加上 --cluster 2）
预期：    验证准确率与第 1 课相差不到 0.02。讲解见 docs/study_keras/hello_transfer_learning_2.md。
"""

import math

import numpy as np

from toolbox import course, model_folder
from toolbox.estimator import checkpoints as checkpoint_folder
from toolbox.estimator import cluster_task, local_cluster
from toolbox.frozen_prefix import options as prefix_options
from toolbox.photos.read import IMAGE_SIZE
from toolbox.terminal.arguments import ArgumentParser, non_negative_int, positive_int
from toolbox.terminal.files import OUTPUT_DIR
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch, peak_memory_mb
from toolbox.weights import find
from toolbox.weights.imagenet_labels import imagenet_labels

LOSSES = {"categorical": "categorical_crossentropy", "sparse": "sparse_categorical_crossentropy"}


def parse_arguments(argv):
    parser = ArgumentParser("第 2 课：同一个模型变成 Estimator，在一台机器或一个集群上训练。")
    add, count = parser.add_argument, positive_int
    course.add_options(parser)
    add("--weights", default="auto", metavar="W", help="底座的权重：auto、imagenet、torchvision、random 或 .h5 文件")
    add("--class-mode", choices=list(LOSSES), default="categorical", help="标签是独热向量，或接着 ImageNet 编号的整数")
    add("--epochs", type=count, default=5, metavar="N", help="训练几轮")
    add("--steps", type=count, metavar="N", help="训练到第几步为止，一步一批；不给则由 --epochs 算出")
    add("--batch-size", type=count, default=32, metavar="N", help="一批几张")
    add("--seed", type=non_negative_int, default=0, metavar="N", help="随机种子，也决定怎样划分")
    add("--output-dir", default=str(OUTPUT_DIR), metavar="DIR", help="结果与检查点写在哪里")
    add("--name", default="mobilenetv2_estimator", metavar="NAME", help="结果文件夹的名字")
    add("--cluster", type=count, metavar="N", help="在本机启动一个集群：chief、N 个 worker、参数服务器与 evaluator")
    add("--sync", action="store_true", help="同步训练：tf_keras 的 MultiWorkerMirroredStrategy，只有 worker")
    add("--mirrored", action="store_true", help="用上这台机器的全部 GPU：MirroredStrategy")
    add("--wait-seconds", type=count, default=120, metavar="N", help="在集群里最多等别的进程多少秒")
    prefix_options.add_options(parser)
    return parser.parse_args(argv)


def launch_cluster(args, argv):
    """在本机启动整个集群。照片与权重先在这里备好：下载只做一次，各进程直接用。"""
    photos, weights = course.find(args).root, find.find_weights(args.weights)
    found = ["--images-dir", photos, "--weights", weights.path or weights.name]
    local_cluster.launch(__file__, argv, found, args.cluster, args.sync)


def make_generators(folder, args):
    """训练与验证的迭代器，划分与第 1 课相同；以及标签清单。"""
    from tensorflow.keras.applications.mobilenet_v2 import preprocess_input
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    from toolbox.photos.iterator import flow_from_folder

    image_generator = ImageDataGenerator(preprocessing_function=preprocess_input, validation_split=0.2)
    imagenet = imagenet_labels()[1:] if args.class_mode == "sparse" else []
    labels = imagenet + folder.class_names
    common = {"classes": labels, "class_mode": args.class_mode, "batch_size": args.batch_size, "seed": args.seed}
    training = flow_from_folder(image_generator, folder, "training", shuffle=False, **common)
    validation = flow_from_folder(image_generator, folder, "validation", shuffle=False, **common)
    return training, validation, labels


def build_model(weights, num_classes):
    """第 1 课的顺序模型：冻结的底座、全局平均池化、两个全连接层、softmax。"""
    from tensorflow.keras import Sequential, layers
    from tensorflow.keras.applications import MobileNetV2

    base = MobileNetV2(input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=weights.path)
    base.trainable = False
    model = Sequential([base, layers.GlobalAveragePooling2D(name="pool")])
    model.add(layers.Dense(1024, activation="relu", name="hidden_1"))
    model.add(layers.Dense(512, activation="relu", name="hidden_2"))
    model.add(layers.Dropout(0.2, name="dropout"))
    model.add(layers.Dense(num_classes, activation="softmax", name="probabilities"))
    return model


def add_kept_door(model):
    """给模型加一扇门：训练时走 kept（照片在切口处留下的输出），其余时候照常由照片算起。

    底座冻结，同一张照片的输出总相同，训练时不必再算；而评估、预测、导出的仍是完整的模型。
    返回 (有两个入口的模型, 切口之前的部分)，都与 model 共用各层。
    """
    from tensorflow.keras import Input, Model, backend, layers

    base, pool, *head = model.layers
    image = Input(base.input_shape[1:], name="image")
    pooled = pool(base(image, training=False))  # 推理模式：批归一化用预训练的均值与方差
    kept = Input(pooled.shape[1:], name="kept")
    x = layers.Lambda(lambda doors: backend.in_train_phase(doors[1], doors[0]), name="door")([pooled, kept])
    for layer in head:
        x = layer(x)
    return Model([image, kept], x), Model(image, pooled)


def kept_input(outputs, targets, batch_size, seed):
    """训练的输入函数：从磁盘一批批读留下的输出，一直给下去；训练到第几步由 max_steps 决定。"""

    def batches():
        random = np.random.default_rng(seed)
        no_photos = np.zeros((0, *IMAGE_SIZE, 3), np.float32)
        while True:
            order = random.permutation(len(outputs))
            for chosen in np.split(order, range(batch_size, len(order), batch_size)):
                yield {"image": no_photos, "kept": outputs[chosen]}, targets[chosen]

    return streaming(batches, outputs.shape[1:], targets.shape[1:])


def photo_input(generator, kept_shape):
    """评估与预测的输入函数：照片依次一遍，不打乱，尾巴不丢。"""

    def batches():
        no_outputs = np.zeros((0, *kept_shape), np.float32)
        for i in range(len(generator)):  # 直接对 generator 循环永远不会结束
            images, targets = generator[i]
            yield {"image": images, "kept": no_outputs}, targets

    return streaming(batches, kept_shape, generator.targets.shape[1:])


def streaming(batches, kept_shape, target_shape):
    """数据从生成器流进来。数组若交给 from_tensor_slices，会整个变成计算图里的常数。"""
    import tensorflow as tf

    features = {"image": tf.TensorSpec((None, *IMAGE_SIZE, 3)), "kept": tf.TensorSpec((None, *kept_shape))}
    signature = features, tf.TensorSpec((None, *target_shape))
    return lambda: tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)


def convert(model, config, class_names):
    """model_to_estimator，改正它的一处错误，再添上给服务器用的输出。"""
    from toolbox.estimator import bridge as tfe

    converted = tfe.model_to_estimator(model, config=config, checkpoint_format="saver")

    def model_fn(features, labels, mode, config):
        spec = converted.model_fn(features, labels, mode, config)
        probabilities = spec.predictions["probabilities"]
        top, ids = tfe.tf.math.top_k(probabilities, k=min(5, len(class_names)))
        classes = {"class_names": tfe.tf.gather(class_names, ids), "probabilities": top}
        outputs = {"serving_default": {"probabilities": probabilities}, "classify": classes}
        return spec._replace(export_outputs={name: tfe.export.PredictOutput(outputs[name]) for name in outputs})

    if not config.is_chief:  # 权重由 chief 给出
        return tfe.Estimator(model_fn, config=config)
    # model_to_estimator 只带入要训练的变量：底座的均值与方差回到 0 与 1，预训练就白费了。
    # 这里除了优化器的状态与全局步数，全部带入；写成列表，才会包括不训练的变量。
    first = checkpoint_folder.first_checkpoint(config.model_dir)
    pretrained = tfe.WarmStartSettings(first, vars_to_warm_start=[r"(?!training/|global_step).*"])
    return tfe.Estimator(model_fn, config=config, warm_start_from=pretrained)


def checkpoint_reporter(steps_per_epoch):
    """读者自己的 CheckpointSaverListener：每存一个检查点就报告一次。"""
    from toolbox.estimator.bridge import CheckpointSaverListener

    class CheckpointReporter(CheckpointSaverListener):
        def after_save(self, session, global_step_value):
            print(f"检查点：第 {global_step_value} 步（第 {global_step_value / steps_per_epoch:.1f} 轮）", flush=True)

    return CheckpointReporter()


def train(estimator, train_input, eval_input, max_steps, steps_per_epoch, task):
    """单机直接 train；在集群里由 train_and_evaluate 按自己的角色行事。"""
    from toolbox.estimator import bridge as tfe
    from toolbox.estimator import hooks

    stop = hooks.StopOnSignal()
    hooks, listeners = [stop, hooks.ShowProgress(max_steps)], [checkpoint_reporter(steps_per_epoch)]
    if task is None:
        estimator.train(train_input, max_steps=max_steps, hooks=hooks, saving_listeners=listeners)
    else:
        report = hooks.ReportEvaluation()
        train_spec = tfe.TrainSpec(train_input, max_steps, hooks, listeners)
        eval_spec = tfe.EvalSpec(eval_input, steps=None, exporters=[report], start_delay_secs=0, throttle_secs=1)
        tfe.train_and_evaluate(estimator, train_spec, eval_spec)
    stop.finish()


def serving_input_receiver(kept_shape):
    """SavedModel 的入口：默认是 [-1, 1] 的照片张量；另一个是 JPEG 文件的原始字节，解码与缩放都在图里。"""
    import tensorflow as tf

    from toolbox.estimator.bridge import export

    def decode(data):
        pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.image.resize(pixels, IMAGE_SIZE, antialias=True) / 127.5 - 1

    def receiver():
        jpeg = tf.compat.v1.placeholder(tf.string, [None], name="jpeg")
        decoded = tf.map_fn(decode, jpeg, fn_output_signature=tf.float32)
        image = tf.compat.v1.placeholder_with_default(decoded, [None, *IMAGE_SIZE, 3], name="image")
        features = {"image": image, "kept": tf.zeros((0, *kept_shape))}
        return export.ServingInputReceiver(features, {"image": image}, {"jpeg": {"jpeg": jpeg}})

    return receiver


def main(argv=None):
    args = parse_arguments(argv)
    if args.cluster:
        return launch_cluster(args, argv)
    task = cluster_task.join(args.sync)  # TF_CONFIG 说自己是谁；没有设就是 None，单机
    leads = task is None or task.leads  # 领头的保存检查点，最后评估、预测、导出
    target = model_folder.target_folder(args.output_dir, args.name)
    stage = Stopwatch()

    with stage("找照片与权重"):
        folder = course.find(args)
        folder.report()
        weights = find.find_weights(args.weights)
        checkpoints = checkpoint_folder.path(target)
        if leads:
            checkpoint_folder.claim(checkpoints, folder, weights, args)

    with stage("载入 TensorFlow"):
        from toolbox.estimator import bridge as tfe

        strategy = tfe.tf.distribute.MultiWorkerMirroredStrategy() if args.sync else None  # 要先于一切运算
        devices = tfe.tf.distribute.MirroredStrategy() if args.mirrored else None
        tfe.tf.keras.utils.set_random_seed(args.seed)
        from toolbox import frozen_prefix
        from toolbox.estimator import synchronous

    with stage("数据"):
        training, validation, labels = make_generators(folder, args)
        mine = task.shard if task else slice(None)  # 集群里各读各的一份
        photos, targets = training.photos[mine], training.targets[mine]
        steps = math.ceil(len(training.photos) / args.batch_size)
        max_steps = args.steps or args.epochs * steps
        print(f"训练 {len(training.photos)} 张，这个进程读 {len(photos)} 张；一轮 {steps} 步，共 {max_steps} 步")

    with stage("模型"):
        model = build_model(weights, len(labels))
        whole, prefix = add_kept_door(model)
        whole.compile("adam", LOSSES[args.class_mode], ["accuracy"])
        print(f"权重共 {whole.count_params():,} 个，其中冻结的底座 {prefix.count_params():,} 个")

    with stage("计算冻结的部分"):
        outputs = frozen_prefix.compute(prefix, photos, **prefix_options.chosen(args))
        print(f"每张照片在切口处 {outputs.shape[1:]}；新算 {outputs.computed} 张")
    if args.shard:
        return print("这一份算完了。各份都算完后，不带 --shard 再运行一次。")
    train_input = kept_input(outputs, targets, args.batch_size, args.seed)
    eval_input = photo_input(validation, outputs.shape[1:])
    with stage("训练"):
        if args.sync:
            synchronous.fit(strategy, model, whole.loss, train_input, args.epochs, steps)
            cluster_task.leave()
        if leads or not args.sync:
            saving = {"save_checkpoints_steps": max(steps, max_steps // 10), "keep_checkpoint_max": 20}
            config = tfe.RunConfig(checkpoints, args.seed, train_distribute=devices, **saving)
            estimator = convert(whole, config, labels)
            if args.sync:
                checkpoint_folder.continue_from_first(checkpoints)
            else:
                cluster_task.wait_for_others(task, args.wait_seconds)
                train(estimator, train_input, eval_input, max_steps, steps, task)
    if not leads:
        return print("这个进程的任务完成了；评估、预测与导出由领头的进程做。")

    cluster_task.leave()  # 余下的事一个进程就够，与集群无关
    estimator = tfe.Estimator(estimator.model_fn, checkpoints)
    with model_folder.writing(args.output_dir, args.name) as results:
        with stage("评估"):
            result = estimator.evaluate(eval_input)
            scores = {"photos": len(validation.photos), **{name: float(result[name]) for name in ("accuracy", "loss")}}
            print("验证：{photos} 张，准确率 {accuracy:.4f}，损失 {loss:.4f}".format(**scores))
        with stage("预测"):
            predictions = []
            rows = (answer["probabilities"] for answer in estimator.predict(eval_input))
            for photo, row in zip(validation.photos, rows, strict=True):
                predictions.append((folder.name(photo), photo.class_name, labels[row.argmax()], row.max()))
        with stage("导出"):
            estimator.export_saved_model(str(results / "saved_model"), serving_input_receiver(outputs.shape[1:]))
        metrics = {"validation": scores, "step": int(result["global_step"]), "seconds": stage.seconds}
        metrics |= {"peak_memory_mb": peak_memory_mb(), "seed": args.seed, "weights": weights.name}
        model_folder.write_json(results / model_folder.METRICS_FILE, metrics)
        model_folder.write_texts(results, vars(args), weights, folder, labels, predictions)
    print(f"\n结果：{target}\n检查点：{checkpoints}。重新运行同一条命令、调大 --epochs，会接着训练。")


if __name__ == "__main__":
    run_main(main, when_interrupted="检查点都在；重新运行同一条命令会从最近的检查点接着训练。")
