"""几个种子的实验：认出已经做完的，汇总，画学习率曲线。"""

from toolbox import model_folder
from toolbox.photos.folder import photo_list_hash
from toolbox.terminal.files import written_aside
from toolbox.terminal.records import read_json
from toolbox.terminal.text import visible

_PARTS = ("train", "validation", "test")


def finished(args, options, folder, weights):
    """args.name 这个模型文件夹若是同样的实验留下的，返回它的 metrics，否则返回 None。

    Args:
        options: 决定结果的选项的名字；它们与权重、照片都相同，才算同样的实验。
        folder: PhotoFolder。
        weights: weights.find.Weights。
    """
    target = model_folder.target_folder(args.output_dir, args.name)
    settings = read_json(target / model_folder.SETTINGS_FILE)
    metrics = read_json(target / model_folder.METRICS_FILE)
    if settings is None or not _can_be_reported(metrics):  # 被改坏了：再做一遍
        return None
    wanted = {name: getattr(args, name) for name in options}
    wanted["weights_sha256"] = weights.sha256
    wanted["photos_sha256"] = photo_list_hash(folder.photos)
    return metrics if all(settings.get(name) == value for name, value in wanted.items()) else None


def _can_be_reported(metrics):
    """metrics 里有没有 report_repeats 要的每一个数。"""
    try:
        numbers = [metrics["seed"], *metrics["seconds"].values(), *(metrics[part]["accuracy"] for part in _PARTS)]
    except (TypeError, KeyError, AttributeError):
        return False
    return all(isinstance(number, (int, float)) and 0 <= number < 1e10 for number in numbers)


def mean_and_range(values):
    """{"mean": 平均, "lowest": 最低, "highest": 最高, "values": 各次}。"""
    return {"mean": sum(values) / len(values), "lowest": min(values), "highest": max(values), "values": list(values)}


def report_repeats(args, runs):
    """打印各个种子的验证与测试准确率、平均与范围，写进 output_dir/name_repeats.json。

    Args:
        runs: 各个种子的 metrics。
    """
    print("\n===== 小结 =====")
    for run in runs:
        accuracies = f"验证 {run['validation']['accuracy']:.4f}，测试 {run['test']['accuracy']:.4f}"
        print(f"种子 {run['seed']}：{accuracies}，用时 {sum(run['seconds'].values()):.0f} 秒")
    summary = {part: mean_and_range([run[part]["accuracy"] for run in runs]) for part in _PARTS}
    lowest, highest = summary["test"]["lowest"], summary["test"]["highest"]
    print(f"测试准确率：平均 {summary['test']['mean']:.4f}，范围 {lowest:.4f} 至 {highest:.4f}（{len(runs)} 个种子）")
    path = _beside_the_model(args, "repeats.json")
    model_folder.write_json(path, summary | {"seeds": [run["seed"] for run in runs]})
    print(f"已写入 {visible(path)}")


def report_learning_rates(args, rates, losses, suggested):
    """把各个学习率下的损失画成 output_dir/name_learning_rate.png，打印建议。"""
    from toolbox.terminal.plots import pyplot

    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axis.semilogx(rates, losses)
    axis.axvline(suggested, color="tab:red", linestyle="--", label=f"建议 {suggested:.0e}")
    axis.set(xlabel="学习率（learning rate）", ylabel="每一步的损失（loss）", ylim=(0, 2 * losses[0]))
    axis.grid(alpha=0.3)
    axis.legend()
    path = _beside_the_model(args, "learning_rate.png")
    with written_aside(path) as file:
        figure.savefig(file, format="png", dpi=100)
    plt.close(figure)
    print(f"曲线画在 {visible(path)}")
    print(f"建议：--learning-rate {suggested:.0e}。它只是起点，要在验证集上比较它附近的几个。")


def _beside_the_model(args, ending):
    """模型文件夹旁边的 name_ending；已有就是上一次写的，会换掉。"""
    return model_folder.target_folder(args.output_dir, args.name).with_name(f"{args.name}_{ending}")
