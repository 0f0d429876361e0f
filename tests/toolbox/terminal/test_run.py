"""命令行约定：退出码、一行中文错误、中文帮助、进度。"""

import errno
import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import LESSONS_DIR, hear_ctrl_c
from toolbox import evaluation
from toolbox.terminal.errors import explain
from toolbox.terminal.progress import Progress
from toolbox.terminal.text import columns

SCRIPT = """
import sys
sys.path.insert(0, {lessons!r})
from toolbox.terminal import tensorflow_start
from toolbox.terminal.arguments import ArgumentParser, positive_int
from toolbox.terminal.errors import UserError
from toolbox.terminal.progress import Progress
from toolbox.terminal.run import run_main
from toolbox.terminal.tensorflow_start import load_tensorflow, preload_tensorflow, without_native_messages
def main(argv=None):
    parser = ArgumentParser("试验")
    parser.add_argument("--count", type=positive_int, default=3, help="个数")
    args = parser.parse_args(argv)
    {body}
run_main(main, when_interrupted="都还在。")
"""


def run_script(body, *arguments, **kwargs):
    script = SCRIPT.format(lessons=str(LESSONS_DIR), body=body)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.run([sys.executable, "-c", script, *arguments], **(streams | kwargs))


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("print(args.count)", 0, ""),
        ("raise UserError('照片没了。请找回来。')", 2, "错误：照片没了。请找回来。"),
        ("open('/nowhere/x')", 2, "错误：找不到文件或文件夹（/nowhere/x）"),
        ("raise OSError(28, 'No space left on device')", 2, "错误：磁盘满了。"),
        ("sys.exit()", 0, ""),
        ("raise KeyboardInterrupt", 130, "已中断。都还在。"),
        ("raise ValueError('a\\nb')", 1, "错误：程序没有料到的情况（ValueError: a b）"),
        ("raise MemoryError", 1, "错误：内存不够。"),
        ("raise RuntimeError('OOM when allocating tensor with shape[9,9]')", 1, "错误：内存不够。"),
        ("raise UserError('类别 a\\x1b[2J\\u2028b 太少。')", 2, r"错误：类别 a\x1b[2J\u2028b 太少。"),
        ("open('/nowhere/\\x1b[2J')", 2, r"（/nowhere/\x1b[2J）"),
        ("raise KeyError('\\u202e')", 1, r"KeyError: '\u202e'"),
        ("raise RuntimeError('a/model.data; No space left on device')", 2, "错误：磁盘满了"),
    ],
)
def test_exit_codes_and_one_line(body, code, words):
    done = run_script(body)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == (1 if code else 0)


@pytest.mark.skipif(os.name == "nt", reason="要 POSIX 的 shell")
@pytest.mark.parametrize("closed, code", [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("<&- >&- 2>&-", 0)])
def test_closed_output_is_no_error(closed, code, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(LESSONS_DIR)!r})\n"
        "from toolbox.terminal.run import run_main\n"
        "from toolbox.terminal.tensorflow_start import without_native_messages\n"
        "run_main(without_native_messages()(lambda argv: print('好了')))\n",
        encoding="utf-8",
    )
    done = subprocess.run(f"'{sys.executable}' '{script}' {closed}", shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.skipif(os.name == "nt", reason="Windows 上管道的另一头关了，报的是另一种错误")
@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_a_reader_who_has_gone_is_no_error(arguments):
    """输出还在缓冲里，读的一方已经走了：不再出一段英文。"""
    read, write = os.pipe()
    os.close(read)
    done = run_script("print('答案')", *arguments, stdout=write, env=BUFFERED)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="这个系统没有 /dev/full（总是满的磁盘）")
@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("print('答案')", 2, "错误：标准输出没有写完：磁盘满了"),
        ("print('答案'); sys.exit(3)", 2, "错误：标准输出没有写完：磁盘满了"),
        ("print('答案', flush=True)", 2, "错误：磁盘满了"),
        ("print('答案'); raise UserError('照片没了。请找回来。')", 2, "错误：照片没了。请找回来。"),
        ("print('答案'); raise KeyboardInterrupt", 130, "\n已中断。都还在。"),
    ],
)
def test_output_that_does_not_fit_on_the_disk_is_one_sentence(body, code, said):
    with open("/dev/full", "w") as full:
        done = run_script(body, stdout=full, env=BUFFERED)
    assert done.returncode == code and done.stderr.startswith(said)
    assert len(done.stderr.strip().splitlines()) == 1


