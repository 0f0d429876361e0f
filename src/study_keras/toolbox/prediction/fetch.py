"""从网址取一张照片到内存里：有大小、时间、转向次数的上限，不写任何文件。"""

import time

from toolbox.downloads.requesting import in_time, reason
from toolbox.photos.read import PhotoError

MOST_BYTES = 50_000_000
SECONDS = 30.0  # 从头到尾最多用这么久
STALL = 8.0  # 最多停顿这么久
MOST_REDIRECTS = 5
_CHUNK = 1 << 16


def fetch(address, seconds=SECONDS, most_bytes=MOST_BYTES):
    """返回 http(s) 地址上的字节。

    Raises:
        PhotoError: 连不上、没有应答、太慢、太大、转向太多，或给的不是文件。
    """
    try:
        return in_time(seconds, _download, address, time.monotonic() + seconds, most_bytes)
    except PhotoError:
        raise
    except TimeoutError:
        raise PhotoError(f"太慢，{seconds:g} 秒还没有下载完") from None
    except Exception as error:
        raise PhotoError(reason(error)) from None


def _download(address, deadline, most_bytes):
    import requests

    with requests.Session() as session:
        session.max_redirects = MOST_REDIRECTS
        with session.get(address, stream=True, timeout=STALL) as response:
            if response.status_code != 200:
                raise PhotoError(f"服务器答复 {response.status_code}")
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise PhotoError("给的是网页，不是照片")
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and int(length) > most_bytes:
                raise _too_large(most_bytes)
            data = bytearray()
            for chunk in response.iter_content(_CHUNK):
                data += chunk
                if len(data) > most_bytes:
                    raise _too_large(most_bytes)
                if time.monotonic() > deadline:  # 等的一方已经走了
                    raise PhotoError("太慢")
            return bytes(data)


def _too_large(most_bytes):
    return PhotoError(f"文件太大（从网址取的最多 {most_bytes / 1e6:.0f} MB）")
