"""由 docs/results/ 里的记录写成的表格与句子，供页面的一行标记调用；每个函数说明它读哪份记录。"""

import sys

import cog
from page_tools import LESSONS_DIR, PROJECT_DIR, excerpt, load, table

sys.path[:0] = [str(PROJECT_DIR / "benchmarks"), str(LESSONS_DIR)]


def spread(values, digits=3):
    """“最低 至 最高”。"""
    return f"{min(values):.{digits}f} 至 {max(values):.{digits}f}"


def _mean(values):
    return sum(values) / len(values)


def photos_and_parts():
    """照片张数与划分（lesson_3.json 与 lesson_1_seq.json 的第一个种子）。"""
    run, lesson_1 = (load(f"{name}.json")["runs"][0] for name in ("lesson_3", "lesson_1_seq"))
    counts, of_lesson_1 = ([way[part]["photos"] for part in ("train", "validation", "test")] for way in (run, lesson_1))
    cog.outl(
        f"{sum(counts):,} 张真实照片（flower_photos 的一部分，五类各 300 张，清单见 "
        f"[flower_photos_1500.txt](docs/results/flower_photos_1500.txt)）；每个种子换一次划分。训练、验证、测试的张数，"
        f"如种子 {run['seed']}：第 3 课 {counts[0]:,}、{counts[1]}、{counts[2]}，"
        f"第 1 课 {of_lesson_1[0]:,}、{of_lesson_1[1]}、{of_lesson_1[2]}。"
        "一切选择只看验证集，测试集最后读一次："
    )


def ways():
    """各种做法的测试准确率、用时与内存（benchmarks/record_results.py 的记录）。"""
    from draw_results import WAYS  # 图与表是同样的几种做法

    rows = []
    for name, label in WAYS.items():
        r = load(f"{name}.json")
        test, mean = r["test"], {key: f"{r[key]['mean']:.0f}" for key in ("seconds", "cpu_seconds", "peak_memory_mb")}
        accuracy = f"{test['mean']:.3f}", f"{test['lowest']:.3f} 至 {test['highest']:.3f}"
        rows.append([label, *accuracy, len(r["runs"]), *mean.values()])
    table(["做法", "测试准确率的平均", "最低至最高", "种子数", "用时（秒）", "CPU 秒", "内存（MB）"], rows)


def head_only():
    """同样的做法，只训练分类头与微调相比，一个个种子比（head_only.json、lesson_3.json）。"""
    alone, tuned = (
        [run["test"]["accuracy"] for run in load(f"{name}.json")["runs"]] for name in ("head_only", "lesson_3")
    )
    gains = [after - before for before, after in zip(alone, tuned, strict=True)]
    cog.outl(
        f"同样的划分，停在第一段（只训练分类头）平均 {_mean(alone):.3f}，两段都做 {_mean(tuned):.3f}；"
        f"{len(gains)} 个种子各自的差是 {spread(gains)}。第二段里分类头也多训练了几轮、看了增强的视图，"
        "所以这个差不全是解冻的功劳；第 3 课的分类头比第 1 课的顺序模型少两个全连接层，"
        "停在第一段的数不能直接与第 1 课比。"
    )


def speed_in_one_line():
    """第 1 课与经典做法的速度之比（frozen_prefix.json）。"""
    ratios = load("frozen_prefix.json")["ratios"]
    cog.outl(
        f"第 1 课从启动到存好模型，速度是经典做法的 {ratios['cold']:.1f} 倍（第一次）与 {ratios['warm']:.1f} 倍"
        "（再一次）；怎样量的，见[缓存的特征](docs/cached_features.md)。"
    )


