"""From a grid to its cells: complete configurations, every default filled in."""

from itertools import product
from pathlib import Path
from typing import Any

from fedbench.config import RunConfig, validated
from fedbench.errors import FedbenchError, unknown
from fedbench.grid.config import FIXED, GridConfig
from fedbench.grid.values import filled
from fedbench.registry import METHODS, SPLITS
from fedbench.sources import resolve


def expand(grid: GridConfig, *, device: str = "cpu", data_root: Path = Path("data")) -> list[RunConfig]:
    """The cells of a grid, dataset by dataset and seed by seed, each with all methods; duplicates count once.

    `device` decides only what `precision = "auto"` means, `data_root` only where `folder:PATH` is looked for.

    Raises:
        FedbenchError: an unknown name, key or quirk, a wrong type, or an empty grid.
    """
    for key in ("methods", "datasets", "seeds"):
        if not getattr(grid, key):
            raise FedbenchError(f"the grid has no {key}: give --{key} or a suite (see `bench list suites`)")
    datasets = [resolve(name, data_root)[0] for name in grid.datasets]
    settings = _settings(grid)
    hypers = {name: _hyper(grid, name, settings) for name in grid.methods}
    quirks = {name: _quirks(grid, name) for name in grid.methods}
    _refuse_unused(grid, settings)
    options = _split_options(grid, settings)
    shared: dict[str, Any] = {key: getattr(grid, key) for key in FIXED}
    shared["backbone"] = _canonical(grid.backbone)
    if grid.precision == "auto":
        shared["precision"] = "bf16" if device.startswith("cuda") else "float32"
    cells = [
        RunConfig(method=m, hyper=hypers[m], quirks=quirks[m], dataset=d, split_options=o, seed=s, **shared)
        for d, o, s, m in product(datasets, options, grid.seeds, grid.methods)
    ]
    return list({cell.cell: cell for cell in cells}.values())


def checkpoints(grid: GridConfig, cells: list[RunConfig]) -> dict[str, Path]:
    """Where the weights file is that the cells know only by its hash (`Runtime.checkpoints`)."""
    canonical = cells[0].backbone
    return (
        {}
        if canonical == grid.backbone
        else {canonical: Path(grid.backbone.partition(":")[2]).expanduser().resolve()}
    )


def folders(grid: GridConfig, *, data_root: Path) -> dict[str, Path]:
    """Where the folders are that the cells know only by their canonical names (`Runtime.folders`)."""
    found = (resolve(name, data_root) for name in grid.datasets)
    return {name: path for name, path in found if path is not None}


def _canonical(backbone: str) -> str:
    from fedbench import clip  # here, because it imports torch

    return clip.resolve(backbone)[0]


def _settings(grid: GridConfig) -> dict[tuple[str, str], Any]:
    """`set` by owner (a selected method or the split) and key; the owner of an unprefixed key is ""."""
    settings = {}
    for name, value in grid.set.items():
        owner, _, key = name.rpartition(".")
        if owner and owner not in (*grid.methods, grid.split):
            if owner in METHODS:
                raise FedbenchError(f"'{name}' is set, but {owner} is not among the grid's methods")
            raise unknown(f"owner of the setting '{name}':", owner, [*grid.methods, grid.split])
        settings[owner, key] = value
    return settings


def _hyper(grid: GridConfig, method: str, settings: dict[tuple[str, str], Any]) -> dict[str, Any]:
    hyper = METHODS[method].Hyper  # type: ignore[attr-defined]
    known = hyper.model_fields
    general = {key: value for (owner, key), value in settings.items() if not owner and key in known}
    own = {key: value for (owner, key), value in settings.items() if owner == method}
    return filled(hyper, general | own, owner=method)


def _split_options(grid: GridConfig, settings: dict[tuple[str, str], Any]) -> list[dict[str, Any]]:
    """The complete options of the split, once for every number of shots."""
    model = SPLITS[grid.split].Options  # type: ignore[attr-defined]
    given = grid.split_options | {
        key: value for (owner, key), value in settings.items() if owner == grid.split
    }
    each = [given | {"shots": shots} for shots in grid.shots] or [given]
    where = f"the options of split '{grid.split}'"
    return [validated(model, values, where=where).model_dump(mode="json") for values in each]


def _quirks(grid: GridConfig, method: str) -> tuple[str, ...]:
    """The method's share of the grid's quirks, sorted: their order means nothing."""
    known = METHODS[method].quirks  # type: ignore[attr-defined]
    chosen = set()
    for entry in grid.quirks:
        owner, _, quirk = entry.rpartition(":")
        if owner == method and quirk not in known:
            if not known:
                raise FedbenchError(f"method {method} has no quirks, so '{entry}' means nothing")
            raise unknown(f"quirk of {method}", quirk, known)
        if owner in ("", method) and quirk in known:
            chosen.add(quirk)
    return tuple(sorted(chosen))


def _refuse_unused(grid: GridConfig, settings: dict[tuple[str, str], Any]) -> None:
    """An entry that changes no cell is a mistake: say so instead of running without it."""
    hypers = {key for m in grid.methods for key in METHODS[m].Hyper.model_fields}  # type: ignore[attr-defined]
    options = {f"{grid.split}.{key}" for key in SPLITS[grid.split].Options.model_fields}  # type: ignore[attr-defined]
    for owner, key in settings:
        if not owner and key not in hypers:
            raise unknown("setting", key, hypers | options)
    quirks = {quirk for m in grid.methods for quirk in METHODS[m].quirks}  # type: ignore[attr-defined]
    for entry in grid.quirks:
        owner, _, quirk = entry.rpartition(":")
        if not owner and quirk not in quirks:
            if not quirks:
                raise FedbenchError(f"no method of the grid has quirks, so '{entry}' means nothing")
            raise unknown("quirk", quirk, quirks)
        if owner and owner not in grid.methods:
            if owner in METHODS:
                raise FedbenchError(f"quirk '{entry}': {owner} is not among the grid's methods")
            raise unknown(f"method in the quirk '{entry}':", owner, grid.methods)
