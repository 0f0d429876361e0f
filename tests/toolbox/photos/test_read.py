"""读照片：格式自己的标记决定像素；与像素无关的坏处不让照片读不成；大的缩小着读。"""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from conftest import LESSONS_DIR, random_pixels
from toolbox.photos import read as reader
from toolbox.photos.read import PhotoError, decode, open_image, read_photo


def reading_of(path):
    return np.asarray(open_image(path)).astype(int)


def difference(pixels, expected):
    assert pixels.shape == expected.shape
    return np.abs(pixels - expected).max()


def decoded(data):
    """(像素, 说了什么)。"""
    notes = []
    return np.asarray(decode(data, reader.SHORTEST_SIDE, notes)).astype(int), notes


def reason_of(data):
    with pytest.raises(PhotoError) as error:
        decode(data, reader.SHORTEST_SIDE)
    return str(error.value)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GRAY = np.asarray(Image.fromarray(random_pixels(4)).convert("L")).astype(int)


def test_plain_formats_are_read_alike(tmp_path):
    expected = random_pixels(1)
    for suffix in ("png", "bmp", "tif", "webp", "ppm"):
        options = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(expected).save(tmp_path / f"a.{suffix}", **options)
        assert difference(reading_of(tmp_path / f"a.{suffix}"), expected) == 0, suffix
    Image.fromarray(expected).save(tmp_path / "a.jpg", quality=95)
    assert difference(reading_of(tmp_path / "a.jpg"), expected) < 30


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    upright = Image.fromarray(random_pixels(2))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # 拍照时相反的变换（Image.Transpose）
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", "a.tif"):
        stored.save(tmp_path / name, exif=exif)
        assert difference(reading_of(tmp_path / name), np.asarray(upright)) == 0
        notes = []
        decode((tmp_path / name).read_bytes(), notes=notes)
        assert notes == ["按 EXIF 转正了"] * (orientation > 1)


def test_grayscale_palette_and_cmyk(tmp_path):
    pixels = random_pixels(3)
    gray = Image.fromarray(pixels).convert("L")
    gray.save(tmp_path / "gray.png")
    assert difference(reading_of(tmp_path / "gray.png"), np.asarray(gray.convert("RGB"))) == 0
    palette = Image.fromarray(pixels).quantize(32)
    palette.save(tmp_path / "palette.gif")
    assert difference(reading_of(tmp_path / "palette.gif"), np.asarray(palette.convert("RGB"))) == 0
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert difference(reading_of(tmp_path / "cmyk.jpg"), pixels) < 40


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_scaled_not_clipped(tmp_path, suffix):
    gray = np.asarray(Image.fromarray(random_pixels(4)).convert("L"))
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / f"a.{suffix}")
    assert difference(reading_of(tmp_path / f"a.{suffix}")[..., 0], gray) <= 1


def test_transparency_becomes_white(tmp_path):
    pixels = np.dstack([random_pixels(5), np.full((90, 120), 255, np.uint8)])
    pixels[:40, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reading = reading_of(tmp_path / "a.png")
    assert (reading[:40] == 255).all() and difference(reading[40:], pixels[40:, :, :3]) == 0
    transparent_palette = Image.fromarray(random_pixels(5)).quantize(16)
    transparent_palette.save(tmp_path / "b.png", transparency=0)
    is_transparent = np.asarray(transparent_palette) == 0
    assert (reading_of(tmp_path / "b.png")[is_transparent] == 255).all()


def test_large_jpeg_is_decoded_small_but_the_same(tmp_path):
    pixels = random_pixels(6, height=2400, width=3200)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    assert min(open_image(tmp_path / "a.jpg").size) == 600
    expected = np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR)).astype(int)
    assert difference(read_photo(tmp_path / "a.jpg"), expected) < 12


# ---- PNG：一块一块地拼出来 ----


def chunk(kind, body, crc=None):
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def png(samples, depth, color, extra=b"", after=b""):
    """samples：(高, 宽) 或 (高, 宽, 通道) 的整数，每个 depth 位。"""
    height, width = samples.shape[:2]
    if depth < 8:
        bits = np.unpackbits(samples.astype(np.uint8)[..., np.newaxis], axis=2)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    else:
        rows = samples.astype(f">u{depth // 8}").view(np.uint8).reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(raw)) + after + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
    "bad",
    [
        chunk(b"zTXt", b"Comment\0\0" + BOMB),
        chunk(b"zTXt", b"Comment\0\0not zlib"),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB),
        chunk(b"iCCP", b"icc\0\0" + BOMB),
        chunk(b"tEXt", b"Comment\0x", crc=1),
        chunk(b"pHYs", bytes(9), crc=1),
        chunk(b"eXIf", b"\0\x08\0\x02broken"),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\x7f"),
        chunk(b"acTL", b"\0"),
    ],
)
def test_ancillary_png_chunks_never_decide(bad):
    pixels = random_pixels(11)
    for data in (png(pixels, 8, 2, extra=bad), png(pixels, 8, 2, after=bad)):
        assert difference(decoded(data)[0], pixels) == 0