def speed():
    """整个进程的用时（frozen_prefix.json）。"""
    r = load("frozen_prefix.json")
    runs = r["whole_process"]
    labels = {
        "classic": "经典做法（每一轮都从照片算起）",
        "tutorial": "Keras 教程的做法（`image_dataset_from_directory`）",
        "pytorch": "PyTorch 教程的做法（`ImageFolder`、`DataLoader`）",
        "course, cold": "本课，第一次",
        "course, warm": "本课，再一次",
    }
    cog.outl(
        f"{r['photos']:,} 张真实照片、{r['epochs']} 轮、{r['cores']} 核，从启动进程到存好模型，"
        f"轮流运行 {len(runs['classic']['all_seconds'])} 遍，取中位数："
    )
    rows = []
    for name, label in labels.items():
        ratio = runs["classic"]["seconds"] / runs[name]["seconds"]
        rows.append([label, f"{runs[name]['seconds']:.1f}", f"{ratio:.1f}", f"{runs[name]['peak_memory_mb']:.0f}"])
    table(["做法", "秒", "速度是经典做法的几倍", "内存（MB）"], rows)


def speed_of_extraction():
    """特征提取每秒几张（frozen_prefix.json）。"""
    r = load("frozen_prefix.json")
    rates, ratios = r["photos_per_second"], r["ratios"]
    cog.outl(
        f"单看特征提取：每秒 {rates['extract']:.0f} 张，是 `model.predict` 的 {ratios['extract_to_predict']:.1f} 倍"
        f"（取各次的中位数；与它最快的一次比，{ratios['extract_to_predict_fastest']:.1f} 倍）。"
        f"读照片与运行网络两段时间之和决定的极限是每秒 {rates['limit']:.0f} 张，"
        f"达到了它的 {ratios['extract_to_limit']:.2f}。"
    )


def where_the_seconds_go():
    """第 1 课各步的用时（frozen_prefix.json）。"""
    runs = load("frozen_prefix.json")["whole_process"]
    cold, warm = (runs[f"course, {name}"] for name in ("cold", "warm"))
    stages = [name for name in cold["stages"] if cold["stages"][name] >= 0.05]
    rows = [[name, f"{cold['stages'][name]:.1f}", f"{warm['stages'].get(name, 0):.1f}"] for name in stages]
    rest = (f"{run['seconds'] - sum(run['stages'].values()):.1f}" for run in (cold, warm))
    table(["步骤", "第一次（秒）", "再一次（秒）"], [*rows, ["启动与退出", *rest]])


_MODELS = {"seq": "顺序模型", "model": "函数式模型"}


def memory_at_scale():
    """照片多了，用时与内存怎样变（scale.json）。"""
    rows = []
    for r in load("scale.json"):
        seconds = f"{r['seconds']:.0f}", f"{r['stages']['计算冻结的部分']:.0f}"
        rows.append([f"{r['photos']:,}", _MODELS[r["model"]], *seconds, f"{r['peak_memory_mb']:.0f}"])
    table(["张数", "模型", "用时（秒）", "其中特征提取", "内存（MB）"], rows)
    peaks = {(r["model"], r["photos"]): r["peak_memory_mb"] for r in load("scale.json")}
    more = {model: peaks[model, 64_000] / peaks[model, 4_000] - 1 for model in ("seq", "model")}
    cog.outl(
        f"从 4,000 张到 64,000 张，张数增至 16 倍，"
        f"内存多 {more['seq']:.0%}（顺序模型）与 {more['model']:.0%}（函数式模型）："
        "多出来的主要是照片的清单。"
    )


def kills():
    """随机时刻 kill -9 之后接着做（kills.json）。"""
    records = load("kills.json")["kills"]
    stages = "、".join(f"“{stage}”" for stage in dict.fromkeys(kill["stage"] for kill in records))
    same = sum(kill["identical"] for kill in records)
    cog.outl(
        f"我们在 {len(records)} 个随机的时刻用 `kill -9` 结束第 1 课（当时正在{stages}），再运行同一条命令："
        f"{same} 次的缓存都与没有中断过的逐字节相同，模型逐位相同。"
    )


def lesson_1_variants():
    """第 1 课几种做法的验证准确率（lesson_1_variants.json）。"""
    r = load("lesson_1_variants.json")
    cog.outl(
        f"{r['photos']:,} 张真实照片，八成训练、二成验证，5 轮，权重 {r['weights']}，"
        f"每种 {r['seeds']} 个种子（划分与训练都换）："
    )
    rows = [[_in_chinese(name), f"{v['mean']:.3f}", spread(v["accuracy"])] for name, v in r["variants"].items()]
    table(["做法", "验证准确率的平均", "最低至最高"], rows)


