"""The fake world, and a shorthand for grids in it."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedbench.config import RunConfig
from fedbench.grid.config import GridConfig
from fedbench.grid.expand import expand


@pytest.fixture
def world() -> Iterator[None]:
    """The fakes in place of methods, data, engine and report."""
    file = Path(__file__).with_name("fakeworld.py")
    spec = importlib.util.spec_from_file_location("fakeworld", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.installed():
        yield


@pytest.fixture
def cells(world: None) -> Callable[..., list[RunConfig]]:
    """`cells(seeds=[1])`: a small grid, expanded."""

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
    return tmp_path / "out"
