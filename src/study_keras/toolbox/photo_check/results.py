"""逐张检查的结果，存在一个 SQLite 文件里：内存与张数无关，被杀了也不丢已经查过的。"""

import errno
import hashlib
import json
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

from toolbox.terminal.errors import UserError
from toolbox.terminal.files import temporary_folder
from toolbox.terminal.locks import one_process_at_a_time
from toolbox.terminal.text import visible

VERSION = 3  # 改了查什么、怎样量，就加一：旧的结果不再能用
_TABLE = """
CREATE TABLE IF NOT EXISTS photos (
    id INTEGER PRIMARY KEY, name BLOB UNIQUE, class INTEGER, part TEXT, size INTEGER, state TEXT,
    seen INTEGER, checked INTEGER, reason TEXT, sha256 TEXT, print BLOB, notes TEXT,
    width INTEGER, height INTEGER, brightness REAL, sharpness REAL, leader TEXT, scene INTEGER
)
"""
_NOTE_FILE = """
INSERT INTO photos (name, class, part, size, state, seen, checked) VALUES (?, ?, ?, ?, ?, 1, 0)
ON CONFLICT (name) DO UPDATE SET
    checked = COALESCE(checked AND reason IS NULL AND state = excluded.state, 0),
    class = excluded.class, part = excluded.part, size = excluded.size, state = excluded.state, seen = 1
"""
_KEEP = """
UPDATE photos SET checked = 1, leader = NULL, scene = NULL, reason = ?, sha256 = ?, print = ?, notes = ?,
    width = ?, height = ?, brightness = ?, sharpness = ? WHERE id = ?
"""


class Results:
    """一个照片文件夹逐张检查的结果。

    名字（name）是相对于照片文件夹的路径，用 / 分隔；类别是它在类别名单里的序号。文件没有变（见 _state），
    以前的结果就直接用；以前读不出来的每次都重查（可能刚装了读它的包）。
    """

    def __init__(self, database, root):
        self.database = database
        self.root = root

    def note_files(self, files):
        """记下现有的文件 [(路径, 类别的序号, 部分), ...]；没有记下的（已经不在的）删去。"""
        self.database.execute("UPDATE photos SET seen = 0")
        rows = ((os.fsencode(self._name(path)), number, part, *_state(path)) for path, number, part in files)
        self.database.executemany(_NOTE_FILE, rows)
        self.database.execute("DELETE FROM photos WHERE NOT seen")
        self.database.commit()

    def waiting(self, after, most):
        """还没有查的至多 most 个：[(编号, 路径), ...]，编号大于 after，从小到大。"""
        rows = self.database.execute(
            "SELECT id, name FROM photos WHERE NOT checked AND id > ? ORDER BY id LIMIT ?", (after, most)
        )
        return [(number, self.root / os.fsdecode(name)) for number, name in rows]

    def keep(self, checked):
        """存下一批结果 [(编号, check_photo 的结果), ...]，落到磁盘上。"""
        self.database.executemany(_KEEP, (_row(number, result) for number, result in checked))
        self.database.commit()

    def keep_leaders(self, leaders):
        """存下几乎相同的照片的组：[(组里第一张的 SHA-256, 编号), ...]。"""
        self.database.executemany("UPDATE photos SET leader = ? WHERE id = ?", leaders)
        self.database.commit()

    def keep_scenes(self, scenes):
        """存下每种内容是第几个画面（几乎相同的是同一个，不分类别）：[(画面, 其中一张的编号), ...]。"""
        same_content = "sha256 = (SELECT sha256 FROM photos WHERE id = ?)"
        self.database.executemany(f"UPDATE photos SET scene = ? WHERE {same_content}", scenes)
        self.database.commit()

    def select(self, columns, rest="", values=()):
        """依次给出 SELECT columns FROM photos rest 的各行；name 列变成文字，notes 列变成列表。"""
        decode = {"name": os.fsdecode, "notes": lambda text: json.loads(text or "[]")}
        decoders = [decode.get(column.strip(), lambda value: value) for column in columns.split(",")]
        for row in self.database.execute(f"SELECT {columns} FROM photos {rest}", values):
            yield tuple(decoder(value) for decoder, value in zip(decoders, row, strict=True))

    def count(self, condition):
        """有几张合乎条件。"""
        return self.database.execute(f"SELECT COUNT(*) FROM photos WHERE {condition}").fetchone()[0]

    def _name(self, path):
        return path.relative_to(self.root).as_posix()


@contextmanager
def open_results(root, cache_dir, keep=True):
    """打开 root 这个照片文件夹的结果（放在 cache_dir/photo_check 里），用完关上；坏了的、旧版本的从头来过。

    Args:
        keep: False 表示放在临时文件夹里，用完删掉。
    """
    if not keep:
        with temporary_folder("photo_check") as folder, open_results(root, folder) as results:
            yield results
        return
    folder = Path(os.path.expanduser(cache_dir)) / "photo_check"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.sqlite"
    with one_process_at_a_time(path.with_suffix(".lock"), "检查这个照片文件夹"), _sqlite_errors(path):
        with closing(_connect(path)) as database:
            yield Results(database, root)


@contextmanager
def _sqlite_errors(path):
    """SQLite 说磁盘满了、没有权限，换成 OSError；查到一半发现它坏了，说该怎么办。"""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(errno.ENOSPC if "full" in str(error) else None, str(error), str(path)) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # 别的是课程自己的错
            raise
        raise UserError(f"检查结果 {visible(path)} 坏了（{error}）。请删掉它，再运行一次。") from error


def _connect(path):
    try:
        database = sqlite3.connect(path)
        if database.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
            raise sqlite3.DatabaseError("旧版本")
        if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("损坏")
        database.execute(_TABLE)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # 磁盘、权限的问题，不是文件坏了
            raise
        database.close()
        path.unlink()
        print(f"以前的检查结果 {visible(path)} 不能用了，从头查。")
        database = sqlite3.connect(path)
        database.execute(_TABLE)
    database.execute("CREATE INDEX IF NOT EXISTS by_content ON photos (sha256)")
    database.execute(f"PRAGMA user_version = {VERSION}")
    return database


def _state(path):
    """(大小, 认得出它变没变的文字)；读不到的每次都算变了。

    只看大小与修改时间不够：两张一样大、时间相同的（解压出来的 BMP）换了名字，看不出来。
    """
    try:
        status = path.stat()
    except OSError:
        return -1, None
    return status.st_size, f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _row(number, result):
    if len(result) == 1:
        return (visible(result[0]), *[None] * 7, number)
    sha256, fingerprint, notes, measured = result
    return (None, sha256, fingerprint, json.dumps(notes) if notes else None, *measured, number)
