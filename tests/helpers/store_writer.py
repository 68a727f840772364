"""Writes result stores in the format of docs/store.md, without running anything."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbench.config import SCHEMA, Quirks, RunConfig

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
        self.cells: dict[str, Any] = {}
        (root / "cells").mkdir(parents=True)
        self._grid()

    def done(self, cell: RunConfig, rounds: Rounds, **changes: Any) -> Path:
        """A finished cell. One round means a method that trains nothing.

        `changes` go into the record's parts, as in `protocol={"missing": 3}`.
        """
        folder = self.open(cell, "done")
        record: dict[str, Any] = {
            "schema": self.schema,
            "cell": cell.cell,
            "config": cell.model_dump(mode="json"),
            "protocol": {
                "name": cell.split,
                "columns": ["local", "base", "novel"],
                "summary": "hm",
                "clients": 2,
                "classes": 20,
                "train_images": 320,
                "source": "built-in",
                "missing": 0,
                "notes": [],
            },
            "backbone": {"name": cell.backbone, "weights": "abcd", "label": "miniature", "trained": True},
            "hashes": {
                "split": split_hash(cell.dataset, cell.seed, str(cell.split_options)),
                "weights": "ffff000011112222",
            },
            "rounds": len(rounds) - 1 if len(rounds) > 1 else cell.rounds,
            "parameters": {"trainable": 0 if len(rounds) == 1 else 12416, "shared": 0, "personal": 0},
            "payload": {"up": 0, "down": 0},
            "seconds": {"total": 27.0},
            "peak_bytes": 1,
            "environment": {
                "device": "cpu",
                "precision": "float32",
                "threads": 2,
                "python": "3.11.7",
                "fedbench": "0.1.0",
                "commit": "abc1234",
            },
        }
        for part, values in changes.items():
            record[part] = record[part] | values if isinstance(values, dict) else values
        lines = [_line(number, metrics) for number, metrics in enumerate(rounds)]
        (folder / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "record.json").write_text(json.dumps(record))
        return folder

    def open(self, cell: RunConfig, state: str, reason: str = "") -> Path:
        """A cell without a record."""
        folder = self.root / "cells" / cell.cell
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(cell.model_dump(mode="json")))
        status = {"state": state, "reason": reason, "pid": 1, "updated": "2026-01-01T00:00:00+00:00"}
        (folder / "status.json").write_text(json.dumps(status))
        self.plan(cell)
        return folder

    def plan(self, cell: RunConfig) -> None:
        """Enter the cell into the grid only."""
        self.cells[cell.cell] = cell.model_dump(mode="json")
        self._grid()

    def _grid(self) -> None:
        grid = {"schema": self.schema, "setting": {}, "cells": self.cells}
        (self.root / "grid.json").write_text(json.dumps(grid))


def _metric(found: float | Sequence[float]) -> dict[str, Any]:
    clients = [found, found] if isinstance(found, int | float) else list(found)
    return {"mean": sum(clients) / len(clients), "clients": clients}


def _line(number: int, metrics: Mapping[str, float | Sequence[float]]) -> dict[str, Any]:
    return {
        "round": number,
        "participants": [0, 1],
        "losses": {"ce": 1.0},
        "metrics": {name: _metric(found) for name, found in metrics.items()},
        "bytes": {"up": 1, "down": 1},
        "seconds": {"train": 0.1, "evaluate": 0.1},
    }
