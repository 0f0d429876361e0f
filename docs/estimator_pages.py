"""第 2 课与集群两页里的表格与节选，由 docs/results/ 的记录与测试用的脚本生成（cogapp 调用）。"""

import ast
import re
import sys

import cog
import page_tools

SCRIPTS = page_tools.PROJECT_DIR / "tests" / "toolbox" / "estimator" / "old_scripts"


def changed_script(name):
    """放入一个老脚本，导入的一行已经换好；开头的文档字符串略去。"""
    text = (SCRIPTS / name).read_text(encoding="utf-8").split('"""', 2)[2]
    changed = text.replace("import tensorflow as tf", "from toolbox.estimator import tf  # 只换了这一行")
    page_tools._fenced(changed, "python")


def scripts_table():
    """放入试过的老脚本：文件名、换成哪一行、用到什么。"""
    rows = []
    for path in sorted(SCRIPTS.glob("*.py")):
        version, uses = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).rstrip("。").split("：", 1)
        line = "tf1 as tf" if version == "TensorFlow 1" else "tf"
        link = f"[{path.stem}](../../tests/toolbox/estimator/old_scripts/{path.name})"
        rows.append([link, version, f"`import {line}`", uses])
    page_tools.table(["脚本", "时代", "换成 `from toolbox.estimator`", "用到"], rows)


def refusals_table():
    """放入不能用的与各自的一句话。"""
    sys.path.insert(0, str(page_tools.PROJECT_DIR / "src" / "study_keras"))
    from toolbox.estimator import refusals

    tpu = refusals.TPU.format(name="TPUEstimator")
    keras = refusals.KERAS_3.format(name="keras.optimizers.Adam")
    late = "已经是 Keras 3 了……请把 from toolbox.estimator import tf 移到脚本的最前面。"
    rows = [["`tf.contrib.…`、`import tensorflow.contrib`", refusals.GONE["contrib"]]]
    rows += [["`import tensorflow.examples…`", refusals.GONE["examples"]], ["`tf.estimator.tpu.…`", tpu]]
    rows += [
        ["Keras 3 的模型与优化器", keras],
        ["在 `from toolbox.estimator import tf` 之前写了 `from tensorflow.keras import …`", late],
    ]
    page_tools.table(["写了", "得到的一句话"], rows)


def _not_yet(command):
    cog.outl(f"（还没有记录；记录它：`{command}`。）")


def equality():
    """放入第 1 课与第 2 课的对照，并按记录说出差别。"""
    seeds = page_tools.load("lesson_2.json")["seeds"]
    if not seeds:
        return _not_yet("python benchmarks/lesson_2.py --images-dir 照片文件夹 --json docs/results/lesson_2.json")
    one, two = ([each[name] for each in seeds] for name in ("lesson_1", "lesson_2"))
    names = ("lesson_1", "lesson_2", "same_start")
    rows = [[seed, *(f"{each[name]:.3f}" for name in names)] for seed, each in enumerate(seeds)]
    page_tools.table(["种子", "第 1 课", "第 2 课", "同样的起点、没有 Dropout：预测相同的比例"], rows)
    means = [sum(values) / len(values) for values in (one, two)]
    largest = max(abs(a - b) for a, b in zip(one, two, strict=True))
    difference, spread = abs(means[0] - means[1]), max(one) - min(one)
    verdict = "小于" if difference <= spread else "大于"
    same = min(min(each["estimator_and_saved_model"], each["estimator_and_keras"]) for each in seeds)
    photos, jpeg = (sum(each[name] for each in seeds) for name in ("photos", "jpeg"))
    return cog.outl(
        f"两课 {len(seeds)} 个种子的平均相差 {difference:.3f}（单个种子最多差 {largest:.3f}），"
        f"{verdict}第 1 课自己在各种子之间的差别（{spread:.3f}）。"
        "喂给同样的张量，Estimator、SavedModel 与装上检查点的 Keras 3 模型在 "
        f"{len(seeds)} 个种子的验证照片（合计 {photos:,} 张次）上，给出相同类别的比例是 {same:.3f}，"
        f"概率最多相差 {max(each['largest_difference'] for each in seeds):.1e}；"
        f"由 JPEG 字节算起的入口在 {jpeg / len(seeds):.1%} 的照片上一致。"
    )