def test_error_while_tensorflow_is_loading_does_not_wait_for_it():
    """载入要一两秒（这里换成永远）；用户的错误立刻说出来，退出码照旧。"""
    body = """
    def forever():
        with tensorflow_start._loading_tensorflow:
            started.set()
            threading.Event().wait()
    import threading
    started, tensorflow_start.load_tensorflow = threading.Event(), forever
    preload_tensorflow()
    started.wait()
    raise UserError('照片没了。请找回来。')
    """
    done = run_script(body.strip(), timeout=60)
    assert done.returncode == 2 and done.stderr.strip() == "错误：照片没了。请找回来。"


@pytest.mark.slow
def test_error_while_tensorflow_is_really_loading():
    """同上，真的在载入；无论载入到哪里，只有这一行，没有英文信息，也不崩溃。"""
    for wait in (0, 0.2, 1):
        body = f"import time; preload_tensorflow(); time.sleep({wait}); open('/nowhere/x')"
        done = run_script(body)
        assert done.returncode == 2 and done.stderr.strip() == "错误：找不到文件或文件夹（/nowhere/x）。请检查路径。"
    done = run_script("preload_tensorflow(); print(load_tensorflow().__name__)")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "tensorflow", "")


@pytest.mark.slow
def test_only_the_warning_about_retracing_is_left_out():
    """--repeats 每个种子建一个新模型，TensorFlow 便警告反复编译；别的警告照常。"""
    body = """
    tf = load_tensorflow()
    compiled = tf.function(lambda number: number + 1)
    for number in range(7):  # 每个 Python 整数都要重新编译
        compiled(number)
    tf.get_logger().warning("别的警告")
    """
    done = run_script(body.strip())
    assert done.returncode == 0 and "retracing" not in done.stderr and "别的警告" in done.stderr


def test_the_words_of_keras_are_explained_once(capsys):
    evaluation.explain_epochs.cache_clear()
    evaluation.explain_epochs()
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("val_accuracy", "val_loss", "ms/step"))
    evaluation.explain_epochs()
    assert capsys.readouterr().out == ""


def test_only_native_messages_are_withheld():
    body = """
    import os
    with without_native_messages():
        os.write(2, b"native")
        print("进度", file=sys.stderr)
    """
    assert run_script(body.strip()).stderr.strip() == "进度"


def test_debug_shows_the_traceback():
    done = run_script("raise UserError('甲。')", "--debug")
    assert done.returncode == 2 and "Traceback" in done.stderr and "错误：甲。" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "0"], "选项 --count：要不小于 1，给的是 0"),
        (["--count", "三"], "选项 --count：'三' 不是整数"),
        (["--count"], "选项 --count：后面要跟一个值"),
        (["--cuont", "3"], "不认识的选项或参数：--cuont 3"),
    ],
)
def test_bad_options(arguments, words):
    done = run_script("pass", *arguments)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("错误：") and words in done.stderr


def test_help_is_chinese_with_defaults():
    done = run_script("pass", "--help")
    assert done.returncode == 0
    assert "用法：" in done.stdout and "选项:" in done.stdout and "个数（默认 3）" in done.stdout
    assert not any(word in done.stdout for word in ("usage", "options", "show this"))