def test_png_orientation_is_still_read():
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = random_pixels(12)
    data = png(pixels, 8, 2, extra=chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    turned, notes = decoded(data)
    assert difference(turned, np.rot90(pixels, -1)) == 0 and notes == ["按 EXIF 转正了"]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_gray_in_png(depth):
    most = 2**depth - 1
    samples = GRAY * most // 255
    key = int(samples[0, 0])
    expected = np.where(samples == key, 255, np.rint(samples * 255 / most))
    pixels, _ = decoded(png(samples, depth, 0, extra=chunk(b"tRNS", struct.pack(">H", key))))
    assert (pixels == expected[..., np.newaxis]).all()
    assert (samples == key).any() and (decoded(png(samples, depth, 0))[0][..., 0] != expected).any()


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_color_in_png(depth):
    scale = 257 if depth == 16 else 1
    pixels = random_pixels(13).astype(int)
    key = struct.pack(">HHH", *(int(value) * scale for value in pixels[5, 5]))
    expected = np.where((pixels == pixels[5, 5]).all(axis=2, keepdims=True), 255, pixels)
    assert (decoded(png(pixels * scale, depth, 2, extra=chunk(b"tRNS", key)))[0] == expected).all()


def test_12_bits_in_a_16_bit_png_are_read_as_16_and_said():
    pixels, notes = decoded(png(GRAY * 4095 // 255, 16, 0))
    assert pixels.max() == GRAY.max() * 4095 // 255 * 255 // 65535 and any("只用到 12 位" in note for note in notes)
    assert decoded(png(GRAY * 257, 16, 0))[1] == ["16 位转成了 8 位"]


# ---- TIFF ----


def tiff(samples, order="<", photometric=1, sample_format=1, compression=1, planar=1, tags=()):
    """一个 TIFF；samples 的 dtype 就是文件里的类型。tags：[(编号, struct 的字符, 值的列表), ...]。"""
    height, width = samples.shape[:2]
    planes = 1 if samples.ndim == 2 else samples.shape[2]
    parts = [samples[..., i] for i in range(planes)] if planar == 2 else [samples]
    strips = [part.astype(part.dtype.newbyteorder(order)).tobytes() for part in parts]
    strips = [zlib.compress(strip) for strip in strips] if compression == 8 else strips
    entries = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [samples.itemsize * 8] * planes),
        259: ("H", [compression]), 262: ("H", [photometric]), 273: ("I", [0] * len(strips)), 277: ("H", [planes]),
        278: ("I", [height]), 279: ("I", list(map(len, strips))), 284: ("H", [planar]),
        339: ("H", [sample_format] * planes), **{tag: (kind, values) for tag, kind, values in tags},
    }  # fmt: skip
    outside = 8 + 2 + 12 * len(entries) + 4
    sizes = [struct.calcsize(f"{order}{len(values)}{kind}") for kind, values in entries.values()]
    at = outside + sum(size for size in sizes if size > 4)
    entries[273] = ("I", [at + sum(map(len, strips[:i])) for i in range(len(strips))])
    directory = extra = b""
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(packed) > 4:
            extra += packed
            packed = struct.pack(order + "I", outside + len(extra) - len(packed))
        directory += struct.pack(order + "HHI", tag, {"H": 3, "I": 4, "f": 11}[kind], len(values)) + packed.ljust(
            4, b"\0"
        )
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(entries))
    return start + directory + bytes(4) + extra + b"".join(strips)


TYPES = [  # (dtype, SampleFormat, 0 对应的值, 255 对应的值)
    ("u1", 1, 0, 255),
    ("i1", 2, -128, 127),
    ("u2", 1, 0, 65535),
    ("i2", 2, -32768, 32767),
    ("u4", 1, 0, 2**32 - 1),
    ("i4", 2, -(2**31), 2**31 - 1),
    ("f4", 3, 0, 1),
    ("f8", 3, 0, 1),
]


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("dtype", "sample_format", "low", "high"), TYPES)
def test_gray_tiff_is_scaled_by_its_declared_type(dtype, sample_format, low, high, order, compression):
    """数值只占中间一段：若按最亮的像素缩放，就对不上。"""
    gray = 20 + GRAY // 2
    exact = low + gray * ((high - low) / 255)
    samples = (exact if dtype[0] == "f" else np.rint(exact)).astype(dtype)
    assert abs(decoded(tiff(samples, order, 1, sample_format, compression))[0] - gray[..., np.newaxis]).max() <= 1
    inverted = decoded(tiff(samples, order, 0, sample_format, compression))[0]  # WhiteIsZero
    assert abs(inverted - (255 - gray[..., np.newaxis])).max() <= 1


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [1, 2])
def test_16_bit_color_tiff(planar, order, compression):
    pixels = random_pixels(14)
    samples = pixels.astype(np.uint16) * 257
    reading, notes = decoded(tiff(samples, order, 2, 1, compression, planar))
    assert difference(reading, pixels) == 0 and notes == ["16 位转成了 8 位"]


