"""第 2 课：把同一个 Keras 模型变成 Estimator，在一台机器或一个集群上训练、评估、预测、导出。

你会学到：怎样用 model_to_estimator 转换模型而不丢掉预训练的权重，怎样写输入函数（input function），
         怎样在保存检查点（checkpoint）时做自己的事，怎样导出 SavedModel，怎样不改代码就在集群上训练。
需要：    两个 CPU 核心就够；与第 1 课同一个环境。
多久：    两核约一分钟。
命令：    python src/study_keras/hello_transfer_learning_2.py     （集群：加上 --cluster 2）
预期：    验证准确率与第 1 课相近，记录见讲解：docs/study_keras/hello_transfer_learning_2.md。
"""

import math
from dataclasses import dataclass
from typing import Any

from toolbox import course, evaluation, model_folder
from toolbox.estimator import checkpoints, cluster_task, local_cluster
from toolbox.later import tf_with_estimator as tf
from toolbox.photos.iterator import flow_from_folder
from toolbox.photos.read import IMAGE_SIZE
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.errors import UserError
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch
from toolbox.terminal.text import visible
from toolbox.weights.imagenet_labels import imagenet_labels

LEARNING_RATE = 2e-4  # 与第 1 课相同
DROPOUT = 0.2


def parse_arguments(argv):
    parser = ArgumentParser("第 2 课：同一个模型变成 Estimator，在一台机器或一个集群上训练。")
    course.add_options(parser, epochs=5, name="mobilenetv2_estimator", name_help="结果文件夹的名字")
    course.add_class_mode(parser)
    add = parser.add_argument
    add("--steps", type=positive_int, metavar="N", help="训练到第几步为止，一步一批；不给则由 --epochs 算出")
    add("--cluster", type=positive_int, metavar="N", help="在本机启动集群：chief、N 个 worker、参数服务器与 evaluator")
    add("--sync", action="store_true", help="同步训练：tf_keras 的 MultiWorkerMirroredStrategy，只有 worker")
    add("--mirrored", action="store_true", help="用上这台机器的全部 GPU：MirroredStrategy")
    add("--wait-seconds", type=positive_int, default=120, metavar="N", help="在集群里最多等别的进程多少秒")
    parser.not_together("--sync", "--mirrored")
    parser.not_together("--cluster", "--mirrored")
    return parser.parse_args(argv)


def make_generators(folder, args):
    """训练与验证的迭代器，划分与第 1 课相同，都不打乱；以及标签清单。"""
    image_generator = tf.keras.preprocessing.image.ImageDataGenerator(
        preprocessing_function=tf.keras.applications.mobilenet_v2.preprocess_input, validation_split=0.2
    )
    imagenet = imagenet_labels()[1:] if args.class_mode == "sparse" else []
    labels = imagenet + folder.class_names
    common = {"classes": labels, "class_mode": args.class_mode, "batch_size": args.batch_size, "seed": args.seed}
    training = flow_from_folder(image_generator, folder, "train", shuffle=False, **common)
    validation = flow_from_folder(image_generator, folder, "validation", shuffle=False, **common)
    return training, validation, labels


def build_model(weights, num_classes):
    """第 1 课的顺序模型：冻结的基础模型、全局平均池化、两个全连接层、softmax。"""
    layers = tf.keras.layers
    base = tf.keras.applications.MobileNetV2(input_shape=(*IMAGE_SIZE, 3), include_top=False, weights=weights.path)
    base.trainable = False  # 全部冻结；tf_keras（Keras 2）里这一句就够，批归一化也随之进入推理模式
    return tf.keras.Sequential(
        [
            base,
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(1024, activation="relu", name="hidden_1"),
            layers.Dense(512, activation="relu", name="hidden_2"),
            layers.Dropout(DROPOUT, name="dropout"),
            layers.Dense(num_classes, activation="softmax", name="probabilities"),
        ]
    )


def keep_pretrained(converted):
    """改正 model_to_estimator 的一处错误：它只带入要训练的变量。

    基础模型的移动均值与方差不训练，于是回到 0 与 1，预训练就白费了。这里除了优化器的状态与全局步数，
    全部带入；写成列表，才会包括不训练的变量。
    """
    if not converted.config.is_chief:  # 集群里，权重由 chief 给出
        return tf.estimator.Estimator(converted.model_fn, config=converted.config)
    first = checkpoints.first_checkpoint(converted.model_dir)
    pretrained = tf.estimator.WarmStartSettings(first, vars_to_warm_start=[r"(?!training/|global_step).*"])
    return tf.estimator.Estimator(converted.model_fn, config=converted.config, warm_start_from=pretrained)


def checkpoint_reporter(steps_per_epoch):
    """读者自己的 CheckpointSaverListener：每存一个检查点就报告一次。"""

    class CheckpointReporter(tf.estimator.CheckpointSaverListener):
        def after_save(self, session, global_step_value):
            print(f"检查点：第 {global_step_value} 步（第 {global_step_value / steps_per_epoch:.1f} 轮）", flush=True)

    return CheckpointReporter()


