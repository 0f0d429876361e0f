"""看与评估：第一批照片、每一部分的准确率、每张照片的预测、最后的小结。"""

import functools

import numpy as np

from toolbox import none_of_these
from toolbox.frozen_prefix.cut import pooling, trace
from toolbox.photos.split import PART_NAMES
from toolbox.terminal.text import visible


def show_first_batch(generator, labels):
    """打印第一批照片与标签的形状、取值，以及类别的编号。"""
    images, targets = generator[0]
    ids = targets.argmax(axis=1) if targets.ndim == 2 else targets.astype(int)
    print(f"第一批照片：形状 {images.shape}，取值 {images.min():.2f} 至 {images.max():.2f}")
    print(f"第一批标签：形状 {targets.shape}，前 5 个是 {'、'.join(f'{i} {visible(labels[i])}' for i in ids[:5])}")
    print(f"类别编号：{visible(generator.class_indices)}")


@functools.cache
def explain_epochs():
    """说明 Keras 训练时打印的各个词；一次运行只说一遍。"""
    print("下面每一轮（epoch）：accuracy 是训练照片上的准确率，val_accuracy 是验证照片上的（它们没有参加训练）；")
    print("loss 与 val_loss 是相应的损失，越小越好；ms/step 是一步（一批照片）用了几毫秒。", flush=True)


def report(scores, parts):
    """打印每一部分的准确率与损失。

    Args:
        scores: {部分: model.evaluate(..., return_dict=True) 的结果}。
        parts: {部分: 照片}。

    Returns:
        {部分: {"photos": 张数, "accuracy": 准确率, "loss": 损失}}，写进 metrics.json。
    """
    metrics = {}
    for part, score in scores.items():
        metrics[part] = {"photos": len(parts[part]), "accuracy": score["accuracy"], "loss": score["loss"]}
        print("{}：{photos} 张，准确率 {accuracy:.4f}，损失 {loss:.4f}".format(PART_NAMES[part], **metrics[part]))
    return metrics


def cross_entropy(probabilities, labels):
    """按张数平均的交叉熵。probabilities：(张数, 类别数)；labels：(张数,)，各张是第几个输出。"""
    right = np.asarray(probabilities)[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(right, 1e-7, 1)).mean())  # 1e-7：与 Keras 一样，免得对零取对数


def prediction_rows(probabilities, parts, folder, labels):
    """没有参加训练的每张照片一行：(文件, 真实类别, 预测类别, 概率)，按文件名排序，写进 predictions.csv。

    Args:
        probabilities: {部分: 数组 (张数, 类别数)}，顺序同 parts 里的照片。
        parts: {部分: 照片}。
        folder: PhotoFolder。
        labels: 各个输出是什么类别。
    """
    rows = []
    for part, answers in probabilities.items():
        for photo, answer in zip(parts[part], answers, strict=True):
            rows.append((folder.name(photo), photo.class_name, labels[answer.argmax()], answer.max()))
    return sorted(rows)


def learn_limits(network, data):
    """记住训练照片的特征，由验证照片定下门槛与温度（见 toolbox/none_of_these.py），打印它们在留出的照片上怎样。

    Args:
        network: 训练好的网络；里面有全局平均池化，或输入就是池化之后的特征。
        data: {部分: 一批批的 (照片或特征, 标签)}，没有增强；有测试集就用它衡量，因为门槛与温度没有看过它。

    Returns:
        (Knowledge, {"calibration": 校准误差, "refused": {部分: 被说成都不像的比例}})，后者写进 metrics.json。
    """
    both = with_features(network)
    seen = {part: features_and_answers(both, batches) for part, batches in data.items()}
    (train, _, train_labels), validation = seen["train"], seen["validation"]
    knowledge = none_of_these.fit(train, train_labels, *validation)
    refused = {part: float((~knowledge.is_known(*seen[part][:2])).mean()) for part in data if part != "train"}
    part = "test" if "test" in seen else "validation"
    _, probabilities, labels = seen[part]
    calibration = {
        "part": part,
        "temperature": knowledge.temperature,
        "error_before": none_of_these.calibration_error(probabilities, labels),
        "error_after": none_of_these.calibration_error(
            none_of_these.calibrated(probabilities, knowledge.temperature), labels
        ),
    }
    errors = "温度 {temperature:.2f}，校准误差 {error_before:.3f} → {error_after:.3f}".format(**calibration)
    print(f"{PART_NAMES[part]}：{errors}；其中 {refused[part]:.1%} 会被说成都不像")
    return knowledge, {"calibration": calibration, "refused": refused}


def with_features(network):
    """与 network 共用各层的 Keras 模型，输出 [全局平均池化之后的特征, 各个类别的概率]；没有池化，特征就是输入。"""
    import keras

    image, steps, probabilities = trace(network)
    _, features = pooling(steps) or (None, image)
    return keras.Model(image, [features, probabilities])


def features_and_answers(model, batches):
    """每张照片的特征、各个类别的概率、真实类别的编号，三个数组；batches 打乱的也行。"""
    if hasattr(batches, "__getitem__"):  # 照片的迭代器用 for 没有尽头
        batches = map(batches.__getitem__, range(len(batches)))
    features, probabilities, labels = [], [], []
    for images, targets in batches:
        for rows, output in zip((features, probabilities), model(images, training=False), strict=True):
            rows.append(np.asarray(output))
        targets = np.asarray(targets)
        labels.append(targets.argmax(axis=1) if targets.ndim == 2 else targets.astype(int))
    return np.concatenate(features), np.concatenate(probabilities), np.concatenate(labels)


def summarize(metrics, predictions, folder):
    """用几行中文总结：照片、每类准确率、各步用时、错得最有把握的五张。

    Args:
        metrics: metrics.json 的内容。
        predictions: prediction_rows 的结果。
        folder: 模型文件夹的路径。
    """
    print("\n===== 小结 =====")
    counts = "，".join(f"{PART_NAMES[part]} {metrics[part]['photos']} 张" for part in PART_NAMES if part in metrics)
    print(f"照片：{counts}；基础模型的权重：{visible(metrics['weights'])}")
    print("没有参加训练的照片上，每一类的准确率：")
    for name in sorted({true for _, true, _, _ in predictions}):
        right = [predicted == true for _, true, predicted, _ in predictions if true == name]
        print(f"  {visible(name)}：{np.mean(right):.3f}（{sum(right)}/{len(right)}）")
    for part in ("validation", "test"):
        if part in metrics:
            print(f"{PART_NAMES[part]}准确率（accuracy）：{metrics[part]['accuracy']:.4f}")
    print("各步用时：" + "，".join(f"{name} {seconds:.1f} 秒" for name, seconds in metrics["seconds"].items()))
    _show_mistakes(predictions)
    print(f"模型文件夹：{visible(folder)}")


def _show_mistakes(predictions):
    mistakes = sorted((row for row in predictions if row[1] != row[2]), key=lambda row: -row[3])
    print(f"共错 {len(mistakes)} 张，错得最有把握的：" if mistakes else "一张也没有错。")
    for name, true, predicted, probability in mistakes[:5]:
        print(f"  {visible(name)}：是 {visible(true)}，认成了 {visible(predicted)}（概率 {probability:.2f}）")
