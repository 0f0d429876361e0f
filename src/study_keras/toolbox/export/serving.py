"""TensorFlow Serving 的 REST 请求：照它的规则把 JSON 变成张量，交给 SavedModel 的 signature，再变回 JSON。

规则见 https://www.tensorflow.org/tfx/serving/api_rest ：instances 一行一个，字节写成 {"b64": ...}。
"""

import base64
import json

import numpy as np


def pixels_request(pixels):
    """像素的请求（JSON 文字）；pixels 是 uint8 (n, 224, 224, 3)。"""
    return json.dumps({"signature_name": "serving_default", "instances": np.asarray(pixels).tolist()})


def jpeg_request(files):
    """JPEG 字节的请求（JSON 文字）。"""
    instances = [{"b64": base64.b64encode(content).decode()} for content in files]
    return json.dumps({"signature_name": "jpeg", "instances": instances})


def answer(model, request):
    """model（tf.saved_model.load 的结果）对请求的应答，JSON 文字：{"predictions": [{"label": ...}, ...]}。"""
    import tensorflow as tf

    asked = json.loads(request)
    signature = model.signatures[asked["signature_name"]]
    (name, spec), *_ = signature.structured_input_signature[1].items()
    rows = [base64.b64decode(row["b64"]) if isinstance(row, dict) else row for row in asked["instances"]]
    made = signature(**{name: tf.constant(rows, spec.dtype)})
    columns = {key: value.numpy() for key, value in made.items()}
    predictions = [
        {key: value[i].decode() if isinstance(value[i], bytes) else value[i].tolist() for key, value in columns.items()}
        for i in range(len(rows))
    ]
    return json.dumps({"predictions": predictions}, ensure_ascii=False)
