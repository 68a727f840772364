"""Split files: what is read, what is refused, and that our own split never changes."""

import json
from pathlib import Path

import pytest

from fedbench.data.dataset import Item
from fedbench.data.parts import own_split, read_zhou
from fedbench.errors import FedbenchError

GOOD = {
    "train": [["b/2.jpg", 1, "bee"], ["a/1.jpg", 0, "ant"]],
    "val": [],
    "test": [["a/3.jpg", 0, "ant"], ["b/4.jpg", 1, "bee"]],
}


def written(folder: Path, content: object) -> Path:
    path = folder / "split_zhou_Small.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_classes_and_items_keep_the_files_order(tmp_path: Path) -> None:
    names, parts = read_zhou(written(tmp_path, GOOD))
    assert names == ("ant", "bee")
    assert parts == {
        "train": (Item("b/2.jpg", 1), Item("a/1.jpg", 0)),
        "val": (),
        "test": (Item("a/3.jpg", 0), Item("b/4.jpg", 1)),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": [["a/1.jpg", 0', "is damaged, it is no JSON"),
        ("[" * 100_000, "is damaged, it is no JSON"),
        ("\udcff", "is damaged, it is no JSON"),
        ([1, 2], "must have exactly the keys train, val, test; it has: list"),
        ({"train": [], "test": []}, "must have exactly the keys train, val, test; it has: train, test"),
        ({**GOOD, "extra": []}, "it has: train, val, test, extra"),
        ({**GOOD, "val": {}}, "'val' is no list"),
        ({**GOOD, "val": ["a/9.jpg"]}, r"val\[0\] is no \[path, label, class name\]: a/9.jpg"),
        ({**GOOD, "val": [["a/9.jpg", 0]]}, r"val\[0\] is no \[path, label, class name\]"),
        ({**GOOD, "val": [["a/9.jpg", "0", "ant"]]}, r"val\[0\] is no \[path, label, class name\]"),
        ({**GOOD, "val": [["a/9.jpg", True, "bee"]]}, r"val\[0\] is no \[path, label, class name\]"),
        ({**GOOD, "val": [["a/9.jpg", 0, ""]]}, r"val\[0\] is no \[path, label, class name\]"),
        ({**GOOD, "val": [["a/9.jpg", -1, "ant"]]}, r"val\[0\]: label -1 is negative"),
        ({**GOOD, "val": [["../9.jpg", 0, "ant"]]}, r"path '../9.jpg' leaves the image folder"),
        ({**GOOD, "val": [["/etc/9.jpg", 0, "ant"]]}, "path '/etc/9.jpg' leaves the image folder"),
        ({**GOOD, "val": [["a\\..\\..\\9.jpg", 0, "ant"]]}, r"path 'a/../../9.jpg' leaves the image folder"),
        ({**GOOD, "val": [["a//1.jpg", 0, "ant"]]}, r"val\[0\]: path 'a//1.jpg' has an empty or '.' folder"),
        ({**GOOD, "val": [["./a/1.jpg", 0, "ant"]]}, r"path './a/1.jpg' has an empty or '.' folder"),
        ({**GOOD, "val": [["a\\1.jpg", 0, "ant"]]}, r"val\[0\]: image 'a/1.jpg' is listed twice"),
        ({**GOOD, "val": [["a/1.jpg", 0, "ant"]]}, r"val\[0\]: image 'a/1.jpg' is listed twice"),
        ({**GOOD, "val": [["a/9.jpg", 0, "fly"]]}, "label 0 is called 'fly' here and 'ant' before"),
        ({**GOOD, "val": [["a/9.jpg", 2, "ant"]]}, "class name 'ant' belongs to more than one label"),
        ({**GOOD, "val": [["a/9.jpg", 3, "fly"]]}, r"labels must be 0..n-1 without gaps; absent: \[2\]"),
        ({**GOOD, "train": []}, "lists no training image"),
        ({**GOOD, "test": []}, "lists no test image"),
    ],
)
def test_damaged_files_are_refused_in_one_line_that_names_them(
    tmp_path: Path, content: object, message: str
) -> None:
    path = tmp_path / "split_zhou_Small.json"
    if content == "\udcff":
        path.write_bytes(b"\xff\xfe{")
    else:
        written(tmp_path, content)
    with pytest.raises(FedbenchError, match=message) as refused:
        read_zhou(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_windows_wrote_is_the_same_split(tmp_path: Path) -> None:
    """CoOp's writer leaves the first separator there; editors begin the file with a byte order mark."""
    expected = read_zhou(written(tmp_path, GOOD))
    windows = {
        part: [["\\" + key.replace("/", "\\"), label, name] for key, label, name in rows]
        for part, rows in GOOD.items()
    }
    path = written(tmp_path, windows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_zhou(path) == expected


def test_a_split_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "Small.json").mkdir()
    with pytest.raises(FedbenchError, match=r"split file .*Small.json cannot be read: Is a directory"):
        read_zhou(tmp_path / "Small.json")


def test_own_split_is_pinned() -> None:
    """Changing it would change every result on datasets without a published split."""
    parts = own_split(
        "small",
        {"ant": [f"a/{k}.jpg" for k in range(10)], "bee": ["b/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"]},
    )
    assert {part: [(i.key, i.label) for i in items] for part, items in parts.items()} == PINNED


def test_own_split_does_not_depend_on_the_order_of_the_listing() -> None:
    keys = [f"a/{k}.jpg" for k in range(9)]
    assert own_split("small", {"ant": keys}) == own_split("small", {"ant": keys[::-1]})
    assert own_split("small", {"ant": keys}) != own_split("other", {"ant": keys})


@pytest.mark.parametrize(
    ("images", "sizes"), [(4, (2, 1, 1)), (10, (5, 2, 3)), (31, (16, 6, 9)), (800, (400, 160, 240))]
)
def test_own_split_is_50_20_30(images: int, sizes: tuple[int, int, int]) -> None:
    parts = own_split("small", {"ant": [f"a/{k}.jpg" for k in range(images)]})
    assert tuple(len(parts[part]) for part in ("train", "val", "test")) == sizes
    assert len({item.key for items in parts.values() for item in items}) == images


def test_own_split_refuses_classes_that_are_too_small() -> None:
    with pytest.raises(FedbenchError) as refused:
        own_split("small", {"ant": ["a/1.jpg", "a/2.jpg", "a/3.jpg"]})
    assert str(refused.value) == (
        "small: class 'ant' has 3 of the 4 images that fedbench's own 50/20/30 split needs at least; "
        "get the images or the published split file"
    )


PINNED = {
    "train": [
        ("a/0.jpg", 0),
        ("a/6.jpg", 0),
        ("a/5.jpg", 0),
        ("a/9.jpg", 0),
        ("a/3.jpg", 0),
        ("b/4.jpg", 1),
        ("b/1.jpg", 1),
    ],
    "val": [("a/4.jpg", 0), ("a/7.jpg", 0), ("b/3.jpg", 1)],
    "test": [("a/1.jpg", 0), ("a/2.jpg", 0), ("a/8.jpg", 0), ("b/2.jpg", 1)],
}