@pytest.mark.parametrize(("scale", "stray"), [(1, 1.0001), (1, 80), (255, 256), (255, 1e9), (65535, 1e30)])
def test_stray_float_pixels_do_not_decide_the_scale(scale, stray):
    samples = (GRAY * (scale / 255)).astype(np.float32)
    expected = decoded(tiff(samples, sample_format=3))[0]
    assert abs(expected - GRAY[..., np.newaxis]).max() <= 1
    samples[0, :4] = [stray, -stray, np.nan, np.inf]
    reading = decoded(tiff(samples, sample_format=3))[0]
    assert (reading[1:] == expected[1:]).all() and (reading[0, 4:] == expected[0, 4:]).all()
    assert reading[0, :4, 0].tolist() == [255, 0, 0, 255]


def test_declared_float_range_is_used():
    samples = (GRAY * 4.0 - 100).astype(np.float32)
    declared = [(340, "f", [-100.0]), (341, "f", [920.0])]
    assert abs(decoded(tiff(samples, sample_format=3, tags=declared))[0] - GRAY[..., np.newaxis]).max() <= 1


def test_pixel_types_that_pillow_lacks_are_named():
    assert "Pillow 不认识" in reason_of(tiff(random_pixels(1).astype(np.float32) / 255, photometric=2, sample_format=3))


def test_raw_camera_files_are_named_not_read_as_their_thumbnail(tmp_path):
    def tagged(tag, value):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[tag] = value
        return saved(Image.fromarray(random_pixels(1)), "TIFF", tiffinfo=tags)

    assert "RAW" in reason_of(tagged(50706, b"\1\4\0\0")) and "RAW" in reason_of(tagged(254, 1))
    assert "RAW" in reason_of(b"FUJIFILMCCD-RAW " + bytes(100)) and "RAW" in reason_of(
        b"\0\0\0\x18ftypcrx " + bytes(99)
    )
    (tmp_path / "a.NEF").write_bytes(saved(Image.fromarray(random_pixels(1)), "TIFF"))
    with pytest.raises(PhotoError, match="RAW"):
        open_image(tmp_path / "a.NEF")


# ---- JPEG ----


def noisy_jpeg(**options):
    return saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)), "JPEG", **options)


def test_jpeg_cut_and_closed_with_an_end_marker_is_incomplete():
    whole = noisy_jpeg()
    for share in (0.1, 0.5, 0.9, 0.99):
        cut = whole[: int(share * len(whole))].rstrip(b"\xff")
        assert "不完整" in reason_of(cut + b"\xff\xd9") and "不完整" in reason_of(cut + b"\xff\xd9" + bytes(500))
        assert "不完整" in reason_of(cut)
    half = len(whole) // 2
    assert "零" in reason_of(whole[:half] + bytes(half) + b"\xff\xd9")


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 7}, {"subsampling": 0, "quality": 100}],
)
def test_whole_jpegs_are_never_called_damaged(options):
    """解出来的与 Pillow 逐位相同；结束标记前后多出来的字节不碍事。"""
    flat = saved(Image.new("RGB", (800, 600), (7, 7, 7)), "JPEG", **options)
    for data in (noisy_jpeg(**options), flat):
        expected = np.asarray(Image.open(io.BytesIO(data)))
        for variant in (data, data + bytes(2000), data + b"trailer\xff\xd9", data[:-2] + bytes(300) + b"\xff\xd9"):
            image = decode(variant, 10_000)
            assert (np.asarray(image) == expected).all()


def jpeg_with_exif(body):
    plain = noisy_jpeg()
    segment = b"Exif\0\0" + body
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]


