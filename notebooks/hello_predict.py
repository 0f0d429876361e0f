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
# # 第 4 课：认新照片（笔记本）
#
# 先运行过第 1 课或第 3 课，`output/` 里有模型文件夹。这里不需要 TensorFlow。
# 讲解见 `docs/study_keras/hello_predict.md`。

# %%
import sys
from pathlib import Path

PROJECT_DIR = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "ImageNetLabels.txt").exists())
sys.path.insert(0, str(PROJECT_DIR / "src" / "study_keras"))

from toolbox import model_folder_reader
from toolbox.predictor import Predictor
from toolbox.terminal.files import OUTPUT_DIR

# %%
predictor = Predictor(model_folder_reader.newest(OUTPUT_DIR))
predictor.labels

# %% [markdown]
# ## 一张画的花

# %%
import numpy as np

from toolbox.flower_painting.painter import paint

photo = paint("sunflowers", np.random.default_rng(1)).resize((320, 240))
photo

# %%
answer = predictor.predict(np.asarray(photo))
answer.top(3), "像训练照片" if answer.known else "都不像"

# %% [markdown]
# ## 一张不是花的图

# %%
stripes = np.zeros((240, 320, 3), np.uint8)
stripes[:, ::8] = 255
answer = predictor.predict(stripes)
answer.top(3), "像训练照片" if answer.known else "都不像"
