"""一次次的实验：是不是同样的设置，叫什么名字，认出已经做完的，汇总几个种子，画学习率曲线。"""

import itertools

from toolbox import model_folder
from toolbox.photos.folder import SPLIT_HASH, given_split_hash, photo_list_hash
from toolbox.photos.split import PARTS
from toolbox.terminal.files import written_aside
from toolbox.terminal.foreign_files import foreign_names
from toolbox.terminal.records import read_json
from toolbox.terminal.text import some_of, visible

PLACES_AND_WAYS = {  # 说在哪里、怎样算的选项，不决定得到什么模型；照片与权重看内容的哈希
    *("images_dir", "drawn", "weights", "output_dir", "name", "replace", "repeats", "find_lr", "show_layers", "debug"),
    *("cache_dir", "no_cache", "cache_limit", "engine", "shard"),
}
CONTENTS = {"weights_sha256": "权重", "photos_sha256": "照片", SPLIT_HASH: "划分"}


def free_name(args, photos, weights):
    """这次运行的模型文件夹叫什么：args.name；它已是别的设置的模型，就用 args.name_2、_3……，并说出来。

    同样的设置、照片与权重得到同样的模型，所以照旧换掉；args.replace 为真则总是换掉。里面有读者自己的文件的不换。

    Args:
        args: 命令行选项，要有 output_dir、name、replace。
        photos: PhotoFolder。
        weights: weights.find.Weights。
    """
    target = model_folder.target_folder(args.output_dir, args.name)
    if not (target / model_folder.SETTINGS_FILE).exists():
        return args.name
    foreign = foreign_names(target, model_folder.WRITTEN)
    different = [] if args.replace else different_settings(target, args, photos, weights)
    if not foreign and not different:
        return args.name
    why, remedy = f" 是另一次运行的模型（不同的有：{'、'.join(different)}）", "请加 --replace"
    if foreign:
        why, remedy = f"里有不是课程写的东西（{some_of(foreign, 3)}）", "请先移走那些东西"
    for number in itertools.count(2):
        name = f"{args.name}_{number}"
        other = target.with_name(name)
        same = not different_settings(other, args, photos, weights) and not foreign_names(other, model_folder.WRITTEN)
        if same or not other.exists():
            print(f"{visible(target)}{why}，留着不动。")
            print(f"这次的写到 {visible(other)}。要换掉原来的，{remedy}。", flush=True)
            return name


def different_settings(folder, args, photos, weights):
    """folder 里的模型与这次运行有哪些设置不同，["--epochs", "权重", ...]；没有不同就是同样的实验。"""
    found = read_json(folder / model_folder.SETTINGS_FILE)
    if found is None:
        return [model_folder.SETTINGS_FILE]
    wanted = {name: value for name, value in vars(args).items() if name not in PLACES_AND_WAYS}
    wanted |= {"weights_sha256": weights.sha256, "photos_sha256": photo_list_hash(photos.photos)}
    wanted |= {SPLIT_HASH: given_split_hash(photos.photos)}
    found.setdefault(SPLIT_HASH, wanted[SPLIT_HASH])  # 以前没有记
    different = [name for name, value in wanted.items() if name not in found or found[name] != value]
    return [CONTENTS.get(name, f"--{name.replace('_', '-')}") for name in different]


def finished(args, folder, weights):
    """args.name 这个模型文件夹若是同样的实验留下的，返回它的 metrics，否则返回 None。

    Args:
        folder: PhotoFolder。
        weights: weights.find.Weights。
    """
    target = model_folder.target_folder(args.output_dir, args.name)
    if different_settings(target, args, folder, weights):
        return None
    metrics = read_json(target / model_folder.METRICS_FILE)
    try:  # 被改坏了，缺了 report_repeats 要的数：再做一遍
        numbers = [metrics["seed"], *metrics["seconds"].values(), *(metrics[part]["accuracy"] for part in PARTS)]
    except (TypeError, KeyError, AttributeError):
        return None
    return metrics if all(isinstance(number, (int, float)) and 0 <= number < 1e10 for number in numbers) else None


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
    summary = {part: mean_and_range([run[part]["accuracy"] for run in runs]) for part in PARTS}
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
