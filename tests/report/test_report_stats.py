"""Paired comparison."""

from pathlib import Path

import pytest
from scipy.stats import wilcoxon

from fedbench.errors import FedbenchError
from fedbench.report import tables_of, terminal_table, write_report
from fedbench.report.stats import compare
from tests.helpers.store_writer import StoreWriter, config, lbn

START = lbn(1, 1, 1)
GAINS = (1.0, 2.0, 3.5, -0.5, 4.0, 5.0)


def store(root: Path, seeds: int) -> Path:
    writer = StoreWriter(root / "run")
    for seed in range(seeds):
        base = 50.0 + 3 * seed
        writer.done(config("PromptFL", seed=seed), [START, lbn(base, base, base)])
        gained = base + GAINS[seed]
        writer.done(config("FedPGP", seed=seed), [START, lbn(gained, gained, gained)])
        writer.done(config("Same", seed=seed), [START, lbn(base, base, base)])
        writer.done(config("Prox", seed=seed), [START, lbn(1, 1, 1)], hashes={"split": f"other{seed}"})
    return writer.root


def test_paired_difference_and_p(tmp_path: Path) -> None:
    (table,) = tables_of(store(tmp_path, 6))
    found = {c.row: c for c in compare(table, "PromptFL")}
    assert list(found) == ["FedPGP", "Same", "Prox"]
    assert found["FedPGP"].n == 6
    assert found["FedPGP"].difference == pytest.approx(15 / 6)
    assert found["FedPGP"].p == pytest.approx(wilcoxon(GAINS).pvalue)
    assert (found["Same"].difference, found["Same"].p) == (0, 1)
    assert (found["Prox"].n, found["Prox"].difference, found["Prox"].p) == (
        0,
        None,
        None,
    )  # other splits: no pairs


def test_too_few_pairs(tmp_path: Path) -> None:
    (table,) = tables_of(store(tmp_path, 4))
    fedpgp = compare(table, "PromptFL")[0]
    assert fedpgp.p is None
    assert fedpgp.verdict == "n too small"
    text = write_report(tmp_path / "run", formats=["md"], versus="PromptFL")[0].read_text()
    assert "Paired difference in HM to PromptFL" in text
    assert "|        +1.50 | n too small |   4 |" in text
    terminal_table(tmp_path / "run", versus="PromptFL")


def test_baseline_must_be_one_row(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    for mu in (0.5, 1.0):
        writer.done(config("FedPGP", hyper={"mu": mu}), [START, lbn(60, 60, 60)])
    writer.done(config("Prox", quirks=("detached-prox",)), [START, lbn(60, 60, 60)])
    (table,) = tables_of(writer.root)
    with pytest.raises(FedbenchError, match="unknown row to compare with 'PromptFL'"):
        compare(table, "PromptFL")
    with pytest.raises(FedbenchError, match="has several rows"):
        compare(table, "FedPGP")
    assert len(compare(table, "FedPGP (mu=1)")) == 2
    assert len(compare(table, "Prox")) == 2
