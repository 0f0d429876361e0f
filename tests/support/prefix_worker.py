"""由 frozen_prefix/test_store.py 启动的进程：只算冻结部分，不导入 TensorFlow，所以起得快、可以杀很多次。

用法：python prefix_worker.py 任务.pickle [i/n]
"""

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "study_keras"))
from toolbox import frozen_prefix


@dataclass
class RecordedPrefix:
    """compute 要从模型知道的全部：形状、结构、权重；转换好的模型已在仓库里。"""

    input_shape: tuple
    output_shape: tuple
    config: str
    weights: list[np.ndarray]

    def to_json(self):
        return self.config

    def get_weights(self):
        return self.weights


if __name__ == "__main__":
    task = pickle.loads(Path(sys.argv[1]).read_bytes())
    shard = tuple(map(int, sys.argv[2].split("/"))) if len(sys.argv) > 2 else None
    prefix = RecordedPrefix(*task["prefix"])
    outputs = frozen_prefix.compute(prefix, task["photos"], cache_dir=task["cache_dir"], engine="litert", shard=shard)
    print(outputs.computed)
