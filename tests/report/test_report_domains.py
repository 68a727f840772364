"""Leave-one-domain-out: targets as columns (Table 2 of FedPGP), target by source (Table 4)."""

import csv as csv_module
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from fedbench.errors import FedbenchError
from fedbench.report import tables_of, terminal_table, write_report
from fedbench.report.arithmetic import Value
from fedbench.report.clients import merged
from fedbench.report.facts import facts
from fedbench.report.grids import comparison
from fedbench.report.matrix import Matrix
from fedbench.report.stats import compare
from fedbench.report.tables import Table
from fedbench.report.warnings import warnings
from tests.helpers.store_writer import StoreWriter, lodo, one_column

OFFICE = ("amazon", "caltech", "dslr", "webcam")
SOURCES = {t: tuple(d for d in OFFICE if d != t) for t in OFFICE}
FEDPGP = {  # caltech as printed in Table 4; the others add up to Table 2's columns
    "amazon": (96.55, 96.55, 96.55),
    "caltech": (94.66, 86.92, 93.59),
    "dslr": (99.36, 99.36, 98.08),
    "webcam": (98.75, 98.75, 98.75),
}


@pytest.fixture
def writer(tmp_path: Path) -> StoreWriter:
    return StoreWriter(tmp_path / "run")


def fill(
    writer: StoreWriter,
    numbers: Mapping[str, Sequence[float]] = FEDPGP,
    method: str = "FedPGP",
    seed: int = 1,
    domains: Sequence[str] = OFFICE,
) -> None:
    """A cell for each target: the start, a round, and `numbers` at the end."""
    for target, found in numbers.items():
        names = [d for d in domains if d != target]
        rounds = [{"target": [1.0] * len(names)}, {"target": [2.0] * len(names)}, {"target": found}]
        cell = lodo(target, method, seed=seed)
        writer.done(cell, rounds, protocol=one_column("target", names))


def only_table(writer: StoreWriter) -> Table:
    (table,) = tables_of(writer.root)
    return table


def column(table: Table, target: str, row: str = "FedPGP") -> Value:
    (block,) = table.sections
    return block.values[row][block.metrics.index(f"target/{target}")]


def only_matrix(writer: StoreWriter) -> Matrix:
    (matrix,) = only_table(writer).matrices
    return matrix


def test_table_2_and_the_papers_typo(writer: StoreWriter) -> None:
    fill(writer)
    table = only_table(writer)
    assert table.labels == ("FedPGP",)  # the target is a column and part of no label
    assert table.sections[0].metrics == (*(f"target/{d}" for d in OFFICE), "target/avg")
    assert round(column(table, "caltech").mean, 2) == 91.72  # printed: 91.92
    assert round(column(table, "dslr").mean, 2) == 98.93
    assert round(column(table, "avg").mean, 2) == round((96.55 + 91.7233 + 98.9333 + 98.75) / 4, 2) == 96.49
    assert column(table, "avg").n == 1
    assert table.notes == ()
    assert warnings(table) == []  # each target is another split, for all rows alike


def test_the_papers_average_from_its_printed_columns(writer: StoreWriter) -> None:
    printed = {"amazon": 96.55, "caltech": 91.92, "dslr": 98.93, "webcam": 98.75}
    fill(writer, {target: (x, x, x) for target, x in printed.items()})
    assert round(column(only_table(writer), "avg").mean, 2) == 96.54


def test_table_4_row(writer: StoreWriter) -> None:
    fill(writer)
    matrix = only_matrix(writer)
    assert (matrix.targets, matrix.sources) == (OFFICE, OFFICE)
    assert matrix.values["caltech", "dslr"] == Value(86.92, pytest.approx(float("nan"), nan_ok=True), 1)
    assert ("caltech", "caltech") not in matrix.values
    caltech = matrix.over_sources["caltech"]
    assert caltech.mean == pytest.approx((94.66 + 86.92 + 93.59) / 3)
    # deviations 2.93667, -4.80333, 1.86667: squares 8.62401 + 23.07201 + 3.48444 = 35.18047, / 2, root
    assert caltech.std == pytest.approx(4.19407, abs=1e-5)
    assert caltech.n == 3
    assert matrix.over_sources["amazon"].std == 0


