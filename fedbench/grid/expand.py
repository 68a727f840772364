"""From a grid to its cells: complete configurations, every default filled in."""

from itertools import product
from pathlib import Path
from typing import Any

from fedbench.config import FIXED, Quirks, RunConfig, complete
from fedbench.errors import FedbenchError, unknown
from fedbench.grid import owners
from fedbench.grid.config import GridConfig
from fedbench.grid.values import combinations
from fedbench.named import resolve
from fedbench.registry import METHODS, SPLITS


def expand(grid: GridConfig, *, device: str = "cpu", data_root: Path = Path("data")) -> list[RunConfig]:
    """The cells of a grid, dataset by dataset and seed by seed, each with all methods; duplicates count once.

    `device` decides only what `precision = "auto"` means, `data_root` only where `folder:PATH` is looked for.

    Raises:
        FedbenchError: an unknown name, key or quirk, a wrong type, or an empty grid.
    """
    for key in ("methods", "datasets", "seeds"):
        if not getattr(grid, key):
            raise FedbenchError(f"the grid has no {key}: give --{key} or a suite (see `bench list suites`)")
    canonical = {name: resolve(name, data_root)[0] for name in grid.datasets}
    settings = _settings(grid)
    hypers = {name: _hypers(grid, name, settings) for name in grid.methods}
    active = {(m, d): _quirks(grid, m, d) for m in grid.methods for d in grid.datasets}
    _refuse_unused(grid, settings)
    options = {name: _split_options(grid, settings, name) for name in grid.datasets}
    shared: dict[str, Any] = {key: getattr(grid, key) for key in FIXED}
    shared["backbone"] = _canonical(grid.backbone)
    if grid.precision == "auto":
        shared["precision"] = "bf16" if device.startswith("cuda") else "float32"
    cells = [
        RunConfig(
            method=m,
            hyper=h,
            quirks=active[m, d],
            dataset=canonical[d],
            split_options=o,
            seed=s,
            **shared | {"batch_size": _batch_size(grid, o)},
        )
        for d in grid.datasets
        for o, s, m in product(options[d], grid.seeds, grid.methods)
        for h in hypers[m]
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


def _hypers(grid: GridConfig, method: str, settings: dict[tuple[str, str], Any]) -> list[dict[str, Any]]:
    """The method's complete hyper-parameters, once for every combination of listed values."""
    hyper = METHODS[method].Hyper
    known = hyper.model_fields
    general = {key: value for (owner, key), value in settings.items() if not owner and key in known}
    own = {key: value for (owner, key), value in settings.items() if owner == method}
    return [
        complete(hyper, values, owner=method, kind="hyper-parameter")
        for values in combinations(hyper, general | own)
    ]


def _split_options(
    grid: GridConfig, settings: dict[tuple[str, str], Any], dataset: str
) -> list[dict[str, Any]]:
    """The complete options of the split on a dataset, once for every combination of listed values."""
    model = SPLITS[grid.split].Options
    tables = {key: value for key, value in grid.split_options.items() if isinstance(value, dict)}
    for key in tables:
        if key not in grid.datasets:
            raise unknown(f"dataset in the options of split '{grid.split}'", key, grid.datasets)
    given = {key: value for key, value in grid.split_options.items() if key not in tables}
    given |= tables.get(dataset, {})
    given |= {key: value for (owner, key), value in settings.items() if owner == grid.split}
    if grid.shots:
        given["shots"] = list(grid.shots)
    return [complete(model, values, owner=grid.split) for values in combinations(model, given)]


def _batch_size(grid: GridConfig, options: dict[str, Any]) -> int:
    if grid.batch_size != "shots":
        return grid.batch_size
    if options.get("shots") is None:
        raise FedbenchError(f"batch_size = 'shots': split '{grid.split}' has no number of shots here")
    return options["shots"]


def _quirks(grid: GridConfig, method: str, dataset: str) -> Quirks:
    """The quirks of the grid that exist in a cell, by role, sorted: their order means nothing."""
    roles = owners.of_cell(method=method, split=grid.split, dataset=dataset)
    known = dict(roles.values())
    chosen: dict[str, set[str]] = {role: set() for role in roles}
    for entry in (*grid.quirks, *(grid.released_quirks if grid.released else ())):
        owner, quirk = _parted(entry)
        if owner in known and quirk not in known[owner]:
            if not known[owner]:
                kind = "method " if owner in METHODS else ""
                raise FedbenchError(f"{kind}{owner} has no quirks, so '{entry}' means nothing")
            raise unknown(f"quirk of {owner}", quirk, known[owner])
        for role, (name, declared) in roles.items():
            if quirk in declared and owner in ("", name):
                chosen[role].add(quirk)
    return Quirks(**{role: tuple(sorted(quirks)) for role, quirks in chosen.items()})


def _parted(entry: str) -> tuple[str, str]:
    """Owner, or "", and quirk. The owner of `folder:PATH:QUIRK` has a colon itself."""
    owner, _, quirk = entry.rpartition(":")
    return owner, quirk


def _refuse_unused(grid: GridConfig, settings: dict[tuple[str, str], Any]) -> None:
    """An entry that changes no cell is a mistake: say so instead of running without it."""
    hypers = {key for m in grid.methods for key in METHODS[m].Hyper.model_fields}
    options = {f"{grid.split}.{key}" for key in SPLITS[grid.split].Options.model_fields}
    for owner, key in settings:
        if not owner and key not in hypers:
            raise unknown("setting", key, hypers | options)
    _refuse_unknown_quirks(grid)


def _refuse_unknown_quirks(grid: GridConfig) -> None:
    """Every quirk must exist in the grid; those of `released_quirks`, somewhere: flags may have taken it out."""
    known: dict[str, Any] = {}
    for method, dataset in product(grid.methods, grid.datasets):
        known |= dict(owners.of_cell(method=method, split=grid.split, dataset=dataset).values())
    here = {quirk for declared in known.values() for quirk in declared}
    for entry in grid.quirks:
        owner, quirk = _parted(entry)
        if not owner and quirk not in here:
            raise unknown("quirk", quirk, here)
        if owner and owner not in known:
            if owner in METHODS:
                raise FedbenchError(f"quirk '{entry}': {owner} is not among the grid's methods")
            raise unknown(f"owner in the quirk '{entry}':", owner, known)
    if grid.released and not grid.released_quirks:
        raise FedbenchError(
            "released: the grid has no released_quirks; give a suite that has, or use --quirks"
        )
    everywhere = owners.everything()
    anything = {quirk for declared in everywhere.values() for quirk in declared}
    for entry in grid.released_quirks:
        owner, quirk = _parted(entry)
        if quirk not in anything:
            raise unknown("quirk", quirk, anything)
        if owner and owner not in everywhere:
            raise unknown(f"owner in the quirk '{entry}':", owner, everywhere)
