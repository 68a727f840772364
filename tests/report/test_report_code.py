"""Tables say which cells were run by other code than the present, and which by different code than others."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from fedbench.report import tables_of, terminal_table, write_report
from fedbench.report.plots import figures
from fedbench.report.warnings import warnings
from tests.helpers.store_writer import StoreWriter, config, lbn, lodo, one_column

ROUNDS = [lbn(1, 1, 1), lbn(2, 2, 2), lbn(60, 60, 60)]


@pytest.fixture
def writer(tmp_path: Path) -> StoreWriter:
    return StoreWriter(tmp_path / "run")


def only(writer: StoreWriter) -> list[str]:
    (table,) = tables_of(writer.root)
    return warnings(table)


def forms(writer: StoreWriter, **options: str) -> dict[str, str]:
    paths = write_report(writer.root, formats=["md", "tex", "csv", "txt"], **options)
    return {path.suffix[1:]: path.read_text() for path in paths}


def test_every_form_marks_the_row_and_says_how_to_run_it_again(writer: StoreWriter) -> None:
    writer.done(config("CoOp"), ROUNDS)
    for seed in (1, 2):
        writer.done(config("FedPGP", seed=seed), ROUNDS, changed=("method",) if seed == 2 else ())
    said = (
        f"† run by code that has changed since: {config('FedPGP', seed=2).cell} (method); the same `bench run` "
        "command with --retry-changed runs these cells anew"
    )
    assert only(writer) == [said]
    texts = forms(writer, versus="CoOp")
    assert texts["md"].count("\n| FedPGP † ") == 2  # the comparison too
    assert "\n| CoOp  " in texts["md"]
    assert "FedPGP $^{\\dagger}$ &" in texts["tex"]
    assert "Warning: $^{\\dagger}$ run by code" in texts["tex"]
    assert {row["method"] for row in csv.DictReader(texts["csv"].splitlines())} == {"CoOp", "FedPGP †"}
    assert "\n FedPGP †  " in texts["txt"]
    assert all("--retry-changed" in texts[form] for form in ("md", "tex", "txt"))
    console = Console(width=300, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(writer.root))
    assert said in capture.get()
    for _, figure in figures(tables_of(writer.root)):
        foot = " ".join(figure.texts[-1].get_text().split())
        assert f"Run by code that has changed since: {config('FedPGP', seed=2).cell} (method)." in foot


def test_a_row_whose_cells_are_all_of_other_code_is_named_as_one(writer: StoreWriter) -> None:
    for seed in (1, 2):
        writer.done(config("FedPGP", seed=seed), ROUNDS, changed=("method", "engine"))
    assert only(writer)[0].startswith("† run by code that has changed since: FedPGP (method, engine); ")


def test_matrices_and_tables_by_shots_are_marked_too(writer: StoreWriter) -> None:
    for target in ("a", "b"):
        rounds = [{"target": [1.0, 2.0]}, {"target": [1.0, 2.0]}, {"target": [3.0, 4.0]}]
        names = [name for name in "abc" if name != target]
        writer.done(lodo(target), rounds, protocol=one_column("target", names), changed=("split",))
    for shots in (1, 2):
        cell = config("Prox", split_options={"shots": shots})
        writer.done(cell, ROUNDS, changed=("split",) if shots == 1 else ())
    text = forms(writer)["md"]
    assert "## office: FedPGP †, Target by source" in text
    assert "\n| Prox (shots=1) † " in text
    assert "\n| Prox (shots=2)  " in text
    assert "\n| Prox †   |" in text  # by shots


def test_nothing_is_said_of_cells_that_one_code_ran(writer: StoreWriter) -> None:
    everyone = {"split": "s", "engine": "e", "backbone": "b"}
    for dataset in ("dtd", "shapes"):
        for method in ("CoOp", "Prox"):
            code = everyone | {"method": method, "dataset": dataset}
            writer.done(config(method, dataset), ROUNDS, code=code)
    writer.done(config("Old"), ROUNDS)  # of a version that kept no digests
    assert only(writer) == []


def disagree(writer: StoreWriter, part: str, cells: Sequence[tuple[str, str, int, str]]) -> list[str]:
    for method, dataset, seed, digest in cells:
        writer.done(config(method, dataset, seed), ROUNDS, code={part: digest})
    return only(writer)


def test_cells_of_one_method_by_different_code(writer: StoreWriter) -> None:
    cells = [("CoOp", "dtd", 1, "aaaa"), ("CoOp", "dtd", 2, "bbbb"), ("Prox", "dtd", 1, "cccc")]
    one, other = config("CoOp", "dtd", 1).cell, config("CoOp", "dtd", 2).cell
    assert disagree(writer, "method", cells) == [
        f"the cells of CoOp were run by different code of the method (aaaa: {one}; bbbb: {other})"
    ]


def test_rows_of_one_method_by_different_code(writer: StoreWriter) -> None:
    """A variant beside the plain method: numbers of two methods, in truth."""
    for mu, digest in ((0.5, "aaaa"), (1.0, "bbbb")):
        writer.done(config("Prox", hyper={"mu": mu}), ROUNDS, code={"method": digest})
    (line,) = only(writer)
    assert line.startswith("the cells of Prox were run by different code of the method (aaaa: Prox-shapes-")


def test_rows_on_different_code_of_a_dataset(writer: StoreWriter) -> None:
    cells = [("CoOp", "dtd", 1, "aaaa"), ("Prox", "dtd", 1, "bbbb"), ("CoOp", "shapes", 1, "cccc")]
    assert disagree(writer, "dataset", cells) == [
        "the cells of dtd were run by different code of the dataset (aaaa: CoOp; bbbb: Prox)"
    ]


@pytest.mark.parametrize("part", ["split", "engine", "backbone"])
def test_rows_by_different_code_of_what_all_share(writer: StoreWriter, part: str) -> None:
    cells = [("CoOp", "dtd", 1, "aaaa"), ("Prox", "dtd", 1, "aaaa"), ("Prox", "shapes", 1, "bbbb")]
    assert disagree(writer, part, cells) == [
        f"the cells were run by different code of the {part} (aaaa: CoOp, Prox; bbbb: Prox)"
    ]


def test_a_dirty_commit_is_named_whole(writer: StoreWriter) -> None:
    writer.done(config(), ROUNDS, environment={"commit": "abc12345-dirty"})
    assert "fedbench 0.1.0 at abc12345-dirty\n" in forms(writer)["md"]
