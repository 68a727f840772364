"""Fixtures of the whole suite."""

import os

# before torch is imported: the suite runs in several processes, which would fight over the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PILImage

from fedbench import registry
from fedbench.config import RunConfig
from fedbench.data.dataset import Dataset, Item
from tests.helpers.shared import SHARED


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real images and recorded numbers; skips where there is none."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real images in {SHARED / 'data'}: FEDBENCH_SHARED names the folder around data/")
    return SHARED


class ListedDataset(Dataset):
    """A dataset that is only lists: `counts[label]` is the number of (train, val, test) images of a class."""

    name = "listed"
    title = "Listed"
    bibtex = "none"

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


FAKES = Path(__file__).parent / "helpers" / "fakeworld.py"


@pytest.fixture
def world() -> Iterator[None]:
    """The fakes in place of methods, data, engine and report; loaded anew for each test."""
    spec = importlib.util.spec_from_file_location("fakeworld", FAKES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.installed():
        yield


@pytest.fixture
def plugins() -> Iterator[None]:
    """What a test registers is gone after it."""
    with contextlib.ExitStack() as stack:
        for known in (
            registry.METHODS,
            registry.DATASETS,
            registry.SPLITS,
            registry.BACKBONES,
            registry.EXECUTORS,
        ):
            stack.enter_context(known.restored())
        yield


@pytest.fixture
def cells(world: None) -> Callable[..., list[RunConfig]]:
    """`cells(seeds=[1])`: a small grid of the fake world, expanded."""
    from fedbench.grid.config import GridConfig
    from fedbench.grid.expand import expand

    def make(**changes: Any) -> list[RunConfig]:
        values: dict[str, Any] = {
            "methods": ["Alpha", "Beta"],
            "datasets": ["dots"],
            "split": "halves",
            "backbone": "tiny",
        }
        return expand(GridConfig(**(values | {"seeds": [1, 2], "rounds": 3} | changes)))

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A result store that is not there yet."""
    return tmp_path / "out"
