"""Caltech101: its class-name rule on small folders, and the real images where they are."""

import shutil
from pathlib import Path

import pytest
from PIL import Image as PILImage

from fedbench.datasets.caltech101 import Caltech101
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS
from fedbench.splits.base_to_novel import BaseToNovel

FOLDERS = (
    "BACKGROUND_Google",
    "Faces",
    "Faces_easy",
    "Leopards",
    "Motorbikes",
    "accordion",
    "airplanes",
    "yin_yang",
)
NAMES = ("face", "leopard", "motorbike", "accordion", "airplane", "yin_yang")


@pytest.fixture
def linked(shared: Path, tmp_path: Path) -> Path:
    """A data root with the real images in torchvision's layout and no split file."""
    (tmp_path / "caltech101").mkdir()
    (tmp_path / "caltech101/101_ObjectCategories").symlink_to(
        shared / "data/caltech-101/101_ObjectCategories"
    )
    return tmp_path


@pytest.mark.parametrize("layout", ["caltech-101", "caltech101"])
def test_class_names_and_label_order_without_a_split_file(tmp_path: Path, layout: str) -> None:
    for folder in FOLDERS:
        path = tmp_path / layout / "101_ObjectCategories" / folder
        path.mkdir(parents=True)
        for index in range(4):
            PILImage.new("L", (3, 2)).save(path / f"image_{index:04d}.jpg")
    dataset = Caltech101(tmp_path, allow_missing=True)
    assert dataset.classnames == NAMES
    assert dataset.missing == 8242 - 4 * len(NAMES)
    assert {item.key.split("/")[0]: item.label for item in dataset.parts["train"]} == {
        folder: label
        for label, folder in enumerate(f for f in FOLDERS if f not in ("BACKGROUND_Google", "Faces_easy"))
    }


def test_no_folder_says_where_it_looked_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FedbenchError) as refused:
        DATASETS["caltech101"](tmp_path)
    message = str(refused.value)
    assert "caltech-101/101_ObjectCategories or caltech101/101_ObjectCategories" in message
    assert "--data-root" in message
    assert "caltech-101.zip from https://data.caltech.edu/" in message
    assert "\n" not in message


def test_real_images_are_incomplete_and_say_so(shared: Path) -> None:
    with pytest.raises(
        FedbenchError, match=r"caltech101: 7242 of 8242 images are missing .* 1000 that exist: --allow"
    ):
        Caltech101(shared / "data")


def test_real_images_in_coops_layout(shared: Path) -> None:
    dataset = Caltech101(shared / "data", allow_missing=True)
    assert (dataset.source, dataset.missing, len(dataset.classnames)) == ("zhou", 7242, 100)
    assert dataset.classnames[:5] == NAMES[:5]
    assert {part: len(items) for part, items in dataset.parts.items()} == {
        "train": 500,
        "val": 188,
        "test": 312,
    }
    modes = set()
    for item in dataset.parts["test"]:
        with PILImage.open(dataset.image_root / item.key) as raw:
            modes.add(raw.mode)
        assert dataset.open(item).mode == "RGB"
    assert modes == {"RGB", "L"}  # some of the real images are grey


def test_real_images_in_torchvisions_layout_give_the_same_task(shared: Path, linked: Path) -> None:
    shutil.copy(shared / "data/caltech-101/split_zhou_Caltech101.json", linked / "caltech101")
    split = BaseToNovel(BaseToNovel.Options(shots=4))
    tasks = [split.make(Caltech101(root, allow_missing=True), seed=1) for root in (shared / "data", linked)]
    assert tasks[0].hash == tasks[1].hash
    assert tasks[0].notes == (
        "7242 images of the split are missing and were left out",
        "2 classes (bonsai, umbrella) without a test image, kept in the label space",
        "15 of 100 classes have fewer than 4 training images and give all they have (fewest: 1, barrel)",
    )


def test_the_own_split_of_the_real_images_has_the_published_class_names(shared: Path, linked: Path) -> None:
    own = Caltech101(linked, allow_missing=True)
    published = Caltech101(shared / "data", allow_missing=True)
    assert own.source == "own"
    assert own.classnames == published.classnames
    assert {part: len(items) for part, items in own.parts.items()} == {"train": 500, "val": 200, "test": 300}
