"""The table's numbers, against numbers worked out by hand and the papers' printed ones."""

import csv as csv_module
import math
from pathlib import Path

import pytest

from fedbench.report import tables_of, write_report
from fedbench.report.arithmetic import Value
from fedbench.report.facts import facts
from fedbench.report.tables import Table
from fedbench.report.warnings import warnings
from tests.helpers.store_writer import StoreWriter, config, lbn

POSTER = {  # FedPGP poster, Table 1: Local, Base, Novel
    "CLIP": {
        "oxford_pets": (89.34, 89.31, 96.86),
        "oxford_flowers": (67.69, 68.85, 77.23),
        "dtd": (53.79, 54.62, 58.20),
        "caltech101": (95.72, 96.96, 93.99),
        "food101": (89.38, 89.39, 89.98),
    },
    "FedPGP": {
        "oxford_pets": (96.65, 95.87, 97.33),
        "oxford_flowers": (99.68, 78.48, 75.11),
        "dtd": (89.07, 69.65, 54.25),
        "caltech101": (99.46, 96.09, 93.62),
        "food101": (93.51, 88.37, 88.44),
    },
}


def value(table: Table, dataset: str, row: str, metric: str) -> Value:
    (block,) = [b for b in table.sections if b.dataset == dataset]
    return block.values[row][block.metrics.index(metric)]


def one_table(root: Path, select: str = "last") -> Table:
    (table,) = tables_of(root, select=select)
    return table


@pytest.fixture
def writer(tmp_path: Path) -> StoreWriter:
    return StoreWriter(tmp_path / "run")


def test_the_posters_averages(writer: StoreWriter) -> None:
    for method, datasets in POSTER.items():
        for dataset, columns in datasets.items():
            writer.done(config(method, dataset), [lbn(*columns)])
    table = one_table(writer.root)
    assert [b.dataset for b in table.sections] == ["Average", *POSTER["CLIP"]]
    for metric, printed in {"local": 79.18, "base": 79.83, "novel": 83.25, "hm": 80.72}.items():
        assert round(value(table, "Average", "CLIP", metric).mean, 2) == printed
    for metric, printed in {"local": 95.67, "base": 85.69, "novel": 81.75, "hm": 87.33}.items():
        assert round(value(table, "Average", "FedPGP", metric).mean, 2) == printed
    assert round(value(table, "dtd", "FedPGP", "hm").mean, 2) == 68.15


def test_hm_is_per_seed_and_seed_0_is_a_seed(writer: StoreWriter) -> None:
    writer.done(config(seed=0), [lbn(0, 0, 0), lbn(60, 60, 60)])
    writer.done(config(seed=1), [lbn(0, 0, 0), lbn(90, 90, 45)])
    table = one_table(writer.root)
    assert value(table, "shapes", "PromptFL", "local") == Value(75, pytest.approx(math.sqrt(450)), 2)
    hm = value(table, "shapes", "PromptFL", "hm")
    assert hm.mean == pytest.approx((60 + 67.5) / 2)  # 3 / (1/90 + 1/90 + 1/45) = 67.5; HM of means is 64.3
    assert hm.std == pytest.approx(7.5 / math.sqrt(2))
    assert hm.n == 2


def test_average_over_datasets_and_its_std(writer: StoreWriter) -> None:
    for seed, shapes, dtd in ((1, 60, 80), (2, 70, 90), (3, 80, 40)):
        writer.done(config(dataset="shapes", seed=seed), [lbn(1, 1, 1), lbn(shapes, 50, 50)])
        writer.done(config(dataset="dtd", seed=seed), [lbn(1, 1, 1), lbn(dtd, 50, 50)])
    table = one_table(writer.root)
    local = value(table, "Average", "PromptFL", "local")
    assert local.mean == pytest.approx(70)
    assert local.std == pytest.approx(10)  # of 70, 80, 60
    hm = value(table, "Average", "PromptFL", "hm")
    per_seed = [3 / (1 / x + 2 / 50) for x in (70, 80, 60)]
    assert hm.mean == pytest.approx(3 / (1 / 70 + 2 / 50))  # of the averaged columns
    mean = sum(per_seed) / 3
    assert hm.std == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in per_seed) / 2))


