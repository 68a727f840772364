"""The store keeps what it was given, says what state it is in, and refuses what does not belong."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from fedbench.config import RunConfig
from fedbench.errors import FedbenchError
from fedbench.store import files
from fedbench.store.cells import Store
from fedbench.store.files import is_disk_full, read_json, remove_litter, write_json, write_text

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
    folder.finish({"schema": 1})
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
    store.cells()[0].finish({"schema": 1})
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
    with pytest.raises(FedbenchError, match=r"grid.json is damaged"):
        Store(out, create=True)


def test_a_run_killed_before_its_grid_was_written_can_start_again(cells: Cells, out: Path) -> None:
    (out / "cells").mkdir(parents=True)
    (out / ".lock").touch()
    (out / ".grid.json.x.tmp").touch()
    make(out, cells())
    assert not (out / ".grid.json.x.tmp").exists()


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"a": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        write_text(file, "new")
    assert is_disk_full(caught.value)
    assert read_json(file) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_files_are_as_readable_as_others(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
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
