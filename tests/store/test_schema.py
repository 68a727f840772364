"""One schema: the page says what the models say, and numbers are finite."""

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from fedbench.config import RunConfig
from fedbench.store.page import FILES, example, filled
from fedbench.store.schema import Accuracy, CellConfig, GridFile, Record, RoundLine
from tests.helpers.store_writer import config, record_of

PAGE = Path(__file__).parents[2] / "docs" / "store.md"


def test_the_page_is_made_from_the_schema() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in page for name in FILES)
    assert filled(page) == page, "run `python -m fedbench.store.page docs/store.md`"


@pytest.mark.parametrize("name", FILES)
def test_examples_are_true(name: str) -> None:
    """What the page shows can be read, once the configuration that it leaves out is there."""
    cell = config()
    values = example(FILES[name])
    values |= {"config": cell.model_dump(mode="json")} if name == "record.json" else {}
    values |= {"cells": {cell.cell: cell.model_dump(mode="json")}} if name == "grid.json" else {}
    assert FILES[name].model_validate(values).content().keys() == values.keys()


def test_a_record_is_read_as_it_was_written() -> None:
    record = record_of(config(hyper={"mu": 0.5, "phrase": ["a", "b"]}))
    content = record.content()
    assert content["schema"] == 1
    assert isinstance(record.config, RunConfig)
    assert Record.model_validate(content) == record


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_numbers_are_finite(wrong: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Accuracy(mean=wrong)
    with pytest.raises(ValidationError, match="finite"):
        RoundLine(round=1, losses={"ce": wrong})
    with pytest.raises(ValidationError, match="finite"):
        RoundLine.model_validate_json('{"round": 1, "losses": {"ce": NaN}}')


def test_a_grid_keeps_its_order() -> None:
    cells: dict[str, CellConfig] = {c.cell: c for c in (config("B"), config("A"))}
    grid = GridFile(schema=1, cells=cells)
    assert list(GridFile.model_validate(grid.content()).cells.values()) == list(cells.values())
