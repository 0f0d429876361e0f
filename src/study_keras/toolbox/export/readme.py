"""每个格式旁边的 README.md：十来行，从头到尾照抄就能运行。"""

from pathlib import Path

_READ = """import numpy as np
from PIL import Image, ImageOps

labels = open("labels.txt", encoding="utf-8").read().splitlines()
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
"""
_ANSWER = """for i in np.argsort(-probabilities)[:3]:
    print(labels[i], f"{probabilities[i]:.3f}")
"""
_CODE = {
    "savedmodel": """import tensorflow as tf

model = tf.saved_model.load("saved_model")
pixels = tf.constant(np.asarray(photo)[None], tf.float32)
probabilities = model.signatures["serving_default"](photo=pixels)["probabilities"].numpy()[0]
""",
    "litert": """from ai_edge_litert.interpreter import Interpreter

model = Interpreter("model.tflite")
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]["index"], np.asarray(photo, np.float32)[None])
model.invoke()
probabilities = model.get_tensor(model.get_output_details()[0]["index"])[0]
""",
    "litert-int8": """from ai_edge_litert.interpreter import Interpreter

model = Interpreter("model.tflite")
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]["index"], np.asarray(photo, np.uint8)[None])
model.invoke()
output = model.get_output_details()[0]
scale, zero = output["quantization"]
probabilities = (model.get_tensor(output["index"])[0].astype(np.float32) - zero) * scale
""",
    "onnx": """import onnxruntime

model = onnxruntime.InferenceSession("model.onnx")
pixels = np.asarray(photo, np.float32)[None]
probabilities = model.run(None, {"photo": pixels})[0][0]
""",
}
_CODE["litert-fp16"] = _CODE["litert"]
_PACKAGES = {"savedmodel": "tensorflow", "onnx": "onnxruntime"}
_INPUT = "输入 photo 是 224×224 的 RGB 像素，0 至 255；预处理在模型里。照片要先按 EXIF 转正（下面的第五行）。"
_MORE = {
    "savedmodel": "signature `jpeg` 收 JPEG 的字节（photo_bytes），自己解码、缩放，但不看 EXIF：转过的照片请先转正。\n",
    "litert": "类别也在 model.tflite 里：它的末尾是一个 zip，unzip model.tflite 得到 labels.txt。\n",
    "onnx": "类别也在 model.onnx 的元数据里：model.get_modelmeta().custom_metadata_map 的 labels。\n",
}
_MORE["litert-fp16"] = _MORE["litert-int8"] = _MORE["litert"]


def write(format, folder):
    """把 README.md 写进 folder。"""
    package = _PACKAGES.get(format, "ai-edge-litert")
    text = f"# {format}：在这个文件夹里运行\n\n{_INPUT}\n{_MORE[format]}\n"
    text += f"先 `pip install {package} numpy pillow`，再：\n\n"
    text += f"```python\n{_READ}{_CODE[format]}{_ANSWER}```\n"
    (Path(folder) / "README.md").write_text(text, encoding="utf-8")
