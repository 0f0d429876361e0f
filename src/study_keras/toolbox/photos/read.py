"""正确读取一张照片：按 EXIF 转正，16 位、透明、CMYK 都变成 8 位 RGB，再缩放。"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SIZE = (224, 224)  # MobileNetV2 的标准输入：高、宽（像素）
SHORTEST_SIDE = 2 * max(IMAGE_SIZE)  # 大 JPEG 缩小解码后，短边至少还有这么多像素


class PhotoError(Exception):
    """一张照片读不出来；文字是中文原因。"""


def open_image(path, shortest_side=SHORTEST_SIDE):
    """打开一张照片，返回正立的 8 位 RGB 图像（PIL.Image）。

    按 EXIF 转正；透明处填白；16 位缩放到 8 位；CMYK、灰度、调色板都转成 RGB；动图取第一帧。
    很大的 JPEG 直接以 1/2、1/4、1/8 解码（短边仍不小于 shortest_side 像素），快而省内存。

    Raises:
        PhotoError: 空文件、截断、不是图片、太大等。
    """
    return decode(Path(path).read_bytes(), shortest_side)


def read_photo(path, size=IMAGE_SIZE):
    """读一张照片并以双线性插值缩放，返回 uint8 数组，形状 (高, 宽, 3)，取值 0 到 255。"""
    height, width = size
    return np.asarray(open_image(path, 2 * max(size)).resize((width, height), Image.Resampling.BILINEAR))


def decode(data, shortest_side):
    if not data:
        raise PhotoError("空文件")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 大图与 EXIF 的警告：能读就读，不能读下面会说
            image = Image.open(io.BytesIO(data))
            image.draft(None, (shortest_side, shortest_side))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except UnidentifiedImageError:
        if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheif"):
            raise PhotoError("HEIC 格式，请先转成 JPEG") from None
        raise PhotoError("不是能识别的图片") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"像素太多（超过 {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} 百万）") from None
    except MemoryError:
        raise PhotoError("太大，内存放不下") from None
    except Exception as error:  # 各格式的解码器对坏数据抛出的异常五花八门
        reason = "文件不完整" if "truncated" in str(error).lower() else f"数据损坏（{error}）"
        raise PhotoError(reason) from None


def _to_rgb(image):
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image, np.float32), image.mode))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(pixels, mode):
    """16 位（或更宽）的灰度缩放到 0 至 255；convert("RGB") 只会截断，得到一片白。"""
    if mode.startswith("I;16") or pixels.max() > 255:
        pixels = pixels / 257  # 65535 / 255
    elif mode == "F" and pixels.max() <= 1:
        pixels = pixels * 255
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
