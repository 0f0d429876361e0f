"""导入 TensorFlow：不显示它启动时的一串英文，也不白等。"""

import gc
import os
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress

os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # 读 .h5 的权重不用锁；有的网络硬盘锁不了，就读不成


@contextmanager
def without_native_messages():
    """其间由 C++ 直接写到标准错误的英文信息都收起来；出错时照样显示。

    TensorFlow 启动时的信息在它的日志系统就绪之前写出，TF_CPP_MIN_LOG_LEVEL 管不到，只能在文件描述符上拦。
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with _scratch_file() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(screen, messages.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def _scratch_file():
    try:
        return tempfile.TemporaryFile()
    except OSError:  # 没有能写的临时文件夹：只是出错时少了这些信息
        return open(os.devnull, "r+b")


_loading_tensorflow = threading.Lock()


def load_tensorflow():
    """导入并返回 tensorflow，不显示它启动时的一串英文信息；preload_tensorflow 正在载入，就等它。"""
    with _loading_tensorflow:
        if "tensorflow" not in sys.modules:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            with _without_garbage_collection(), without_native_messages():
                import absl.logging
                import tensorflow as tf

                absl.logging.set_verbosity(absl.logging.ERROR)
                tf.get_logger().addFilter(_is_not_about_retracing)
                tf.config.list_physical_devices()  # 找 GPU 也有一串信息，让它现在就说完
        return sys.modules["tensorflow"]


def _is_not_about_retracing(record):
    """--repeats 每个种子建一个新模型，各编译一次；TensorFlow 只数次数，误以为是同一个模型在反复编译。"""
    return "triggered tf.function retracing" not in record.getMessage()


def is_loading():
    """此刻有没有线程正在载入 TensorFlow。"""
    return _loading_tensorflow.locked()


def preload_tensorflow():
    """在另一个线程里先载入起来；主线程等着别的进程检查照片时，解释器正好空着。之后照常调用 load_tensorflow。"""
    import imagehash  # noqa: F401
    import scipy.fftpack  # noqa: F401  两个线程都要用的库先导入好：同时第一次导入同一个库会出错

    def load():
        with suppress(Exception):  # 主线程调用 load_tensorflow 时会再遇到，由它来说
            load_tensorflow()

    threading.Thread(target=load, daemon=True).start()


@contextmanager
def _without_garbage_collection():
    """其间不找垃圾，之后也不再看其间建立的对象：上百万个都会一直用到最后，一遍遍扫描它们要半秒多。"""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
