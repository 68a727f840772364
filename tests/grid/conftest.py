"""The fake world, and a shorthand for grids in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeworld
import pytest

from fedbench.config import RunConfig
from fedbench.grid.config import GridConfig
from fedbench.grid.expand import expand


@pytest.fixture
def world() -> Iterator[None]:
    with fakeworld.installed():
        yield


@pytest.fixture
def cells(world: None) -> Callable[..., list[RunConfig]]:
    """`cells(seeds=[1])`: a small grid, expanded."""

    def make(**changes: Any) -> list[RunConfig]:
        values = {"methods": ["Alpha", "Beta"], "datasets": ["dots"], "split": "halves", "backbone": "tiny"}
        return expand(GridConfig(**(values | {"seeds": [1, 2], "rounds": 3} | changes)))

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
