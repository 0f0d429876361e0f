"""第 7 课：做出的文件夹就是应用；在真的 Chromium 里，它的答案与 Python 里的相同，不向外请求，一张坏的不影响下一张。"""

import io
import json
import re
import shutil
import stat
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import hello_fine_tuning
import hello_transfer_learning
import hello_web_page
from browser import FAKE_CAMERA, as_data, chromium, served
from conftest import random_pixels
from toolbox import litert_model, model_folder_reader, none_of_these
from toolbox.photos.folder import open_folder
from toolbox.photos.read import read_photo
from toolbox.predictor import Predictor
from toolbox.terminal.errors import UserError
from toolbox.web import litertjs
from toolbox.web.server import new_server

pytestmark = pytest.mark.slow  # 要 Chromium 运行模型
HEADS = ("seq", "model", "sparse", "fine_tuned")
SIZES = [(224, 224), (300, 200), (333, 500), (300, 376), (300, 377), (97, 640), (1000, 1001), (10, 7), (3, 2000)]
FLOWERS = ["daisy", "roses", "蒲公英"]
ANSWERED = "毫秒。"
AS_BLOB = "const blob = new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]);"
PIXELS = f"""async (data) => {{
    {AS_BLOB}
    const {{ decodePhoto, modelInput }} = await import("./pixels.js");
    const {{ bitmap, shrink }} = await decodePhoto(blob);
    return [bitmap.width, bitmap.height, shrink, Array.from(modelInput(bitmap, bitmap.width, bitmap.height, shrink))];
}}"""
ANSWER = """async (pixels) => {
    const model = await (await import("./app.js")).loading;
    const answer = await model.answer(Float32Array.from(pixels));
    const map = await model.activation(answer);
    return [Array.from(answer.probabilities), Array.from(answer.features), answer.known, map && Array.from(map)];
}"""


def build(head, classes):
    """没有训练过的模型：权重随机，最后一层放大到概率有高有低。"""
    weights = SimpleNamespace(path=None, name="random")
    if head == "fine_tuned":
        model = hello_fine_tuning.build_model(weights, classes)[1]
    else:
        args = SimpleNamespace(model="model" if head == "model" else "seq", trainable_base_layers=0)
        base = hello_transfer_learning.build_base(weights, args)
        build_head = (
            hello_transfer_learning.build_functional if head == "model" else hello_transfer_learning.build_sequential
        )
        model = build_head(base, classes)
    random = np.random.default_rng(0)
    photo = random.uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    last = model.layers[-1]
    activation, last.activation = last.activation, None
    scores = model.predict(photo, verbose=0)
    last.activation = activation
    last.kernel.assign(last.kernel * 2 / scores.std())
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """trained(head)：各种分类头的模型文件夹，没有训练过，不必下载权重。"""
    from tensorflow import keras

    output = tmp_path_factory.mktemp("output")

    def train(head):
        folder = output / head
        if not folder.exists():
            keras.utils.set_random_seed(0)
            folder.mkdir()
            labels = [*(f"class {i}" for i in range(20)), *FLOWERS] if head == "sparse" else FLOWERS
            model = build(head, len(labels))
            model.save(folder / "model.keras")
            (folder / "model.tflite").write_bytes(litert_model.convert(model))
            (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
            (folder / "settings.json").write_text(json.dumps({"format": 2, "class_names": FLOWERS}), encoding="utf-8")
        return folder

    return train


@pytest.fixture(scope="module")
def make_app(trained, litertjs_packages, tmp_path_factory):
    """make_app(head)：各种分类头的网页应用，各做一次。"""
    folder = tmp_path_factory.mktemp("apps")

    def make(head):
        if not (folder / head).exists():
            hello_web_page.main([str(trained(head)), "--out", str(folder / head)])
        return folder / head

    return make


@pytest.fixture(scope="module")
def browser():
    with chromium(*FAKE_CAMERA) as running:
        yield running


@contextmanager
def opening_pages(browser):
    """给出 open_it(网址, 页)：打开应用的一页，等它准备好；离开时检查一个向外的请求也没有，一个错也没有。"""
    pages = []

    def open_it(url, name="", **options):
        page = browser.new_context(**options).new_page()
        page.outside, page.errors = [], []
        page.on("request", lambda request: page.outside.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: "Content Security" in message.text and page.errors.append(message.text))
        pages.append((page, url))
        page.goto(url + name)
        said(page, "准备好了。")
        return page

    yield open_it
    for page, url in pages:
        assert [asked for asked in page.outside if not asked.startswith((url, "blob:"))] == []
        assert page.errors == []
        page.context.close()


@pytest.fixture
def open_page(browser):
    with opening_pages(browser) as open_it:
        yield open_it


@pytest.fixture(scope="module")
def unchanged_page(make_app, browser):
    """只用来算像素的一页，几个测试共用。"""
    with served(make_app("seq")) as url, opening_pages(browser) as open_it:
        yield open_it(url)


@pytest.fixture
def page(make_app, open_page):
    with served(make_app("seq")) as url:
        yield open_page(url)


@pytest.fixture
def teaching(make_app, open_page):
    with served(make_app("seq")) as url:
        yield open_page(url, "teach.html")


def said(page, text):
    """等页面说出含 text 的一句话。"""
    page.locator("#status", has_text=text).wait_for()


def photo_bytes(seed, format="PNG", width=300, height=200, **options):
    stream = io.BytesIO()
    Image.fromarray(random_pixels(seed, height, width)).save(stream, format, **options)
    return stream.getvalue()


def course_pixels(content, tmp_path):
    path = tmp_path / "photo.bin"
    path.write_bytes(content)
    return read_photo(path)


def page_pixels(page, content):
    *_, pixels = page.evaluate(PIXELS, as_data(content))
    return np.array(pixels).reshape(224, 224, 3)


def choose(page, *files):
    page.set_input_files("#files", [{"name": n, "mimeType": "image/jpeg", "buffer": c} for n, c in files])
    page.locator("#list", has_not_text="……").wait_for(state="attached")
    said(page, ANSWERED)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--port", "9000"], "--host、--port 要与 --serve 一起用"),
        (["--host", "0.0.0.0"], "--host、--port 要与 --serve 一起用"),
        (["--serve", "--host", ""], "--host 是空的"),
    ],
)
def test_an_address_that_would_not_be_used_is_refused(capsys, arguments, reason):
    with pytest.raises(SystemExit, match="2"):
        hello_web_page.main(arguments)
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("size", SIZES)
def test_resizing_is_equal_to_pillow_in_every_pixel(unchanged_page, tmp_path, size):
    content = photo_bytes(1, width=size[0], height=size[1])
    np.testing.assert_array_equal(page_pixels(unchanged_page, content), course_pixels(content, tmp_path))


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def xmp_of(orientation):
    return f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'.encode()