def _in_chinese(variant):
    """lesson_1_variants.json 里一种做法的名字，写成中文。"""
    words = _MODELS | {"categorical": "", "sparse": "`sparse`", "Flatten": "展平"}
    words["--trainable-base-layers 3"] = "最后三层也训练"
    return "，".join(filter(None, (words[word] for word in variant.split(", "))))


def views():
    """每张训练照片几个视图（lesson_3*.json）。"""
    records = {1: "lesson_3_one_view.json", 4: "lesson_3.json", 8: "lesson_3_eight_views.json"}
    rows = []
    for count, name in records.items():
        v = load(name)
        accuracy = v["validation"]
        limits = f"{accuracy['lowest']:.3f} 至 {accuracy['highest']:.3f}"
        rows.append([count, len(v["runs"]), f"{accuracy['mean']:.3f}", limits, f"{v['cpu_seconds']['mean']:.0f}"])
    table(["每张训练照片的视图数", "种子数", "验证准确率的平均", "最低至最高", "CPU 秒"], rows)


def few_photos():
    """每类几张照片，第 1 课在同样的测试照片上的准确率（few_photos.json）。"""
    folders = load("few_photos.json")["folders"]
    epochs = sorted({row["epochs"] for folder in folders for row in folder["rows"]})
    header = ["每类张数"]
    found = {}
    for number, folder in enumerate(folders):
        names = folder["class_names"]
        header += [f"{len(names)} 类（{names[0]} 等），{count} 轮" for count in epochs]
        for row in folder["rows"]:
            test = row["test"]
            text = f"{test['mean']:.2f}（{spread(test['values'], 2)}）"
            found.setdefault(row["per_class"], {})[number, row["epochs"]] = text
    columns = [(number, count) for number in range(len(folders)) for count in epochs]
    table(header, [[count, *(cells.get(column, "") for column in columns)] for count, cells in sorted(found.items())])


def moved_layers():
    """微调之后各层变了多少（lesson_3.json）。"""
    moved = load("lesson_3.json")["runs"][0]["moved"]
    table(["层", "相对变化"], [[f"`{layer}`", f"{change:.3f}"] for layer, change in moved.items()])


def scratch():
    """从头训练与微调相比（from_scratch.json、lesson_3.json）。"""
    scratch, tuned = load("from_scratch.json"), load("lesson_3.json")
    ratio = scratch["cpu_seconds"]["mean"] / tuned["cpu_seconds"]["mean"]
    cog.outl(
        f"同一个网络不用预训练的权重、从头训练 {len(scratch['history']['accuracy'])} 轮，"
        f"用的 CPU 时间是第 3 课的 {ratio:.0f} 倍，测试准确率平均只有 {scratch['test']['mean']:.3f}"
        "（它的训练还没有到头，再练会高一些，高多少没有量）：这么少的照片、这么短的时间，"
        "差别主要来自基础模型在 ImageNet 上学到的东西。"
    )


def evaluation_extras():
    """评估时的翻转与更大的输入（evaluation_extras.json）。"""
    r = load("evaluation_extras.json")
    labels = {"224": "原样", "224, mirrored": "与左右翻转的取平均", "256": "输入 256×256", "288": "输入 288×288"}
    rows = []
    for name, label in labels.items():
        rows.append([label, f"{r[name]['mean']:.3f}", f"{r[name]['lowest']:.3f} 至 {r[name]['highest']:.3f}"])
    table(["做法", "验证准确率的平均", "最低至最高"], rows)


def fine_tuning_speed():
    """微调时只算一次与每轮都算的用时（fine_tuning_speed.json）。"""
    r = load("fine_tuning_speed.json")
    labels = {"kept": "冻结的部分只算一次", "end_to_end": "每一轮都从照片算起"}
    cog.outl(
        f"同样的步骤、同样的种子，到达同样的验证准确率 {r['validation_accuracy']:.3f}（提取各个视图的时间也算在内）："
    )
    rows = []
    for way, label in labels.items():
        rows.append([label, r["seconds"][way], r["cpu_seconds"][way], r["cpu_seconds"]["per_epoch"][way]])
    table(["做法", "用时（秒）", "CPU 秒", "解冻后每一轮的 CPU 秒"], rows)
    cog.outl(f"按用时，速度是 {r['seconds']['ratio']:.1f} 倍；按 CPU 时间，{r['cpu_seconds']['ratio']:.1f} 倍。")


