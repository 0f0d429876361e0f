"""看与评估：第一批照片、每一部分的准确率、每张照片的预测、最后的小结。"""

import numpy as np

from toolbox.photos.split import PART_NAMES
from toolbox.terminal.text import visible


def show_first_batch(generator, labels):
    """打印第一批照片与标签的形状、取值，以及类别的编号。"""
    images, targets = generator[0]
    ids = targets.argmax(axis=1) if targets.ndim == 2 else targets.astype(int)
    print(f"第一批照片：形状 {images.shape}，取值 {images.min():.2f} 至 {images.max():.2f}")
    print(f"第一批标签：形状 {targets.shape}，前 5 个是 {'、'.join(f'{i} {visible(labels[i])}' for i in ids[:5])}")
    print(f"类别编号：{visible(generator.class_indices)}")


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


def summarize(metrics, predictions, folder):
    """用几行中文总结：照片、每类准确率、各步用时、错得最有把握的五张、接下来做什么。

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
    print("接下来：用 --images-dir 换成你自己的照片；加 --end-to-end 看经典做法慢多少；读 docs/pitfalls.md。")


def _show_mistakes(predictions):
    mistakes = sorted((row for row in predictions if row[1] != row[2]), key=lambda row: -row[3])
    print(f"共错 {len(mistakes)} 张，错得最有把握的：" if mistakes else "一张也没有错。")
    for name, true, predicted, probability in mistakes[:5]:
        print(f"  {visible(name)}：是 {visible(true)}，认成了 {visible(predicted)}（概率 {probability:.2f}）")