def test_a_missing_cell_makes_its_average_missing(writer: StoreWriter) -> None:
    for method in ("CoOp", "Prox"):
        writer.done(config(method, "shapes"), [lbn(1, 1, 1), lbn(60, 60, 60)])
    writer.done(config("CoOp", "dtd"), [lbn(1, 1, 1), lbn(60, 60, 60)])
    writer.open(config("Prox", "dtd"), "failed", "diverged")
    table = one_table(writer.root)
    assert value(table, "Average", "Prox", "local").missing
    assert value(table, "dtd", "Prox", "hm").missing
    assert not value(table, "Average", "CoOp", "hm").missing
    assert table.notes == ("Average of Prox is missing: no finished cell on dtd",)


def test_a_dataset_without_any_finished_cell_makes_the_average_missing(writer: StoreWriter) -> None:
    writer.done(config("CoOp", "shapes"), [lbn(1, 1, 1), lbn(60, 60, 60)])
    writer.open(config("CoOp", "dtd"), "queued")
    table = one_table(writer.root)
    assert [b.dataset for b in table.sections] == ["Average", "shapes"]
    assert value(table, "Average", "CoOp", "local").missing


def test_a_missing_seed_is_left_out_of_the_average_and_said(writer: StoreWriter) -> None:
    for dataset, seeds in (("shapes", (1, 2, 3)), ("dtd", (1, 2))):
        for seed in seeds:
            writer.done(config(dataset=dataset, seed=seed), [lbn(1, 1, 1), lbn(60 + seed, 60, 60)])
    table = one_table(writer.root)
    assert value(table, "Average", "PromptFL", "local") == Value(61.5, pytest.approx(math.sqrt(0.5)), 2)
    assert value(table, "shapes", "PromptFL", "local").n == 3
    assert table.notes == ("Average of PromptFL: over the seeds that every dataset has (1, 2), not 3",)
    text = write_report(writer.root, formats=["md"])[0].read_text()
    assert "| Method   |        Local |         Base |        Novel |           HM |   n |" in text


def test_protocol_with_other_columns_and_no_summary(writer: StoreWriter) -> None:
    protocol = {"columns": ["art_painting", "sketch"], "summary": ""}
    for method, seed in (("CoOp", 1), ("Prox", 1)):
        rounds = [{"art_painting": 1.0, "sketch": 1.0}, {"art_painting": 70.0 + seed, "sketch": 50.0}]
        writer.done(config(method, split="leave-one-domain-out", seed=seed), rounds, protocol=protocol)
    paths = {p.suffix: p.read_text() for p in write_report(writer.root)}
    assert "| Method   |   Art_painting |    Sketch |" in paths[".md"]
    assert "HM" not in paths[".md"]
    assert r"Method & Art\_painting & Sketch \\" in paths[".tex"]


def test_datasets_with_different_columns_have_no_average(writer: StoreWriter) -> None:
    writer.done(config(dataset="a"), [{"x": 1.0}, {"x": 2.0}], protocol={"columns": ["x"], "summary": ""})
    writer.done(config(dataset="b"), [{"y": 1.0}, {"y": 2.0}], protocol={"columns": ["y"], "summary": ""})
    table = one_table(writer.root)
    assert [b.dataset for b in table.sections] == ["a", "b"]
    assert table.notes == ("no average: the datasets do not have the same columns",)


def test_csv(writer: StoreWriter) -> None:
    for seed, local in ((1, 70.1), (2, 70.2), (3, 70.4)):
        writer.done(config("CoOp", seed=seed), [lbn(1, 1, 1), lbn(local, 50, 50)])
    writer.done(config("Prox", seed=1), [lbn(1, 1, 1), lbn(70.1, 50, 50)])
    writer.open(config("FedPGP", seed=1), "failed", "diverged")
    (path,) = write_report(writer.root, formats=["csv"])
    lines = list(csv_module.reader(path.read_text().splitlines()))
    assert lines[0] == ["method", "dataset", "protocol", "metric", "mean", "std", "n"]
    first = lines[1]
    assert first[:4] == ["CoOp", "shapes", "base-to-novel", "local"]
    assert float(first[4]) == (70.1 + 70.2 + 70.4) / 3  # to the last bit
    assert float(first[5]) == pytest.approx(0.1527525231651947, rel=1e-14)
    assert first[6] == "3"
    assert [line[3] for line in lines[1:5]] == ["local", "base", "novel", "hm"]
    assert lines[5] == ["Prox", "shapes", "base-to-novel", "local", "70.1", "", "1"]
    assert lines[9] == ["FedPGP", "shapes", "base-to-novel", "local", "", "", "0"]
    assert len(lines) == 13


