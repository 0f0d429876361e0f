"""第 7 课：网页应用，把模型放进浏览器，手机的相机也能用，不需要服务器。

你会学到：怎样让 LiteRT 模型在浏览器里运行（LiteRT.js），网页怎样做到与 Python 里同样的答案，
         类激活图（class activation map）怎样由特征图与分类头的权重算出来，怎样在网页里现学一个分类头。
需要：    第 1 课或第 3 课的模型文件夹；npm，或 pip install -r requirements/web_page.txt。
多久：    十几秒；第一次要取 LiteRT.js（约 12 MB），看网络。
命令：    python src/study_keras/hello_web_page.py --serve
预期：    output/web_page 是一个完整的应用，放到任何网站空间都能用。讲解见 docs/study_keras/hello_web_page.md。
"""

import toolbox  # noqa: F401  没有装包时，在这里就说清楚

# isort: split

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np

from toolbox import drawn_flowers, none_of_these
from toolbox import model_folder_reader as model_folder
from toolbox.later import keras
from toolbox.predictor import Predictor
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.files import OUTPUT_DIR, absolute, folder_written_aside
from toolbox.terminal.foreign_files import refuse_foreign
from toolbox.terminal.run import run_main
from toolbox.terminal.text import visible
from toolbox.web import litertjs
from toolbox.web.server import new_server

PAGE_DIR = Path(__file__).parent / "toolbox" / "web" / "page"
ABOUT_FILE = "app.json"
WEIGHTS_FILE = "weights.bin"
SAMPLES = 2  # 样张：画的花，每类几张
SAMPLES_SEED = 7
SAMPLE_FILES = [f"{i + 1}.jpg" for i in range(SAMPLES * len(drawn_flowers.CLASS_NAMES))]  # 不用类别作名字：不泄露答案
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parse_arguments(argv):
    parser = ArgumentParser("第 7 课：做一个文件夹，它就是网页应用：照片不离开浏览器，相机也能用。")
    add = parser.add_argument
    add("model_dir", nargs="?", metavar="MODEL_DIR", help="模型文件夹；不给则用 output/ 下最新的")
    add("--out", default=str(OUTPUT_DIR / "web_page"), metavar="DIR", help="应用写在哪里")
    add("--litertjs", nargs="+", default=(), metavar="FILE", help="没有 npm 时：npm pack 得到的两个 .tgz%(default).0s")
    add("--serve", action="store_true", help="做好以后在本机打开，按 Ctrl-C 结束")
    add("--host", default="127.0.0.1", metavar="H", help="--serve 的地址；0.0.0.0 让同一网络里的手机也能打开")
    add("--port", type=positive_int, default=8000, metavar="N", help="--serve 的端口")
    args = parser.parse_args(argv)
    if not args.serve and any(getattr(args, name) != parser.get_default(name) for name in ("host", "port")):
        parser.error("--host、--port 要与 --serve 一起用")
    return args


def target_folder(out):
    """应用要写进的文件夹；已有的要是以前做的应用，以免删掉别的东西。"""
    target = absolute(out)
    written = {ABOUT_FILE, WEIGHTS_FILE, model_folder.LITERT_FILE, "litert/*", *os.listdir(PAGE_DIR)}
    written |= {f"samples/{name}" for name in SAMPLE_FILES}
    refuse_foreign(target, ABOUT_FILE, written, "网页应用", "请用 --out 换一个文件夹，或先移走它。")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def head_layers(model):
    """池化之后的全连接层，前一层的输出是后一层的输入；有别的层，类激活图就不能这样算，返回 None。"""
    layers = list(model.layers)
    pools = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    head = [layer for layer in layers[pools[-1] + 1 :] if not isinstance(layer, keras.layers.Dropout)]
    plain = all(isinstance(layer, keras.layers.Dense) and layer.use_bias for layer in head)
    activations = [layer.activation for layer in head] if plain else []
    relu, softmax = keras.activations.relu, keras.activations.softmax
    if not plain or activations[:-1] != [relu] * (len(head) - 1) or activations[-1] != softmax:
        return None
    return head


