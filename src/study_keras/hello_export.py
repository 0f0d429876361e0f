"""第 6 课：导出（export），把模型带到服务器、手机与别的程序里，并逐张证明它还是那个模型。

你会学到：怎样把预处理与类别放进模型，导出成 SavedModel、LiteRT（float32、float16、int8）与 ONNX，
         怎样量化（quantization），怎样证明导出的与训练的答得一样。
需要：    第 1 课或第 3 课的模型文件夹与它的照片；ONNX 另要 pip install -r requirements/export.txt。
多久：    五种格式约一分钟。
命令：    python src/study_keras/hello_export.py
预期：    float32 的格式第一名全都相同，int8 的准确率低不到 0.02。讲解见 docs/study_keras/hello_export.md。
"""

import toolbox  # noqa: F401  没有装包时，在这里就说清楚

# isort: split

import io
import json
import zipfile

import numpy as np

from toolbox import drawn_flowers, litert_model
from toolbox import model_folder_reader as model_folder
from toolbox.export import certificate, held_out, readme, runtimes, serving
from toolbox.later import keras, tf
from toolbox.photos.folder import checked_pixels, refuse_among_photos
from toolbox.photos.read import IMAGE_SIZE, open_image
from toolbox.predictor import Predictor
from toolbox.terminal import packages
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.commands import command
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import OUTPUT_DIR, absolute, folder_written_aside, temporary_folder
from toolbox.terminal.foreign_files import refuse_foreign
from toolbox.terminal.run import run_main
from toolbox.terminal.tensorflow_start import without_native_messages
from toolbox.terminal.text import visible

FORMATS = tuple(runtimes.FILES)
BATCH = 256  # Keras 一次算这么多张留出的照片：内存与张数无关
CALIBRATION_PHOTOS = 100  # int8 看这么多张训练照片，定下每一层数值的范围
SERVED = 4  # --serve-check 发几张


