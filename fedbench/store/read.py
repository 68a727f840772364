"""Reading a result store into typed objects. The store is the report's only input.

A cell is finished if and only if its `record.json` is there. Every other cell is returned too, with its state and
reason, so that a table can say what it lacks.
"""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedbench.config import RunConfig, canonical, validated
from fedbench.errors import FedbenchError
from fedbench.store.cells import CellFolder, Store
from fedbench.store.journal import read_lines
from fedbench.store.schema import Accuracy, Record, Status, load, load_object


@dataclass(frozen=True)
class EvaluatedRound:
    """One evaluated round, in percent: metrics to their means over clients (only those that exist), and to the
    clients' own numbers (nan where a client has none)."""

    number: int
    means: dict[str, float]
    clients: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """A finished cell.

    Attributes:
        rounds: the evaluated rounds, ascending; round 0 is the common start.
        changed: parts of its code that are other ones by now, as the last `bench run` found.
    """

    folder: Path
    record: Record
    rounds: tuple[EvaluatedRound, ...]
    changed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def config(self) -> RunConfig:
        return self.record.config

    @property
    def untrained_method(self) -> bool:
        """The method trains nothing: only round 0 was evaluated."""
        return [r.number for r in self.rounds] == [0]


@dataclass(frozen=True)
class Unfinished:
    """A cell without a record: queued, running, failed, skipped, or damaged (then often without a config)."""

    name: str
    config: RunConfig | None
    state: str
    reason: str

    @property
    def line(self) -> str:
        """One line for the list under a table."""
        return f"{self.name}: {self.state}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Contents:
    """What a store holds.

    Attributes:
        cells: in the grid's order; after them those that it does not list (copied into the store), by their
            configurations.
        order: cell names as the grid lists them.
    """

    path: Path
    cells: tuple[Finished | Unfinished, ...]
    order: tuple[str, ...] = ()

    @property
    def finished(self) -> tuple[Finished, ...]:
        return tuple(c for c in self.cells if isinstance(c, Finished))

    @property
    def unfinished(self) -> tuple[Unfinished, ...]:
        return tuple(c for c in self.cells if isinstance(c, Unfinished))

    @property
    def configs(self) -> dict[str, RunConfig]:
        """Cell name to configuration, of all cells whose configuration is known."""
        return {c.name: c.config for c in self.cells if c.config is not None}

    def part(self, split: str, backbone: str) -> "Contents":
        """The cells of one split on one backbone, and those of which nobody knows that."""
        cells = (
            c
            for c in self.cells
            if c.config is None or (c.config.split, c.config.backbone) == (split, backbone)
        )
        return replace(self, cells=tuple(cells))


def read(path: Path) -> Contents:
    """Read the store at `path`.

    Raises:
        FedbenchError: no store there, another schema, a damaged file of a finished cell, or one cell twice.
    """
    store = Store(path)
    cells = {f.name: _finished(f) if f.has_record else _unfinished(f) for f in store.cells()}
    for name, config in store.grid.cells.items():
        cells.setdefault(name, Unfinished(name, config, "queued", "not started"))
    listed = [cells.pop(name) for name in store.grid.cells]
    found = Contents(path, (*listed, *sorted(cells.values(), key=_place)), tuple(store.grid.cells))
    _refuse_twins(found)
    return found


def _place(cell: Finished | Unfinished) -> tuple[object, ...]:
    """The place of a cell that the grid does not list: its name will not do, which ends in a digest."""
    config = cell.config
    if config is None:
        return True, cell.name
    values = json.dumps(canonical(config), sort_keys=True)
    return False, config.split, config.backbone, config.dataset, config.method, config.seed, values


def _finished(folder: CellFolder) -> Finished:
    remedy = f"delete {folder.path} and run the same `bench run` command again"
    record = load(Record, folder.path / "record.json", remedy=remedy)
    rounds = _rounds(folder.path / "rounds.jsonl", record, remedy)
    return Finished(folder.path, record, rounds, folder.status.changed)


def _rounds(file: Path, record: Record, remedy: str) -> tuple[EvaluatedRound, ...]:
    """The evaluated rounds. A round that stands there twice counts as in its later line (after a resume)."""
    if not file.is_file():
        raise FedbenchError(f"{file} is missing though the cell has a record: {remedy}")
    lines = read_lines(file)
    last = lines[-1].round if lines else -1
    if last < record.rounds and (record.parameters.trainable > 0 or last != 0):
        raise FedbenchError(f"{file} ends with round {last}, but the record says {record.rounds}: {remedy}")
    rounds = {line.round: _evaluated(line.round, line.metrics) for line in lines if line.metrics}
    if not rounds:
        raise FedbenchError(f"{file} holds no evaluated round: {remedy}")
    return tuple(rounds[n] for n in sorted(rounds))


def _evaluated(number: int, metrics: dict[str, Accuracy]) -> EvaluatedRound:
    means = {name: metric.mean for name, metric in metrics.items() if metric.mean is not None}
    clients = {
        name: tuple(math.nan if x is None else x for x in metric.clients) for name, metric in metrics.items()
    }
    return EvaluatedRound(number, means, clients)


def _unfinished(folder: CellFolder) -> Unfinished:
    """A cell without a record; damage in it is listed, not raised (it may be written just now)."""
    file = folder.path / "config.json"
    try:
        config = validated(RunConfig, load_object(file, remedy=""), where=str(file))
    except FedbenchError:
        return Unfinished(folder.name, None, "damaged", "no readable config.json; run the same command again")
    try:
        status = load(Status, folder.path / "status.json", remedy="")
    except FedbenchError:
        return Unfinished(
            folder.name, config, "unknown", "no readable status.json; run the same command again"
        )
    reason = " ".join(status.reason.split())
    if status.state == "running" and not reason:
        reason = f"since {status.updated or '?'}, unless interrupted"
    if status.state == "done":
        return Unfinished(
            folder.name, config, "damaged", "record.json is missing; run the same command again"
        )
    return Unfinished(folder.name, config, status.state, reason)


def _refuse_twins(found: Contents) -> None:
    """A copied cell folder would count one seed twice."""
    first: dict[str, str] = {}
    for cell in found.finished:
        key = cell.config.digest
        if key in first:
            raise FedbenchError(
                f"{found.path}/cells: {first[key]} and {cell.name} are the same cell; delete one"
            )
        first[key] = cell.name
