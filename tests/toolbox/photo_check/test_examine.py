"""toolbox/photo_check/examine.py：量一张照片。"""

import io

import numpy as np
import pytest
from PIL import Image

from toolbox.photo_check.examine import _measure

ORIENTATION, ROTATED = 0x0112, 6


@pytest.mark.parametrize("size", [(300, 200), (200, 447), (448, 600), (2000, 900), (5300, 4800)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("turned", [False, True])
def test_the_size_is_that_of_the_upright_original_however_it_is_read(size, kind, turned):
    """很大的 JPEG 缩小着解码、很大的 PNG 读完就缩小；报告的仍是原图正立时的宽高。"""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED if turned else 1
    Image.new("RGB", size, (90, 120, 30)).save(buffer, kind, exif=exif)
    width, height, brightness, sharpness = _measure(
        lambda pixels: (pixels.max(), np.ptp(pixels[..., 0])), buffer.getvalue()
    )
    assert (width, height) == (size[::-1] if turned else size)
    assert brightness == pytest.approx(120, abs=2) and sharpness <= 2
