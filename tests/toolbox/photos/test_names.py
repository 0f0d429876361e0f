"""名字的检查：别的系统不许的、只差大小写的，一个一次，点到为止。"""

import pytest

from toolbox.photos.names import name_troubles, trouble


@pytest.mark.parametrize(
    "name",
    ["con", "CON.jpg", "aux.tar.gz", "Com1.png", "lpt9", "a:b.jpg", "a?.jpg", "尾.", "尾 ", "a\nb.jpg", "\udcb9.jpg"],
)
def test_names_that_break_elsewhere(name):
    assert trouble(name)


@pytest.mark.parametrize("name", ["a.jpg", "图 1.JPG", "console.jpg", "com10.jpg", "con1.jpg", ".jpg", "a,b=c.jpg"])
def test_ordinary_names(name):
    assert trouble(name) is None


def test_each_name_is_said_once_and_collisions_are_per_folder():
    paths = [
        "A/x.jpg",
        "a/aux/1.jpg",
        "a/aux/2.jpg",
        "a/X.jpg",
        "a/x.jpg",
        "a/x.jpg.png",
        "b/e\u0301.jpg",
        "b/\xe9.jpg",
    ]
    assert [path for path, _ in name_troubles(paths)] == ["a", "a/aux", "a/x.jpg", "b/\xe9.jpg"]
