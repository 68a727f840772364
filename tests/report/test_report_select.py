"""The selection rules, ties included."""

import math
from pathlib import Path

import pytest

from fedbench.config import Quirks
from fedbench.errors import FedbenchError
from fedbench.report import tables_of, write_report
from fedbench.report.select import RULES, select
from fedbench.store.read import Finished, read
from tests.helpers.store_writer import Rounds, StoreWriter, config, lbn

TRAINED = [
    lbn(99, 99, 99, val=99),  # the untrained start never counts for a method that trains
    lbn(70, 61, 50, val=80),
    lbn(80, 62, 51, val=90),
    lbn(80, 63, 52, val=90),
    lbn(75, 64, 53, val=85),
    {},  # not evaluated
    lbn(74, 65, 54, val=84),
    lbn(73, 66, 55, val=83),
]


def cell(root: Path, rounds: Rounds) -> Finished:
    StoreWriter(root / "run").done(config(), rounds)
    return read(root / "run").finished[0]


@pytest.mark.parametrize(
    ("rule", "rounds", "base"),
    [
        ("last", (7,), 66),
        ("mean-last-5", (2, 3, 4, 6, 7), 64),  # (62 + 63 + 64 + 65 + 66) / 5
        ("best-val", (3,), 63),  # rounds 2 and 3 tie: the later
        ("best-test", (3,), 63),
    ],
)
def test_rules(tmp_path: Path, rule: str, rounds: tuple[int, ...], base: float) -> None:
    selected = select(cell(tmp_path, TRAINED), rule)
    assert selected.rounds == rounds
    assert selected.values["base"] == pytest.approx(base)
    assert list(selected.values) == ["local", "base", "novel"]


@pytest.mark.parametrize("rule", RULES)
def test_method_with_round_0_only(tmp_path: Path, rule: str) -> None:
    assert select(cell(tmp_path, [lbn(79, 80, 83)]), rule).rounds == (0,)


def test_mean_of_fewer_than_five_rounds(tmp_path: Path) -> None:
    assert select(cell(tmp_path, TRAINED[:3]), "mean-last-5").rounds == (1, 2)


def test_best_val_needs_val(tmp_path: Path) -> None:
    with pytest.raises(FedbenchError, match=r"has no 'val' metric, which best-val needs.*--select last"):
        select(cell(tmp_path, [lbn(1, 1, 1), lbn(2, 2, 2), lbn(3, 3, 3)]), "best-val")


def test_missing_metric_is_nan(tmp_path: Path) -> None:
    rounds = [lbn(60, 60, 60), lbn(70, math.nan, 60)]
    assert math.isnan(select(cell(tmp_path, rounds), "last").values["base"])


def test_unknown_rule(tmp_path: Path) -> None:
    cell(tmp_path, TRAINED)
    with pytest.raises(FedbenchError, match="did you mean best-test"):
        tables_of(tmp_path / "run", select="best_test")


def test_a_quirk_chooses_its_own_round_and_the_table_says_so(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config(), TRAINED)
    writer.done(config(quirks=Quirks(engine=("best-on-test",))), TRAINED)
    found = {c.config.quirks.engine: select(c, "last").rounds for c in read(tmp_path / "run").finished}
    assert found == {(): (7,), ("best-on-test",): (3,)}
    (path,) = write_report(tmp_path / "run", formats=["md"])
    assert (
        "last round; PromptFL [best-on-test]: selected on the test set (round with the best local test accuracy)"
        in path.read_text()
    )


def test_every_table_says_that_it_was_selected_on_the_test_set(tmp_path: Path) -> None:
    cell(tmp_path, TRAINED)
    paths = write_report(tmp_path / "run", formats=["md", "tex"], select="best-test")
    assert [p.name for p in paths] == ["table-best-test.md", "table-best-test.tex"]
    for path in paths:
        assert "selected on the test set (round with the best local test accuracy)" in path.read_text()
