"""正确读取一张照片：按 EXIF 转正，16 位、透明、CMYK 都变成 8 位 RGB，再缩放。"""

import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from toolbox.photos import formats, tiff
from toolbox.photos.large_png import read_large_png
from toolbox.photos.pixels import decoded_bytes, to_rgb

IMAGE_SIZE = (224, 224)  # MobileNetV2 的标准输入：高、宽（像素）
SHORTEST_SIDE = 2 * max(IMAGE_SIZE)  # 大 JPEG 缩小解码后，短边至少还有这么多像素
MOST_FILE_BYTES = 500_000_000  # 再大的文件不读
MOST_DECODING_BYTES = 280_000_000  # 读一张最多用这么多内存；大文件可以用到自己的四倍（例如不压缩的 TIFF）
_ORDINARY = 100_000_000  # 解码后不到这么多字节（2500 万像素）的不缩小
_MOST_RESULT_BYTES = 16_000_000  # 更大的先缩小到这么多字节再转换
_COPIES = {"WEBP": 4, "AVIF": 2.8, "HEIF": 4, "JPEG2000": 5}  # 这些解码器连同像素用的内存：约是像素的几倍（测得）
_MANY_ZEROS = 72  # 其中 8 个是 formats.jpeg_without_end 补的
_ORIENTATION = 0x0112
_TURNED = "按 EXIF 转正了"
_UPRIGHT = {  # EXIF 的方向 → 转正的变换
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Image.MAX_IMAGE_PIXELS = None  # Pillow 只看文件声称的像素数；这里改看解码要用的内存，JPEG 可以缩小着读


class PhotoError(Exception):
    """一张照片读不出来；文字是中文原因。"""


def open_image(path, shortest_side=SHORTEST_SIDE):
    """打开一张照片，返回正立的 8 位 RGB 图像（PIL.Image）；见 decode。"""
    return decode(read_file(path), shortest_side)


def read_photo(path, size=IMAGE_SIZE):
    """读一张照片并以双线性插值缩放，返回 uint8 数组，形状 (高, 宽, 3)，取值 0 到 255。"""
    return resized(open_image(path, 2 * max(size)), size)


def resized(image, size=IMAGE_SIZE):
    """PIL.Image 以双线性插值缩放成 uint8 数组 (高, 宽, 3)；size 是 (高, 宽)。训练与预测都经过这里。"""
    height, width = size
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def read_file(path):
    """一个普通文件的全部字节。管道、设备不读（会一直等下去），太大的不读，相机原始文件不读。

    Raises:
        PhotoError, OSError
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    if not stat.S_ISREG(os.stat(path).st_mode):  # 先看再打开：打开有的设备本身就有后果
        raise PhotoError("不是普通文件（是管道、设备之类）")
    with open(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError("不是普通文件（是管道、设备之类）")
        if status.st_size > MOST_FILE_BYTES:
            raise PhotoError(f"文件太大（{status.st_size / 1e6:.0f} MB，最多 {MOST_FILE_BYTES / 1e6:.0f} MB）")
        data = file.read(status.st_size + 1)  # 要 MOST_FILE_BYTES，Python 就先备下那么多内存，每张都备一次
        if len(data) > status.st_size:  # 还在变大
            data += file.read(MOST_FILE_BYTES)
    if Path(path).suffix.lower() in formats.RAW_SUFFIXES and formats.sniff(data) in ("TIFF", None):
        raise PhotoError(_RAW)
    return data


_RAW = "相机原始文件（RAW），里面现成的只有缩略图；请先转成 JPEG"


def decode(data, shortest_side=SHORTEST_SIDE, notes=None):
    """把一个图片文件的字节变成正立的 8 位 RGB 图像（PIL.Image）。

    格式自己的标记决定数值怎样变成像素；与像素无关的（坏的 EXIF、过大的文字或颜色描述）不会让照片读不成，至多不转正。
    透明处填白；16 位、32 位、浮点按声明的类型缩放到 8 位；CMYK、灰度、调色板都转成 RGB；动图与多页的取第一帧。
    很大的 JPEG 直接以 1/2、1/4、1/8 解码（短边仍不小于 shortest_side 像素）；别的格式解码后先缩小再转换，
    一个小文件至多用约 300 MB 内存。

    Args:
        notes: 给一个列表，就把读时转换了什么逐句添进去。

    Raises:
        PhotoError: 空文件、截断、不是图片、太大等。
    """
    if not data:
        raise PhotoError("空文件")
    notes = [] if notes is None else notes
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 大图与 EXIF 的警告：能读就读，不能读下面会说
            return _decode(data, shortest_side, notes)
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError("不是能识别的图片，或者它的像素类型 Pillow 不认识") from None
    except MemoryError:
        raise PhotoError("太大，内存放不下") from None
    except Exception as error:  # 各格式的解码器对坏数据抛出的异常五花八门
        reason = "文件不完整" if "truncated" in str(error).lower() else f"数据损坏（{error}）"
        raise PhotoError(reason) from None


def _decode(data, shortest_side, notes):
    kind = formats.sniff(data)
    if kind is None:
        raise PhotoError("不是能识别的图片")
    if kind == "RAW":
        raise PhotoError(_RAW)
    if kind == "HEIF":
        _register_heif()
    if kind == "PNG":
        data = formats.png_for_pixels(data)
    elif kind == "JPEG":
        image = _open_jpeg(data, shortest_side)
        return _finish(image, shortest_side, notes)
    image = Image.open(io.BytesIO(data), formats=[kind])
    if kind == "PNG" and decoded_bytes(image) > _ORDINARY:
        small = read_large_png(data, _shrinking(image, shortest_side), notes)
        if small is not None:
            return _turned(small, _orientation(small), notes)
    level = _reduce_jpeg_2000(image, shortest_side) if kind == "JPEG2000" else 0
    _refuse_huge(_memory(image, level), len(data))
    if kind == "TIFF":
        tiff.mend_tiles(image)
    return _finish(image, shortest_side, notes, data[24] if kind == "PNG" else 8)


def _reduce_jpeg_2000(image, shortest_side):
    """JPEG 2000 可以直接解码成 1/2、1/4……，默认存了五级：内存不够时选一级，返回选了哪一级。"""
    level = 0
    most = min(5, (min(image.size) // shortest_side).bit_length() - 1)
    while level < most and _memory(image, level) > MOST_DECODING_BYTES:
        level += 1
    image.reduce = level
    return level


def _finish(image, shortest_side, notes, png_depth=8):
    """读出像素，转成 RGB，转正。"""
    turned = image.format == "TIFF" and _orientation(image) in _UPRIGHT
    image.load()  # TIFF 在这里就由 Pillow 转正了
    if turned:
        notes.append(_TURNED)
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        notes.append("有好几帧或好几页，只用第一帧")
    orientation = _orientation(image)
    rgb = to_rgb(image, _shrinking(image, shortest_side), notes, png_depth)
    return _turned(rgb, orientation, notes)


def _open_jpeg(data, shortest_side):
    """打开一张 JPEG，必要时缩小着读。"""
    start, is_one_scan, samples = formats.jpeg_scan(data)
    if is_one_scan:
        data = formats.jpeg_without_end(data, start)
        _refuse_zeroed(data, start)
    image = Image.open(io.BytesIO(data), formats=["JPEG"])
    if not is_one_scan:
        width, height = image.size
        _refuse_huge(2 * samples * width * height, len(data))
    image.draft(None, (shortest_side, shortest_side))
    _refuse_huge(decoded_bytes(image), len(data))
    return image


def _refuse_zeroed(data, start):
    """后面一截是零的 JPEG（没有拷完、磁盘坏了）：零也解得出像素，只是不对。

    去掉这些零还能解完，零就只是补白；去掉一些还能解完，是零太多，不是照片的数据；纯色的照片才会一个也少不得。
    """
    zeros = len(data) - len(data.rstrip(b"\0"))
    if zeros < _MANY_ZEROS or len(data) - zeros < start + _MANY_ZEROS:  # 没有零，或除了零没有什么（纯色）
        return
    if _is_complete(data[: len(data) - zeros + 8]):
        return
    if _is_complete(data[: -_MANY_ZEROS // 2]):
        raise PhotoError("文件不完整（后面一截全是零）")


def _is_complete(data):
    image = Image.open(io.BytesIO(data), formats=["JPEG"])
    image.draft(None, (1, 1))
    try:
        image.load()
    except OSError:
        return False
    return True


def _memory(image, level=0):
    """解码这张图像（宽高各缩小到 1/2**level）大约要多少字节。"""
    size = decoded_bytes(image) >> 2 * level
    if image.format == "TIFF":  # 一条先整个解开，再放进图像
        return int(size * (1 + tiff.strip_share(image)))
    return int(size * _COPIES.get(image.format, 1))


def _refuse_huge(needed, file_bytes):
    if needed > max(MOST_DECODING_BYTES, 4 * file_bytes):
        most = MOST_DECODING_BYTES / 1e6
        raise PhotoError(f"像素太多：解码要 {needed / 1e6:.0f} MB 内存，最多 {most:.0f} MB；请先缩小")


def _shrinking(image, shortest_side):
    """转换之前缩小几倍：普通大小的不缩小；更大的，结果不超过 _MOST_RESULT_BYTES，短边仍不小于 shortest_side。"""
    width, height = image.size
    if 4 * width * height <= _ORDINARY:
        return 1
    wanted = (4 * width * height / _MOST_RESULT_BYTES) ** 0.5
    return max(1, min(int(np.ceil(wanted)), min(width, height) // shortest_side))


def _orientation(image):
    """EXIF 里的方向；读不懂就当作没有。"""
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # 坏的 EXIF 抛出的异常五花八门
        return None


def _turned(image, orientation, notes):
    if orientation not in _UPRIGHT:
        return image
    notes.append(_TURNED)
    return image.transpose(_UPRIGHT[orientation])


def _register_heif():
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError("HEIC 格式，要先装读它的包（GPL 许可，所以不随课程装）：pip install pillow-heif") from None
    pillow_heif.register_heif_opener(thumbnails=False)
