"""Names of cells last: stores on people's disks are found by them, whatever knobs are added later."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fedbench import config
from fedbench.config import RunConfig, Training, canonical, complete, later
from fedbench.grid.expand import expand
from fedbench.grid.suites import names, overridden, read
from fedbench.named import run_config
from fedbench.store.cells import Store

PINNED = Path(__file__).with_name("digests.json")


def pins() -> dict[str, Any]:
    """Suite to the number of its cells, the first one's name and a digest of all names."""
    found = {}
    for name in names():
        cells = [cell.cell for cell in expand(overridden(read(name), {}))]
        digest = hashlib.sha256("\n".join(cells).encode()).hexdigest()[:16]
        found[name] = {"cells": len(cells), "first": cells[0], "digest": digest}
    return found


def test_the_cells_of_every_shipped_suite_have_their_pinned_names() -> None:
    """Where this fails, everybody's results of that suite are lost to `bench run`: use `later` for a new key.

    A new suite is added to digests.json; names in it change only with a deliberate change of what the cells are.
    """
    assert pins() == json.loads(PINNED.read_text())


class Knobbed(RunConfig):
    """The configuration of a later version, which has one knob more."""

    lr_schedule: str = later("constant")


SMALL = {"method": "PromptFL", "dataset": "shapes", "backbone": "tiny", "rounds": 1, "views": 0}


def test_a_later_knob_at_its_neutral_value_renames_nothing() -> None:
    before = run_config(**SMALL)
    same, other = (Knobbed(**before.model_dump(), **more) for more in ({}, {"lr_schedule": "cosine"}))
    assert same.cell == before.cell
    assert canonical(same) == canonical(before)
    assert other.cell != before.cell
    assert canonical(other) == {**canonical(before), "lr_schedule": "cosine"}


def test_a_store_is_continued_after_a_knob_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_config(**SMALL)
    Store(tmp_path / "run", create=True).add([before])
    monkeypatch.setattr("fedbench.store.cells.RunConfig", Knobbed)
    monkeypatch.setattr("fedbench.store.cells.FIXED", (*config.FIXED, "lr_schedule"))
    store = Store(tmp_path / "run")
    store.add([Knobbed(**before.model_dump()), Knobbed(**before.model_dump(exclude={"seed"}), seed=2)])
    assert [type(folder.config) for folder in store.cells()] == [Knobbed, Knobbed]
    assert [folder.config.seed for folder in store.cells()] == [1, 2]


def test_a_methods_later_hyper_parameter_renames_nothing() -> None:
    from fedbench.registry import METHODS

    hyper = METHODS["PromptFL"].Hyper

    class Later(hyper):  # type: ignore[valid-type, misc]
        warm_up: int = later(0, ge=0)

    old = complete(hyper, {}, owner="PromptFL")
    assert complete(Later, {}, owner="PromptFL") == old
    assert complete(Later, {"warm_up": 3}, owner="PromptFL") == {**old, "warm_up": 3}


def test_a_direct_configuration_and_a_cell_of_a_grid_have_one_name() -> None:
    grid = overridden({}, {"methods": ["FedPGP"], "datasets": ["shapes"], "backbone": "tiny", "seeds": [1]})
    (cell,) = expand(grid)
    assert run_config(method="FedPGP", dataset="shapes", backbone="tiny").cell == cell.cell


@pytest.mark.parametrize("key", list(Training.model_fields))
def test_every_knob_has_a_flag_with_its_default_and_a_sentence(key: str) -> None:
    from fedbench.commands.run import run
    from fedbench.grid.config import GridConfig

    (option,) = [p for p in run.params if p.name == key]
    field = GridConfig.model_fields[key]
    text = getattr(option, "help", "")
    assert field.description
    assert field.description in text
    assert field.default is None or f"[default: {field.default}]" in text
