"""What is checked before a run starts is what will run."""

from pathlib import Path

import pytest

from fedbench.errors import FedbenchError
from fedbench.grid.planning import Wish, planned

SKEW = {
    "methods": ["CLIP"],
    "datasets": ["shapes"],
    "backbone": "tiny",
    "split": "domain-label-skew",
    "seeds": [1, 2],
}


def test_the_check_makes_the_split_with_the_quirks_that_will_run(tmp_path: Path) -> None:
    grid = {**SKEW, "split_options": {"min_size": 500}, "quirks": ["reseeded-classes"]}
    with pytest.raises(FedbenchError, match="500"):
        planned(Wish(grid=grid, out=tmp_path / "out")).check()
    assert not (tmp_path / "out").exists()


def test_the_check_makes_the_task_of_every_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedbench.grid import planning

    made = []
    monkeypatch.setattr(
        planning, "make_task", lambda config, runtime: made.append((config.seed, config.split))
    )
    planned(Wish(grid=SKEW, out=tmp_path / "out")).check()
    assert made == [(1, "domain-label-skew"), (2, "domain-label-skew")]
