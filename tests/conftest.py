"""各测试共用的照片与文件夹。照片都由 NumPy 当场生成，不需要网络。"""

import functools
import importlib
import os
import re
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image

from toolbox import drawn_flowers
from toolbox.terminal.errors import UserError
from toolbox.web import litertjs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

PROJECT_DIR = Path(__file__).resolve().parents[1]
LESSONS_DIR = PROJECT_DIR / "src" / "study_keras"


def hear_ctrl_c():
    """Popen 的 preexec_fn：测试若是后台作业，SIGINT 被忽略，子进程也继承；让它照常听得见 Ctrl-C。"""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def refuse_to_replace(monkeypatch, path):
    """os.replace 动不了 path：Windows 上，正被别的程序开着的文件、里面有文件开着的文件夹就是这样。"""
    refuse_to_rename(monkeypatch, lambda *both: str(path) in both)


def refuse_to_rename(monkeypatch, refused):
    """os.replace 像 Windows 那样拒绝；refused(从哪里, 到哪里) 说这一次拒不拒绝，两个都是文字。"""
    replace = os.replace

    def locked(source, target):
        if refused(str(source), str(target)):
            raise PermissionError(13, "Access is denied", str(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)


def random_pixels(seed, height=90, width=120):
    """一张平滑的随机彩色图，uint8，(height, width, 3)；不同 seed 的感知哈希也不同。"""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save_jpeg(path, seed, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_pixels(seed, **kwargs)).save(path, quality=92)
    return path


@pytest.fixture
def photo_dir(tmp_path):
    """三个类别、各 12 张互不相同的照片。"""
    root = tmp_path / "photos"
    for k, name in enumerate(("daisy", "roses", "tulips")):
        for i in range(12):
            save_jpeg(root / name / f"{i:02}.jpg", seed=100 * k + i)
    return root


@pytest.fixture(scope="session")
def shared_dir(tmp_path_factory):
    """整个测试共用的临时文件夹；pytest-xdist 的几个进程也共用，做过的不必各做一遍。"""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "共用"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def all_flowers(shared_dir):
    """整个测试共用的画的花，每类 80 张；路径里有中文与空格。"""
    return drawn_flowers.draw_folder(shared_dir / "花" / "drawn flowers", per_class=80)


@pytest.fixture(scope="session")
def flowers(all_flowers):
    """画的花；只要几张的测试文件自己另定。"""
    return all_flowers


@pytest.fixture(scope="session")
def first_flowers(all_flowers, shared_dir):
    """first_flowers(n)：all_flowers 中每类的前 n 张，另成一个文件夹。"""

    @functools.cache
    def first(per_class):
        folder = shared_dir / f"花 {per_class}" / "drawn flowers"
        with filelock.FileLock(shared_dir / "first_flowers.lock"):
            if folder.exists():
                return folder
            for path in all_flowers.glob("*/*.jpg"):
                if int(path.stem) < per_class:
                    (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
                    shutil.copy2(path, folder / path.parent.name)
        return folder

    return first


@pytest.fixture(scope="session")
def cache_dir(shared_dir):
    """整个测试共用的缓存的特征；讲从头算起的测试各用各的。"""
    return shared_dir / "cache"


@pytest.fixture(scope="session")
def model_folder_of(first_flowers, cache_dir, shared_dir):
    """model_folder_of(课, *选项)：用画的花训练一次的模型文件夹，整个测试共用，不要改它。课：1 或 3。"""
    output_dir = shared_dir / "模型"

    @functools.cache
    def train(number, *options):
        lesson = importlib.import_module({1: "hello_transfer_learning", 3: "hello_fine_tuning"}[number])
        name = "-".join((f"lesson_{number}", *options)).replace("--", "")
        common = ["--images-dir", str(first_flowers(40)), "--cache-dir", str(cache_dir), "--epochs", "2"]
        with filelock.FileLock(shared_dir / f"{name}.lock"):
            if not (output_dir / name).exists():
                lesson.main([*common, *options, "--output-dir", str(output_dir), "--name", name])
        return output_dir / name

    return train


@pytest.fixture(scope="session")
def small_model_folder(tmp_path_factory):
    """没有训练过的小模型的文件夹，整个测试共用，不要改它。"""
    from small_model import write_small_model_folder

    folder = tmp_path_factory.mktemp("模型") / "small model"
    write_small_model_folder(folder)
    return folder


@pytest.fixture(scope="session")
def litertjs_packages():
    """LiteRT.js 的两个包：{包: Path}；没有 npm 也没有网络就跳过并说明。"""
    with skipping_without_network():
        return litertjs.fetch()


@contextmanager
def skipping_without_network():
    """取 LiteRT.js 时没有 npm、连不上网就跳过；别的错误照样是错误。"""
    try:
        yield
    except UserError as error:
        if not re.search(
            "没有找到 npm|等了|E(NOTFOUND|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH)|EAI_AGAIN", str(error)
        ):
            raise
        pytest.skip(f"取不到 LiteRT.js，跳过要用它的测试：{error}")


@pytest.fixture(scope="session")
def real_photos():
    """真实照片 flower_photos 的文件夹（或 .tgz），由环境变量 STUDY_KERAS_PHOTOS 指出；没有就跳过并说明。"""
    given = os.environ.get("STUDY_KERAS_PHOTOS")
    if not given:
        pytest.skip("没有设置 STUDY_KERAS_PHOTOS（flower_photos 文件夹的路径），跳过要用真实照片的测试")
    assert Path(given).is_dir(), f"STUDY_KERAS_PHOTOS 指的不是文件夹：{given}"
    return Path(given)
