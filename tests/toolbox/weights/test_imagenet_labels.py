"""ImageNet 的标签清单：与约定的一字不差，否则不用。"""

import pytest

from toolbox.terminal.errors import UserError
from toolbox.weights import imagenet_labels


def test_the_labels_are_the_published_ones(tmp_path, monkeypatch):
    labels = imagenet_labels.imagenet_labels()
    assert (len(labels), labels[0], labels[986]) == (1001, "background", "daisy")
    copy = tmp_path / "ImageNetLabels.txt"
    monkeypatch.setattr(imagenet_labels, "FILE", copy)
    text = "".join(f"{label}\n" for label in labels)
    copy.write_bytes(text.replace("\n", "\r\n").encode())  # 换行的写法不算改动
    assert imagenet_labels.imagenet_labels() == labels


@pytest.mark.parametrize("harm", ["swap", "cut", "byte", "empty"])
def test_changed_labels_are_refused(tmp_path, monkeypatch, harm):
    labels = imagenet_labels.imagenet_labels()
    if harm == "swap":
        labels[1], labels[2] = labels[2], labels[1]
    lines = {"cut": labels[:-1], "empty": []}.get(harm, labels)
    data = "".join(f"{label}\n" for label in lines).encode() if harm != "byte" else b"\xff" * 9
    monkeypatch.setattr(imagenet_labels, "FILE", tmp_path / "ImageNetLabels.txt")
    imagenet_labels.FILE.write_bytes(data)
    with pytest.raises(UserError, match="被改过"):
        imagenet_labels.imagenet_labels()