def test_different_splits_and_weights_are_warned_of(writer: StoreWriter) -> None:
    rounds = [lbn(1, 1, 1), lbn(60, 60, 60)]
    writer.done(config("CoOp", seed=0), rounds)
    writer.done(config("Prox", seed=0), rounds, hashes={"split": "deadbeef00000000", "weights": "eeee" * 4})
    lines = warnings(one_table(writer.root))
    assert len(lines) == 2
    assert "on shapes, seed 0, the rows did not see the same split" in lines[0]
    assert "deadbeef: Prox" in lines[0]
    assert "do not share the weights of tiny" in lines[1]
    for path in write_report(writer.root, formats=["md", "tex"]):
        assert "did not see the same split" in path.read_text()


def test_no_warning_for_different_seeds_and_datasets(writer: StoreWriter) -> None:
    for seed in (0, 1):
        writer.done(config(seed=seed), [lbn(1, 1, 1), lbn(60, 60, 60)])
        writer.done(config(seed=seed, dataset="dtd"), [lbn(1, 1, 1), lbn(60, 60, 60)])
    assert warnings(one_table(writer.root)) == []


def test_facts(writer: StoreWriter) -> None:
    rounds = [lbn(1, 1, 1), lbn(60, 60, 60), lbn(60, 60, 60)]
    writer.done(config("CLIP"), rounds[:1], protocol={"missing": 7})
    writer.done(config("Prox", hyper={"mu": 0.5}), rounds, protocol={"missing": 7})
    writer.done(config("Prox", hyper={"mu": 0.5}, seed=2), rounds, environment={"device": "cuda"})
    writer.done(config("Prox", dataset="dtd", hyper={"mu": 1.0}, batch_size=32), rounds)
    said = dict(facts(one_table(writer.root)))
    assert said["Backbone"] == "tiny (miniature), weights ffff0000"
    assert said["Protocol"] == "base-to-novel, 2 clients, shots 16, built-in split of shapes, dtd"
    assert said["Selection"] == "last round"
    assert said["Seeds"] == "1, 2 (n differs: see the last column)"
    assert "rounds 2, local epochs 2, batch size 16 (shapes) / 32 (dtd)" in said["Training"]
    assert said["Hyper-parameters of Prox"] == "mu=0.5 (shapes) / 1 (dtd)"
    assert "float32 on cpu (3 cells), float32 on cuda (1 cell), fedbench 0.1.0 at abc1234" in said["Computed"]
    assert said["Splits"].startswith("shapes s1 ")
    assert said["Missing images"] == "shapes 7"


def test_two_backbones_are_two_tables(writer: StoreWriter) -> None:
    rounds = [lbn(1, 1, 1), lbn(60, 60, 60)]
    writer.done(config(backbone="tiny"), rounds)
    writer.done(config(backbone="other"), rounds, backbone={"name": "other", "trained": False, "label": ""})
    tables = tables_of(writer.root)
    assert [t.title for t in tables] == [
        "base-to-novel, tiny (miniature)",
        "base-to-novel, other (untrained: numbers mean nothing)",
    ]
    text = write_report(writer.root, formats=["csv"])[0].read_text()
    assert "PromptFL on tiny," in text
    assert "PromptFL on other," in text


def test_a_number_that_is_not_finite_is_missing_and_said(writer: StoreWriter) -> None:
    writer.done(config(seed=1), [lbn(1, 1, 1), lbn(60, 60, 60)])
    cell = config(seed=2)
    writer.done(cell, [lbn(1, 1, 1), lbn(60, math.nan, 60)])
    table = one_table(writer.root)
    assert value(table, "shapes", "PromptFL", "local").n == 2
    assert value(table, "shapes", "PromptFL", "base").missing
    assert value(table, "shapes", "PromptFL", "hm").missing
    assert table.notes == (f"{cell.cell} has no finite number for 'base'",)


def test_notes_on_the_data_say_whose_they_are(writer: StoreWriter) -> None:
    rounds = [lbn(1, 1, 1), lbn(2, 2, 2)]
    writer.done(config(dataset="dtd"), rounds, protocol={"notes": ["3 are missing"]})
    assert dict(facts(one_table(writer.root)))["Data"] == "3 are missing"
    writer.done(config(dataset="pets"), rounds)
    writer.done(config(dataset="cars"), rounds, protocol={"notes": ["own split", "1 is missing"]})
    said = dict(facts(one_table(writer.root)))["Data"]
    assert said == "dtd: 3 are missing; cars: own split, 1 is missing"