def parse_arguments(argv):
    parser = ArgumentParser("第 6 课：导出模型，逐张证明它与 Keras 答得一样，写出证书。")
    add = parser.add_argument
    add("model_dir", nargs="?", metavar="MODEL_DIR", help="模型文件夹；不给则用 output/ 下最新的")
    listed = f"导出哪些格式：{'、'.join(FORMATS)}；不写就是全部"
    add("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), metavar="FORMAT", help=f"{listed}%(default).0s")
    add("--out", default=str(OUTPUT_DIR / "export"), metavar="DIR", help="写在哪里，每个格式一个子文件夹")
    add("--images-dir", metavar="DIR", help="训练时用的照片文件夹；不写就用记下的")
    add("--verify", metavar="DIR", help="不导出，再验一次以前的导出；在另一台机器上也行，不需要模型文件夹")
    add("--serve-check", action="store_true", help="照 TensorFlow Serving 收到的样子，给 SavedModel 发几个请求")
    parser.not_together("--verify", "--formats")
    parser.not_together("--verify", "--out")
    args = parser.parse_args(argv)
    if args.verify and args.model_dir:
        parser.error("--verify 验的是以前的导出，不用模型文件夹")
    if args.serve_check and not args.verify and "savedmodel" not in args.formats:
        parser.error("--serve-check 要有 SavedModel，请在 --formats 里写上 savedmodel")
    return args


def target_folder(out):
    """要写进的文件夹；已有的要是以前的导出，以免删掉别的东西。"""
    target = absolute(out)
    names = ("labels.txt", "README.md", "photo.jpg")
    written = {certificate.FILE, certificate.KEPT, *(f"{format}/{name}" for format in FORMATS for name in names)}
    written |= {f"{format}/{name}{end}" for format, name in runtimes.FILES.items() for end in ("", "/*")}
    refuse_foreign(target, certificate.FILE, written, "导出的文件夹", "请用 --out 换一个，或先移走它。")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def usable(formats):
    """去掉缺包的格式，一种一句话；一种也不剩就 UserError。"""
    kept = []
    for format in dict.fromkeys(formats):  # 写了两遍的只要一遍
        if missing := runtimes.missing_packages(format):
            install = packages.install("requirements/export.txt")
            print(f"跳过 {format}：没有装 {'、'.join(missing)}。要它就运行 {install} ，再来一次。")
        else:
            kept.append(format)
    if not kept:
        raise UserError("要的格式都缺包，什么也没有导出。请照上面的提示装上。")
    return kept


def with_preprocessing(model):
    """把预处理接在模型前面：收 0 至 255 的像素。导出的模型带着它，用的人就不会忘。"""
    photo = keras.Input((*IMAGE_SIZE, 3), name="photo")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(photo)
    return keras.Model(photo, model(x, training=False))


def export_savedmodel(model, labels, folder):
    """SavedModel：signature serving_default 收像素，jpeg 收 JPEG 的字节；都给出概率与第一名的名字。"""
    names = tf.constant(labels)

    def from_pixels(photo):
        probabilities = model(photo)
        return {"probabilities": probabilities, "label": tf.gather(names, tf.argmax(probabilities, axis=1))}

    def from_jpeg(photo_bytes):
        def read(content):
            pixels = tf.image.resize(tf.io.decode_jpeg(content, channels=3), IMAGE_SIZE, antialias=True)
            return tf.round(pixels)  # 与 Pillow 一样舍入到整数

        return from_pixels(tf.map_fn(read, photo_bytes, fn_output_signature=tf.float32))

    archive = keras.export.ExportArchive()
    archive.track(model)
    pixels = tf.TensorSpec((None, *IMAGE_SIZE, 3), tf.float32, name="photo")
    archive.add_endpoint("serving_default", from_pixels, input_signature=[pixels])
    archive.add_endpoint("jpeg", from_jpeg, input_signature=[tf.TensorSpec((None,), tf.string, name="photo_bytes")])
    archive.write_out(str(folder / "saved_model"), verbose=False)


def export_onnx(model, labels, folder):
    """ONNX：Keras 自己导出，类别写进元数据。"""
    import onnx

    path = folder / "model.onnx"
    signature = [keras.InputSpec(shape=(None, *IMAGE_SIZE, 3), dtype="float32", name="photo")]
    model.export(str(path), format="onnx", input_signature=signature, verbose=False)
    content = onnx.load(path)
    content.metadata_props.add(key="labels", value="\n".join(labels))
    onnx.save(content, path)


def export_litert(model, labels, folder, configure=None):
    """LiteRT：整个模型在一个文件里；类别附在末尾（LiteRT 的惯例：文件后面接一个 zip）。"""
    content = litert_model.convert_graph(model, names=["probabilities"], configure=configure)
    (folder / "model.tflite").write_bytes(content)
    with zipfile.ZipFile(folder / "model.tflite", "a") as archive:
        archive.writestr("labels.txt", "".join(f"{label}\n" for label in labels))


def float16(converter):
    """权重存成 16 位：大小减半，答案几乎不变。"""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def int8(photos):
    """权重与中间的数都变成 8 位整数；photos 是训练照片，只用来定数值的范围（校准，calibration）。"""

    def configure(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [_with_extremes(checked_pixels(photo))[None].astype(np.float32)] for photo in photos
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8

    return configure


def _with_extremes(pixels):
    """左上角两点换成 0 与 255：照片都偏暗时，定出的范围也要是整个 [0, 255]，uint8 像素才能原样交给模型。"""
    pixels = pixels.copy()
    pixels[0, :2] = [[0], [255]]
    return pixels


def export(format, model, labels, folder, training):
    """把一个格式写进 folder，连同 labels.txt、README.md 与一张可以试的 photo.jpg。"""
    folder.mkdir()
    with without_native_messages():
        if format == "savedmodel":
            export_savedmodel(model, labels, folder)
        elif format == "onnx":
            export_onnx(model, labels, folder)
        else:
            chosen = np.random.default_rng(0).permutation(len(training))[:CALIBRATION_PHOTOS]
            options = {"litert": None, "litert-fp16": float16, "litert-int8": int8([training[i] for i in chosen])}
            export_litert(model, labels, folder, options[format])
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    readme.write(format, folder)
    (folder / "photo.jpg").write_bytes(drawn_flowers.jpeg("sunflowers", 0))


def keras_answers(model, pixels_file):
    """训练好的 Keras 模型在各张照片上的概率；预处理照训练时的做法另算一遍，导出的模型里忘了哪一步都瞒不过去。"""
    pixels = np.load(pixels_file, mmap_mode="r")
    batches = (pixels[start : start + BATCH].astype(np.float32) for start in range(0, len(pixels), BATCH))
    prepare = keras.applications.mobilenet_v2.preprocess_input
    return np.concatenate([model.predict(prepare(batch), verbose=0) for batch in batches])


def export_all(out, formats, folder, photos):
    """导出各个格式，逐张与 Keras 比对，写证书。返回 {格式: 证书的一行}。

    Raises:
        UserError: float32 的格式有照片答得与 Keras 不同。
    """
    trained = model_folder.load_keras_model(folder / model_folder.MODEL_FILE)
    model = with_preprocessing(trained)
    labels = model_folder.read_labels(folder)
    rows, answers = {}, {}
    with temporary_folder("pixels") as temporary:
        pixels_file = temporary / "pixels.npy"
        photos.write_pixels(pixels_file)
        answers["keras"] = expected = keras_answers(trained, pixels_file)
        for format in formats:
            print(f"{format}：导出，再在 {len(expected)} 张留出的照片上与 Keras 比对……", flush=True)
            export(format, model, labels, out / format, photos.training)
            measured = runtimes.measure(format, out / format, pixels_file)
            certificate.check_exact(format, measured[0], expected, photos.names)
            rows[format] = certificate.row(format, out / format, measured, expected, photos.true)
            answers[format] = measured[0]
    certificate.write(out, rows, answers, photos)
    return rows


def verify(out, images_dir):
    """再验一次 out 里的每个格式：文件没有变，答案与当时的相同。返回留出的照片（HeldOut）。

    Raises:
        UserError: 有哪个不同，或找不到当时的照片。
    """
    rows, kept, recorded = certificate.read(out)
    photos = held_out.find_again(kept, images_dir or recorded)
    problems = []
    with temporary_folder("pixels") as temporary:
        photos.write_pixels(temporary / "pixels.npy")
        for format in usable(rows):
            problem = certificate.changed_file(out / format, rows[format])
            if problem is None:  # 文件没有变，才去运行它
                answers = runtimes.measure(format, out / format, temporary / "pixels.npy")[0]
                problem = certificate.changed_answers(format, answers, kept)
            print(f"{format}：{problem or '与当时相同'}", flush=True)
            problems += [f"{format} {problem}"] if problem else []
    if problems:
        raise UserError(f"{visible(out)} 与导出时不同：{'；'.join(problems)}。请重新导出。")
    return photos


def serve_check(out, photos):
    """TensorFlow Serving 会收到什么，SavedModel 会答什么；收像素的一种，答案要与证书里留下的相同。"""
    if not (out / "savedmodel").is_dir():
        raise UserError(
            f"{visible(out)} 里没有 SavedModel，--serve-check 要它。请重新导出，--formats 里写上 savedmodel。"
        )
    model = tf.saved_model.load(str(out / "savedmodel" / "saved_model"))
    rows = np.arange(len(photos.photos))[:: max(1, len(photos.photos) // SERVED)][:SERVED]
    chosen = [photos.photos[row] for row in rows]
    pixels = np.stack([checked_pixels(photo) for photo in chosen])
    jpegs = [jpeg_bytes(photo) for photo in chosen]
    print("\nPOST http://主机:8501/v1/models/模型名:predict")
    answers = []
    for request in (serving.pixels_request(pixels), serving.jpeg_request(jpegs)):
        answers.append(serving.answer(model, request))
        print(f"请求（{len(request)} 字节）：{request[:110]}……")
        print(f"应答：{answers[-1][:300]}……")
    served = np.array([row["probabilities"] for row in json.loads(answers[0])["predictions"]])
    kept = certificate.read(out)[1]["savedmodel"][rows]
    if not np.abs(served - kept).max() <= certificate.SAME_AGAIN:
        raise UserError(f"经 Serving 的请求得到的答案与证书里的不同：{visible(out)} 被改过。请重新导出。")
    print(f"{len(rows)} 张的答案都与证书里的相同")


def jpeg_bytes(photo):
    """一张照片转正以后的 JPEG 字节：SavedModel 的 jpeg 不看 EXIF。"""
    stream = io.BytesIO()
    open_image(photo.path).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def report(rows, out):
    """证书的表，与该说的话。"""
    print("\n" + certificate.table(rows))
    for line in filter(None, (certificate.advice(format, entry) for format, entry in rows.items())):
        print(line)
    print(f"导出：{visible(out)}，每个格式一个文件夹，怎样用见其中的 README.md；证书是 {certificate.FILE}")
    print(f"以后再验：{command('hello_export.py', '--verify', out)}")


def main(argv=None):
    args = parse_arguments(argv)
    if args.verify:
        target = absolute(args.verify)
        photos = verify(target, args.images_dir)
    else:
        folder = Predictor(args.model_dir or model_folder.newest(OUTPUT_DIR)).folder  # 打得开就说明模型文件夹完整
        print(f"模型文件夹：{visible(folder)}")
        target = target_folder(args.out)
        formats = usable(args.formats)
        photos = held_out.find(folder, args.images_dir)
        refuse_among_photos("--out", target, photos.root)
        if "litert-int8" in formats and not photos.training:
            raise UserError("训练照片都不在了，定不了 int8 的数值范围。请放回来，或用 --formats 去掉 litert-int8。")
        with folder_written_aside(target) as out:
            rows = export_all(out, formats, folder, photos)
        report(rows, target)
    if args.serve_check:
        serve_check(target, photos)


if __name__ == "__main__":
    run_main(main)
