"""用一个模型文件夹认照片：照片进，类别的名字与概率出。只用 LiteRT，从不导入 TensorFlow 或 Keras。

predictor = Predictor("output/mobilenetv2_transfer_seq")
print(predictor.predict("花.jpg").top(3))
"""

import hashlib
import itertools
import sys
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from toolbox import model_folder_reader as reader
from toolbox import none_of_these
from toolbox.litert_model import LiteRTModel, convert_file
from toolbox.photos.read import PhotoError, decode, read_file, resized
from toolbox.terminal.errors import UserError
from toolbox.terminal.records import write_json
from toolbox.terminal.text import visible
from toolbox.terminal.workers import map_in_threads, process_pool

_TOGETHER = 16  # 这么多张一起与训练照片比：一张一张地比，要把训练照片的特征从内存里读这么多遍


@dataclass(frozen=True)
class Answer:
    """一张照片的答案。

    Attributes:
        labels: 各个类别的名字。
        probabilities: 各个类别的概率（校准过），float32，顺序同 labels。
        features: 全局平均池化的输出，float32 (d,)。
        known: 像不像训练照片；False 就是都不像。以前写的文件夹没有记下训练照片，总是 True。
    """

    labels: list[str]
    probabilities: np.ndarray
    features: np.ndarray
    known: bool = True

    def top(self, count):
        """概率最大的 count 个：[(名字, 概率), ...]，从大到小。"""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]


class Predictor:
    """模型文件夹里的模型。几个线程可以同时用一个 Predictor。

    Attributes:
        folder: 模型文件夹（Path）。
        labels: 训练时有的类别；--class-mode sparse 的 1,005 个输出里，ImageNet 的那些不在内。

    Args:
        folder: 模型文件夹。以前写的、只有 model.keras 的，先转换一次（在另一个进程里，那里要导入 TensorFlow）。

    Raises:
        UserError: 不是模型文件夹，缺文件，已损坏，或是更新的课程写的。
    """

    def __init__(self, folder):
        self.folder = reader.find(folder)
        self.labels, self._outputs = reader.classes(self.folder)
        path = self.folder / reader.LITERT_FILE
        if not path.is_file():
            _convert_once(self.folder)
        self._model = _open(path, reader.read_settings(self.folder).get(reader.LITERT_HASH))
        self._knowledge = _knowledge(self.folder, self._model.outputs["features"]["shape"][1])
        outputs = self._model.outputs["probabilities"]["shape"][1]
        lines = len(reader.read_labels(self.folder))
        if outputs != lines:
            wrong = f"{visible(self.folder / reader.LABELS_FILE)} 有 {lines} 行，模型却有 {outputs} 个输出"
            raise UserError(f"{wrong}：这个文件夹被改过。请用别处的备份，或重新训练。")

    def predict(self, photo):
        """认一张照片，返回 Answer。

        Args:
            photo: 照片的路径、一个图片文件的字节，或 uint8 像素 (高, 宽, 3)。

        Raises:
            PhotoError: 读不出来；文字是中文原因。
        """
        return self._answers([self._run(photo)])[0]

    def predict_many(self, photos, load=None):
        """依次给出每张照片的 (photo, Answer 或 PhotoError)，顺序同 photos；用上每个核，占的内存与张数无关。

        Args:
            photos: 可以是边走边给的；有 load 时可以是任何东西。
            load: 函数，把 photos 中的一个变成 predict 要的照片，在工作线程里运行；可以抛出 PhotoError。
        """

        def run(photo):
            try:
                return photo, self._run(load(photo) if load else photo)
            except PhotoError as error:
                return photo, error

        results = map_in_threads(run, photos)
        while together := list(itertools.islice(results, _TOGETHER)):
            made = [outcome for _, outcome in together if not isinstance(outcome, PhotoError)]
            answers = iter(self._answers(made))
            for photo, outcome in together:
                yield photo, outcome if isinstance(outcome, PhotoError) else next(answers)

    def _run(self, photo):
        """(模型各个输出的概率, 特征)。"""
        made = self._model(self._pixels(photo))
        return made["probabilities"], made["features"]

    def _answers(self, made):
        """made：几张照片的 _run。返回几个 Answer。"""
        if not made:
            return []
        probabilities, features = map(np.stack, zip(*made, strict=True))
        known = [True] * len(made)
        if self._knowledge is not None:
            known = self._knowledge.is_known(features, probabilities).tolist()
            probabilities = none_of_these.calibrated(probabilities, self._knowledge.temperature)
        listed = probabilities[:, self._outputs]
        return [Answer(self.labels, *each) for each in zip(listed, features, known, strict=True)]

    def _pixels(self, photo):
        size = self._model.image_size
        try:
            if isinstance(photo, np.ndarray):
                return resized(Image.fromarray(photo), size)
            data = photo if isinstance(photo, bytes) else read_file(photo)
            return resized(decode(data, 2 * max(size)), size)
        except MemoryError:
            raise PhotoError("太大，内存放不下") from None
        except (OSError, ValueError) as error:  # ValueError：路径里有空字符
            raise PhotoError(f"读不了文件：{getattr(error, 'strerror', None) or error}") from None


def _open(path, sha256):
    """打开 model.tflite；有记下的哈希就先核对。"""
    damaged = UserError(f"{visible(path)} 已损坏。请删掉它（还有 model.keras 就会重新转换），或重新训练。")
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise damaged
    try:
        model = LiteRTModel(content)
    except (ValueError, RuntimeError):
        raise damaged from None
    if not {"probabilities", "features"} <= set(model.outputs):
        raise damaged
    return model


def _knowledge(folder, width):
    """模型见过什么；没有记下就是 None。width：features 有几个数。"""
    knowledge = none_of_these.load(folder)
    if knowledge is None:
        return None
    if knowledge.features.shape[1] != width:
        wrong = f"{visible(folder)} 里的 {none_of_these.FEATURES_FILE} 不是这个模型的"
        raise UserError(f"{wrong}：这个文件夹被改过。请用别处的备份，或重新训练。")
    return replace(knowledge, features=knowledge.features.astype(np.float32))


def _convert_once(folder):
    """以前写的文件夹只有 model.keras：转换成 model.tflite，记下它的哈希，以后就不必了。"""
    print(f"{visible(folder)} 里只有 {reader.MODEL_FILE}，转换一次（要导入 TensorFlow）……", file=sys.stderr)
    source, target = folder / reader.MODEL_FILE, folder / reader.LITERT_FILE
    with process_pool(1) as pool:
        sha256 = pool.submit(convert_file, source, target).result()
    settings = reader.read_settings(folder) | {reader.LITERT_HASH: sha256}
    write_json(folder / reader.SETTINGS_FILE, settings)
