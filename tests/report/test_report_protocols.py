"""Protocols with one column: spread over clients (Dirichlet), domains of clients, tables by shots."""

import csv as csv_module
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedbench.report import tables_of, write_report
from fedbench.report.arithmetic import Value, over_clients
from fedbench.report.document import Grid
from fedbench.report.facts import definitions
from fedbench.report.grids import grids
from fedbench.report.warnings import warnings
from tests.helpers.store_writer import StoreWriter, config, lbn, one_column

NAMES = [f"{d} {k}" for d in ("photo", "flat") for k in range(3)]
DOMAINS = {1: (60, 70, 80, 90, 92, 94), 2: (70, 70, 70, 96, 96, 99)}


@pytest.fixture
def writer(tmp_path: Path) -> StoreWriter:
    return StoreWriter(tmp_path / "run")


def local(clients: Sequence[float]) -> list[dict[str, Sequence[float]]]:
    return [{"local": [1.0] * len(clients)}, {"local": [2.0] * len(clients)}, {"local": clients}]


def printed(writer: StoreWriter) -> list[Grid]:
    (table,) = tables_of(writer.root)
    return grids(table)


def texts(panel: Grid) -> dict[str, list[str]]:
    return {name: [cell.mean + cell.spread for cell in cells] for name, cells in panel.lines}


def long(writer: StoreWriter) -> dict[tuple[str, str, str], list[str]]:
    (path,) = write_report(writer.root, formats=["csv"])
    lines = list(csv_module.reader(path.read_text().splitlines()))[1:]
    found = {(line[0], line[1], line[3]): line[4:] for line in lines}
    assert len(found) == len(lines)
    return found


def test_over_clients() -> None:
    assert over_clients([[60, 70, 80], [70, 70, 70]]) == Value(70, 5, 3)  # stds 10 and 0
    assert over_clients([[60, 80], [1, 2, 3]]).n == 2
    assert math.isnan(over_clients([[60]]).std)
    for lacking in ([], [[]], [[1, 2], []], [[1, math.nan]]):
        assert over_clients(lacking).missing


def test_dirichlet(writer: StoreWriter) -> None:
    names = [f"client {k}" for k in range(4)]
    seeds = {1: (60, 70, 80, 90), 2: (70, 70, 80, 80), 3: (77, 77, 77, 77)}
    for dataset in ("cifar10", "cifar100"):
        for seed, clients in seeds.items():
            cell = config("FedPGP", dataset, seed, split="dirichlet", split_options={"beta": 0.3})
            writer.done(cell, local(clients), protocol=one_column("local", names))
    (table,) = tables_of(writer.root)
    average, first, _second = grids(table)
    assert average.heads == ("Local",)  # a mean over datasets has no clients
    assert first.heads == ("Local", "Std over clients")
    # means 75, 75, 77; stds sqrt(500 / 3) = 12.9099, sqrt(100 / 3) = 5.7735, 0
    assert texts(first) == {"FedPGP": ["75.67 ± 1.15", "6.23"]}
    assert "over seeds; each number is the mean over clients; Std over clients: sample" in definitions(table)
    found = long(writer)
    mean, std, n = found["FedPGP", "cifar10", "local<-*"]
    assert (float(mean), float(std), n) == (pytest.approx(227 / 3), pytest.approx(18.68344 / 3), "4")
    assert found["FedPGP", "cifar10", "local"][2] == "3"
    assert ("FedPGP", "Average", "local<-*") not in found


def test_the_spread_is_not_ranked(writer: StoreWriter) -> None:
    for method, clients in (("A", (60, 80)), ("B", (50, 50))):
        cell = config(method, split="dirichlet")
        writer.done(cell, local(clients), protocol=one_column("local", ("client 0", "client 1")))
    (panel,) = printed(writer)
    assert [[cell.rank for cell in cells] for _, cells in panel.lines] == [[1, 0], [2, 0]]


def test_several_columns_have_no_spread(writer: StoreWriter) -> None:
    writer.done(config(), [lbn(1, 1, 1), lbn(60, 60, 60)])
    (table,) = tables_of(writer.root)
    assert table.spreads == table.matrices == ()


def skewed(writer: StoreWriter, dataset: str = "office", names: Sequence[str] = NAMES) -> None:
    for seed, clients in DOMAINS.items():
        cell = config("FedPGP", dataset, seed, split="domain-label-skew")
        writer.done(cell, local(clients), protocol=one_column("local", names))


def test_domain_label_skew(writer: StoreWriter) -> None:
    skewed(writer)
    block, over = printed(writer)
    assert block.heads == over.heads == ("photo", "flat", "Local")  # the task's order, then all clients
    # means of photo 70, 70; of flat 92, 97; of all 81, 83.5
    assert texts(block) == {"FedPGP": ["70.00 ± 0.00", "94.50 ± 3.54", "82.25 ± 1.77"]}
    assert over.title == "office: over clients"
    # photo 10 and 0; flat 2 and sqrt(3); all: sqrt(934 / 5) = 13.6675, sqrt(1099.5 / 5) = 14.8290
    assert texts(over) == {"FedPGP": ["70.00 ± 5.00", "94.50 ± 1.87", "82.25 ± 14.25"]}
    assert over.note.endswith("Clients: photo 3, flat 3, Local 6.")
    found = long(writer)
    assert [float(x) for x in found["FedPGP", "office", "local/photo<-*"]] == [70, 5, 3]
    assert found["FedPGP", "office", "local<-*"][2] == "6"
    assert float(found["FedPGP", "office", "local/flat"][0]) == 94.5


