"""Quirks: released behaviours that can be switched on, so that their effect can be measured.

A quirk belongs to whoever misbehaves: a method, a protocol (data loading), a dataset (its images) or the
engine. A cell keeps the names in one list; each component is handed its own.
"""

from collections.abc import Mapping

from fedbench.data.names import FOLDER
from fedbench.registry import DATASETS, METHODS, SPLITS

ENGINE: Mapping[str, str] = {
    "round-zero-all": "all clients train in the first round, whatever the participation",
    "best-on-test": "the round with the best accuracy of the table's first column on the test set counts, and gives "
    "the other columns too",
}
"""Quirks of the federation itself."""

ENGINE_OWNER = "engine"


def of_dataset(name: str) -> Mapping[str, str]:
    """Quirks of a dataset by its registered or its `folder…` name."""
    return DATASETS[name if name in DATASETS else FOLDER].quirks  # type: ignore[attr-defined]


def of_cell(*, method: str, split: str, dataset: str) -> dict[str, Mapping[str, str]]:
    """Everything that can be switched on in a cell, by the owner's name."""
    return {
        method: METHODS[method].quirks,  # type: ignore[attr-defined]
        split: SPLITS[split].quirks,  # type: ignore[attr-defined]
        dataset: of_dataset(dataset),
        ENGINE_OWNER: ENGINE,
    }


def everything() -> dict[str, Mapping[str, str]]:
    """The quirks of all registered methods, protocols, datasets and of the engine, by owner."""
    found = {name: METHODS[name].quirks for name in METHODS}  # type: ignore[attr-defined]
    found |= {name: SPLITS[name].quirks for name in SPLITS}  # type: ignore[attr-defined]
    found |= {name: of_dataset(name) for name in DATASETS}
    return {**found, ENGINE_OWNER: ENGINE}