def wrong_ways():
    """第 3 课与几种错法的平均准确率（lesson_3.json 与各自的记录）。"""
    names = {
        "lesson_3": "第 3 课",
        "moving_batch_norm": "批归一化也解冻，移动均值与方差在动",
        "cached_augmentation": "增强之后缓存，每一轮都是同一张",
        "lesson_3_one_view": "不增强（`--views 1`）",
    }
    rows = []
    for name, label in names.items():
        runs = load(f"{name}.json")["runs"]
        means = (f"{_mean([run[part]['accuracy'] for run in runs]):.3f}" for part in ("train", "validation", "test"))
        rows.append([label, len(runs), *means, spread([run["test"]["accuracy"] for run in runs])])
    table(["做法", "种子数", "训练", "验证", "测试", "测试，最低至最高"], rows)


def stopping_on_test():
    """用测试集选轮数，数字好看了多少（stopping_on_test.json）。"""
    r = load("stopping_on_test.json")
    picked = _mean([run["moved"]["best_test_epoch"] for run in r["runs"]])
    cog.outl(
        f"每一轮都看测试集、报告最好的一轮，得到 {picked:.3f}；同样几次训练，"
        f"测试集只在验证集选出的那一轮读一次，是 {r['test']['mean']:.3f}。"
        f"多出来的 {picked - r['test']['mean']:.3f} 是假的。"
        "这里只多这么一点，因为只有六轮可挑；挑的次数越多（轮数、学习率、种子），虚高得越多。"
    )


def proof(*names):
    """陷阱的证明（tests/test_pitfalls.py 里的函数），折叠起来。"""
    cog.outl("\n<details>\n<summary>证明（可以运行）</summary>")
    excerpt("tests/test_pitfalls.py", *names)
    cog.outl("</details>\n")


def pitfall(name, sentence):
    """一个陷阱的实测。

    Args:
        name: pitfalls.json 里的一项。
        sentence: 格式，花括号里写这一项的键，如 {photos[0]:,}；一串名字写成 `甲`、`乙`，它的个数是 {键_count}。
    """
    cog.outl(f"\n**实测**：{sentence.format(**_readable(load('pitfalls.json')[name]))}\n")


def _readable(values):
    """格式里可以直接用的值：一串名字写成文字，并添上它的个数。"""
    readable = {}
    for key, value in values.items():
        if isinstance(value, dict):
            value = _readable(value)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            readable[f"{key}_count"] = len(value)
            value = "、".join(f"`{item}`" for item in value)
        readable[key] = value
    return readable


def pitfalls_recorded_on():
    """陷阱一页的数字是在什么上面记录的（pitfalls.json）。"""
    r = load("pitfalls.json")
    versions = r["versions"]
    cog.outl(
        f"数字来自 {r['interpolation_accuracy']['photos']:,} 张真实的花（五类各 300 张），"
        f"TensorFlow {versions['tensorflow']}、Keras {versions['keras']}、tf_keras {versions['tf_keras']}。"
        "重新记录：`python tests/test_pitfalls.py 照片文件夹`。"
    )


