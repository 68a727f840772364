"""Fixtures of the whole suite."""

import os

# before torch is imported: the suite runs in several processes, which would fight over the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image as PILImage

from fedbench.task import Dataset, Item


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real images and recorded numbers beside the checkout; skips where there is none."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the real images of ../shared are not on this machine")
    return folder


class ListedDataset(Dataset):
    """A dataset that is only lists: `counts[label]` is the number of (train, val, test) images of a class."""

    name = "listed"
    title = "Listed"
    citation = "none"

    def __init__(
        self, counts: Sequence[tuple[int, int, int]], *, order: Sequence[int] | None = None, missing: int = 0
    ):
        self.classnames = tuple(f"class_{label}" for label in range(len(counts)))
        self.source = "zhou"
        self.missing = missing
        self.parts = {
            part: tuple(
                Item(f"class_{label}/{part}_{index}.jpg", label)
                for label in (order if order is not None else range(len(counts)))
                for index in range(counts[label][position])
            )
            for position, part in enumerate(("train", "val", "test"))
        }

    def open(self, item: Item) -> PILImage.Image:
        raise AssertionError("a split must not open images")

    def fingerprint(self, item: Item) -> str:
        raise AssertionError("a split must not read files")


@pytest.fixture(scope="session")
def listed() -> type[ListedDataset]:
    """The class of datasets that are only lists."""
    return ListedDataset
