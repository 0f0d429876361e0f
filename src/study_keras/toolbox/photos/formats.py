"""认出一个文件是哪种图片，并在交给 Pillow 之前去掉与像素无关、却会让它读不成的东西。"""

import re
import struct
import zlib

JPEG_END = b"\xff\xd9"
RAW_SUFFIXES = set(
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl"
    " .sr2 .srf .srw .x3f".split()
)
_SUFFIXES = {
    "JPEG": ".jpg .jpeg .jpe .jfif .jif .mpo",
    "PNG": ".png .apng",
    "GIF": ".gif",
    "BMP": ".bmp .dib",
    "WEBP": ".webp",
    "TIFF": ".tif .tiff",
    "PPM": ".ppm .pgm .pbm .pnm .pfm .pam",
    "AVIF": ".avif .avifs",
    "HEIF": ".heic .heif .hif",
    "JPEG2000": ".jp2 .j2k .jpc .jpf .jpx .j2c",
}
FORMAT_OF_SUFFIX = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_STARTS = (  # 只认这些：Pillow 能读的格式里，有的（如 EPS）要启动别的程序
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"BM", "BMP"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]", "TIFF"),
    (rb"P[1-7][\s#]|P[fF]\s|P0CMYK|PyCMYK|PyRGBA|PyP", "PPM"),
    (rb"\0\0\0\x0cjP {2}\r\n\x87\n|\xff\x4f\xff\x51", "JPEG2000"),
    (rb"IIRO|IIRS|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR", "RAW"),
)
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1", b"heif"}
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_TEXT_LIMIT = 2**20  # Pillow 不肯解开更大的文字块
_DNG_VERSION, _SUBFILE_TYPE, _PHOTOMETRIC = 50706, 254, 262
_CFA, _LINEAR_RAW = 32803, 34892


def sniff(data):
    """按开头的字节认出格式：Pillow 的格式名、"RAW"，或 None（不是能识别的图片）。"""
    for start, name in _STARTS:
        if re.match(start, data, re.DOTALL):
            return "RAW" if name == "TIFF" and _is_raw_tiff(data) else name
    if data[4:8] == b"ftyp":
        brands = {data[i : i + 4] for i in range(8, min(int.from_bytes(data[:4], "big"), 256), 4)}
        if b"crx " in brands:
            return "RAW"  # CR3
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIC_BRANDS else None
    return None


def _is_raw_tiff(data):
    """TIFF 外壳的相机原始文件：有 DNG 的标记、是 CR2、像素还没有去马赛克，或第一页只是缩略图。"""
    if data[8:10] == b"CR":
        return True
    order = "<" if data[:2] == b"II" else ">"
    tags = {}
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        for i in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHI4s", data, start + 2 + 12 * i)
            tags[tag] = struct.unpack(order + ("H2x" if kind == 3 else "I"), value)[0]
    except struct.error:  # 坏的目录：留给 Pillow 说
        return False
    is_thumbnail = tags.get(_SUBFILE_TYPE, 0) & 1
    return _DNG_VERSION in tags or is_thumbnail or tags.get(_PHOTOMETRIC) in (_CFA, _LINEAR_RAW)


# ---- PNG ----


def png_chunks(data):
    """依次给出 PNG 的各块：(类型, 内容, CRC 对不对)；最后一块不完整时，内容就是余下的字节。"""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        yield kind, body, data[at + 8 + length : at + 12 + length] == zlib.crc32(kind + body).to_bytes(4, "big")
        at += 12 + length
        if kind == b"IEND":
            return


def png_for_pixels(data):
    """只留下像素与转正要用的块；坏的、太大的文字、颜色描述之类都不要，动图只留默认的一帧。"""
    at, kept = 8, [data[:8]]
    for kind, body, is_intact in png_chunks(data):
        if kind in _PNG_PIXELS or (is_intact and _tells_orientation(kind, body)):
            kept.append(data[at : at + 12 + len(body)])
        at += 12 + len(body)
    return b"".join(kept)


def _tells_orientation(kind, body):
    if kind == b"eXIf":
        return body.removeprefix(b"Exif\0\0")[:4] in (b"II*\0", b"MM\0*")
    keyword, _, rest = body.partition(b"\0")
    if keyword == b"XML:com.adobe.xmp":
        return kind == b"iTXt" and rest[:1] == b"\0" and len(body) < _TEXT_LIMIT
    if keyword != b"Raw profile type exif":  # ImageMagick 这样写
        return False
    return len(body) < _TEXT_LIMIT if kind == b"tEXt" else kind == b"zTXt" and _inflates(rest[1:])


def _inflates(compressed):
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(compressed, _TEXT_LIMIT)
    except zlib.error:
        return False
    return not inflate.unconsumed_tail


# ---- JPEG ----


def jpeg_scan(data):
    """走过 JPEG 的各段，直到第一次扫描（scan）：返回 (它的像素数据从哪个字节起, 是否只有这一次扫描, 采样数/像素)。

    渐进式（progressive）或各分量分开存的 JPEG 有多次扫描，解码时要把全图的系数都放在内存里：采样数乘 2 字节。
    段的结构读不懂时返回 (None, False, 0)，由解码器去说。
    """
    at, components, sequential, samples = 2, 0, False, 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) > 5:
            components, sequential = body[5], marker in (0xC0, 0xC1)
            factors = [(byte >> 4) * (byte & 15) for byte in body[7 : 6 + 3 * components : 3]]
            samples = sum(factors) / max([1, *factors])
        if marker == 0xDA:
            return at + 2 + length, sequential and body[:1] == bytes([components]), samples
        at += 2 + length
    return None, False, 0


def jpeg_without_end(data, start):
    """去掉结束标记、补上 8 个字节的 JPEG：像素数据不够时，解码器只好说“不完整”。没有结束标记则原样返回。

    libjpeg 遇到结束标记而数据还不够，只警告一声（Pillow 不转告），余下的全填成灰色；数据用完而没有结束标记，
    它才停下来等。8 个字节是它预读的长度，完整的照片用不到其中的内容，像素不变。只用于一次扫描的 JPEG；渐进式的
    要等到结束标记才开始输出，中途截断又补上结束标记的渐进式 JPEG 查不出来，读到的是模糊的或只有上半的照片。
    """
    if data.endswith(JPEG_END):
        end = len(data) - 2
    else:
        marker = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(data, start)
        if not marker or marker.group() != JPEG_END:
            return data
        end = marker.start()
    return data[:end] + bytes(8)
