# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 第 1 课：迁移学习（笔记本）
#
# 与脚本 `src/study_keras/hello_transfer_learning.py` 是同一份代码，一格一步。
# 讲解见 `docs/study_keras/hello_transfer_learning.md`。
# 这里用自己画的花，不需要网络；换成你的照片，把 `--drawn` 改成 `--images-dir` 与文件夹。

# %%
# %matplotlib inline
import sys
from pathlib import Path

PROJECT_DIR = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "ImageNetLabels.txt").exists())
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import hello_transfer_learning as lesson
from toolbox import course, evaluation
from toolbox.later import keras
from toolbox.terminal.plots import pyplot
from toolbox.terminal.stopwatch import Stopwatch

# %% [markdown]
# ## 照片与权重

# %%
args = lesson.parse_arguments(["--drawn"])
folder, weights = course.start(args, Stopwatch())
keras.utils.set_random_seed(args.seed)

# %% [markdown]
# ## 一批带标签的照片

# %%
generators, labels = lesson.make_generators(folder, args)
evaluation.show_first_batch(generators["train"], labels)

# %%
images, targets = generators["train"][0]
figure, axes = pyplot().subplots(2, 5, figsize=(8, 3.6), layout="constrained")
for axis, image, target in zip(axes.flat, images, targets, strict=False):
    axis.imshow((image + 1) / 2)
    axis.set_title(labels[target.argmax()])
    axis.axis("off")
figure

# %% [markdown]
# ## 模型：冻结的基础模型，新的分类头

# %%
model = lesson.build_model(weights, labels, args)

# %% [markdown]
# ## 特征提取：冻结的部分只算一次

# %%
network, data = lesson.extract_features(model, generators, args)

# %% [markdown]
# ## 训练、评估

# %%
history = lesson.train(network, data, args, f"{args.output_dir}/notebook_logs")
lesson.evaluate(network, data)

# %% [markdown]
# ## 预测：每一行都与文件对得上

# %%
parts = {part: generator.photos for part, generator in generators.items()}
rows = evaluation.prediction_rows(lesson.predict(network, data), parts, folder, labels)
rows[:5]
