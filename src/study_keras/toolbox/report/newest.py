"""没有指明模型文件夹时，用最新的。"""

from toolbox import model_folder
from toolbox.terminal.errors import UserError
from toolbox.terminal.files import OUTPUT_DIR
from toolbox.terminal.text import visible


def newest_model_folder(output_dir=OUTPUT_DIR):
    """output_dir 下最后写好的模型文件夹，说出是哪个。

    Raises:
        UserError: 一个也没有。
    """
    found = [path.parent for path in output_dir.glob(f"*/{model_folder.SETTINGS_FILE}")]
    found = [folder for folder in found if (folder / model_folder.MODEL_FILE).is_file()]
    if not found:
        raise UserError(f"{output_dir} 下没有模型文件夹。请先运行第 1 课，或给出模型文件夹的路径。")
    folder = max(found, key=lambda folder: (folder / model_folder.SETTINGS_FILE).stat().st_mtime)
    print(f"模型文件夹：{visible(folder)}（{output_dir.name}/ 下最新的）")
    return folder
