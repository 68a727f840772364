"""Reading a result store (`docs/store.md`) into typed objects. The store is the report's only input.

A cell is done if and only if its `record.json` is there. Every other cell is returned too, with its state and
reason, so that a table can say what it lacks.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedbench.config import SCHEMA, RunConfig, validated
from fedbench.errors import FedbenchError


class Part(BaseModel):
    """What the report needs of a part of the record; other keys are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Protocol(Part):
    """How the cell was tested: `columns` are the metrics of the table, `summary` is "hm" or "".

    `client_names` are in the order of the clients' numbers; without them `task.json` names the clients.
    """

    name: str
    columns: tuple[str, ...] = Field(min_length=1)
    summary: str = ""
    clients: int | None = None
    client_names: tuple[str, ...] = ()
    source: str = ""
    missing: int = 0
    notes: tuple[str, ...] = ()


class Backbone(Part):
    """The frozen model; `trained` is false for random weights, `label` is e.g. "miniature"."""

    name: str
    label: str = ""
    trained: bool = True


class Hashes(Part):
    """Two cells with one split hash saw the same images, clients and test sets."""

    split: str
    weights: str


class Parameters(Part):
    """Counts of tensors' elements; a method without trainable parameters trains nothing."""

    trainable: int = 0


class Environment(Part):
    """Where the cell ran."""

    device: str = "?"
    precision: str = "?"
    fedbench: str = "?"
    commit: str | None = None


class Record(Part):
    """`record.json`."""

    schema_version: int = Field(alias="schema")
    config: dict[str, Any]
    protocol: Protocol
    backbone: Backbone
    hashes: Hashes
    rounds: int
    parameters: Parameters = Parameters()
    environment: Environment = Environment()


