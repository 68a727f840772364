"""Writes result stores in the format of docs/store.md, without running anything."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbench.config import SCHEMA, Quirks, RunConfig, canonical
from fedbench.store.files import write_json
from fedbench.store.schema import (
    Accuracy,
    BackboneFacts,
    Environment,
    GridFile,
    Hashes,
    Parameters,
    Payload,
    Protocol,
    Record,
    RoundLine,
    Seconds,
    Sent,
    Spent,
    Status,
)

Rounds = Sequence[Mapping[str, float | Sequence[float]]]
"""Metric to mean, or to the clients' numbers, for rounds 0, 1, ...; empty: a round that was not evaluated."""


def config(method: str = "PromptFL", dataset: str = "shapes", seed: int = 1, **changes: Any) -> RunConfig:
    """A configuration; `quirks` given as names are the method's."""
    if isinstance(changes.get("quirks"), tuple):
        changes["quirks"] = Quirks(method=changes["quirks"])
    values = {"backbone": "tiny", "rounds": 2, "split_options": {"shots": 16}} | changes
    return RunConfig(method=method, dataset=dataset, seed=seed, **values)


def lbn(local: float, base: float, novel: float, **more: float) -> dict[str, float]:
    return {"local": local, "base": base, "novel": novel} | more


def split_hash(dataset: str, seed: int, options: str = "") -> str:
    return hashlib.sha256(f"{dataset} {seed}{options}".encode()).hexdigest()[:16]


def lodo(
    target: str, method: str = "FedPGP", dataset: str = "office", seed: int = 1, **changes: Any
) -> RunConfig:
    """A cell of leave-one-domain-out."""
    options = {"target": target, "shots": None, "target_eval": "all"}
    return config(method, dataset, seed, split="leave-one-domain-out", split_options=options, **changes)


def one_column(column: str, names: Sequence[str]) -> dict[str, Any]:
    """The `protocol` of a record whose protocol has one column and named clients."""
    return {"columns": [column], "summary": "", "clients": len(names), "client_names": list(names)}


class StoreWriter:
    """A store that grows cell by cell; `grid.json` lists the cells in the order of writing."""

    def __init__(self, root: Path, *, schema: int = SCHEMA):
        self.root = root
        self.schema = schema
        self.cells: dict[str, RunConfig] = {}
        (root / "cells").mkdir(parents=True)
        self._grid()

    def done(self, cell: RunConfig, rounds: Rounds, *, changed: Sequence[str] = (), **changes: Any) -> Path:
        """A finished cell. One round means a method that trains nothing.

        `changes` go into the record's parts, as in `protocol={"missing": 3}`; `changed` into the status.
        """
        folder = self.open(cell, "done", changed=changed)
        record = record_of(cell, rounds).content()
        for part, values in changes.items():
            record[part] = record[part] | values if isinstance(values, dict) else values
        lines = [json.dumps(_line(number, metrics).content()) for number, metrics in enumerate(rounds)]
        (folder / "rounds.jsonl").write_text("".join(f"{line}\n" for line in lines))
        write_json(folder / "record.json", record)
        return folder

    def open(self, cell: RunConfig, state: str, reason: str = "", *, changed: Sequence[str] = ()) -> Path:
        """A cell without a record."""
        folder = self.root / "cells" / cell.cell
        folder.mkdir()
        write_json(folder / "config.json", canonical(cell))
        status = Status(
            state=state, reason=reason, pid=1, updated="2026-01-01T00:00:00+00:00", changed=tuple(changed)
        )
        write_json(folder / "status.json", status.content())
        self.plan(cell)
        return folder

    def plan(self, cell: RunConfig) -> None:
        """Enter the cell into the grid only."""
        self.cells[cell.cell] = cell
        self._grid()

    def _grid(self) -> None:
        write_json(self.root / "grid.json", GridFile(schema=self.schema, cells=self.cells).content())


def record_of(cell: RunConfig, rounds: Rounds = ({},)) -> Record:
    """The record of a cell that was evaluated in `rounds`."""
    trains = len(rounds) > 1
    return Record(
        schema=SCHEMA,
        cell=cell.cell,
        config=cell,
        protocol=Protocol(
            name=cell.split,
            columns=("local", "base", "novel"),
            summary="hm",
            clients=2,
            client_names=(),
            classes=20,
            train_images=320,
            source="built-in",
        ),
        backbone=BackboneFacts(
            name=cell.backbone, weights="ffff000011112222", label="miniature", trained=True
        ),
        hashes=Hashes(
            split=split_hash(cell.dataset, cell.seed, str(cell.split_options)), weights="ffff000011112222"
        ),
        rounds=len(rounds) - 1 if trains else cell.rounds,
        parameters=Parameters(trainable=12416 if trains else 0, shared=0, personal=0),
        payload=Payload(up_per_client_round=0, down_per_client_round=0, up=0, down=0),
        seconds=Seconds(features=1, train=20, evaluate=6, total=27),
        peak_bytes=1,
        environment=Environment(
            device="cpu",
            precision="float32",
            threads=2,
            python="3.11.7",
            torch="2.15.0",
            open_clip="3.3.0",
            fedbench="0.1.0",
            commit="abc1234",
            platform="Linux",
        ),
    )


def _line(number: int, metrics: Mapping[str, float | Sequence[float]]) -> RoundLine:
    return RoundLine(
        round=number,
        participants=(0, 1),
        losses={"ce": 1.0},
        metrics={name: _metric(found) for name, found in metrics.items()},
        bytes=Sent(up=1, down=1),
        seconds=Spent(train=0.1, evaluate=0.1),
    )


def _metric(found: float | Sequence[float]) -> Accuracy:
    """nan stands for a number that is not there."""
    clients = [found, found] if isinstance(found, int | float) else list(found)
    mean = sum(clients) / len(clients)
    return Accuracy(
        mean=None if math.isnan(mean) else mean, clients=tuple(None if math.isnan(x) else x for x in clients)
    )
