"""What names stand for: data sets by name or `folder:PATH`, the task of a configuration, a completed configuration.

A path has no place in a configuration or a record. So `folder:PATH` has two names: the user's, and a
canonical one, `folder-birds-1f3a5b7c`: the folder's own name and a hash over the keys and sizes of its
images. `resolve` gives the canonical name, which goes into the cell, and the folder, which stays in the
runtime.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedbench.config import RunConfig, Runtime, complete, validated
from fedbench.data.dataset import Dataset
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS, METHODS, SPLITS
from fedbench.task import Task

FOLDER = "folder"
"""Name of the dataset class behind `folder:PATH`, and first word of the canonical names."""


def resolve(name: str, root: Path) -> tuple[str, Path | None]:
    """The name that goes into a configuration, and the folder behind it (None for a registered dataset).

    Raises:
        FedbenchError: unknown name, or no folder of class folders.
    """
    if not name.startswith(f"{FOLDER}:"):
        _ = DATASETS[name]
        return name, None
    path = _path(name, root)
    return _folder(path, allow_missing=False).name, path


def make_dataset(
    name: str,
    root: Path,
    *,
    allow_missing: bool,
    quirks: Collection[str] = (),
    folders: Mapping[str, Path] | None = None,
) -> Dataset:
    """The dataset of a user's or a canonical name.

    Args:
        name: a registered dataset, `folder:PATH` (relative to the working directory, else to `root`), or a
            canonical name.
        root: the users' data folder.
        allow_missing: leave out and count images that are missing or unreadable.
        quirks: names of the dataset's released behaviours to switch on.
        folders: the folders behind canonical names.

    Raises:
        FedbenchError: unknown name or quirk; whatever is wrong with the images; a folder that is not what its
            canonical name says.
    """
    if name.startswith(f"{FOLDER}:"):
        return _folder(_path(name, root), allow_missing=allow_missing, quirks=quirks)
    if name in DATASETS or not name.startswith(f"{FOLDER}-"):
        return DATASETS[name](root, allow_missing=allow_missing, quirks=quirks)
    if name not in (folders or {}):
        raise FedbenchError(
            f"dataset {name}: its folder is not known here; name it: --datasets {FOLDER}:PATH"
        )
    dataset = _folder((folders or {})[name], allow_missing=allow_missing, quirks=quirks)
    if dataset.name != name:
        raise FedbenchError(
            f"dataset {name}: the images in its folder have changed, it is {dataset.name} now; start a new "
            f"run"
        )
    return dataset


def digest(dataset: Dataset) -> str:
    """16 hex digits over class names and the images of every part: one digest, the same tasks."""
    content = {
        "source": dataset.source,
        "classnames": list(dataset.classnames),
        "parts": {part: [[i.key, i.label, i.domain] for i in items] for part, items in dataset.parts.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _path(name: str, root: Path) -> Path:
    given = name.partition(":")[2]
    path = Path(given).expanduser()
    for candidate in (path, root / path):
        if given and candidate.is_dir():
            return candidate.resolve()
    raise FedbenchError(f"{name}: there is no folder '{given}', neither here nor below '{root}'")


def _folder(path: Path, *, allow_missing: bool, quirks: Collection[str] = ()) -> Dataset:
    return DATASETS[FOLDER](path.parent, path=path, allow_missing=allow_missing, quirks=quirks)  # type: ignore[call-arg]


def make_task(config: RunConfig, runtime: Runtime) -> Task:
    """The task of a cell: exactly what will run, for the check before a run too.

    Raises:
        FedbenchError: the data set is not there, or the split cannot be made of it.
    """
    dataset = _dataset(
        DATASETS[config.dataset if config.dataset in DATASETS else FOLDER],
        config.dataset,
        config.quirks.dataset,
        root=runtime.data_root,
        allow_missing=runtime.allow_missing,
        folder=runtime.folders.get(config.dataset),
    )
    split = SPLITS[config.split]
    options = validated(split.Options, config.split_options, where=config.split)
    return split(options, config.quirks.split).make(dataset, seed=config.seed)


@lru_cache(maxsize=1)
def _dataset(
    cls: type[Dataset],
    name: str,
    quirks: tuple[str, ...],
    *,
    root: Path,
    allow_missing: bool,
    folder: Path | None,
) -> Dataset:
    """A process keeps the last data set for its next cell: listing a million files takes its time.

    `cls` is what the name stands for now: in a notebook that may change.
    """
    folders = {name: folder} if folder else {}
    return make_dataset(name, root, allow_missing=allow_missing, quirks=quirks, folders=folders)


def look_again() -> None:
    """Forget the data set that is kept: a new run sees what is on the disk now."""
    _dataset.cache_clear()


def run_config(
    *,
    method: str,
    hyper: Mapping[str, Any] | None = None,
    split: str = "base-to-novel",
    split_options: Mapping[str, Any] | None = None,
    **values: Any,
) -> RunConfig:
    """A cell's configuration, completed with the defaults of its method and its split.

    Raises:
        FedbenchError: an unknown method, split or key, or an impossible value.
    """
    own = complete(METHODS[method].Hyper, hyper or {}, owner=method, kind="hyper-parameter")
    options = complete(SPLITS[split].Options, split_options or {}, owner=split)
    given = {**values, "method": method, "hyper": own, "split": split, "split_options": options}
    return validated(RunConfig, given, where="the configuration")
