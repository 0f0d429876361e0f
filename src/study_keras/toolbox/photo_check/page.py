"""检查结果的网页：一个文件，缩略图在里面，离线能看；名字都转义，页面里没有脚本。"""

from pathlib import Path

from PIL import Image

from toolbox.photo_check.findings import KINDS
from toolbox.photo_check.show import by_kind
from toolbox.photos.read import PhotoError, open_image
from toolbox.report.pictures import data_uri
from toolbox.terminal.errors import disk_errors
from toolbox.terminal.files import absolute, written_aside
from toolbox.terminal.text import visible

_SIDE = 200  # 缩略图的长边最多几个像素
_MOST_PICTURED = 200  # 一种发现里最多这么多处有缩略图，其余只列名字：网页不至于大得打不开
_MOST_SIDE_BY_SIDE = 12  # 一处发现最多并排几张


def write_page(path, root, sizes, findings):
    """把检查结果写成网页 path（先写在旁边再改名）。

    Args:
        root: 照片文件夹。
        sizes: {类别: 张数}。
        findings: [Finding, ...]。
    """
    from jinja2 import Environment, FileSystemLoader

    path = absolute(path)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    environment.filters["visible"] = visible
    stream = environment.get_template("page.html").stream(
        root=root,
        sizes=sizes,
        largest=max(1, *sizes.values()),
        groups=by_kind(findings),
        kinds=KINDS,
        pictures=lambda finding: [(name, _thumbnail(root / name)) for name in finding.files[:_MOST_SIDE_BY_SIDE]],
        most_pictured=_MOST_PICTURED,
    )
    with disk_errors(path.parent, "用 --page 换一个地方"), written_aside(path) as file:
        stream.dump(file, encoding="utf-8")
    print(f"网页：{visible(path)}（{path.stat().st_size / 1e6:.1f} MB）")


def _thumbnail(path):
    """缩略图的 data: 网址；不是照片则为 None。"""
    try:
        image = open_image(path, _SIDE)
    except (PhotoError, OSError):
        return None
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return data_uri(image)
