"""The store keeps what it was given, says what state it is in, and refuses what does not belong."""

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from fedbench.config import RunConfig
from fedbench.errors import FedbenchError
from fedbench.store.cells import Store
from fedbench.store.files import is_disk_full, read_json, remove_litter, replace, write_json, write_text
from fedbench.store.read import read
from tests.helpers.store_writer import record_of

Cells = Callable[..., list[RunConfig]]


def make(out: Path, cells: list[RunConfig]) -> Store:
    store = Store(out, create=True)
    store.add(cells)
    return store


def test_a_new_store_holds_its_cells_queued(cells: Cells, out: Path) -> None:
    make(out, cells())
    store = Store(out)
    assert [f.name for f in store.cells()] == [c.cell for c in cells()]
    assert [f.config for f in store.cells()] == cells()
    assert {f.status.state for f in store.cells()} == {"queued"}
    assert read_json(out / "grid.json")["schema"] == 1  # type: ignore[index]


def test_opening_for_a_run_writes_nothing(out: Path) -> None:
    Store(out, create=True)
    assert not out.exists()


def test_states(cells: Cells, out: Path) -> None:
    folder = make(out, cells()).cells()[0]
    with folder.lock() as mine:
        assert mine
        folder.start({})
        assert folder.status.state == "running"
        assert folder.status.pid == os.getpid()
    assert folder.status.state == "interrupted"  # nobody holds it
    folder.fail("broken", "Traceback")
    assert (folder.status.state, folder.status.reason) == ("failed", "broken")
    assert (folder.path / "error.txt").read_text() == "Traceback"
    folder.start({})
    assert not (folder.path / "error.txt").exists()
    folder.finish(record_of(folder.config))
    assert folder.status.state == "done"


def test_a_record_alone_makes_a_cell_done(cells: Cells, out: Path) -> None:
    """Killed between the record and `status.json`; and a status without a record does not count."""
    one, other = make(out, cells()).cells()[:2]
    write_json(one.path / "record.json", {"schema": 1})
    other.mark("done")
    assert (one.status.state, other.status.state) == ("done", "interrupted")
    (one.path / "record.json").write_text('{"schema": 1')
    assert one.status.state == "queued"


def test_one_process_holds_a_cell(cells: Cells, out: Path) -> None:
    store = make(out, cells())
    folder = store.cells()[0]
    with folder.lock(), store.folder(folder.name).lock() as again:
        assert not again
    assert not folder.locked


def test_cells_of_another_grid_join(cells: Cells, out: Path) -> None:
    store = make(out, cells(seeds=[1]))
    store.cells()[0].finish(record_of(store.cells()[0].config))
    store = make(out, cells(seeds=[2], shots=[4, 16], set={"Beta.mu": 7}))
    assert len(store.cells()) == 2 + 4
    assert store.cells()[0].status.state == "done"


def test_deleted_cells_are_not_expected_any_more(cells: Cells, out: Path) -> None:
    folder = make(out, cells(seeds=[1])).cells()[0]
    for file in folder.path.iterdir():
        file.unlink()
    folder.path.rmdir()
    make(out, cells(seeds=[2]))
    assert folder.name not in (out / "grid.json").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 9}, "rounds is 3 there and 9 here"),
        ({"split_options": {"clients": 5}}, "split_options: clients is 2 there and 5 here"),
        ({"precision": "bf16"}, "precision is 'float32' there and 'bf16' here"),
    ],
)
def test_another_setting_is_refused(
    cells: Cells, out: Path, changes: dict[str, object], message: str
) -> None:
    make(out, cells())
    before = (out / "grid.json").read_text()
    with pytest.raises(FedbenchError, match="another configuration") as caught:
        make(out, cells(**changes))
    assert message in str(caught.value)
    assert (out / "grid.json").read_text() == before


def test_an_edited_cell_is_refused(cells: Cells, out: Path) -> None:
    folder = make(out, cells()).cells()[0]
    values = json.loads((folder.path / "config.json").read_text())
    write_json(folder.path / "config.json", values | {"hyper": values["hyper"] | {"lr": 9.0}})
    with pytest.raises(FedbenchError, match=r"another configuration \(hyper: lr is 9.0 there and 1.0 here\)"):
        make(out, cells())


def test_folders_that_are_no_store_are_refused(out: Path, tmp_path: Path) -> None:
    out.mkdir()
    Store(out, create=True)  # empty: fine
    with pytest.raises(FedbenchError, match="holds no result store"):
        Store(out)
    (out / "thesis.txt").touch()
    with pytest.raises(FedbenchError, match="not empty"):
        Store(out, create=True)
    with pytest.raises(FedbenchError, match="is a file"):
        Store(out / "thesis.txt", create=True)
    with pytest.raises(FedbenchError, match="holds no result store"):
        Store(tmp_path / "missing")


def test_another_schema_is_refused(out: Path) -> None:
    out.mkdir()
    write_json(out / "grid.json", {"schema": 99})
    for create in (True, False):
        with pytest.raises(FedbenchError, match="schema 99, this fedbench has 1"):
            Store(out, create=create)


def test_a_damaged_grid_is_refused(out: Path) -> None:
    out.mkdir()
    (out / "grid.json").write_text("{")
    with pytest.raises(FedbenchError, match=r"grid.json is truncated or damaged"):
        Store(out, create=True)


def test_a_run_killed_before_its_grid_was_written_can_start_again(cells: Cells, out: Path) -> None:
    (out / "cells").mkdir(parents=True)
    (out / ".lock").touch()
    (out / ".grid.json.x.tmp").touch()
    make(out, cells())
    assert not (out / ".grid.json.x.tmp").exists()


