"""Who owns which quirk, by the registries."""

from collections.abc import Mapping

from fedbench.named import FOLDER
from fedbench.quirks import ENGINE
from fedbench.registry import DATASETS, METHODS, SPLITS

ENGINE_OWNER = "engine"


def of_dataset(name: str) -> Mapping[str, str]:
    """Quirks of a data set by its registered or its `folder…` name."""
    return DATASETS[name if name in DATASETS else FOLDER].quirks


def of_cell(*, method: str, split: str, dataset: str) -> dict[str, tuple[str, Mapping[str, str]]]:
    """Everything that can be switched on in a cell: by role, the owner's name and its quirks."""
    return {
        "method": (method, METHODS[method].quirks),
        "split": (split, SPLITS[split].quirks),
        "dataset": (dataset, of_dataset(dataset)),
        "engine": (ENGINE_OWNER, ENGINE),
    }


def everything() -> dict[str, Mapping[str, str]]:
    """The quirks of all registered methods, splits and data sets and of the engine, by owner."""
    found: dict[str, Mapping[str, str]] = {name: METHODS[name].quirks for name in METHODS}
    found |= {name: SPLITS[name].quirks for name in SPLITS}
    found |= {name: of_dataset(name) for name in DATASETS}
    return {**found, ENGINE_OWNER: ENGINE}