def ablations():
    """去掉一样保护会怎样：各种子的测试准确率与第 3 课同一个种子之差（lesson_3.json 与各自的记录）。"""
    names = {
        "head_only": "停在第一段，只训练分类头",
        "no_head_training": "不先训练分类头",
        "lesson_3_one_view": "不增强（`--views 1`）",
        "constant_learning_rate": "学习率不升不降",
        "no_label_smoothing": "不用标签平滑",
        "no_weight_decay": "不用权重衰减",
        "no_early_stopping": "不早停，用最后一轮",
        "moving_batch_norm": "批归一化也解冻",
    }
    lesson = [run["test"]["accuracy"] for run in load("lesson_3.json")["runs"]]
    rows, always_worse, unclear = [["第 3 课", len(lesson), f"{_mean(lesson):.3f}", spread(lesson), ""]], [], []
    for name, label in names.items():
        accuracy = [run["test"]["accuracy"] for run in load(f"{name}.json")["runs"]]
        differences = [other - own for other, own in zip(accuracy, lesson[: len(accuracy)], strict=True)]
        limits = f"{min(differences):+.3f} 至 {max(differences):+.3f}"
        difference = f"{_mean(differences):+.3f}（{limits}）"
        rows.append([label, len(accuracy), f"{_mean(accuracy):.3f}", spread(accuracy), difference])
        (always_worse if max(differences) < 0 else unclear).append(label)
    table(["做法", "种子数", "测试准确率的平均", "最低至最高", "同一个种子与第 3 课之差，平均（范围）"], rows)
    cog.outl(
        f"每个种子都变坏的（只是线索）：{'；'.join(always_worse) or '没有'}。"
        f"看不出差别的：{'；'.join(unclear) or '没有'}。"
    )


def report_calibration():
    """第 5 课的温度与校准误差（report.json）。"""
    r = load("report.json")
    cog.outl(
        f"\n在 1,500 张真实照片上（第 3 课，种子 0；不是图里的那一次），"
        f"温度是 {r['temperature']:.2f}（小于 1 是原来不够自信，大于 1 是过分自信），"
        f"测试照片上的 ECE 从 {r['error_before']:.3f} 变为 {r['error_after']:.3f}。\n"
    )


def report_time():
    """第 5 课的用时（report.json）。"""
    r = load("report.json")
    cog.outl(
        f"\n{r['photos']:,} 张照片，{r['cores']} 个核：第一次 {r['first']['seconds']:.0f} 秒，"
        f"以后 {r['warm']['seconds']:.0f} 秒；网页 {r['warm']['bytes'] / 1e6:.1f} MB。\n"
    )


def prediction_speed():
    """第 4 课的速度（predict.json）。"""
    r = load("predict.json")
    cog.outl(
        f"\n认一张照片，从启动到说出答案，速度是载入 `model.keras` 再认的 {r['cold_start']['times_faster']:.0f} 倍："
        "LiteRT 的解释器载入只要零点几秒，TensorFlow 要几秒。认一个文件夹时每个核一个线程，各自读照片、运行模型，"
        f"速度是极限（读照片与运行模型的时间之和）的 {r['folder']['share_of_limit']:.2f}。\n"
    )


def certificates():
    """第 1 课的顺序模型与第 3 课的模型导出成各种格式的证书（export.json；那里还有别的模型）。"""
    rows = []
    for name, label in {"seq_categorical": "第 1 课，顺序模型", "lesson_3": "第 3 课"}.items():
        for form, row in load("export.json")["models"][name].items():
            size, accuracy = f"{row['bytes'] / 1e6:.1f}", f"{row['accuracy']:.3f}（{row['keras_accuracy']:.3f}）"
            answers = f"{row['same_top_class']:.1%}", f"{row['largest_difference']:.6f}"
            costs = f"{row['milliseconds_a_photo']:.1f}", row["peak_memory_mb"]
            rows.append([label, f"`{form}`", size, accuracy, *answers, *costs])
    header = ["模型", "格式", "MB", "准确率（Keras 的）", "第一名相同", "概率最多差", "一张几毫秒", "内存（MB）"]
    table(header, rows)


def web_page_speed():
    """第 7 课的网页有多快（web_page.json）。"""
    r = load("web_page.json")
    cog.outl(
        f"\n{r['cores']} 个核、没有显卡的机器上，新开的 Chromium 从打开网页到说出第一个答案 "
        f"{r['first_answer_seconds']:.1f} 秒；"
        f"以后每张 {r['milliseconds']:.0f} 毫秒，其中模型 {r['model_milliseconds']:.0f} 毫秒"
        f"（{len(r['visits'])} 遍，每遍 {r['photos']} 张，取中位数）。\n"
    )