def test_code_that_changed_is_noted_on_finished_cells_only(cells: Cells, out: Path) -> None:
    one, other = make(out, cells()).cells()[:2]
    one.finish(record_of(one.config))
    for folder in (one, other):
        folder.note_changed(["method", "engine"])
    assert (one.status.state, one.status.changed) == ("done", ("method", "engine"))
    assert (other.status.state, other.status.changed) == ("queued", ())
    stamp = (one.path / "status.json").stat().st_mtime_ns
    one.note_changed(["method", "engine"])  # nothing new, nothing written
    assert (one.path / "status.json").stat().st_mtime_ns == stamp
    one.note_changed([])
    assert (one.status.state, one.status.changed) == ("done", ())


def test_nothing_is_noted_on_a_cell_that_another_process_holds(cells: Cells, out: Path) -> None:
    store = make(out, cells())
    folder = store.cells()[0]
    folder.finish(record_of(folder.config))
    with folder.lock():
        store.folder(folder.name).note_changed(["method"])
        store.folder(folder.name).retry()
    assert (folder.status.state, folder.status.changed) == ("done", ())


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_retry_queues_what_failed_and_keeps_its_checkpoint(cells: Cells, out: Path, state: str) -> None:
    folder = make(out, cells()).cells()[0]
    (folder.path / "state.safetensors").touch()
    folder.mark(state, "because")
    folder.retry()
    assert (folder.status.state, folder.status.reason) == ("queued", "")
    assert (folder.path / "state.safetensors").exists()


def test_retry_leaves_a_finished_cell_unless_its_code_has_changed(cells: Cells, out: Path) -> None:
    folder = make(out, cells()).cells()[0]
    folder.finish(record_of(folder.config))
    (folder.path / "state.safetensors").touch()
    folder.retry()
    assert folder.status.state == "done"
    folder.note_changed(["method"])
    folder.retry()
    assert (folder.status.state, folder.status.changed) == ("queued", ())
    # a checkpoint of the last round would give the old numbers a new record
    assert sorted(p.name for p in folder.path.iterdir()) == [".lock", "config.json", "status.json"]


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_retry_cut_short_never_keeps_the_old_training(
    cells: Cells, out: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """Killed after so many steps: the cell is done as before, or starts anew."""
    folder = make(out, cells()).cells()[0]
    folder.finish(record_of(folder.config))
    folder.note_changed(["method"])
    (folder.path / "state.safetensors").touch()
    steps = 0

    def remove(path: Path) -> None:
        nonlocal steps
        if steps == survives:
            raise KeyboardInterrupt
        steps += 1
        path.unlink()

    def mark(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedbench.store.cells.remove", remove)
    monkeypatch.setattr(folder, "mark", mark)
    with pytest.raises(KeyboardInterrupt):
        folder.retry()
    assert folder.status.state == ("done" if survives < 2 else "interrupted")
    assert folder.status.changed == (("method",) if survives < 2 else ())
    assert (folder.path / "state.safetensors").exists() == (survives == 0)


def test_a_later_version_may_add_keys(cells: Cells, out: Path) -> None:
    folder = make(out, cells()).cells()[0]
    folder.finish(record_of(folder.config))
    (folder.path / "rounds.jsonl").write_text('{"round": 0, "metrics": {"local": {"mean": 1}}, "added": 1}\n')
    write_json(folder.path / "record.json", (read_json(folder.path / "record.json") or {}) | {"rounds": 0})
    for file in (out / "grid.json", folder.path / "status.json", folder.path / "record.json"):
        write_json(file, (read_json(file) or {}) | {"added": 1})
    assert Store(out).cells()[0].status.state == "done"
    assert read(out).finished[0].config == folder.config


@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "tempfile.mkstemp"])
def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"a": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere/.a.json.x.tmp")

    monkeypatch.setattr(f"fedbench.store.files.{step}", full)
    with pytest.raises(OSError, match="No space") as caught:
        write_text(file, "new")
    assert is_disk_full(caught.value)
    assert caught.value.filename == str(file)
    assert read_json(file) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        replace(tmp_path / "no" / "a", b"", durable=False)
    assert caught.value.filename == str(tmp_path / "no" / "a")


def test_json_has_no_nan(tmp_path: Path) -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "a.json", {"a": [value]})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("durable", [True, False])
def test_files_are_as_readable_as_others(tmp_path: Path, durable: bool) -> None:
    replace(tmp_path / "a", b"", durable=durable)
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_litter_of_killed_writers_goes(tmp_path: Path) -> None:
    (tmp_path / ".record.json.abc.tmp").touch()
    (tmp_path / "record.json").touch()
    remove_litter(tmp_path)
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_full_disk_is_seen_through_wrappers() -> None:
    error = RuntimeError("writing failed")
    error.__cause__ = OSError(errno.EDQUOT, "quota")
    assert is_disk_full(error)
    assert is_disk_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not is_disk_full(OSError(errno.EACCES, "denied"))


def test_the_grid_is_not_written_while_another_run_writes_it(cells: Cells, out: Path) -> None:
    store = make(out, cells())
    before = (out / "grid.json").stat().st_mtime_ns
    with FileLock(out / ".lock"):
        assert len(store.cells()) == 4  # reading needs no lock
    store.add(cells())  # nothing new, nothing written
    assert (out / "grid.json").stat().st_mtime_ns == before
