"""冻结的部分（frozen prefix）只算一次：在第一个要训练的层之前切开模型，前面的每张照片只算一次，只训练后面的。

prefix, suffix = split_model(model)      # 两半与 model 共用各层：训练 suffix 就是训练 model
outputs = compute(prefix, photos)        # 每张照片（或它的每个视图）一行；要算几批照片，用 FeatureExtractor
suffix.fit(outputs.batches(labels, shuffle=True), shuffle=False)
"""

from toolbox.frozen_prefix.compute import FeatureExtractor, compute
from toolbox.frozen_prefix.cut import split_model

__all__ = ["FeatureExtractor", "compute", "split_model"]
