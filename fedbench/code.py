"""Which code a cell's numbers come from: digests of its method, split, data set and backbone, and of the engine.

They stand in the record. A cell whose code has changed since it was run is not silently kept (`fedbench.grid.execute`).
"""

import hashlib
from functools import cache
from pathlib import Path

from fedbench.config import RunConfig
from fedbench.named import FOLDER
from fedbench.provenance import code_digest, source_digest
from fedbench.registry import BACKBONES, DATASETS, METHODS, SPLITS

CONTRACTS = ("fedbench.method", "fedbench.task", "fedbench.data.dataset", "fedbench.clip.protocol")
"""Modules of the classes that methods, splits, data sets and backbones inherit from: part of the engine."""

ENGINE = (
    "method.py", "learned.py", "aggregation.py", "quirks.py", "seeds.py", "task.py", "clip", "data", "engine",
)  # fmt: skip
"""What computes every cell's numbers, below fedbench's folder."""


def code_of(config: RunConfig) -> dict[str, str]:
    """Digests of the source behind a cell, by part: 16 hex digits each. Comments and formatting do not count."""
    parts: dict[str, type] = {
        "method": METHODS[config.method],
        "split": SPLITS[config.split],
        "dataset": DATASETS[config.dataset if config.dataset in DATASETS else FOLDER],
    }
    if config.backbone in BACKBONES:  # others are open_clip's, and the record has their weights' hash
        parts["backbone"] = BACKBONES[config.backbone]
    return {part: _digest(cls) for part, cls in parts.items()} | {"engine": engine_digest()}


def _digest(cls: type) -> str:
    contracts = tuple(base for base in cls.__mro__ if base.__module__ in CONTRACTS)
    return code_digest(cls, until=contracts)


@cache
def engine_digest() -> str:
    """The digest of the code in `ENGINE`."""
    root = Path(__file__).parent
    folders = [name for name in ENGINE if not name.endswith(".py")]
    files = [root / name for name in ENGINE if name.endswith(".py")]
    files += [file for name in folders for file in (root / name).rglob("*.py")]
    lines = sorted(f"{file.relative_to(root).as_posix()} {source_digest(file)}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