def test_each_cell_is_the_mean_over_seeds_first(writer: StoreWriter) -> None:
    for seed, shift in ((1, (-1, 0, 4)), (2, (1, 0, -4))):
        fill(
            writer, {t: [x + s - 6 for x, s in zip(FEDPGP[t], shift, strict=True)] for t in OFFICE}, seed=seed
        )
    matrix = only_matrix(writer)
    cell = matrix.values["caltech", "webcam"]
    assert cell.mean == pytest.approx(87.59)
    assert cell.std == pytest.approx(32**0.5)  # of 91.59 and 83.59
    assert cell.n == 2
    assert matrix.over_sources["caltech"].std == pytest.approx(4.19407, abs=1e-5)  # as for the means
    caltech = column(only_table(writer), "caltech")
    assert caltech.n == 2
    assert caltech.std == pytest.approx(0 + 2**0.5 * 1)  # row means move by (-1 + 0 + 4) / 3 = 1 and by -1


def test_a_missing_target_makes_avg_missing(writer: StoreWriter) -> None:
    fill(writer)
    fill(writer, {t: FEDPGP[t] for t in ("amazon", "dslr", "webcam")}, method="Prox")
    writer.open(lodo("caltech", "Prox"), "failed", "diverged")
    table = only_table(writer)
    assert column(table, "caltech", "Prox").missing
    assert column(table, "avg", "Prox").missing
    assert not column(table, "avg").missing
    assert table.notes == ("Avg of Prox on office is missing: no finished cell that holds out caltech",)
    prox = table.matrices[1]
    assert prox.over_sources["caltech"].missing
    text = write_report(writer.root, formats=["md"])[0].read_text()
    row = [r for r in text.splitlines() if r.startswith("| caltech")][1]
    assert re.split(r"\s*\|\s*", row.strip("| ")) == ["caltech", "–", "", "–", "–", "–", "–"]


def test_a_domain_that_was_never_held_out_makes_avg_missing(writer: StoreWriter) -> None:
    fill(writer, {t: FEDPGP[t] for t in ("amazon", "dslr")})
    table = only_table(writer)
    assert table.sections[0].metrics == ("target/amazon", "target/dslr", "target/avg")
    assert column(table, "avg").missing
    assert table.notes == ("Avg of FedPGP on office is missing: never held out: caltech, webcam",)
    assert only_matrix(writer).sources == OFFICE


def test_one_target_has_no_avg(writer: StoreWriter) -> None:
    fill(writer, {"dslr": FEDPGP["dslr"]})
    assert only_table(writer).sections[0].metrics == ("target/dslr",)
    assert only_table(writer).notes == ()


def test_a_seed_without_all_targets_is_left_out_of_avg_and_said(writer: StoreWriter) -> None:
    fill(writer, seed=1)
    fill(writer, {"amazon": (90, 90, 90)}, seed=2)
    table = only_table(writer)
    assert column(table, "amazon").n == 2
    assert column(table, "avg").n == 1
    assert table.notes == ("Avg of FedPGP on office: over the seeds with every held-out domain (1), not 2",)
    text = write_report(writer.root, formats=["md"])[0].read_text()
    assert re.search(r"\| FedPGP .*\| +1–2 \|", text)
    assert "Each cell is the mean over the n seeds that held out the domain." in text