@pytest.mark.parametrize(
    ("asked", "encoding"), [("gbk", "gbk"), ("gbk:strict", "gbk"), (":strict", "utf-8"), ("", "utf-8")]
)
def test_output_is_in_the_encoding_asked_for(asked, encoding, tmp_path):
    """GBK 里没有的字换成问号，不崩溃；没有要求的，输出到文件、管道就用 UTF-8，不论系统的语言。"""
    script = tmp_path / "script.py"
    body = "print('照片 \\U0001f33b'); print('注意', file=sys.stderr)"
    script.write_text(SCRIPT.format(lessons=str(LESSONS_DIR), body=body), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": asked, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert done.returncode == 0
    assert done.stdout.decode(encoding).split() == ["照片", "?" if encoding == "gbk" else "\U0001f33b"]
    assert done.stderr.decode(encoding).split() == ["注意"]


CLEANING_UP = """
    import time
    try:
        print("working", flush=True); time.sleep(60)
    finally:
        print("cleaning", flush=True); time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows 上没有发给单个进程的 SIGINT")
def test_a_second_interrupt_ends_at_once_with_a_word():
    script = SCRIPT.format(lessons=str(LESSONS_DIR), body=CLEANING_UP.strip())
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen([sys.executable, "-c", script], preexec_fn=hear_ctrl_c, **pipes) as process:
        for word in ("working", "cleaning"):
            assert process.stdout.readline() == word + "\n"
            process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == "已强行结束。都还在。"
    assert process.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="Windows 上没有 SIGINT")
def test_a_background_job_keeps_ignoring_interrupts():
    body = "os.kill(os.getpid(), signal.SIGINT); print('还在')"
    script = SCRIPT.format(lessons=str(LESSONS_DIR), body=f"import os, signal; {body}")
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    done = subprocess.run([sys.executable, "-c", script], preexec_fn=ignore, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "还在", "")


def test_a_package_missing_later_on_says_which_python_to_use():
    done = run_script("raise ModuleNotFoundError('No module named tensorflow', name='tensorflow')")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "没有课程所需的包（tensorflow）" in done.stderr and "requirements.txt" in done.stderr
    done = run_script("raise ModuleNotFoundError('No module named x', name='x')")
    assert done.returncode == 1 and "没有料到" in done.stderr


def test_reader_that_leaves_early_causes_no_traceback():
    script = SCRIPT.format(lessons=str(LESSONS_DIR), body="[print('行' * 1000) for _ in range(1000)]")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    assert process.wait() == 1


def test_progress_lines_when_not_a_terminal(capsys):
    with Progress("提取", total=10, seconds_between_lines=0, seconds_before_estimate=0) as progress:
        for _ in range(10):
            progress.update()
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 10 and lines[-1].startswith("提取：10 张/10 张，每秒") and "剩余约 0 秒" in lines[-1]


def test_no_estimate_before_it_means_something(capsys, monkeypatch):
    """开头在转换模型，5 秒后第一张才做完：那 5 秒不算在速率里，满两秒之前也不估计剩余时间。"""
    clock = iter([0, 5, 6, 7, 15])  # 进入、四次 update
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with Progress("计算", total=1500, seconds_between_lines=0) as progress:
        for count in (1, 50, 50, 400):
            progress.update(count)
    assert capsys.readouterr().out.splitlines() == [
        "计算：1 张/1500 张",
        "计算：51 张/1500 张",
        "计算：101 张/1500 张，每秒 50 张，剩余约 28 秒",
        "计算：501 张/1500 张，每秒 50 张，剩余约 20 秒",
    ]


@pytest.mark.skipif(os.name == "nt", reason="要用伪终端")
def test_the_progress_bar_fits_a_narrow_terminal():
    import pty
    import termios

    body = "import time; progress = Progress('计算冻结部分', total=1500, seconds_before_estimate=0).__enter__()\n"
    body += "    for _ in range(15): progress.update(100); time.sleep(0.02)\n    progress.__exit__()"
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 60))
    script = SCRIPT.format(lessons=str(LESSONS_DIR), body=body)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    done = subprocess.run([sys.executable, "-c", script], stderr=terminal, stdin=terminal, env=environment)
    os.close(terminal)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    bars = [bar for bar in shown.replace("\x1b[A", "").split("\r") if "计算冻结部分" in bar]
    assert done.returncode == 0 and "剩余约" in bars[-1] and "1500/1500" in bars[-1]
    assert max(columns(bar.strip()) for bar in bars) <= 60


def test_explanations_name_the_file():
    error = PermissionError(errno.EACCES, "x", "照片/a.jpg")
    assert "照片/a.jpg" in explain(error) and "没有权限" in explain(error)


WRITE_TEMPORARY = "tempfile.NamedTemporaryFile(prefix='__autograph_generated_file', suffix='.py', delete=False)"


def test_temporary_files_of_a_run_and_of_a_killed_run_disappear(tmp_path):
    """TensorFlow、pip 与 --no-cache 的都在内：它们都按 TMPDIR 找地方。"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    made = f"import os, subprocess, tempfile; {WRITE_TEMPORARY}; tempfile.mkdtemp()"
    child = f"subprocess.run([sys.executable, '-c', {'import tempfile; ' + WRITE_TEMPORARY!r}])"
    done = run_script(f"{made}; {child}; print(len(os.listdir(tempfile.gettempdir())))", env=environment)
    assert done.stdout == "3\n"
    assert os.listdir(tmp_path) == []
    assert run_script(f"{made}; os._exit(9)", env=environment).returncode == 9
    [left] = os.listdir(tmp_path)
    assert left.startswith(".study_keras.") and left.endswith(".writing")
    assert run_script("pass", env=environment).returncode == 0
    assert os.listdir(tmp_path) == []


def test_a_run_needs_no_temporary_folder_before_it_uses_one(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path / "missing"), "TEMP": "/nowhere", "TMP": "/nowhere"}
    body = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']; print('好')"
    assert run_script(body, env=environment).returncode == 0
    body = "import tempfile; tempfile.tempdir = '/nowhere/x'\n    with without_native_messages(): pass"
    assert run_script(body, env=environment).returncode == 0