def with_class_names(estimator, class_names):
    """给导出的模型添上给服务器用的输出：前五名的名字与概率。"""

    def model_fn(features, labels, mode, config):
        spec = estimator.model_fn(features, labels, mode, config)
        probabilities = spec.predictions["probabilities"]
        top, ids = tf.math.top_k(probabilities, k=min(5, len(class_names)))
        classes = {"class_names": tf.gather(class_names, ids), "probabilities": top}
        outputs = {"serving_default": {"probabilities": probabilities}, "classify": classes}
        export_outputs = {name: tf.estimator.export.PredictOutput(output) for name, output in outputs.items()}
        return spec._replace(export_outputs=export_outputs)

    return tf.estimator.Estimator(model_fn, estimator.model_dir)


def serving_input_receiver(feature_shape):
    """SavedModel 的入口：默认是 [-1, 1] 的照片张量；另一个是 JPEG 文件的原始字节，解码与缩放都在图里。"""

    def decode(data):
        pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.image.resize(pixels, IMAGE_SIZE, antialias=True) / 127.5 - 1

    def receiver():
        jpeg = tf.compat.v1.placeholder(tf.string, [None], name="jpeg")
        decoded = tf.map_fn(decode, jpeg, fn_output_signature=tf.float32)
        image = tf.compat.v1.placeholder_with_default(decoded, [None, *IMAGE_SIZE, 3], name="image")
        features = {"image": image, "features": tf.zeros((0, *feature_shape))}
        return tf.estimator.export.ServingInputReceiver(features, {"image": image}, {"jpeg": {"jpeg": jpeg}})

    return receiver


@dataclass
class Job:
    """训练之前备好的一切；由 prepare 填好。"""

    args: Any
    stage: Stopwatch
    task: Any  # 自己在集群里的角色，单机是 None
    folder: Any
    weights: Any
    checkpoints: str
    strategy: Any = None
    labels: Any = None
    validation: Any = None
    model: Any = None  # 顺序模型
    whole: Any = None  # 同一个模型，多一个输入：缓存的特征
    features: Any = None
    train_input: Any = None
    eval_input: Any = None
    steps_per_epoch: int = 0
    max_steps: int = 0


def prepare(args, task):
    """照片、权重、TensorFlow、模型、输入函数。"""
    stage = Stopwatch()
    target = course.target_folder(args)
    folder, weights = course.find_inputs(args, stage)
    job = Job(args, stage, task, folder, weights, checkpoints.path(target))
    if not args.shard and (task is None or task.leads):  # 只有一个进程负责结果与检查点
        checkpoints.refuse_keras_model(target)
        checkpoints.claim(job.checkpoints, folder, weights, args)
    with stage("载入 TensorFlow"):
        from toolbox.estimator import synchronous

        job.strategy = synchronous.devices(args.sync, args.mirrored)
        tf.keras.utils.set_random_seed(args.seed)
    with stage("数据"):
        training, job.validation, job.labels = make_generators(folder, args)
        replicas = job.strategy.num_replicas_in_sync if job.strategy else 1  # 每一步，每个设备各取一批
        job.steps_per_epoch = math.ceil(len(training.photos) / (args.batch_size * replicas))
        job.max_steps = args.steps or args.epochs * job.steps_per_epoch
        print(f"训练 {len(training.photos)} 张；一轮 {job.steps_per_epoch} 步，共 {job.max_steps} 步")
        if unused := sum(photo.part == "test" for photo in folder.photos):
            print(f"给定的测试集有 {unused} 张，这一课不用它")
    with stage("模型"):
        job.model = build_model(weights, len(job.labels))
    add_inputs(job, training)
    return job


def add_inputs(job, training):
    """训练的输入函数读缓存的特征，评估的读照片。集群里，各个进程都读全部的特征，只是各按各的顺序。"""
    from toolbox.estimator import features_input

    args, task = job.args, job.task
    job.whole, frozen = features_input.add_features_input(job.model)
    print(f"权重共 {job.whole.count_params():,} 个，其中冻结的基础模型 {frozen.count_params():,} 个")
    with job.stage("计算冻结的部分"):
        job.features = features_input.compute(frozen, training.photos, task, args)
        features = job.features
        print(f"这个进程读 {len(features)} 张，每张照片的特征 {features.shape[1:]}；新算 {features.computed} 张")
    if not args.shard:
        order = (task.order if task else 0) or 0
        seed = args.seed + 1_000_000 * order  # 单机与 chief 的顺序就是第 1 课的
        job.train_input = features_input.features_input(features, training.targets, args.batch_size, seed)
        job.eval_input = features_input.photo_input(job.validation, features.shape[1:])


def compile_model(model, args):
    model.compile(tf.keras.optimizers.Adam(LEARNING_RATE), course.LOSSES[args.class_mode], ["accuracy"])


