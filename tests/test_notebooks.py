"""笔记本：.ipynb 与它的源文件 .py 一致，在画的花上能从头运行到尾；第 4 课的用一个刚训练好的模型文件夹。"""

import sys

import pytest

from conftest import PROJECT_DIR

jupytext = pytest.importorskip("jupytext", reason="没有装 jupytext：见 requirements/notebooks.txt")
NOTEBOOKS = sorted((PROJECT_DIR / "notebooks").glob("*.py"))


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_in_step_with_their_sources(source):
    """重新生成：python -m jupytext --to ipynb notebooks/*.py"""
    assert cells(jupytext.read(source)) == cells(jupytext.read(source.with_suffix(".ipynb")))


@pytest.mark.slow
@pytest.mark.parametrize("lesson", ["hello_transfer_learning", "hello_fine_tuning"])
def test_notebook_of_a_lesson_runs_on_drawn_flowers(lesson, first_flowers, cache_dir, tmp_path):
    options = ["--images-dir", first_flowers(24), "--cache-dir", cache_dir, "--output-dir", tmp_path]
    outputs = run(lesson, '["--drawn"]', repr([str(option) for option in options]))
    assert "image/png" in str(outputs)  # 一批照片，或一张照片的几个视图
    assert "'accuracy'" in str(outputs[-3:]) or "sunflowers" in str(outputs[-1])


@pytest.mark.slow
def test_notebook_of_lesson_4_names_a_flower_and_refuses_stripes(model_folder_of):
    newest = "model_folder_reader.newest(OUTPUT_DIR)"
    *_, flower, stripes = run("hello_predict", newest, repr(str(model_folder_of(1))))
    assert "[('sunflowers', 0." in str(flower) and "像训练照片" in str(flower)
    assert "都不像" in str(stripes)


def run(lesson, old, new):
    """把笔记本里的 old 换成 new，从头运行，返回各格的输出。"""
    nbclient = pytest.importorskip("nbclient", reason="没有装 nbclient：见 requirements/notebooks.txt")
    notebook = jupytext.read(PROJECT_DIR / "notebooks" / f"{lesson}.py")
    assert sum(cell.source.count(old) for cell in notebook.cells) == 1
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": sys.executable}
    resources = {"metadata": {"path": str(PROJECT_DIR / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
