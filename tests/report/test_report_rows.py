"""What is pooled, and what a row is called."""

from pathlib import Path

import pytest

from fedbench.config import Quirks, RunConfig
from fedbench.report import tables_of
from fedbench.report.facts import facts
from fedbench.report.rows import rows, unique
from fedbench.store.read import read
from tests.helpers.store_writer import StoreWriter, config, lbn


def labels(writer: StoreWriter) -> tuple[str, ...]:
    return unique(row.label for row in rows(read(writer.root)).values())


def order(tmp_path: Path, *cells: RunConfig) -> tuple[str, ...]:
    writer = StoreWriter(tmp_path / "run")
    for c in cells:
        writer.done(c, [lbn(1, 1, 1), lbn(2, 2, 2), lbn(3, 3, 3)])
    return labels(writer)


def test_seeds_and_datasets_are_pooled(tmp_path: Path) -> None:
    cells = [config(seed=seed, dataset=d) for seed in (0, 1, 2) for d in ("shapes", "dtd")]
    assert order(tmp_path, *cells) == ("PromptFL",)


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        ({"hyper": {"mu": 1.0, "b": 8}}, {"hyper": {"mu": 0.5, "b": 8}}, ("mu=0.5", "mu=1")),
        ({"hyper": {"mu": 10.0}}, {"hyper": {"mu": 9.0}}, ("mu=9", "mu=10")),
        ({"hyper": {"mu": 1.0}}, {}, ("mu=1", "mu=unset")),
        ({"split_options": {"shots": 4}}, {"split_options": {"shots": 16}}, ("shots=4", "shots=16")),
        ({"rounds": 3}, {"rounds": 2}, ("rounds=2", "rounds=3")),
        ({"precision": "bf16"}, {}, ("precision=bf16", "precision=float32")),
        ({"views": 4}, {"views": None}, ("views=4", "views=none")),
        ({"hyper": {"full": True}}, {"hyper": {"full": False}}, ("full=false", "full=true")),
    ],
)
def test_what_differs_is_in_the_label(
    tmp_path: Path, one: dict, other: dict, labels: tuple[str, ...]
) -> None:
    assert order(tmp_path, config(**one), config(**other)) == tuple(f"PromptFL ({x})" for x in labels)


def test_keys_of_one_name_are_told_apart(tmp_path: Path) -> None:
    found = order(
        tmp_path,
        config(hyper={"rounds": 1}, rounds=2),
        config(hyper={"rounds": 2}, rounds=3),
    )
    assert found == ("PromptFL (hyper.rounds=1, rounds=2)", "PromptFL (hyper.rounds=2, rounds=3)")


def test_quirks_are_always_shown(tmp_path: Path) -> None:
    assert order(tmp_path, config("Prox", quirks=("detached-prox",))) == ("Prox [detached-prox]",)


def test_quirk_beside_the_plain_method(tmp_path: Path) -> None:
    cells = [config("Prox", quirks=("detached-prox",)), config("Prox")]
    assert order(tmp_path, *cells) == ("Prox", "Prox [detached-prox]")


def test_settings_per_dataset_split_no_row(tmp_path: Path) -> None:
    cells = [config(dataset="shapes", hyper={"mu": 0.5}), config(dataset="dtd", hyper={"mu": 1.0})]
    assert order(tmp_path, *cells) == ("PromptFL",)


def test_another_methods_settings_do_not_matter(tmp_path: Path) -> None:
    cells = [
        config("FedPGP", hyper={"mu": 0.5}),
        config("FedPGP", hyper={"mu": 1.0}),
        config("Prox", hyper={"mu": 1.0}),
    ]
    assert order(tmp_path, *cells) == ("FedPGP (mu=0.5)", "FedPGP (mu=1)", "Prox")


def test_rows_follow_the_grid(tmp_path: Path) -> None:
    assert order(tmp_path, config("Prox"), config("CLIP"), config("CoOp")) == ("Prox", "CLIP", "CoOp")


def test_an_unfinished_variant_has_its_own_row(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config(hyper={"mu": 0.5}), [lbn(1, 1, 1), lbn(2, 2, 2)])
    writer.open(config(hyper={"mu": 1.0}), "failed", "diverged")
    assert labels(writer) == ("PromptFL (mu=0.5)", "PromptFL (mu=1)")


def test_many_quirks_have_a_short_name_that_the_table_explains(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    many, other = ("a-b", "c-d", "e-f"), ("a-b", "c-d", "g-h")
    for method, quirks in (("Prox", many), ("FedPGP", many), ("CoOp", other), ("CoOp", ("a-b", "c-d"))):
        writer.done(config(method, quirks=quirks), [lbn(1, 1, 1), lbn(2, 2, 2)])
    (table,) = tables_of(writer.root)
    assert table.labels == ("Prox [quirks a]", "FedPGP [quirks a]", "CoOp [a-b, c-d]", "CoOp [quirks b]")
    assert dict(facts(table))["Quirks"] == "a: a-b, c-d, e-f; b: a-b, c-d, g-h"


def test_a_quirk_of_one_dataset_splits_no_row(tmp_path: Path) -> None:
    """As `--released` sets it: the average is over both datasets, and the table says which has the quirk."""
    writer = StoreWriter(tmp_path / "run")
    rounds = [lbn(1, 1, 1), lbn(2, 2, 2)]
    writer.done(
        config(dataset="oxford_pets", quirks=Quirks(method=("momentum-leak",), dataset=("fixed-shots",))),
        rounds,
    )
    writer.done(config(dataset="dtd", quirks=("momentum-leak",)), rounds)
    (table,) = tables_of(writer.root)
    assert table.labels == ("PromptFL [momentum-leak]",)
    assert not table.sections[0].values[table.labels[0]][0].missing
    assert dict(facts(table))["Quirks"] == "on oxford_pets: fixed-shots"
    # with and without it on one dataset, the rows tell them apart
    writer.done(config(dataset="oxford_pets", quirks=("momentum-leak",)), rounds)
    (table,) = tables_of(writer.root)
    assert table.labels == ("PromptFL [momentum-leak]", "PromptFL [fixed-shots, momentum-leak]")
