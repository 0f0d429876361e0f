"""按内容寻址的缓存：特征，一行（row）一个 float32 数组，以 16 字节的键存取。

一行按它那张照片内容哈希的前两位十六进制数分到 256 个桶（bucket）之一。每次把一个桶里缺的行写成一个段文件：

    标记（8 字节）  行数、每行字节数（各 4 字节）  键（每行 16 字节）  各行数据  CRC-32（4 字节）

段文件名由它所含的键决定，先写在旁边再改名，写好后永不改变。于是无论在何时被杀、以什么顺序算、几个进程
一起算，得到的文件都相同；不需要锁，也不需要同时打开很多文件。
"""

import hashlib
import itertools
import os
import struct
import zlib
from collections import defaultdict, namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from toolbox.terminal.errors import UserError, disk_errors
from toolbox.terminal.files import written_aside
from toolbox.terminal.leftovers import remove_leftovers

_MAGIC = b"PREFIX1\n"
_HEADER = struct.Struct("<8sII")
_CRC = struct.Struct("<I")
_KEY_BYTES = 16
_CHUNK = 1 << 20  # 校验时每次读这么多字节
ELSEWHERE = "用 --cache-dir 换一个磁盘（用了 --no-cache，就用环境变量 TMPDIR 换）"

Place = namedtuple("Place", "file offset")  # 一行在哪个段文件的哪个字节


_AGAIN = "请重新运行，会把缺的算出来。"


class PrefixStore:
    """一个文件夹里的各段文件，每行的形状都是 row_shape。"""

    def __init__(self, folder, row_shape):
        self.folder = Path(folder)
        self.row_shape = tuple(row_shape)
        self.row_bytes = 4 * int(np.prod(self.row_shape))
        with disk_errors(self.folder, ELSEWHERE):
            self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)

    def segments(self):
        """{桶: 它的各段文件}，顺序固定。"""
        buckets = defaultdict(list)
        for path in sorted(self.folder.glob("*.rows")):
            buckets[path.name[:2]].append(path)
        return buckets

    def find(self, segments, wanted):
        """在一个桶的各段文件里找 wanted（键的集合），返回 ({键: Place}, 丢弃的损坏文件数)。

        含有所要的行的段文件都从头到尾校验一遍；损坏的删掉，里面的行就成了缺的，会重新算。
        """
        places, damaged = {}, 0
        for path in segments:
            try:
                keys = self._keys(path)
                is_its_name = keys is not None and path == self.segment(path.name[:2], keys)  # 键坏了，名字就对不上
                intact = is_its_name and (wanted.isdisjoint(keys) or _is_intact(path))
            except FileNotFoundError:  # 另一个进程刚刚因为损坏而删掉了它
                continue
            if not intact:
                path.unlink(missing_ok=True)
                damaged += 1
                continue
            first_row = _HEADER.size + len(keys) * _KEY_BYTES
            for i, key in enumerate(keys):
                if key in wanted:
                    places.setdefault(key, Place(path, first_row + i * self.row_bytes))
        return places, damaged

    def _keys(self, path):
        """段文件里的键；文件头或长度不对则返回 None。"""
        with open(path, "rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            magic, count, row_bytes = _HEADER.unpack(header)
            size = _HEADER.size + count * (_KEY_BYTES + row_bytes) + _CRC.size
            if (magic, row_bytes, os.fstat(file.fileno()).st_size) != (_MAGIC, self.row_bytes, size):
                return None
            keys = file.read(count * _KEY_BYTES)
        return [keys[i : i + _KEY_BYTES] for i in range(0, len(keys), _KEY_BYTES)]

    def segment(self, bucket, keys):
        """恰好依次装着这些键的段文件的路径。"""
        return self.folder / f"{bucket}-{hashlib.sha256(b''.join(keys)).hexdigest()[:16]}.rows"

    @contextmanager
    def writing(self, bucket, keys):
        """给出 append(rows)，按 keys 的顺序写各行；正常结束时段文件才出现，否则什么也不留下。"""
        path = self.segment(bucket, keys)
        with disk_errors(self.folder, ELSEWHERE), written_aside(path, reproducible=True) as file:
            crc = 0

            def write(data):
                nonlocal crc
                crc = zlib.crc32(data, crc)
                file.write(data)

            write(_HEADER.pack(_MAGIC, len(keys), self.row_bytes) + b"".join(keys))
            yield lambda rows: write(np.ascontiguousarray(rows, "<f4").data.cast("B"))
            file.write(_CRC.pack(crc))

    def read(self, files, offsets):
        """读出各行，返回形状 (行数, *row_shape) 的 float32 数组；同一时刻只打开一个文件。

        Args:
            files: 各行所在的段文件。
            offsets: 各行在文件里的位置。

        Raises:
            UserError: 文件变短了，或不见了。
        """
        rows = np.empty((len(files), *self.row_shape), "<f4")
        order = sorted(range(len(files)), key=lambda i: (files[i], offsets[i]))
        for path, group in itertools.groupby(order, key=files.__getitem__):
            try:
                with open(path, "rb") as file:
                    for i in group:
                        file.seek(offsets[i])
                        if file.readinto(rows[i].data.cast("B")) < self.row_bytes:
                            raise UserError(f"缓存文件 {path} 在用的时候变短了。{_AGAIN}")
            except FileNotFoundError:
                raise UserError(f"缓存文件 {path} 在用的时候不见了。{_AGAIN}") from None
            except OSError as error:
                why = f"缓存文件 {path} 在用的时候读不了（{error.strerror or error}）"
                raise UserError(f"{why}。请检查它所在的磁盘，或用 --cache-dir 换一个。") from None
        return rows


def _is_intact(path):
    """CRC-32 对不对；不论文件多大，只占一小块内存。"""
    left, crc, chunk = path.stat().st_size - _CRC.size, 0, memoryview(bytearray(_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while left > 0:
            count = file.readinto(chunk[: min(left, _CHUNK)])
            if not count:
                return False
            crc = zlib.crc32(chunk[:count], crc)
            left -= count
        return file.read() == _CRC.pack(crc)
