"""补上 Pillow 读 TIFF 的几处不足：它不认识的灰度，与它会默默读错的排列。"""

import sys

from PIL import ImageFile, TiffImagePlugin

BITS, PHOTOMETRIC, SAMPLE_FORMAT, LOWEST, HIGHEST = 258, 262, 339, 340, 341  # 标签的编号
_ROWS_PER_STRIP, _TILE_WIDTH, _PLANAR = 278, 322, 284
_SIGNED, _FLOAT = 2, 3
_GRAY = {  # (位数, SampleFormat) → Pillow 的模式、原始模式（大端的在位数之后加 B）
    (8, _SIGNED): ("L", "L"),
    (16, 1): ("I;16{}", "I;16{}"),
    (16, _SIGNED): ("I", "I;16{}S"),
    (32, 1): ("I", "I;32{}S"),
    (32, _SIGNED): ("I", "I;32{}S"),
    (32, _FLOAT): ("F", "F;32{}F"),
    (64, _FLOAT): ("F", "F;64{}F"),
}
for _order, _big in ((b"II", ""), (b"MM", "B")):
    for (_bits, _format), _modes in _GRAY.items():
        for _photometric in (0, 1):  # 0 是 WhiteIsZero：反相由 pixels.py 处理
            _key = (_order, _photometric, (_format,), 1, (_bits,), ())
            TiffImagePlugin.OPEN_INFO.setdefault(_key, tuple(mode.format(_big) for mode in _modes))


def mend_tiles(image):
    """改正 Pillow 排好的解码步骤，在 image.load() 之前调用。

    压缩的由 libtiff 解开，字节序已是本机的，Pillow 只对 16 位无符号的这样看；不压缩、各通道分开放（planar）的
    16 位，Pillow 当成 8 位的读。
    """
    native = "B" if sys.byteorder == "big" else ""
    is_planar_16 = image.tag_v2.get(_PLANAR) == 2 and image.tag_v2.get(BITS, (8,))[0] == 16
    big = "B" if image.tag_v2.prefix == b"MM" else "L"
    tiles = []
    for decoder, extents, offset, (raw_mode, *rest) in image.tile:
        if decoder == "libtiff" and raw_mode[:4] in ("I;16", "I;32", "F;32", "F;64") and raw_mode[-1] in "SF":
            raw_mode = f"{raw_mode[:4]}{native}{raw_mode[-1]}"
        elif decoder == "raw" and is_planar_16 and len(raw_mode) == 1:
            raw_mode += f";16{big}"
        tiles.append(ImageFile._Tile(decoder, extents, offset, (raw_mode, *rest)))
    image.tile = tiles


def strip_share(image):
    """解码时一次解开的一条（strip）占全图的几分之几。"""
    if _TILE_WIDTH in image.tag_v2:
        return 0
    height = image.size[1]
    return min(image.tag_v2.get(_ROWS_PER_STRIP, height), height) / height


def is_signed_bytes(image):
    """8 位有符号的灰度：Pillow 按无符号的读。"""
    return image.mode == "L" and getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, (1,))[0] == _SIGNED
