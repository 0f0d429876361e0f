"""大 PNG 一条一条地读：Pillow 只会整张解码，一亿像素要 400 MB。"""

import io
import struct
import zlib

from PIL import Image

from toolbox.photos.formats import png_chunks
from toolbox.photos.pixels import to_rgb

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG 的颜色类型 → 每像素几个字节（8 位时）
_ROWS_BYTES = 2**22  # 每条约这么多字节


def read_large_png(data, factor, notes):
    """返回缩小到 1/factor 的 RGB 图像；只管 8 位、不隔行的 PNG，别的返回 None。

    像素数据边解压边切成条，每条包成一个小 PNG 交给 Pillow。PNG 的一行按上一行来预测，所以每条的前面
    放上上一条解好的最后一行，结果与整张解码逐位相同。

    Args:
        data: 去掉了无关块的 PNG（formats.png_for_pixels）。
        notes: 见 pixels.to_rgb。
    """
    chunks = list(png_chunks(data))
    width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or interlace:
        return None
    row_bytes = 1 + width * _CHANNELS[color]
    rows = factor * max(1, _ROWS_BYTES // (row_bytes * factor))
    shared = [chunk for chunk in chunks if chunk[0] not in (b"IHDR", b"IDAT", b"IEND")]
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    stream = _inflated(chunk[1] for chunk in chunks if chunk[0] == b"IDAT")
    last = bytes(row_bytes)
    said = []
    for top in range(0, height, rows):
        count = min(rows, height - top)
        header = struct.pack(">IIBBBBB", width, count + 1, depth, color, 0, 0, 0)
        strip = _small_png(header, shared, last + stream(count * row_bytes))
        last = b"\0" + strip.crop((0, count, width, count + 1)).tobytes()
        body = strip.crop((0, 1, width, count + 1))
        body.format = "PNG"
        result.paste(to_rgb(body, factor, said), (0, top // factor))
        result.info = {key: value for key, value in strip.info.items() if key != "transparency"}  # EXIF 在这里
        strip.close()  # 它与解码器互相引用，不关就要等垃圾回收
    notes += dict.fromkeys(said)
    return result


def _inflated(pieces):
    """返回函数 read(n)：解压后的下 n 个字节。"""
    inflate = zlib.decompressobj()
    pieces = iter(pieces)
    waiting = bytearray()

    def read(count):
        while len(waiting) < count:
            more = inflate.unconsumed_tail or next(pieces, None)
            if more is None:
                raise OSError("truncated")
            waiting.extend(inflate.decompress(more, _ROWS_BYTES))
        taken = bytes(waiting[:count])
        del waiting[:count]
        return taken

    return read


def _small_png(header, shared, rows):
    """把一条（没有压缩的各行）包成 PNG，交给 Pillow 解码。"""
    pixels = zlib.compress(rows, 1)
    chunks = [(b"IHDR", header), *(chunk[:2] for chunk in shared), (b"IDAT", pixels), (b"IEND", b"")]
    pieces = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        pieces += [struct.pack(">I4s", len(body), kind), body, zlib.crc32(kind + body).to_bytes(4, "big")]
    image = Image.open(io.BytesIO(b"".join(pieces)), formats=["PNG"])
    image.load()
    return image