def png_text(xmp):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return info


TURNED = {  # 方向写在哪里：存成这种文件的选项
    "EXIF of JPEG": lambda n: {"format": "JPEG", "quality": 95, "exif": exif_of(n)},
    "EXIF of WebP": lambda n: {"format": "WEBP", "lossless": True, "exif": exif_of(n)},
    "XMP of JPEG": lambda n: {"format": "JPEG", "quality": 95, "xmp": xmp_of(n)},
    "XMP of PNG": lambda n: {"format": "PNG", "pnginfo": png_text(xmp_of(n))},
    "XMP of WebP": lambda n: {"format": "WEBP", "lossless": True, "xmp": xmp_of(n)},
    "XMP beside EXIF": lambda n: {"format": "WEBP", "lossless": True, "exif": exif_of(n), "xmp": xmp_of(9 - n)},
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("where", TURNED)
def test_photos_are_turned_upright_as_the_course_does(unchanged_page, tmp_path, where, orientation):
    content = photo_bytes(2, **TURNED[where](orientation))
    difference = np.abs(page_pixels(unchanged_page, content) - course_pixels(content, tmp_path))
    assert difference.max() <= 3


def test_an_orientation_is_taken_away_so_that_no_browser_turns_a_second_time(unchanged_page):
    take = f"""async ([data, kind]) => {{
        {AS_BLOB}
        const {{ takeOrientation }} = await import("./orientation.js");
        const bytes = new Uint8Array(await blob.arrayBuffer());
        return [takeOrientation(bytes, kind), takeOrientation(bytes, kind)];
    }}"""
    for where in ("EXIF of WebP", "XMP of JPEG", "XMP of PNG", "XMP of WebP"):
        options = TURNED[where](6)
        content = as_data(photo_bytes(2, **options))
        assert unchanged_page.evaluate(take, [content, options["format"].lower()]) == [6, 1]


@pytest.mark.parametrize("size", [(900, 1400), (2000, 1900), (3700, 3601)])
def test_large_jpegs_are_shrunk_like_the_decoder_of_the_course(unchanged_page, tmp_path, size):
    content = photo_bytes(3, "JPEG", width=size[0], height=size[1], quality=90)
    difference = np.abs(page_pixels(unchanged_page, content) - course_pixels(content, tmp_path))
    assert difference.mean() < 1 and difference.max() <= 6


def test_transparent_is_white_and_a_color_profile_changes_nothing(unchanged_page, tmp_path):
    stream = io.BytesIO()
    rgba = np.dstack([random_pixels(4, 60, 80), np.full((60, 80), 255, np.uint8)])
    rgba[:30, :, 3] = 0
    Image.fromarray(rgba).save(stream, "PNG")
    np.testing.assert_array_equal(
        page_pixels(unchanged_page, stream.getvalue()), course_pixels(stream.getvalue(), tmp_path)
    )


@pytest.mark.parametrize("head", HEADS)
def test_answer_and_activation_map_equal_keras(make_app, trained, open_page, head):
    import tensorflow as tf
    from tensorflow import keras

    pixels = np.asarray(Image.fromarray(random_pixels(5, 300, 300)).resize((224, 224)), np.float32)
    with served(make_app(head)) as url:
        probabilities, features, known, shown = open_page(url).evaluate(ANSWER, pixels.ravel().tolist())
    made = litert_model.LiteRTModel((trained(head) / "model.tflite").read_bytes())(pixels)
    np.testing.assert_allclose(features, made["features"], rtol=1e-3, atol=1e-4)
    python = Predictor(trained(head)).predict(pixels.astype(np.uint8))
    np.testing.assert_allclose(probabilities, python.probabilities, atol=1e-4)
    assert known == python.known and probabilities[int(np.argmax(probabilities))] > 0.4

    model = keras.models.load_model(trained(head) / "model.keras")
    model.layers[-1].activation = keras.activations.linear  # softmax 之前的得分
    after = [i for i, layer in enumerate(model.layers) if isinstance(layer, keras.layers.GlobalAveragePooling2D)][-1]
    outputs = model_folder_reader.classes(trained(head))[1]
    score = pooled = tf.constant(made["features"][None])
    with tf.GradientTape() as tape:
        tape.watch(pooled)
        for layer in model.layers[after + 1 :]:
            score = layer(score, training=False)
        best = score[0, outputs[int(np.argmax(probabilities))]]
    weighted = np.maximum(made["feature_map"] @ tape.gradient(best, pooled).numpy()[0], 0)
    np.testing.assert_allclose(shown, (weighted / weighted.max()).ravel(), atol=1e-3)


def test_none_of_these_as_in_python(trained, litertjs_packages, open_page, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "model"
    shutil.copytree(trained("seq"), folder)
    model = litert_model.LiteRTModel((folder / "model.tflite").read_bytes())
    photos = [np.asarray(Image.fromarray(random_pixels(seed, 224, 224)), np.float32) for seed in range(6)]
    features = np.stack([model(photo)["features"] for photo in photos])
    roots = np.sign(features) * np.sqrt(np.abs(features))
    unit = (roots / np.linalg.norm(roots, axis=1, keepdims=True)).astype(np.float16)
    probabilities = np.stack([model(photo)["probabilities"] for photo in photos])
    knowledge = none_of_these.Knowledge(
        temperature=2.0,
        weight=0.1,
        familiarity=0.0,
        neighbours=2,
        power=0.5,
        features=unit[:4],
        refused_validation=0.0,
    )
    middle = float(np.median(knowledge.familiarity_of(features, probabilities)))
    knowledge = replace(knowledge, familiarity=middle)
    knowledge.save(folder)
    monkeypatch.setattr(hello_web_page, "OUTPUT_DIR", tmp_path)
    hello_web_page.main(["--out", str(tmp_path / "app")])  # 不写模型文件夹：用最新的，说出是哪个
    assert capsys.readouterr().out.startswith(f"模型文件夹：{folder}\n")
    with served(tmp_path / "app") as url:
        page = open_page(url)
        answers = [page.evaluate(ANSWER, photo.ravel().tolist()) for photo in photos]
        assert [known for _, _, known, _ in answers] == knowledge.is_known(features, probabilities).tolist()
        assert {known for _, _, known, _ in answers} == {True, False}
        expected = none_of_these.calibrated(probabilities, 2.0)
        np.testing.assert_allclose([answer[0] for answer in answers], expected, atol=1e-4)
        strange = answers.index(next(answer for answer in answers if not answer[2]))
        stream = io.BytesIO()
        Image.fromarray(random_pixels(strange, 224, 224)).save(stream, "PNG")
        choose(page, ("x.png", stream.getvalue()))
        assert page.is_visible("#unknown") and page.inner_text("#status").startswith("都不像（最接近的是 ")


def test_one_bad_file_does_not_hurt_the_next(page):
    good = photo_bytes(6, "JPEG")
    name = "\u202egpj.<img src=x onerror=alert(1)>.jpg"
    choose(page, ("截断.jpg", good[: len(good) // 3]), ("文字.jpg", b"hello"), ("空.jpg", b""), (name, good))
    rows = page.inner_text("#list").splitlines()
    assert rows[1:3] == ["文字.jpg：读不出来：不是能识别的图片", "空.jpg：读不出来：空文件"]
    assert rows[0].startswith("截断.jpg：") and ("读不出来" in rows[0] or "不完整" in rows[0])
    assert re.fullmatch(r"\\u202egpj\.<img src=x onerror=alert\(1\)>\.jpg：(daisy|roses|蒲公英)，[\d.]+%", rows[3])
    assert len(rows) == 4 and page.locator("#bars li").count() == 3
    page.click("#list li:nth-child(2) button")
    said(page, "读不出来")
    assert not page.is_visible("#result") and not page.is_visible("#photo")


def test_a_slow_photo_never_stands_beside_the_answer_of_another(page):
    """大的还没有解码完，又点了前面的一张：图与答案都是点的那张，大的那一行照样写上答案。"""
    quick, slow = photo_bytes(6, "JPEG", width=300, height=200), photo_bytes(7, "JPEG", width=200, height=400)
    choose(page, ("快.jpg", quick), ("别的.jpg", photo_bytes(8, "JPEG")))
    page.evaluate(
        "(slowly) => {"
        "  const decode = window.createImageBitmap.bind(window);"
        "  window.createImageBitmap = async (blob, ...rest) => {"
        "    if (blob.size === slowly) await new Promise((resolve) => setTimeout(resolve, 1500));"
        "    return decode(blob, ...rest);"
        "  };"
        "}",
        len(slow),
    )
    page.set_input_files(
        "#files",
        [
            {"name": name, "mimeType": "image/jpeg", "buffer": data}
            for name, data in (("快.jpg", quick), ("慢.jpg", slow))
        ],
    )
    page.locator("#list li:nth-child(1)", has_text="%").wait_for()
    page.wait_for_timeout(200)  # 慢的开始解码了
    page.click("#list li:nth-child(1) button")
    page.locator("#list", has_not_text="……").wait_for()
    assert page.evaluate("[document.getElementById('photo').width > document.getElementById('photo').height]") == [True]
    answer = page.inner_text("#status").split("。")[0]
    assert page.inner_text("#list li:nth-child(1)") == f"快.jpg：{answer}"
    assert page.get_attribute("#list li:nth-child(1) button", "aria-current") == "true"


SLOW_DECODING = """() => {
    const decode = window.createImageBitmap.bind(window);
    window.decoded = 0;
    window.createImageBitmap = async (...given) => {
        window.decoded++;
        await new Promise((resolve) => setTimeout(resolve, 500));
        return decode(...given);
    };
}"""


def test_a_batch_stops_when_the_camera_opens_or_another_comes(page):
    files = [{"name": f"{i}.jpg", "mimeType": "image/jpeg", "buffer": photo_bytes(i, "JPEG")} for i in range(9)]
    page.evaluate(SLOW_DECODING)
    page.set_input_files("#files", files)
    page.locator("#list li:nth-child(1)", has_text="%").wait_for()
    page.click("#camera")
    page.wait_for_selector("#bars li")
    page.wait_for_timeout(1500)
    assert page.inner_text("#status") == "对着它：答案随画面变。"
    assert page.is_visible("#video") and not page.is_visible("#photo") and not page.is_visible("#map-choice")
    assert page.evaluate("window.decoded") <= 3
    for batch in (files, files[:2]):
        page.set_input_files("#files", batch)
    page.locator("#list", has_not_text="……").wait_for()
    page.wait_for_timeout(1000)
    assert page.evaluate("window.decoded") <= 3 + 1 + 2


def test_a_sample_that_cannot_be_fetched_is_said(page):
    page.route("**/samples/*", lambda route: route.abort())
    page.locator("#samples button").first.click()
    said(page, "这张样张打不开：取不到 samples/1.jpg（没有连上）。")


READ_SIZES = """() => {
    const read = Blob.prototype.arrayBuffer;
    window.sizes = [];
    Blob.prototype.arrayBuffer = function () {
        window.sizes.push(this.size);
        return read.call(this);
    };
}"""


def test_what_is_no_photo_is_not_read(page, tmp_path):
    """太大的不读；不是图片的只读开头；拖来的文件夹读不了。"""
    for name, size in (("电影.jpg", 600_000_000), ("别的.jpg", 50_000_000)):
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)
    (tmp_path / "文件夹").mkdir()
    page.evaluate(READ_SIZES)
    page.set_input_files("#files", [tmp_path / "电影.jpg", tmp_path / "别的.jpg"])
    page.locator("#list", has_not_text="……").wait_for()
    assert page.inner_text("#list").splitlines() == [
        "电影.jpg：读不出来：文件太大（600 MB，最多 500 MB）",
        "别的.jpg：读不出来：不是能识别的图片",
    ]
    data = {"items": [], "files": [str(tmp_path / "文件夹")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        drag = {"type": kind, "x": 300, "y": 250, "data": data}
        page.context.new_cdp_session(page).send("Input.dispatchDragEvent", drag)
    said(page, "文件夹 读不出来：是文件夹，或文件已经移走、改过了。")
    assert max(page.evaluate("window.sizes")) <= 12


def test_a_failed_download_is_tried_again(page):
    fails = "() => { window.really = window.fetch; window.fetch = () => Promise.reject(new TypeError('断了')); }"
    page.evaluate(fails)
    page.set_input_files("#files", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo_bytes(6, "JPEG")})
    page.wait_for_timeout(500)
    assert not page.is_visible("#map")
    page.evaluate("() => { window.fetch = window.really; }")
    choose(page, ("a.jpg", photo_bytes(6, "JPEG")))
    page.locator("#map").wait_for()


def test_pasting_and_dropping(page):
    content = as_data(photo_bytes(7))
    for kind, field in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        page.evaluate(
            f"""([data, kind, field]) => {{
            {AS_BLOB}
            const transfer = new DataTransfer();
            transfer.items.add(new File([blob], "给的.png"));
            const event = new Event(kind, {{ bubbles: true, cancelable: true }});
            Object.defineProperty(event, field, {{ value: transfer }});
            document.getElementById("status").textContent = "";
            document.body.dispatchEvent(event);
        }}""",
            [content, kind, field],
        )
        said(page, ANSWERED)
        assert page.is_visible("#photo")


def test_keyboard_alone_reaches_everything_and_readers_hear_the_answer(page):
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.parentElement.parentElement.id")
        )
    assert reached == ["files", "camera", "samples", "samples"]
    page.keyboard.press("Enter")
    said(page, ANSWERED)
    assert page.get_attribute("#status", "role") == "status"
    assert page.get_attribute("#photo", "aria-label").startswith("照片：")
    assert all(image.get_attribute("alt") for image in page.query_selector_all("img"))
    assert page.is_visible("#map")
    page.keyboard.press("Shift+Tab")
    page.uncheck("#show-map")
    assert not page.is_visible("#map")


def test_fits_a_phone(make_app, open_page):
    with served(make_app("seq")) as url:
        page = open_page(url, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
        choose(page, ("一张.jpg", photo_bytes(8, "JPEG")), ("名字很长" * 30 + ".jpg", photo_bytes(9, "JPEG")))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_remembers_nothing(page):
    choose(page, ("x.jpg", photo_bytes(10, "JPEG")))
    assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert page.evaluate("async () => [(await indexedDB.databases()).length, (await caches.keys()).length]") == [0, 0]


def test_content_security_policy_stops_what_does_not_belong(browser, make_app):
    with served(make_app("seq")) as url:
        page = browser.new_context().new_page()
        page.goto(url)
        said(page, "准备好了。")
        refused = """async () => {
            const blocked = [];
            document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
            await fetch("http://127.0.0.1:9/x").catch(() => {});
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            await new Promise((resolve) => setTimeout(resolve, 100));
            return [blocked.map((name) => name.split("-").slice(0, 2).join("-")).sort(), window.ran ?? false];
        }"""
        assert page.evaluate(refused) == [["connect-src", "script-src"], False]
        page.context.close()


def test_camera_names_what_it_sees_and_takes_a_photo(page):
    page.click("#camera")
    page.wait_for_selector("#bars li")
    assert page.is_visible("#video") and page.inner_text("#camera") == "关相机"
    page.click("#shoot")
    said(page, ANSWERED)
    assert page.is_visible("#photo") and not page.is_visible("#video") and page.inner_text("#camera") == "用相机"
    assert page.evaluate("document.getElementById('video').srcObject") is None


BREAK = "() => { window.kept = OffscreenCanvas; window.OffscreenCanvas = () => { throw new Error('断了'); }; }"
MEND = "() => { window.OffscreenCanvas = window.kept; }"


def test_a_frame_that_fails_is_said_and_the_next_is_tried(page):
    page.click("#camera")
    page.wait_for_selector("#bars li")
    page.evaluate(BREAK)
    said(page, "这一帧没有认：")
    assert not page.is_visible("#result")
    page.evaluate(MEND)
    said(page, "对着它：答案随画面变。")
    assert page.is_visible("#result")


@pytest.mark.parametrize("name", ["", "teach.html"])
def test_closing_before_the_first_frame_is_no_failure(make_app, open_page, name):
    with served(make_app("seq")) as url:
        page = open_page(url, name)
        page.evaluate(
            "() => {"
            "  const play = HTMLMediaElement.prototype.play;"
            "  HTMLMediaElement.prototype.play = function () {"
            "    const playing = play.call(this);"
            "    document.getElementById('camera').click();"
            "    return playing;"
            "  };"
            "}"
        )
        page.click("#camera")
        page.wait_for_timeout(500)
        assert "打不开" not in page.inner_text("#status")
        assert page.inner_text("#camera") == "用相机" and not page.is_visible("#video") and page.is_visible("#empty")


PHONE = """() => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async ({ video }) => {
        const facingMode = video.facingMode.exact ?? video.facingMode;
        const stream = await ask({ video: true });
        stream.getVideoTracks()[0].getSettings = () => ({ deviceId: facingMode, facingMode });
        return stream;
    };
}"""
LENS = """() => {
    const video = document.getElementById("video");
    return video.videoWidth > 0 && [video.srcObject.getVideoTracks()[0].label, video.className];
}"""


def test_every_webcam_of_a_computer_has_its_turn(page):
    """电脑的相机不说朝哪边：按名单换，画面不翻转；关了再开，还是换成的那一个。"""
    seen = []
    for buttons in (["#camera"], ["#turn"], ["#camera", "#camera"], ["#turn"]):
        for button in buttons:
            page.click(button)
        seen.append(page.wait_for_function(LENS).json_value())
    first, second, again, back = seen
    assert first == back != second == again
    assert {mirrored for _, mirrored in seen} == {""}


def test_the_two_sides_of_a_phone_take_turns_and_only_the_front_is_a_mirror(page):
    page.evaluate(PHONE)
    mirrored = []
    for button in ("#camera", "#turn", "#turn"):
        page.click(button)
        mirrored.append(page.wait_for_function(LENS).json_value()[1])
    assert mirrored == ["", "mirrored", ""]


def test_a_second_click_while_the_browser_asks_leaves_no_camera_running(page):
    page.evaluate(
        "() => {"
        "  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "  window.streams = [];"
        "  navigator.mediaDevices.getUserMedia = async (wanted) => {"
        "    await new Promise((resolve) => setTimeout(resolve, 300));"
        "    const stream = await ask(wanted);"
        "    window.streams.push(stream);"
        "    return stream;"
        "  };"
        "}"
    )
    page.evaluate("() => { for (let i = 0; i < 2; i++) document.getElementById('camera').click(); }")
    page.locator("#camera", has_text="关相机").wait_for()
    page.wait_for_timeout(600)  # 两次的允许都到了
    states = "() => window.streams.map((stream) => stream.getTracks()[0].readyState)"
    assert sorted(page.evaluate(states)) == ["ended", "live"]
    page.click("#camera")
    assert page.evaluate(states) == ["ended", "ended"]


def test_a_refused_camera_is_one_sentence(page):
    page.evaluate(
        "() => {"
        "  const refuse = async () => { throw new DOMException('', 'NotAllowedError'); };"
        "  navigator.mediaDevices.getUserMedia = refuse;"
        "}"
    )
    page.click("#camera")
    said(page, "相机打不开：没有得到允许")
    choose(page, ("x.jpg", photo_bytes(11, "JPEG")))
    assert page.is_visible("#photo")


SECOND_LENS_FAILS = """() => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    let asked = 0;
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        if (asked++) throw new DOMException("", "NotReadableError");
        return ask(wanted);
    };
    navigator.mediaDevices.enumerateDevices = async () => [{ kind: "videoinput" }, { kind: "videoinput" }];
}"""


@pytest.mark.parametrize("name", ["", "teach.html"])
def test_a_lens_that_does_not_open_closes_the_camera(make_app, open_page, name):
    with served(make_app("seq")) as url:
        page = open_page(url, name)
        page.evaluate(SECOND_LENS_FAILS)
        page.click("#camera")
        page.click("#turn")
        said(page, "相机打不开：别的程序正在用它")
        assert page.inner_text("#camera") == "用相机" and not page.is_visible("#turn") and page.is_visible("#empty")


def test_the_server_can_be_started_again_at_once(make_app):
    with served(make_app("seq")) as url:
        urllib.request.urlopen(url).read()
        port = int(url.rsplit(":", 1)[1].strip("/"))
    new_server(make_app("seq"), port=port).server_close()


def test_a_read_only_course_makes_an_app_that_can_be_written(trained, litertjs_packages, tmp_path, monkeypatch):
    page_dir = shutil.copytree(hello_web_page.PAGE_DIR, tmp_path / "page")
    for path in [*page_dir.iterdir(), page_dir]:
        path.chmod(path.stat().st_mode & ~0o222)
    monkeypatch.setattr(hello_web_page, "PAGE_DIR", page_dir)
    hello_web_page.main([str(trained("seq")), "--out", str(tmp_path / "app")])
    made = tmp_path / "app"
    assert all(path.stat().st_mode & stat.S_IWRITE for path in [made, *made.rglob("*")])
    for path in [page_dir, *page_dir.iterdir()]:
        path.chmod(path.stat().st_mode | stat.S_IWRITE)


def test_the_folder_is_the_app(make_app, trained):
    app = make_app("seq")
    about = json.loads((app / "app.json").read_text(encoding="utf-8"))
    assert about["labels"] == FLOWERS and about["outputs"] == [0, 1, 2]
    assert (app / "model.tflite").read_bytes() == (trained("seq") / "model.tflite").read_bytes()
    assert sorted(path.name for path in (app / "samples").iterdir()) == sorted(about["samples"])
    assert {path.name for path in (app / "litert" / "wasm").iterdir()} == set(litertjs.WASM)
    policies = [
        re.search(r'<meta http-equiv="Content-Security-Policy" content="(.+?)">', (app / name).read_text("utf-8"))[1]
        for name in ("index.html", "teach.html")
    ]
    assert policies[0] == policies[1]
    for name in (path.name for path in hello_web_page.PAGE_DIR.iterdir()):
        text = (app / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")  # 命名空间，不会去取
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text)


def test_an_old_app_is_replaced_and_another_folder_is_not_touched(make_app, trained, tmp_path):
    app = tmp_path / "app"
    shutil.copytree(make_app("seq"), app)
    (app / "app.js").write_text("旧的", encoding="utf-8")
    hello_web_page.main([str(trained("seq")), "--out", str(app)])
    assert (app / "app.js").read_bytes() == (hello_web_page.PAGE_DIR / "app.js").read_bytes()
    (app / "samples" / "我的.jpg").touch()
    with pytest.raises(UserError, match="samples/我的.jpg.*弄丢"):
        hello_web_page.main([str(trained("seq")), "--out", str(app)])
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "diary.txt").write_text("私人", encoding="utf-8")
    with pytest.raises(UserError, match="不是网页应用"):
        hello_web_page.main([str(trained("seq")), "--out", str(mine)])
    (mine / "app.json").touch()  # 小程序的根目录里也有它
    with pytest.raises(UserError, match="diary.txt.*弄丢"):
        hello_web_page.main([str(trained("seq")), "--out", str(mine)])
    assert sorted(path.name for path in mine.iterdir()) == ["app.json", "diary.txt"]


def test_a_head_that_is_not_dense_has_no_map(open_page, make_app, tmp_path):
    app = tmp_path / "app"
    shutil.copytree(make_app("seq"), app)
    about = json.loads((app / "app.json").read_text(encoding="utf-8"))
    (app / "app.json").write_text(json.dumps(about | {"head": None}), encoding="utf-8")
    with served(app) as url:
        page = open_page(url)
        choose(page, ("x.jpg", photo_bytes(12, "JPEG")))
        assert page.is_visible("#bars") and not page.is_visible("#map-choice") and not page.is_visible("#map")


def test_a_missing_model_is_said_in_the_page(browser, make_app, tmp_path):
    app = tmp_path / "app"
    shutil.copytree(make_app("seq"), app)
    (app / "model.tflite").unlink()
    with served(app) as url:
        page, errors = browser.new_context().new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        said(page, "模型载入不了：")
        page.click("#camera")
        said(page, "这一帧没有认：")
        assert errors == []
        page.context.close()


def test_server_types_no_listing_and_nothing_outside(make_app):
    with served(make_app("seq")) as url:
        types = {"app.js": "text/javascript", "litert/wasm/litert_wasm_internal.wasm": "application/wasm"}
        for name, expected in types.items():
            with urllib.request.urlopen(url + name) as answer:
                assert answer.headers["Content-Type"] == expected
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for name in ("samples/", "../seq/app.json", "%2e%2e/%2e%2e/etc/passwd"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(url + name)


LEARN = """async ([features, labels, classes, others]) => {
    const { learn, crossValidated } = await import("./softmax.js");
    const rows = features.map((each) => Float32Array.from(each));
    const head = learn(rows, labels, classes);
    return [others.map((each) => head.probabilities(Float32Array.from(each))), crossValidated(rows, labels, classes)];
}"""


def test_the_head_learned_in_the_page_is_logistic_regression(teaching):
    """与 scikit-learn 的逻辑回归同样的概率；交叉验证的每一份也相同。"""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    labels = np.arange(45) % 3
    centers = random.normal(size=(3, 40))
    features = np.abs(centers[labels] + random.normal(size=(45, 40)))
    others = np.abs(centers[labels[:9]] + random.normal(size=(9, 40)))
    learned, answers = teaching.evaluate(LEARN, [features.tolist(), labels.tolist(), 3, others.tolist()])

    mean = features.mean(axis=0)
    scale = 1 / np.linalg.norm(features - mean, axis=1).mean()

    def inputs(rows):
        return np.c_[(rows - mean) * scale, np.ones(len(rows))]

    def fit(rows):
        regression = LogisticRegression(C=1 / (0.01 * len(rows)), fit_intercept=False, tol=1e-8, max_iter=10_000)
        return regression.fit(inputs(features[rows]), labels[rows])

    np.testing.assert_allclose(learned, fit(np.arange(45)).predict_proba(inputs(others)), atol=2e-3)
    fold = np.arange(45) // 3 % 5
    for held in range(5):
        expected = fit(np.flatnonzero(fold != held)).predict(inputs(features[fold == held]))
        assert np.array(answers)[fold == held].tolist() == expected.tolist()


SECOND_READ_IS_SLOW = """(name) => {
    const read = Blob.prototype.arrayBuffer;
    let times = 0;
    Blob.prototype.arrayBuffer = async function () {
        if (this.name === name && ++times === 2) await new Promise((resolve) => setTimeout(resolve, 800));
        return read.call(this);
    };
}"""


def card(page, number):
    return page.locator("#classes > li").nth(number)


def teach(page, number, name, files):
    """给第 number 样起名字、选照片，等每一张都放进去。"""
    card(page, number).locator("input[type=text]").fill(name)
    card(page, number).locator("input[type=file]").set_input_files(files)
    page.wait_for_function(
        "([n, count]) => document.querySelectorAll('#classes > li')[n].querySelectorAll('img').length === count",
        arg=[number, len(files)],
    )


def tinted(folder, channel, count):
    """偏一种颜色的照片，没有训练过的特征也分得清。"""
    folder.mkdir()
    for i in range(count):
        pixels = random_pixels(10 * i + channel) // 3
        pixels[..., channel] += 150
        Image.fromarray(pixels).save(folder / f"{i:02}.jpg", quality=95)
    return sorted(folder.iterdir())


def test_teaching_learns_and_what_is_downloaded_is_a_folder_for_lesson_1(teaching, tmp_path):
    given = {name: tinted(tmp_path / name, channel, 13) for channel, name in ((0, "偏红"), (2, "偏蓝"))}
    for number, (name, files) in enumerate(given.items()):
        teach(teaching, number, name, files[:12])
    teaching.click("#learn")
    said(teaching, "学好了：2 样，24 张")
    teaching.locator("#report li").nth(2).wait_for()
    first, *each = teaching.locator("#report li").all_inner_texts()
    right, total = map(int, re.search(r"认对 (\d+)/(\d+)", first).groups())
    assert total == 24 and right >= 22
    assert [line.split("：")[0] for line in each] == [*given]
    teaching.set_input_files("#try", given["偏蓝"][12])
    said(teaching, "偏蓝，")
    assert teaching.locator("#bars li").count() == 2
    with teaching.expect_download() as started:
        teaching.click("#download")
    started.value.save_as(tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    folder = open_folder(tmp_path / "photos")
    assert folder.class_names == sorted(given) and len(folder.photos) == 24 and not folder.problems
    for name, files in given.items():
        for i, file in enumerate(files[:12], start=1):
            assert (tmp_path / "photos" / name / f"{i:03}.jpeg").read_bytes() == file.read_bytes()


def test_teaching_shows_an_answer_beside_its_own_photo_only(teaching, tmp_path):
    red, blue = tinted(tmp_path / "红", 0, 4), tinted(tmp_path / "蓝", 2, 4)
    upright = tmp_path / "竖的.jpg"  # 与别的分得清
    Image.open(blue[3]).transpose(Image.Transpose.ROTATE_90).save(upright, quality=95)
    for number, files in enumerate((red, blue)):
        teach(teaching, number, "红蓝"[number], files[:3])
    teaching.click("#learn")
    said(teaching, "学好了")
    bars = teaching.locator("#bars li")

    def shown():
        is_upright = "() => { const photo = document.getElementById('photo'); return photo.width < photo.height; }"
        return teaching.evaluate(is_upright), teaching.inner_text("#status")[:2], bars.count()

    teaching.set_input_files("#try", red[3])
    said(teaching, "红，")
    assert shown() == (False, "红，", 2)
    card(teaching, 1).locator("input[type=file]").set_input_files(upright)  # 它旁边没有先前的答案
    said(teaching, "蓝：4 张")
    assert shown() == (True, "蓝：", 0)

    teaching.click("#camera")
    bars.nth(1).wait_for()
    teaching.set_input_files("#try", upright)
    said(teaching, "蓝，")
    teaching.wait_for_timeout(500)
    assert shown() == (True, "蓝，", 2)
    assert teaching.is_visible("#photo") and not teaching.is_visible("#video")
    teaching.click("#camera")
    bars.nth(1).wait_for()
    teaching.click("#camera")
    assert bars.count() == 0

    teaching.evaluate(SECOND_READ_IS_SLOW, red[3].name)
    teaching.set_input_files("#try", red[3])
    teaching.wait_for_timeout(200)
    teaching.set_input_files("#try", upright)
    teaching.wait_for_timeout(2000)
    assert shown() == (True, "蓝，", 2)


def test_teaching_compares_with_the_head_of_the_model(teaching, all_flowers):
    for number, name in enumerate(("daisy", "roses")):  # 原来的模型也有的类别
        teach(teaching, number, name, sorted((all_flowers / name).glob("*.jpg"))[:4])
    teaching.click("#learn")
    teaching.locator("#report li", has_text="原来的模型也认得的 8 张").wait_for()


def test_teaching_says_what_is_missing(teaching, all_flowers):
    files = sorted((all_flowers / "roses").glob("*.jpg"))[:3]
    teaching.click("#learn")
    said(teaching, "至少要两样")
    teach(teaching, 0, "", files)
    teaching.click("#learn")
    said(teaching, "没有名字")
    for name in ("a/b", "..", "a:b", "con", "LPT1.花", "尾 "):
        card(teaching, 0).locator("input[type=text]").fill(name)
        teaching.click("#learn")
        said(teaching, "不能作名字" if name != "尾 " else "至少要两样")
    teach(teaching, 1, "尾", files)
    teaching.click("#learn")
    said(teaching, "名字相同")
    card(teaching, 1).locator("input[type=text]").fill("头")
    for _ in range(2):
        card(teaching, 1).locator("li button").first.click()
    teaching.click("#learn")
    said(teaching, "头 只有 1 张照片：每样至少 2 张")
    card(teaching, 1).locator("input[type=file]").set_input_files(
        [{"name": "坏.jpg", "mimeType": "image/jpeg", "buffer": b"x"}]
    )
    said(teaching, "坏.jpg 读不出来：不是能识别的图片")
    assert teaching.is_disabled("#try") and not teaching.is_visible("#download")


def test_teaching_downloads_nothing_under_a_name_that_no_longer_fits(teaching, all_flowers):
    """学过以后改了名字：下载时再看一遍。"""
    files = sorted((all_flowers / "roses").glob("*.jpg"))[:3]
    for number, name in enumerate("甲乙"):
        teach(teaching, number, name, files)
    teaching.click("#learn")
    said(teaching, "学好了")
    downloads = []
    teaching.on("download", lambda started: downloads.append(started))
    for name, reason in (("../../x", "不能作名字"), ("乙", "名字相同"), ("", "没有名字")):
        card(teaching, 0).locator("input[type=text]").fill(name)
        teaching.click("#download")
        said(teaching, reason)
        assert downloads == []


def test_teaching_with_the_camera(teaching):
    card(teaching, 0).get_by_text("连拍 10 张").click()
    card(teaching, 0).locator("img").nth(9).wait_for(state="attached")
    card(teaching, 1).get_by_text("拍一张").click()
    card(teaching, 1).locator("img").nth(0).wait_for(state="attached")
    card(teaching, 1).get_by_text("拍一张").click()
    card(teaching, 1).locator("img").nth(1).wait_for(state="attached")
    for number, name in enumerate(("一", "二")):
        card(teaching, number).locator("input[type=text]").fill(name)
    teaching.click("#learn")
    said(teaching, "学好了：2 样，12 张")
    teaching.locator("#bars li").nth(1).wait_for()  # 画面随时认着
    teaching.evaluate(BREAK)
    said(teaching, "这一帧没有认：")
    assert teaching.locator("#bars li").count() == 0
    teaching.evaluate(MEND)
    said(teaching, "对着它：答案随画面变。")
    teaching.click("#camera")
    assert teaching.evaluate("document.getElementById('video').srcObject") is None


def test_teaching_fits_a_phone(make_app, open_page):
    with served(make_app("seq")) as url:
        page = open_page(url, "teach.html", viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_every_held_out_real_photo_is_answered_as_in_python(
    real_photos, litertjs_packages, open_page, tmp_path, cache_dir
):
    """真实照片：网页里的第一名与 LiteRT 在 Python 里的相同，概率相差至多 0.02。"""
    paths = ["--output-dir", str(tmp_path), "--cache-dir", str(cache_dir), "--name", "m"]
    hello_transfer_learning.main(["--images-dir", str(real_photos), *paths])
    hello_web_page.main([str(tmp_path / "m"), "--out", str(tmp_path / "app")])
    names = [line.split(",")[0] for line in (tmp_path / "m" / "predictions.csv").read_text("utf-8").splitlines()[1:]]
    files = [real_photos / name for name in names]
    predictor = Predictor(tmp_path / "m")
    made = [answer for _, answer in predictor.predict_many(files)]
    probabilities, known, labels = [a.probabilities for a in made], [a.known for a in made], predictor.labels
    with served(tmp_path / "app") as url:
        page = open_page(url)
        page.set_default_timeout(120_000)
        for start in range(0, len(files), 50):
            page.set_input_files("#files", files[start : start + 50])
            page.locator("#list", has_not_text="……").wait_for()
            rows = page.inner_text("#list").splitlines()
            assert len(rows) == len(files[start : start + 50])
            for row, path, p, is_known in zip(rows, files[start:], probabilities[start:], known[start:], strict=False):
                label = re.search(rf"({'|'.join(map(re.escape, labels))})，([\d.]+)%", row.removeprefix(path.name))
                second, first = np.sort(p)[-2:]
                assert label[1] == labels[p.argmax()] or first - second < 0.01, row
                assert abs(float(label[2]) / 100 - p[labels.index(label[1])]) <= 0.02, (row, p)
                assert ("都不像" in row) == (not is_known), row
