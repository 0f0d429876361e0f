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
# # 第 3 课：微调（笔记本）
#
# 与脚本 `src/study_keras/hello_fine_tuning.py` 是同一份代码，一格一步。讲解见 `docs/study_keras/hello_fine_tuning.md`。

# %%
# %matplotlib inline
import sys
from pathlib import Path

PROJECT_DIR = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "ImageNetLabels.txt").exists())
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

import hello_fine_tuning as lesson
from toolbox import course
from toolbox.later import keras
from toolbox.photos.folder import open_checked
from toolbox.terminal.plots import pyplot
from toolbox.terminal.stopwatch import Stopwatch
from toolbox.trainable_layers import movement, set_trainable_from

# %% [markdown]
# ## 照片，严格地划分成三份

# %%
args = lesson.parse_arguments(["--drawn"])
stage = Stopwatch()
folder, weights = course.start(args, stage)
keras.utils.set_random_seed(args.seed)
parts, targets = lesson.split(folder, args)

# %% [markdown]
# ## 一张照片与它的几个视图

# %%
photo = open_checked(parts["train"][0])
figure, axes = pyplot().subplots(1, 4, figsize=(8, 2.2), layout="constrained")
for seed, axis in enumerate(axes):
    axis.imshow(lesson.augment(photo, (224, 224), seed))
    axis.axis("off")
figure

# %% [markdown]
# ## 模型，与每个视图的特征

# %%
base, model = lesson.build_model(weights, len(folder.class_names))
set_trainable_from(base, args.unfreeze_from)
before = model.get_weights()
network, head, clean, data, head_data = lesson.prepare(model, base, parts, targets, args, stage)

# %% [markdown]
# ## 先只训练分类头

# %%
balance = lesson.class_weights(targets["train"], folder.class_names)
head_history = lesson.train_head(base, head, head_data, balance)

# %% [markdown]
# ## 再解冻最后几块，重新编译，一起训练

# %%
set_trainable_from(base, args.unfreeze_from)
history = lesson.train_last_blocks(network, data, args, balance, f"{args.output_dir}/notebook_logs")

# %% [markdown]
# ## 评估：测试集只在这里读一次；再看看什么动了

# %%
scores, probabilities = lesson.evaluate(network, clean)
changes = movement(model, before)
scores