def test_datasets_with_other_domains_share_the_average_of_all_clients(writer: StoreWriter) -> None:
    skewed(writer)
    skewed(writer, "domainnet", [name.replace("flat", "sketch") for name in NAMES])
    (table,) = tables_of(writer.root)
    assert [b.metrics for b in table.sections][:2] == [("local",), ("local/photo", "local/flat", "local")]
    assert table.sections[0].values["FedPGP"][0].mean == 82.25
    assert table.notes == ()


def test_clients_numbered_within_one_domain_are_no_domains(writer: StoreWriter) -> None:
    skewed(writer, names=[f"client {k}" for k in range(6)])
    (panel,) = printed(writer)
    assert panel.heads == ("Local", "Std over clients")


def test_a_client_without_a_number(writer: StoreWriter) -> None:
    cell = config("FedPGP", "office", split="domain-label-skew")
    writer.done(cell, local((60, 70, 80, 90, math.nan, 94)), protocol=one_column("local", NAMES))
    block, over = printed(writer)
    assert texts(block) == {"FedPGP": ["70.00", "–", "–"]}
    assert texts(over) == {"FedPGP": ["70.00 ± 10.00", "–", "–"]}


def few_shot(writer: StoreWriter, shots: int, bottleneck: int, accuracy: float, seed: int = 1) -> None:
    hyper, options = {"bottleneck": bottleneck, "mu": 0.5}, {"shots": shots}
    cell = config("FedPGP", "dtd", seed, split="class-disjoint", hyper=hyper, split_options=options)
    writer.done(cell, local((accuracy, accuracy)), protocol=one_column("local", ("client 0", "client 1")))


def test_table_11(writer: StoreWriter) -> None:
    for bottleneck in (8, 1, 2):
        for shots in (16, 2, 1):
            for seed in (1, 2):
                if (bottleneck, shots) != (2, 16):
                    few_shot(writer, shots, bottleneck, 50 + shots + bottleneck + 2 * seed, seed)
    clip = config("CLIP", "dtd", split="class-disjoint", split_options={"shots": 1})
    writer.done(clip, [{"local": (44, 46)}], protocol=one_column("local", ("client 0", "client 1")))
    block, pivot = printed(writer)
    assert "FedPGP (bottleneck=8, shots=16)" in texts(block)
    assert pivot.title == "dtd: Local by shots"
    assert pivot.heads == ("1 shot", "2 shots", "16 shots")
    assert texts(pivot) == {
        "FedPGP (bottleneck=1)": ["55.00 ± 1.41", "56.00 ± 1.41", "70.00 ± 1.41"],
        "FedPGP (bottleneck=2)": ["56.00 ± 1.41", "57.00 ± 1.41", "–"],
        "FedPGP (bottleneck=8)": ["62.00 ± 1.41", "63.00 ± 1.41", "77.00 ± 1.41"],
        "CLIP": ["45.00", "–", "–"],
    }
    assert [cells[0].rank for _, cells in pivot.lines] == [0, 2, 1, 0]
    assert "n = 1–2. Columns: images per class." in pivot.note
    (table,) = tables_of(writer.root)
    assert warnings(table) == []  # other shots are another split, as they should be
    paths = {p.suffix: p.read_text() for p in write_report(writer.root)}
    assert "shots 1 / 2 / 16, built-in split" in paths[".md"]
    assert "- Hyper-parameters of FedPGP (bottleneck=1): bottleneck=1, mu=0.5\n" in paths[".md"]
    assert re.search(r"FedPGP \(bottleneck=2\) & \\underline\{56\.00\} \$\\pm\$ 1\.41 &", paths[".tex"])
    assert "FedPGP (bottleneck=1)," not in paths[".csv"]  # the rows' own lines hold these numbers


def test_shots_alone_and_the_summary(writer: StoreWriter) -> None:
    for method in ("CoOp", "FedPGP"):
        for shots in (4, 8):
            for dataset in ("dtd", "shapes"):
                cell = config(method, dataset, split_options={"shots": shots})
                writer.done(cell, [lbn(1, 1, 1), lbn(60 + shots, 60 + shots, 60 + shots)])
    found = [panel for panel in printed(writer) if not panel.main]
    assert [p.title for p in found] == [f"{d}: HM by shots" for d in ("Average", "dtd", "shapes")]
    assert texts(found[0]) == {"CoOp": ["64.00", "68.00"], "FedPGP": ["64.00", "68.00"]}


def test_one_hyper_parameter_alone_needs_no_second_table(writer: StoreWriter) -> None:
    for bottleneck in (1, 2):
        few_shot(writer, 16, bottleneck, 60)
    (block,) = printed(writer)
    assert list(texts(block)) == ["FedPGP (bottleneck=1)", "FedPGP (bottleneck=2)"]


def test_different_splits_of_the_same_shots_are_warned_of(writer: StoreWriter) -> None:
    few_shot(writer, 16, 1, 60)
    few_shot(writer, 8, 1, 60)
    cell = config("CoOp", "dtd", split="class-disjoint", split_options={"shots": 8})
    writer.done(
        cell, local((1, 2)), hashes={"split": "deadbeef00000000"}, protocol=one_column("local", ("a", "b"))
    )
    (table,) = tables_of(writer.root)
    (line,) = warnings(table)
    assert line.startswith("on dtd, seed 1, shots 8, the rows did not see the same split (")
