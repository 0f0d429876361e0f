"""各种像素变成 8 位 RGB：由格式声明的类型决定怎样缩放，不看照片里最亮的一个像素。"""

import numpy as np
from PIL import Image

from toolbox.photos import tiff

_STRIP_BYTES = 2**20  # 大图一条一条地转换，每条约这么多字节
_SMALL = 2**25  # 解码后不到这么多字节的，整张一次转换
_SAMPLE = 1000  # 看数值的分布时，最多取这么多行、列
_INTEGER_RANGES = {  # TIFF 的 (位数, SampleFormat) → 最小与最大的值
    (8, 2): (-(2**7), 2**7 - 1),
    (16, 2): (-(2**15), 2**15 - 1),
    (32, 1): (0, 2**32 - 1),
    (32, 2): (-(2**31), 2**31 - 1),
}


def decoded_bytes(image):
    """这张图像解码后在 Pillow 里占多少字节。"""
    width, height = image.size
    return width * height * (1 if image.mode in ("1", "L", "P") else 2 if image.mode.startswith("I;16") else 4)


def to_rgb(image, factor, notes, png_depth=8):
    """返回 8 位 RGB 图像，宽高都缩小到 1/factor（每 factor × factor 个像素取平均）。

    Args:
        png_depth: PNG 的位深；它的透明色按这个位深写。
        notes: 列表，转换了什么就添上一句。
    """
    convert = _converter(image, notes, png_depth)
    width, height = image.size
    if factor == 1 and decoded_bytes(image) <= _SMALL:
        return convert(image)
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, _STRIP_BYTES // (4 * width * factor))
    for top in range(0, height, rows):
        strip = convert(image.crop((0, top, width, min(top + rows, height))))
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return small


def _converter(image, notes, png_depth):
    """一个把 image 的一条变成 RGB 的函数；看全图才能定的（数值范围、是否透明）在这里定好。"""
    transparent = _transparent_color(image, png_depth)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I") or image.mode == "F" or tiff.is_signed_bytes(image):
        low, high = _value_range(image, tags, notes)
        return lambda strip: _gray(strip, low, high, transparent)
    if png_depth == 16 or tags.get(tiff.BITS, (8,))[0] == 16:
        notes.append("16 位转成了 8 位")
    if image.mode == "CMYK":
        notes.append("CMYK 转成了 RGB")
    alpha = image.getextrema()[3] if image.mode == "RGBA" else (0, 0)
    if alpha[0] == 255 or (alpha == (0, 0) and image.mode == "RGBA" and image.format == "BMP"):
        return lambda strip: strip.convert("RGB")  # 处处不透明；BMP 的第四个字节全是零则是没有写
    if image.has_transparency_data:
        notes.append("透明处填成了白色")
        return lambda strip: _on_white(strip, transparent)
    return lambda strip: strip if strip.mode == "RGB" else strip.convert("RGB")


def _transparent_color(image, png_depth):
    """PNG 里灰度与 RGB 的透明色（tRNS），换成 Pillow 的像素值；Pillow 只在 8 位时换得对。"""
    color = image.info.get("transparency")
    if image.format != "PNG" or color is None or image.mode == "P" or isinstance(color, bytes):
        return color
    if image.mode == "RGB" and png_depth == 16:
        return tuple(value >> 8 for value in color)  # Pillow 只留下高 8 位
    if image.mode == "L":
        return color * 255 // (2**png_depth - 1)
    return color


def _on_white(strip, transparent):
    if transparent is not None:
        strip.info["transparency"] = transparent
    strip = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")


def _gray(strip, low, high, transparent):
    """16 位、32 位、浮点的灰度：low 变成 0，high 变成 255，其余按比例，超出的截断；NaN 当作 0。"""
    values = np.asarray(strip)
    is_transparent = None if transparent is None else values == transparent
    if min(low, high) == 0 and max(low, high) == 2**32 - 1:
        values = values.view(np.uint32)  # Pillow 把它当作有符号的
    elif values.dtype == np.uint8:
        values = values.view(np.int8)  # 反之
    pixels = (np.nan_to_num(values.astype(np.float64), nan=min(low, high)) - low) * (255 / (high - low))
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    if is_transparent is not None:
        pixels[is_transparent] = 255
    return Image.fromarray(pixels).convert("RGB")


def _value_range(image, tags, notes):
    """(变成 0 的值, 变成 255 的值)，由格式声明的类型决定；WhiteIsZero 的 TIFF 是反的。"""
    bits = tags.get(tiff.BITS, (16,))[0]
    if image.mode == "F":
        low, high = _float_range(image, tags)
    elif image.mode in ("I", "L") and tags:
        low, high = _INTEGER_RANGES[bits, tags.get(tiff.SAMPLE_FORMAT, (1,))[0]]
    else:  # I;16；16 位的 PPM 在 Pillow 里是 I，也已缩放到 65535
        low, high = 0, 2 ** min(bits, 16) - 1
        used = int(_sample(image).max()).bit_length()
        if bits == 16 and 0 < used < 15:
            notes.append(f"16 位的文件只用到 {used} 位，照 16 位读，会偏暗（可能是 {max(used, 10)} 位的数据没有放大）")
    kind = "浮点" if image.mode == "F" else f"{bits} 位"
    if bits != 8:
        notes.append(f"{kind}转成了 8 位")
    return (high, low) if tags.get(tiff.PHOTOMETRIC) == 0 else (low, high)


def _float_range(image, tags):
    """浮点的范围：文件写明了（SMinSampleValue、SMaxSampleValue）就照它；否则是 0 至 1、0 至 255、0 至 65535 之一。

    三者之中取哪个，看除去最亮的千分之一（至少一个像素）之后的最大值：不超过 2、不超过 512、更大。所以几个离群的
    像素改变不了整张照片，只是自己被截断。
    """
    declared = [tags.get(tag) for tag in (tiff.LOWEST, tiff.HIGHEST)]
    if all(value is not None for value in declared):
        low, high = (float(np.ravel(value)[0]) for value in declared)
        if np.isfinite([low, high]).all() and low < high:
            return low, high
    values = np.asarray(_sample(image))
    values = values[np.isfinite(values)]
    brightest = np.quantile(values, 0.999, method="lower") if len(values) else 1
    return 0, 1 if brightest <= 2 else 255 if brightest <= 512 else 65535


def _sample(image):
    """像素值的数组；大图只隔着取一些，值不变。"""
    width, height = image.size
    if max(width, height) > _SAMPLE:
        image = image.resize((min(width, _SAMPLE), min(height, _SAMPLE)), Image.Resampling.NEAREST)
    return np.asarray(image)