def cluster_runs():
    """放入集群一遍遍运行的记录（benchmarks/cluster.py）。"""
    if not (page_tools.RESULTS_DIR / "cluster.json").exists():
        return _not_yet("python benchmarks/cluster.py --runs 10 --json docs/results/cluster.json")
    results, rows = page_tools.load("cluster.json"), []
    for workers in ("2", "8"):
        runs = results.get(workers, {"runs": []})["runs"]
        if runs:
            accuracies = [each["accuracy"] for each in runs]
            shares = [max(each["steps"].values()) / sum(each["steps"].values()) for each in runs]
            above = sum(accuracy >= results["floor"] for accuracy in accuracies)
            spread = f"{min(accuracies):.3f} 至 {max(accuracies):.3f}"
            rows.append([f"`--cluster {workers}`", len(runs), spread, above, f"{min(shares):.0%} 至 {max(shares):.0%}"])
    table = ["命令", "运行次数", "验证准确率", f"不低于 {results['floor']} 的次数", "做得最多的一个进程占的步数"]
    return page_tools.table(table, rows)


def excerpt_of_record(file_name, *kept):
    """放入记录的终端输出中含有 kept 之一的各行。"""
    file = page_tools.RESULTS_DIR / file_name
    if not file.exists():
        return _not_yet(f"见上面的命令，写到 docs/results/{file_name}")
    lines = file.read_text(encoding="utf-8").splitlines()
    wanted = re.compile("|".join(map(re.escape, kept)))
    return page_tools._fenced("\n".join(line for line in lines if wanted.search(line)), "text")


def ten_million():
    """放入一千万张照片的估算。"""
    photos, machines, network, weights = 10_000_000, 8, 125e6, 4 * 1_839_109
    photo_bytes, row_bytes = 228_813_984 / 3670, 4 * 1280 + 16
    prefix = page_tools.load("frozen_prefix.json")["photos_per_second"]["extract"]
    results = page_tools.load("lesson_2.json")
    check, steps = results["checked_photos_per_second"], results["steps_per_second"]

    def transfer(batch):
        return photos / batch * 2 * weights / network

    size, cached = f"{photo_bytes / 1e3:.0f} KB（flower_photos 的平均）", f"{photos * row_bytes / 1e9:.0f} GB"
    page_tools.table(["项目", "算法", "结果"], [
        ["照片", f"{photos:,} × {size}", f"{photos * photo_bytes / 1e9:,.0f} GB"],
        ["缓存的特征", f"{photos:,} × (1,280 × 4 + 16) 字节", cached],
        ["检查照片，每台都要", f"{photos:,} ÷ 每秒 {check:.0f} 张", _hours(photos / check)],
        ["算冻结的部分，1 台", f"{photos:,} ÷ 每秒 {prefix:.0f} 张", _hours(photos / prefix)],
        [f"算冻结的部分，{machines} 台", f"再 ÷ {machines}", _hours(photos / prefix / machines)],
        ["训练前校验缓存的特征，每台都要", f"{cached} ÷ 千兆网", _hours(photos * row_bytes / network)],
        ["训练一轮，1 台，每批 32", f"{photos // 32:,} 步 ÷ 每秒 {steps:.0f} 步", _hours(photos / 32 / steps)],
        ["异步一步的网络", "取权重、送梯度，各 1,839,109 × 4 字节", f"{2 * weights / 1e6:.1f} MB"],
        ["一轮的网络，一个 ps，每批 32", f"{photos // 32:,} 步", f"{_hours(transfer(32))}：网络是瓶颈"],
        ["一轮的网络，一个 ps，每批 1,024", f"{photos // 1024:,} 步", _hours(transfer(1024))],
    ])  # fmt: skip


def _hours(seconds):
    return f"{seconds / 3600:.1f} 小时" if seconds >= 3600 else f"{seconds / 60:.0f} 分钟"