def new_estimator(job):
    """这一课的核心之一：由 Keras 模型得到 Estimator。"""
    compile_model(job.whole, job.args)
    config = tf.estimator.RunConfig(
        job.checkpoints,
        tf_random_seed=job.args.seed,
        save_checkpoints_steps=max(job.steps_per_epoch, job.max_steps // 10),
        keep_checkpoint_max=20,
        train_distribute=None if job.args.sync else job.strategy,
        experimental_max_worker_delay_secs=0,  # 集群里，各个 worker 不必错开时间开始
    )
    converted = tf.keras.estimator.model_to_estimator(job.whole, config=config, checkpoint_format="saver")
    return keep_pretrained(converted)


def train(job):
    """这一课的核心之二：训练；单机与集群是同一个 Estimator，只是由谁来叫它训练不同。"""
    from toolbox.estimator import cluster_training
    from toolbox.estimator.hooks import ShowProgress, StopOnSignal

    if job.args.sync and job.task:
        return train_in_step(job)
    estimator = new_estimator(job)
    stop = StopOnSignal()
    hooks = [stop, ShowProgress(job.max_steps)]
    listeners = [checkpoint_reporter(job.steps_per_epoch)]  # 要的是列表
    if job.task is None:
        checkpoints.nothing_left(job.checkpoints, job.max_steps)
        estimator.train(job.train_input, max_steps=job.max_steps, hooks=hooks, saving_listeners=listeners)
    else:
        cluster_training.train(estimator, job.task, job, hooks, listeners, job.args.wait_seconds)
    stop.finish()
    return estimator


def train_in_step(job):
    """同步训练：每一步各 worker 一起更新。训练由 Keras 做，之后由 worker 0 交给 Estimator。"""
    from toolbox.estimator import synchronous

    args = job.args
    epochs, steps = args.epochs, job.steps_per_epoch
    if args.steps:
        epochs, steps = 1, args.steps
    synchronous.fit(job.strategy, job.model, lambda m: compile_model(m, args), job.train_input, epochs, steps)
    cluster_task.leave()
    if not job.task.leads:
        return None
    estimator = new_estimator(job)
    checkpoints.continue_from_first(job.checkpoints)
    return estimator


def finish(job, estimator):
    """这一课的核心之三：用最后的检查点评估、预测、导出。一个进程就够，与集群无关。"""
    cluster_task.leave()
    args, stage = job.args, job.stage
    estimator = with_class_names(estimator, job.labels)
    parts = {"validation": job.validation.photos}
    with model_folder.writing(args.output_dir, args.name) as results:
        checkpoints.refuse_keras_model(model_folder.target_folder(args.output_dir, args.name))  # 训练时别的课写的
        with stage("评估、预测"):
            result = estimator.evaluate(job.eval_input)
            answers = [row["probabilities"] for row in estimator.predict(job.eval_input)]
            # result["loss"] 是各批平均的平均：最后一批不满，里面的几张就占得太多。按张数平均的自己算
            loss = evaluation.cross_entropy(answers, job.validation.classes)
            scores = {"validation": {"accuracy": float(result["accuracy"]), "loss": loss}}
            step = job.max_steps if args.sync else int(result["global_step"])  # 同步训练的步数不在检查点里
            metrics = evaluation.report(scores, parts) | {"step": step}
            predictions = evaluation.prediction_rows({"validation": answers}, parts, job.folder, job.labels)
        with stage("导出"):
            receiver = serving_input_receiver(job.features.shape[1:])
            estimator.export_saved_model(str(results / "saved_model"), receiver)
        outcome = model_folder.Outcome(metrics, predictions)
        model_folder.save(results, stage, args, job.folder, job.weights, job.labels, outcome)
    print(f"\n结果：{visible(model_folder.target_folder(args.output_dir, args.name))}")
    again = "同步训练每次从头开始" if args.sync else "重新运行同一条命令、调大 --epochs，会接着训练"
    print(f"检查点：{visible(job.checkpoints)}。{again}。")


def main(argv=None):
    args = parse_arguments(argv)
    if args.cluster:
        return local_cluster.launch(__file__, argv, lambda: course.found_options(args), args.cluster, args.sync)
    task = cluster_task.join(args.sync)  # TF_CONFIG 说自己是谁；没有设就是 None，单机
    if args.sync and task is None:
        raise UserError("--sync 是几个进程一起更新，要与 --cluster 2 或 TF_CONFIG 一起用。")
    job = prepare(args, task)
    if course.shard_is_done(args):
        return None
    with checkpoints.errors_explained(job.checkpoints):
        with job.stage("训练"):
            estimator = train(job)
        if task is None or task.leads:
            return finish(job, estimator)
    return print("这个进程的任务完成了；评估、预测与导出由 chief（同步训练时是 worker 0）做。")


if __name__ == "__main__":
    run_main(main, when_interrupted="检查点都在；重新运行同一条命令会从最近的检查点接着训练（--sync 从头开始）。")