def test_domains_keep_the_tasks_order(writer: StoreWriter) -> None:
    shapes = ("photo", "sketch", "negative", "flat")
    fill(writer, dict.fromkeys(("flat", "photo", "negative", "sketch"), (1.0, 2.0, 3.0)), domains=shapes)
    matrix = only_matrix(writer)
    assert (matrix.targets, matrix.sources) == (shapes, shapes)
    assert [matrix.values["sketch", s].mean for s in ("photo", "negative", "flat")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("orders", "first", "expected"),
    [
        ([("b", "c", "d"), ("a", "c", "d"), ("a", "b", "d"), ("a", "b", "c")], (), ("a", "b", "c", "d")),
        ([("b", "c"), ("a", "c")], ("a", "b"), ("a", "b", "c")),  # nothing says which of a and b is first
        ([("a", "b"), ("b", "a")], (), ("a", "b")),
        ([], ("x",), ("x",)),
    ],
)
def test_merged_orders(orders: list, first: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert merged(orders, first) == expected


def without_names(writer: StoreWriter, target: str, names: Sequence[str]) -> Path:
    protocol = one_column("target", names) | {"client_names": []}
    rounds = [{"target": [1.0, 1.0]}, {"target": [1.0, 1.0]}, {"target": [70.0, 60.0]}]
    return writer.done(lodo(target), rounds, protocol=protocol)


def test_names_from_the_task(writer: StoreWriter) -> None:
    folder = without_names(writer, "c", ("photo", "flat"))
    task = {"protocol": "lodo", "dataset": "d", "clients": {"photo": [], "flat": []}}
    (folder / "task.json").write_text(json.dumps(task))
    assert only_matrix(writer).values["c", "photo"].mean == 70
    assert warnings(only_table(writer)) == []
    (folder / "task.json").write_text(json.dumps(task, sort_keys=True))  # the order is lost
    assert only_matrix(writer).values["c", "flat"].mean == 70
    (line,) = warnings(only_table(writer))
    assert "assigned to domains in alphabetical order, which may be wrong" in line


def test_without_names_there_is_no_matrix(writer: StoreWriter) -> None:
    folder = without_names(writer, "c", ("photo", "flat"))
    table = only_table(writer)
    assert table.matrices == ()
    assert table.notes == (f"{folder.name} does not say which client is which: it is in no matrix",)
    assert column(table, "c").mean == 65
    (folder / "task.json").write_text('{"clients": 3}')
    with pytest.raises(FedbenchError, match="damaged at 'clients'"):
        only_table(writer)


def test_names_that_do_not_match_the_numbers_are_not_used(writer: StoreWriter) -> None:
    rounds = [{"target": [1.0, 2.0]}] * 3
    writer.done(lodo("c"), rounds, protocol=one_column("target", ("a", "b", "d")))
    assert only_table(writer).matrices == ()


def test_csv(writer: StoreWriter) -> None:
    fill(writer)
    (path,) = write_report(writer.root, formats=["csv"])
    lines = list(csv_module.reader(path.read_text().splitlines()))
    assert lines[0] == ["method", "dataset", "protocol", "metric", "mean", "std", "n"]
    found = {line[3]: line[4:] for line in lines[1:]}
    assert len(found) == len(lines) - 1 == 5 + 4 * 4
    assert found["target/caltech<-dslr"] == ["86.92", "", "1"]
    assert float(found["target/caltech<-*"][1]) == pytest.approx(4.19407, abs=1e-5)
    assert found["target/caltech<-*"][2] == "3"
    assert found["target/caltech"][1:] == ["", "1"]
    assert float(found["target/avg"][0]) == pytest.approx(96.48916667)


def test_forms(writer: StoreWriter) -> None:
    fill(writer)
    fill(writer, dict.fromkeys(OFFICE, (50, 60, 70)), method="CLIP")
    texts = {p.suffix: p.read_text() for p in write_report(writer.root, formats=["md", "tex"])}
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in texts[".md"].splitlines() if line[:1] == "|"]
    assert rows[0] == ["Method", *OFFICE, "Avg"]
    assert rows[2] == ["FedPGP", "**96.55**", "**91.72**", "**98.93**", "**98.75**", "**96.49**"]
    assert rows[4] == ["Held out", *OFFICE, "Mean", "Std"]
    assert rows[7] == ["caltech", "94.66", "", "86.92", "93.59", "91.72", "4.19"]
    note = "standard deviation over the row's source clients, not over seeds. One seed."
    assert texts[".md"].count(note) == 1  # once, below the last matrix
    assert r"caltech & 94.66 &  & 86.92 & 93.59 & 91.72 & 4.19 \\" in texts[".tex"]
    assert texts[".tex"].count(note) == 2
    labels = re.findall(r"\\label\{(.*)\}", texts[".tex"])
    assert len(set(labels)) == len(labels) == 3
    console = Console(width=110, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(writer.root))
    assert re.search(r"caltech +94\.66 +86\.92 +93\.59 +91\.72 +4\.19", capture.get())
    assert "office: FedPGP, Target by source" in capture.get()


def test_facts_and_comparison(writer: StoreWriter) -> None:
    fill(writer)
    fill(writer, {t: [x - 1 for x in FEDPGP[t]] for t in OFFICE}, method="Prox")
    table = only_table(writer)
    said = dict(facts(table))
    assert said["Protocol"].startswith("leave-one-domain-out, 3 clients, shots all, target eval all")
    assert said["Splits"].startswith("office s1 without amazon ")
    (prox,) = compare(table, "FedPGP")
    assert (prox.n, prox.difference) == (4, pytest.approx(-1))  # a pair for each target
    assert "(dataset, held-out domain, seed) pairs" in comparison(table, "FedPGP").title
