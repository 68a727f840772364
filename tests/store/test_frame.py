"""The long table: one row a cell, evaluated round, metric and client."""

import math
from pathlib import Path

import pytest

from fedbench.config import Quirks
from fedbench.store.frame import frame
from fedbench.store.read import read
from tests.helpers.store_writer import StoreWriter, config, lbn, lodo, one_column


@pytest.fixture
def writer(tmp_path: Path) -> StoreWriter:
    return StoreWriter(tmp_path / "run")


def test_one_row_a_number(writer: StoreWriter) -> None:
    first = config(hyper={"mu": 0.5, "phrase": ["a", "b"]}, quirks=Quirks(method=("q",), engine=("p",)))
    writer.done(first, [lbn(1, 2, 3), {}, {"local": (60, 70), "base": (50, math.nan)}])
    writer.done(config("CLIP", "dtd", 2), [lbn(7, 8, 9)], changed=("method", "engine"))
    writer.open(config("CoOp"), "failed", "diverged")
    found = frame(read(writer.root))
    assert len(found) == (3 + 2 + 3) * 3  # metrics of the evaluated rounds; two clients and their mean
    assert list(found.columns[:10]) == ["cell", "method", "dataset", "split", "backbone", "seed", "round",
                                        "metric", "client", "value"]  # fmt: skip
    assert set(found.cell) == {first.cell, config("CLIP", "dtd", 2).cell}
    last = found[(found.method == "PromptFL") & (found["round"] == 2)].set_index(["metric", "client"]).value
    assert last["local"].to_dict() == {"": 65, "0": 60, "1": 70}
    assert last["base", "0"] == 50
    assert math.isnan(last["base", "1"])
    assert math.isnan(last["base", ""])
    by_method = found.groupby("method").first()
    assert by_method.loc["PromptFL", ["quirks", "changed", "hyper.phrase"]].to_list() == ["p,q", "", "a,b"]
    assert by_method.loc["PromptFL", ["hyper.mu", "split_options.shots", "rounds"]].to_list() == [0.5, 16, 2]
    assert by_method.loc["CLIP", "changed"] == "method,engine"
    assert found[found.method == "CLIP"]["hyper.mu"].isna().all()


def test_clients_have_their_names(writer: StoreWriter) -> None:
    writer.done(
        lodo("c"), [{"target": (1, 2)}, {"target": (3, 5)}], protocol=one_column("target", ("a", "b"))
    )
    found = frame(read(writer.root))
    at_the_end = found[found["round"] == 1].set_index("client").value
    assert at_the_end.to_dict() == {"": 4, "a": 3, "b": 5}


def test_a_store_without_a_finished_cell_is_an_empty_frame(writer: StoreWriter) -> None:
    writer.open(config("CoOp"), "queued")
    found = frame(read(writer.root))
    assert len(found) == 0
    assert list(found.columns[:3]) == ["cell", "method", "dataset"]