def test_broken_exif_is_read_at_worst_not_rotated():
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 5, 1, 38)
    resolution = struct.pack("<ii", -1, 0)  # 无符号的分数写成了 -1/0
    turned = jpeg_with_exif(b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4) + resolution)
    assert decoded(turned)[0].shape == (400, 300, 3)
    for body in (b"", b"garbage", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff"):
        assert decoded(jpeg_with_exif(body))[0].shape == (300, 400, 3)


# ---- 别的格式 ----


def test_first_frame_of_animations_and_pages():
    frames = [Image.fromarray(random_pixels(seed)) for seed in (1, 2)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})):
        alone = decoded(saved(frames[0], kind, **options))[0]
        both, notes = decoded(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options))
        assert difference(both, alone) == 0, kind
        assert kind == "PNG" or any("第一帧" in note for note in notes)
    pair = saved(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    assert difference(decoded(pair)[0], np.asarray(frames[0])) < 30 and decoded(pair)[1] == []


def test_avif_is_read():
    assert difference(decoded(saved(Image.fromarray(random_pixels(3)), "AVIF", quality=95))[0], random_pixels(3)) < 30


def test_heic_needs_one_more_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # 没有装
    for brand in (b"heic", b"mif1", b"heix"):
        assert "pip install pillow-heif" in reason_of(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(99))


def test_heic_is_read_with_it():
    heif = pytest.importorskip("pillow_heif", reason="没有装 pillow-heif（GPL，可选），跳过 HEIC 的测试")
    heif.register_heif_opener()
    data = saved(Image.fromarray(random_pixels(3)), "HEIF", quality=95)
    assert difference(decoded(data)[0], random_pixels(3)) < 30


def test_nothing_that_starts_another_program_is_tried():
    assert reason_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "不是能识别的图片"
    assert reason_of(b"") == "空文件"


def test_bmp_with_an_alpha_mask_never_written_is_opaque():
    pixels = np.dstack([random_pixels(5), np.zeros((90, 120), np.uint8)])
    header = struct.pack("<IiiHHIIiiII", 124, 120, -90, 1, 32, 3, 0, 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    body = header + masks + bytes(124 - len(header) - len(masks)) + pixels.tobytes()
    data = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 124) + body
    assert difference(decoded(data)[0], pixels[..., :3]) == 0


# ---- 文件与内存 ----


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="这个系统没有命名管道")
def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(PhotoError, match="不是普通文件"):
            open_image(tmp_path / name)


def test_file_size_is_capped_before_reading(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(400 * 10**9 if os.name != "nt" else reader.MOST_FILE_BYTES + 1)  # 稀疏文件，不占磁盘
    with pytest.raises(PhotoError, match="文件太大"):
        open_image(tmp_path / "a.jpg")


def huge_png(depth, color):
    """只有文件头是真的：声称 20,000 × 20,000。"""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_limit_is_on_decoded_memory():
    assert "像素太多" in reason_of(huge_png(16, 6)) and "内存" in reason_of(huge_png(16, 6))
    assert reason_of(huge_png(8, 2)) == "文件不完整"  # 一条一条地读，所以只是不完整
    progressive = saved(Image.new("RGB", (11000, 9000)), "JPEG", progressive=True)
    assert "像素太多" in reason_of(progressive)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGB", "RGBA"])
def test_large_png_in_strips_equals_the_whole(monkeypatch, mode):
    image = Image.fromarray(random_pixels(8, height=333, width=444)).convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.arange(444) % 256, (333, 1)).astype(np.uint8)))
    image = image.convert("RGB").quantize(30) if mode == "P" else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(image, "PNG", exif=exif, **({"transparency": 3} if mode == "P" else {}))
    expected = decoded(data)
    monkeypatch.setattr(reader, "_ORDINARY", 0)
    monkeypatch.setattr(reader, "_MOST_RESULT_BYTES", 1e9)
    monkeypatch.setattr("toolbox.photos.large_png._ROWS_BYTES", 10_000)
    pixels, notes = decoded(data)
    assert difference(pixels, expected[0]) == 0 and notes == expected[1]


MEASURE = """
import sys
import PIL.Image
from toolbox.photos.read import open_image
from toolbox.terminal.stopwatch import peak_memory_mb
PIL.Image.init()
before = peak_memory_mb()
size = open_image(sys.argv[1]).size
print(min(size), peak_memory_mb() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="只在 Linux 上量")
def test_small_files_never_cost_more_than_300_mb(tmp_path):
    Image.new("RGBA", (10000, 10000), (200, 30, 40, 99)).save(tmp_path / "a.png", compress_level=1)
    Image.new("RGB", (16320, 12240), (200, 30, 40)).save(tmp_path / "a.jpg", quality=30)  # 两亿像素的手机照片
    Image.new("I;16", (10000, 10000), 30000).save(tmp_path / "a16.png", compress_level=1)
    for name in ("a.png", "a.jpg", "a16.png"):
        environment = os.environ | {"PYTHONPATH": str(LESSONS_DIR)}
        command = [sys.executable, "-c", MEASURE, str(tmp_path / name)]
        output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        shortest, megabytes = map(float, output.split())
        assert shortest >= reader.SHORTEST_SIDE and megabytes < 300, name


def test_memory_error_is_a_problem_of_one_photo(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(reader, "to_rgb", no_memory)
    assert "内存放不下" in reason_of(noisy_jpeg())
