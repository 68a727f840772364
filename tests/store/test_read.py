"""Reading a store: what it refuses, and that it drops nothing."""

import json
import shutil
from pathlib import Path

import pytest

from fedbench.errors import FedbenchError
from fedbench.report import tables_of, write_report
from fedbench.store.read import read
from tests.helpers.store_writer import StoreWriter, config, lbn

ROUNDS = [lbn(60, 60, 60), lbn(70, 65, 60), lbn(75, 66, 58)]


@pytest.fixture
def store(tmp_path: Path) -> StoreWriter:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config("PromptFL"), ROUNDS)
    return writer


def refusal(root: Path) -> str:
    """The error's only line."""
    with pytest.raises(FedbenchError) as error:
        read(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_reads_a_finished_cell(store: StoreWriter) -> None:
    (cell,) = read(store.root).finished
    assert cell.config == config("PromptFL")
    assert [r.number for r in cell.rounds] == [0, 1, 2]
    assert cell.rounds[2].means == {"local": 75, "base": 66, "novel": 58}


def test_folder_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "holds no result store" in refusal(tmp_path)
    assert "holds no result store" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(tmp_path / "file")


def test_other_schema(tmp_path: Path) -> None:
    StoreWriter(tmp_path / "run", schema=99)
    assert "schema 99" in refusal(tmp_path / "run")


def test_record_of_other_schema(store: StoreWriter) -> None:
    store.done(config("CoOp"), ROUNDS, schema=0)
    message = refusal(store.root)
    assert "record.json" in message
    assert "schema 0" in message


def test_damaged_grid(store: StoreWriter) -> None:
    (store.root / "grid.json").write_text('{"schema": 1, "cel')
    assert "grid.json is truncated or damaged" in refusal(store.root)


@pytest.mark.parametrize(
    "content", ['{"schema": 1, "cell"', "[]", '{"schema": 1}', '{"schema": 1, "config": {}}', b"\xff\xfe"]
)
def test_damaged_record(store: StoreWriter, content: str | bytes) -> None:
    (folder,) = (store.root / "cells").iterdir()
    (folder / "record.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refusal(store.root)
    assert f"{folder.name}/record.json" in message
    assert "delete" in message


def test_record_with_unknown_config_key(store: StoreWriter) -> None:
    (folder,) = (store.root / "cells").iterdir()
    record = json.loads((folder / "record.json").read_text())
    record["config"]["seeed"] = 3
    (folder / "record.json").write_text(json.dumps(record))
    assert "did you mean seed?" in refusal(store.root)


@pytest.mark.parametrize("cut", [1.5, 2, 2.5])
def test_truncated_rounds(store: StoreWriter, cut: float) -> None:
    """Within a line and at its end."""
    (folder,) = (store.root / "cells").iterdir()
    lines = (folder / "rounds.jsonl").read_text().splitlines(keepends=True)
    kept = "".join(lines[: int(cut)]) + lines[int(cut)][: int(30 * (cut % 1))]
    (folder / "rounds.jsonl").write_text(kept)
    message = refusal(store.root)
    assert "rounds.jsonl" in message
    assert "delete" in message


@pytest.mark.parametrize("content", ["", '{"round": 0}\n', "3\n", '{"round": 2, "metrics": {"local": 3}}\n'])
def test_damaged_rounds(store: StoreWriter, content: str) -> None:
    (folder,) = (store.root / "cells").iterdir()
    (folder / "rounds.jsonl").write_text(content)
    assert "rounds.jsonl" in refusal(store.root)


def test_missing_rounds(store: StoreWriter) -> None:
    (folder,) = (store.root / "cells").iterdir()
    (folder / "rounds.jsonl").unlink()
    assert "is missing though the cell has a record" in refusal(store.root)


def test_copied_cell(store: StoreWriter) -> None:
    (folder,) = (store.root / "cells").iterdir()
    shutil.copytree(folder, folder.with_name("copy"))
    assert "are the same cell" in refusal(store.root)


def test_round_written_again_after_a_resume_counts_once(store: StoreWriter) -> None:
    (folder,) = (store.root / "cells").iterdir()
    lines = (folder / "rounds.jsonl").read_text().splitlines()
    again = lines[2].replace("75", "76")
    (folder / "rounds.jsonl").write_text("\n".join([*lines[:3], again]) + "\n")
    (cell,) = read(store.root).finished
    assert [r.means["local"] for r in cell.rounds] == [60, 70, 76]


def test_unfinished_cells_are_listed(store: StoreWriter) -> None:
    store.open(config("CoOp"), "failed", "out of memory:\n  3 GiB")
    store.open(config("Prox"), "skipped", "needs a ViT")
    running = store.open(config("FedPGP"), "running")
    (running / "rounds.jsonl").write_text('{"round": 0, "met')  # being written just now: no damage
    store.open(config("A"), "done")
    (store.open(config("B"), "queued") / "config.json").write_text("{")
    (store.open(config("C"), "queued") / "status.json").unlink()
    store.plan(config("D"))
    (store.root / "cells" / ".hidden").mkdir()
    lines = {cell.name.split("-")[0]: cell.line for cell in read(store.root).unfinished}
    assert len(lines) == 7
    assert lines["CoOp"].endswith("failed (out of memory: 3 GiB)")
    assert lines["Prox"].endswith("skipped (needs a ViT)")
    assert "running (since 2026-01-01T00:00:00+00:00, unless interrupted)" in lines["FedPGP"]
    assert "record.json is missing" in lines["A"]
    assert "no readable config.json" in lines["B"]
    assert "no readable status.json" in lines["C"]
    assert lines["D"].endswith("queued (not started)")
    text = write_report(store.root, formats=["md", "tex"])
    for path in text:
        assert all(
            name in path.read_text() for name in ("out of memory: 3 GiB", "needs a ViT", "not started")
        )


def test_empty_store(tmp_path: Path) -> None:
    StoreWriter(tmp_path / "run")
    with pytest.raises(FedbenchError, match="holds no cells yet"):
        tables_of(tmp_path / "run")


def test_store_without_a_finished_cell(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.open(config("CoOp"), "queued")
    writer.open(config("Prox"), "failed", "no images")
    with pytest.raises(FedbenchError, match=r"2 unfinished; Prox.*failed \(no images\)"):
        tables_of(tmp_path / "run")


def test_order_is_the_grids_and_else_the_configurations(tmp_path: Path) -> None:
    """Never that of the digests that folder names end in: two cells that differ in one key only have any order."""
    writer = StoreWriter(tmp_path / "run")
    backbones = [f"b{i}" for i in range(6)]
    for backbone in reversed(backbones):
        writer.done(config(backbone=backbone), ROUNDS)
    assert [c.config.backbone for c in read(writer.root).finished] == backbones[::-1]
    assert [t.backbone for t in tables_of(writer.root)] == backbones[::-1]
    (writer.root / "grid.json").write_text('{"schema": 1}')  # as if copied in from other stores
    names = [c.name for c in read(writer.root).finished]
    assert names != sorted(names)
    assert [t.backbone for t in tables_of(writer.root)] == backbones


def test_code_that_changed(store: StoreWriter) -> None:
    store.done(config("CoOp"), ROUNDS, changed=("method", "engine"), code={"method": "12ab"})
    cells = {c.config.method: c for c in read(store.root).finished}
    assert cells["CoOp"].changed == ("method", "engine")
    assert cells["CoOp"].record.code == {"method": "12ab"}
    assert (cells["PromptFL"].changed, cells["PromptFL"].record.code) == ((), {})