def describe(folder, head, knowledge):
    """app.json 的内容：网页要知道的一切，除了权重。"""
    labels, outputs = model_folder.classes(folder)  # --class-mode sparse 的 1,005 个输出里，只有几个是学过的
    about = {"labels": labels, "outputs": outputs, "samples": SAMPLE_FILES, "head": None, "known": None}
    if head is not None:
        relus = [True] * (len(head) - 1) + [False]  # 最后一层的得分，取 softmax 之前的
        about["head"] = [
            {"inputs": layer.kernel.shape[0], "outputs": layer.kernel.shape[1], "relu": relu}
            for layer, relu in zip(head, relus, strict=True)
        ]
    if knowledge is not None:
        names = ("temperature", "weight", "familiarity", "neighbours", "power")
        about["known"] = {name: getattr(knowledge, name) for name in names}
    return about


def weights(head, knowledge):
    """weights.bin：各个全连接层的 kernel 与 bias（float32），接着是训练照片的特征（float16），都是小端。"""
    content = io.BytesIO()
    for layer in head or ():
        for value in (layer.kernel, layer.bias):
            content.write(np.asarray(value, "<f4").tobytes())
    if knowledge is not None:
        content.write(np.asarray(knowledge.features, "<f2").tobytes())
    return content.getvalue()


def paint_samples(folder):
    """画几张花放进 folder，一样一张地轮着排。"""
    folder.mkdir()
    drawn = [(number, name) for number in range(SAMPLES) for name in drawn_flowers.CLASS_NAMES]
    for (number, name), file in zip(drawn, SAMPLE_FILES, strict=True):
        (folder / file).write_bytes(drawn_flowers.jpeg(name, number, SAMPLES_SEED))


def build(app, folder, packages):
    """把应用的全部文件写进 app。

    Args:
        app: 写在旁边的空文件夹。
        folder: 模型文件夹。
        packages: litertjs.fetch 的结果。
    """
    head = head_layers(model_folder.load_keras_model(folder / model_folder.MODEL_FILE))
    knowledge = none_of_these.load(folder)
    for name in os.listdir(PAGE_DIR):  # 只抄内容：课程的文件可能是只读的
        shutil.copyfile(PAGE_DIR / name, app / name)
    shutil.copyfile(folder / model_folder.LITERT_FILE, app / model_folder.LITERT_FILE)
    litertjs.unpack(packages, app / "litert")
    paint_samples(app / "samples")
    about = describe(folder, head, knowledge)
    (app / ABOUT_FILE).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    (app / WEIGHTS_FILE).write_bytes(weights(head, knowledge))


def report(app):
    """说出做好了什么、还缺什么、怎样放到网上。"""
    about = json.loads((app / ABOUT_FILE).read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in app.rglob("*") if path.is_file())
    print(f"网页应用：{visible(app)}，{size / 1e6:.0f} MB，{len(about['labels'])} 个类别")
    if about["known"] is None:
        print("注意：这个模型文件夹是以前的版本写的，没有 thresholds.json，网页不会说都不像。重新训练一次就有。")
    if about["head"] is None:
        print("注意：分类头不只是全连接层，网页不画类激活图。")
    print("放到网上：把整个文件夹传到任何静态网站空间（https，才能用相机）；不要直接双击 index.html。")


def serve(app, host, port):
    """在本机打开，直到 Ctrl-C。"""
    server = new_server(app, host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"请用浏览器打开 http://{shown}:{server.server_port}/ ，按 Ctrl-C 结束。", flush=True)
    if host not in LOOPBACK:
        print(
            "注意：同一网络里的人都打得开；而且不是 https，手机的浏览器不让它用相机，选照片、拖照片照样可以。",
            flush=True,
        )
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\n不再提供。应用还在那个文件夹里。")


def main(argv=None):
    args = parse_arguments(argv)
    # Predictor 打得开，就说明 model.tflite 在，而且没有损坏
    folder = Predictor(args.model_dir or model_folder.newest(OUTPUT_DIR)).folder
    print(f"模型文件夹：{visible(folder)}")
    target = target_folder(args.out)
    packages = litertjs.fetch(args.litertjs)
    with folder_written_aside(target) as app:
        build(app, folder, packages)
    report(target)
    if args.serve:
        serve(target, args.host, args.port)


if __name__ == "__main__":
    run_main(main)
