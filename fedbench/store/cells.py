"""The result store on disk (`docs/store.md`): which cells there are, and what state each is in."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from fedbench.config import FIXED, SCHEMA, RunConfig, canonical, validated
from fedbench.errors import FedbenchError
from fedbench.store.files import read_json, remove, remove_litter, write_json, write_text
from fedbench.store.schema import GridFile, Record, Status, load

LOCK = ".lock"
STATES = ("queued", "running", "interrupted", "done", "failed", "skipped")
FINAL = ("done", "failed", "skipped")
"""States that a run leaves alone."""


class CellFolder:
    """One cell's folder. Whoever writes into it holds `lock()`."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.name
        self._code: dict[str, str] = {}

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the cell; yields False, at once, if another process does. The lock dies with its process."""
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @property
    def locked(self) -> bool:
        """Whether a living process runs the cell at this moment."""
        if not (self.path / LOCK).exists():
            return False
        try:
            with self.lock() as mine:
                return not mine
        except PermissionError:  # another user's store: nobody can be found to run it
            return False

    @property
    def has_record(self) -> bool:
        """Whether `record.json` is there, damaged or not."""
        return (self.path / "record.json").exists()

    @property
    def status(self) -> Status:
        """A cell is done if and only if its record is there; one that died while running is interrupted."""
        try:
            left = Status.model_validate(read_json(self.path / "status.json"))
        except ValidationError:  # missing or damaged
            left = Status(state="queued")
        if read_json(self.path / "record.json") is not None:
            return Status(state="done", updated=left.updated, changed=left.changed)
        state = left.state
        if state == "done" or state not in STATES or (state == "running" and not self.locked):
            state = "interrupted"
        return left.model_copy(update={"state": state, "changed": ()})

    @property
    def code(self) -> dict[str, str]:
        """Digests of the code that a cell which has ended was run with, by part."""
        for name in ("record.json", "status.json"):
            code = (read_json(self.path / name) or {}).get("code")
            if isinstance(code, dict):
                return code
        return {}

    @property
    def split_hash(self) -> str | None:
        """The hash of the split that a finished cell saw."""
        hashes = (read_json(self.path / "record.json") or {}).get("hashes", {})
        return hashes.get("split") if isinstance(hashes, dict) else None

    @property
    def config(self) -> RunConfig:
        """The cell's configuration.

        Raises:
            FedbenchError: it is missing or damaged.
        """
        values = read_json(self.path / "config.json")
        if values is None:
            raise FedbenchError(
                f"{self.path}/config.json is missing or damaged; delete the folder and run again"
            )
        return validated(RunConfig, values, where=f"{self.path}/config.json")

    def prepare(self, config: RunConfig) -> None:
        """Make the folder with its configuration, queued, if it is not there yet.

        Raises:
            FedbenchError: the folder holds another configuration.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        there, wanted = read_json(self.path / "config.json"), canonical(config)
        if there is None:
            write_json(self.path / "config.json", wanted)
        elif there != wanted:
            raise FedbenchError(
                f"{self.path} holds another configuration ({_difference(there, wanted)}); move it away"
            )
        if not (self.path / "status.json").exists():
            self.mark("queued")

    def mark(self, state: str, reason: str = "", *, changed: Sequence[str] = ()) -> None:
        """Write `status.json`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        code = self._code or self.status.code  # whoever says that a worker has died did not run the cell
        status = Status(
            state=state, reason=reason, pid=os.getpid(), updated=now, changed=tuple(changed), code=code
        )
        write_json(self.path / "status.json", status.content())

    def start(self, code: dict[str, str]) -> None:
        """The cell runs now, by this code; traces of earlier attempts go, its checkpoint stays."""
        self._code = code
        remove_litter(self.path)
        (self.path / "error.txt").unlink(missing_ok=True)
        self.mark("running")

    def finish(self, record: Record) -> None:
        """Write the record, which makes the cell done."""
        write_json(self.path / "record.json", record.content())
        self.mark("done")

    def note_changed(self, parts: Sequence[str]) -> None:
        """Note on a finished cell which parts of its code are other ones by now; with none, clear the note.

        Nothing is written where the note stands already, the cell is not done, or another process holds it.
        """
        if self.status.changed == tuple(parts):
            return
        with self.lock() as mine:
            if mine and self.status.state == "done":
                self.mark("done", changed=parts)

    def retry(self) -> None:
        """Queue the cell again if it failed, was skipped, or is done and noted as run by other code (`note_changed`).

        Nothing happens if another process has just taken it. A failed cell resumes from its checkpoint. One of other
        code starts anew: its checkpoint goes first, for it would give the old numbers a new record; until its record
        goes too, it is finished as before.
        """
        with self.lock() as mine:
            status = self.status
            if not mine or not (status.state in ("failed", "skipped") or status.changed):
                return
            if status.state == "done":
                remove(self.path / "state.safetensors")
                remove(self.path / "record.json")
            self.mark("queued")

    def fail(self, reason: str, traceback: str) -> None:
        """The cell failed; the traceback goes to `error.txt`."""
        write_text(self.path / "error.txt", traceback)
        self.mark("failed", reason)


class Store:
    """A result store, opened or made. It may grow: cells of several grids share it if they share `FIXED`."""

    def __init__(self, root: Path, *, create: bool = False):
        """Open the store at `root`; with `create`, it may be missing or empty (nothing is written yet).

        Raises:
            FedbenchError: no store there, a folder of other things, or a store of another schema.
        """
        self.root = root
        if not (root / "grid.json").exists():
            self._refuse_other_things(create=create)
        self.grid = self._read_grid()

    def folder(self, cell: str) -> CellFolder:
        """The folder of the cell of that name."""
        return CellFolder(self.root / "cells" / cell)

    def cells(self) -> list[CellFolder]:
        """All cells: those of the grid in its order, then others that lie in the folder."""
        order = {name: index for index, name in enumerate(self.grid.cells)}
        found = [p.name for p in (self.root / "cells").glob("[!.]*") if p.is_dir()]
        return [self.folder(name) for name in sorted(found, key=lambda n: (order.get(n, len(order)), n))]

    def check(self, cells: list[RunConfig]) -> None:
        """Refuse cells that do not belong beside those of the store.

        Raises:
            FedbenchError: the store has another protocol, backbone or training schedule.
        """
        there, wanted = self.grid.setting, _setting(cells)
        if there and there != wanted:
            raise FedbenchError(
                f"{self.root} holds a grid of another configuration ({_difference(there, wanted)}): "
                "one store is one comparison; give another folder with --out"
            )

    def add(self, cells: list[RunConfig]) -> None:
        """Enter the cells into `grid.json` and make their folders. Cells that are there stay.

        Raises:
            FedbenchError: they do not belong here (`check`), or a cell's folder holds another configuration.
        """
        (self.root / "cells").mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / LOCK):  # another `bench run` may add cells at the same time
            remove_litter(self.root)
            self.grid = self._read_grid()
            self.check(cells)
            for cell in cells:
                self.folder(cell.cell).prepare(cell)
            # Cells whose folder the user has deleted are not expected any more.
            kept = {name: c for name, c in self.grid.cells.items() if self.folder(name).path.is_dir()}
            entries = kept | {cell.cell: cell for cell in cells}
            grid = GridFile(schema=SCHEMA, setting=_setting(cells), cells=entries)
            if grid != self.grid:
                write_json(self.root / "grid.json", grid.content())
            self.grid = grid

    def _read_grid(self) -> GridFile:
        """What `grid.json` lists; an empty grid without the file."""
        file = self.root / "grid.json"
        if not file.exists():
            return GridFile(schema=SCHEMA)
        return load(GridFile, file, remedy="restore it, or give another folder with --out")

    def _refuse_other_things(self, *, create: bool) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise FedbenchError(f"{self.root} is a file, not a folder for results")
        if not create:
            raise FedbenchError(
                f"{self.root} holds no result store: give the folder that `bench run --out` wrote"
            )
        # An empty `cells` and dot files are what a run leaves that was killed before it wrote its grid.
        others = [p for p in self.root.glob("*") if not p.name.startswith(".") and p.name != "cells"]
        if others:
            raise FedbenchError(
                f"{self.root} is not empty and holds no result store: give another folder with --out"
            )


AXES = ("shots", "target", "beta")
"""Options of a split that may differ within a comparison: tables over shots, held-out domains, skews."""


def _setting(cells: list[RunConfig]) -> dict[str, Any]:
    """What all cells of a store share: `FIXED` and the split's options, but for what the grid itself varies."""
    first = canonical(cells[0])
    options = {
        key: value
        for key, value in first["split_options"].items()
        if key not in AXES and all(c.split_options.get(key) == cells[0].split_options[key] for c in cells)
    }
    same = [key for key in FIXED if len({getattr(cell, key) for cell in cells}) == 1]
    fixed = {key: first[key] for key in same if key in first}
    return fixed | {"split_options": options}


def _difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first key that differs, in words."""
    for key in wanted:
        if there.get(key) != wanted[key]:
            if isinstance(there.get(key), dict) and isinstance(wanted[key], dict):
                return f"{key}: {_difference(there[key], wanted[key])}"
            return f"{key} is {there.get(key)!r} there and {wanted[key]!r} here"
    return f"it also has {', '.join(sorted(set(there) - set(wanted)))}"