@dataclass(frozen=True)
class Round:
    """One evaluated round, in percent: metrics to their means over clients (only finite ones), and to the
    clients' own numbers (nan where a client has none)."""

    number: int
    means: dict[str, float]
    clients: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """A finished cell. `rounds` holds the evaluated rounds, ascending; round 0 is the common start."""

    folder: Path
    config: RunConfig
    record: Record
    rounds: tuple[Round, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def untrained_method(self) -> bool:
        """The method trains nothing: only round 0 was evaluated."""
        return [r.number for r in self.rounds] == [0]


@dataclass(frozen=True)
class Open:
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
class Store:
    """A result store. `order` holds cell names as the grid lists them (empty if it lists none)."""

    path: Path
    done: tuple[Done, ...]
    open: tuple[Open, ...]
    order: tuple[str, ...] = ()

    @property
    def configs(self) -> dict[str, RunConfig]:
        """Cell name to configuration, of all cells whose configuration is known, in the grid's order."""
        known = {c.name: c.config for c in self.done}
        known |= {c.name: c.config for c in self.open if c.config is not None}
        names = [name for name in self.order if name in known]
        return {name: known[name] for name in dict.fromkeys([*names, *known])}


AnyPart = TypeVar("AnyPart", bound=Part)


def load_store(path: Path) -> Store:
    """Read the store at `path`.

    Raises:
        FedbenchError: no store there, another schema, a damaged file of a finished cell, or one cell twice.
    """
    planned = _grid(path)
    done: list[Done] = []
    unfinished: list[Open] = []
    cells = path / "cells"
    folders = sorted(p for p in cells.iterdir() if p.is_dir()) if cells.is_dir() else []
    for folder in folders:
        if folder.name.startswith("."):
            continue
        if (folder / "record.json").exists():
            done.append(_done(folder))
        else:
            unfinished.append(_open(folder))
    seen = {f.name for f in folders}
    missing = {name: config for name, config in planned.items() if name not in seen}
    unfinished += [Open(name, config, "queued", "not started") for name, config in missing.items()]
    _refuse_twins(path, done)
    return Store(path, tuple(done), tuple(unfinished), tuple(planned))


def _grid(path: Path) -> dict[str, RunConfig]:
    """The cells that `grid.json` lists: name to configuration, in the grid's order."""
    file = path / "grid.json"
    if not file.is_file():
        what = "holds no result store (no grid.json)" if path.is_dir() else "is no folder"
        raise FedbenchError(f"{path} {what}: give the folder that `bench run --out` wrote")
    grid = read_json(file, remedy="restore it, or run again into a new folder")
    if grid.get("schema") != SCHEMA:
        raise FedbenchError(_other_schema(file, grid.get("schema")))
    cells = grid.get("cells", {})
    if not isinstance(cells, dict):
        raise FedbenchError(f"{file} is damaged at 'cells': run again into a new folder")
    return {name: _config(config, file) for name, config in cells.items()}


def _done(folder: Path) -> Done:
    """A finished cell."""
    file = folder / "record.json"
    remedy = f"delete {folder} and run the same `bench run` command again"
    values = read_json(file, remedy=remedy)
    if values.get("schema") != SCHEMA:
        raise FedbenchError(_other_schema(file, values.get("schema")))
    record = _part(Record, values, file, remedy)
    config = _config(record.config, file)
    return Done(folder, config, record, _rounds(folder / "rounds.jsonl", record, remedy))


def _rounds(file: Path, record: Record, remedy: str) -> tuple[Round, ...]:
    """The evaluated rounds. A round that stands there twice counts as in its later line (after a resume)."""
    if not file.is_file():
        raise FedbenchError(f"{file} is missing though the cell has a record: {remedy}")
    last = -1
    rounds: dict[int, Round] = {}
    for number, text in enumerate(_text(file, remedy).splitlines(), start=1):
        try:
            line = json.loads(text)
            last = int(line["round"])
            found = line["metrics"]
            means = {name: _number(metric["mean"]) for name, metric in found.items()}
            own = {name: tuple(map(_number, metric.get("clients", ()))) for name, metric in found.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FedbenchError(f"{file}, line {number} is truncated or damaged: {remedy}") from error
        if found:
            means = {name: mean for name, mean in means.items() if math.isfinite(mean)}
            rounds[last] = Round(last, means, own)
    if last < record.rounds and (record.parameters.trainable > 0 or last != 0):
        raise FedbenchError(f"{file} ends with round {last}, but the record says {record.rounds}: {remedy}")
    if not rounds:
        raise FedbenchError(f"{file} holds no evaluated round: {remedy}")
    return tuple(rounds[n] for n in sorted(rounds))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _open(folder: Path) -> Open:
    """A cell without a record; damage in it is listed, not raised (it may be written just now)."""
    try:
        config = _config(read_json(folder / "config.json", remedy=""), folder / "config.json")
    except FedbenchError:
        return Open(folder.name, None, "damaged", "no readable config.json; run the same command again")
    try:
        status = read_json(folder / "status.json", remedy="")
    except FedbenchError:
        return Open(folder.name, config, "unknown", "no readable status.json; run the same command again")
    state, reason = str(status.get("state", "unknown")), " ".join(str(status.get("reason") or "").split())
    if state == "running" and not reason:
        reason = f"since {status.get('updated', '?')}, unless interrupted"
    if state == "done":
        return Open(folder.name, config, "damaged", "record.json is missing; run the same command again")
    return Open(folder.name, config, state, reason)


def _refuse_twins(path: Path, done: list[Done]) -> None:
    """A copied cell folder would count one seed twice."""
    first: dict[str, str] = {}
    for cell in done:
        key = cell.config.digest
        if key in first:
            raise FedbenchError(f"{path}/cells: {first[key]} and {cell.name} are the same cell; delete one")
        first[key] = cell.name


def _text(file: Path, remedy: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FedbenchError(f"{file} is missing: {remedy}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FedbenchError(f"{file} cannot be read ({type(error).__name__}): {remedy}") from error


def read_json(file: Path, *, remedy: str) -> dict[str, Any]:
    """The JSON object in a file; `remedy` ends the message if there is none."""
    text = _text(file, remedy)
    try:
        values = json.loads(text)
    except ValueError as error:
        raise FedbenchError(f"{file} is truncated or damaged: {remedy}") from error
    if not isinstance(values, dict):
        raise FedbenchError(f"{file} holds no JSON object: {remedy}")
    return values


def _part(model: type[AnyPart], values: dict[str, Any], file: Path, remedy: str) -> AnyPart:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FedbenchError(f"{file} is damaged at '{key}' ({first['msg'].lower()}): {remedy}") from error


def _config(values: Any, file: Path) -> RunConfig:
    if not isinstance(values, dict):
        raise FedbenchError(f"{file}: a cell's configuration is no JSON object; run again into a new folder")
    return validated(RunConfig, values, where=str(file))


def _other_schema(file: Path, found: object) -> str:
    return (
        f"{file} has schema {found!r}, this fedbench reads {SCHEMA}: use the fedbench version that wrote it, "
        "or run again into a new folder"
    )
