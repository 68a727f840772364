"""Rows of a table: a method, and what sets this row apart from the method's other cells.

Only cells that differ in nothing but the seed are pooled. A configuration key that takes several values for
one (method, dataset, split, backbone) is written into the row's label, as in "FedPGP (mu=1)". A key that
differs only between datasets (settings tuned per dataset) splits no row. Quirks are always in the label, as
in "Prox [detached-prox]", save those of a dataset whose cells all have them; more than two are "[quirks a]", and
the table says which they are. A held-out domain is a column of the table and part of no label.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fedbench.config import RunConfig
from fedbench.store.frame import flat
from fedbench.store.read import Contents

HELD_OUT, SHOTS = "target", "shots"
"""Split options that the table's layout knows: a held-out domain, images per class."""

LAYOUT = (f"split_options.{HELD_OUT}",)
"""Keys that make columns, not rows."""

FEW = 2
"""Quirks that a label has room for."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        label: the method, and what sets the row apart from the method's others.
        short: the label without the shots.
        quirks: those that the label names.
    """

    label: str
    short: str
    quirks: tuple[str, ...] = ()


def rows(contents: Contents) -> dict[str, Row]:
    """Every cell's row by the cell's name, in the order of the rows; the same in all tables and figures."""
    cells = contents.configs
    keys, active = _varying(cells.values()), _row_quirks(cells)
    rank = _method_ranks(contents)

    def place(name: str) -> tuple[Any, ...]:
        config = cells[name]
        values = [_sortable(flat(config).get(key)) for key in keys[config.method]]
        return rank[config.method], len(active[name]), active[name], values

    ordered = sorted(cells, key=place)
    many = unique(active[name] for name in ordered if len(active[name]) > FEW)
    names = {found: f"quirks {_letters(i)}" for i, found in enumerate(many)}

    def label(name: str, without: str = "") -> str:
        text = _label(cells[name], keys[cells[name].method], without=without)
        return text + (f" [{names.get(active[name], listed(active[name]))}]" if active[name] else "")

    return {name: Row(label(name), label(name, without=SHOTS), active[name]) for name in ordered}


def held_out(config: RunConfig) -> str | None:
    """The domain that nobody trained on, where the protocol has one."""
    target = config.split_options.get(HELD_OUT)
    return None if target is None else shown(target)


def canonical(value: Any) -> str:
    """Equal texts for equal values (lists are not hashable)."""
    return json.dumps(value, sort_keys=True)


def shown(value: Any) -> str:
    """A configuration value in a label: 1.0 as "1", lists with commas."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return ",".join(shown(v) for v in value)
    return str(value) if isinstance(value, str | int) else canonical(value)


def short(key: str) -> str:
    """`hyper.mu` is shown as `mu`."""
    return key.rsplit(".", 1)[-1]


def _varying(configs: Iterable[RunConfig]) -> dict[str, tuple[str, ...]]:
    """Per method, the keys that take several values where only the seed should differ."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    methods: dict[str, list[str]] = {}
    for c in configs:
        groups[c.method, c.dataset, c.split, c.backbone, canonical(c.quirks.model_dump())].append(flat(c))
        methods.setdefault(c.method, [])
    for (method, *_), members in groups.items():
        for key in dict.fromkeys(key for member in members for key in member if key not in LAYOUT):
            values = {canonical(member.get(key, "unset")) for member in members}
            if len(values) > 1 and key not in methods[method]:
                methods[method].append(key)
    return {method: tuple(sorted(keys)) for method, keys in methods.items()}


def _row_quirks(cells: Mapping[str, RunConfig]) -> dict[str, tuple[str, ...]]:
    """Cell name to the quirks in its label: all, but for those of its dataset that all of its cells there have."""
    parted = {}
    for name, config in cells.items():
        parted[name] = tuple(sorted(config.quirks.without_data()))
    seen = defaultdict(set)
    for name, c in cells.items():
        seen[c.method, c.dataset, c.split, c.backbone, parted[name]].add(c.quirks.dataset)
    several = {key for key, found in seen.items() if len(found) > 1}
    return {
        name: tuple(sorted(c.quirks.names()))
        if (c.method, c.dataset, c.split, c.backbone, parted[name]) in several
        else parted[name]
        for name, c in cells.items()
    }


def _letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    letters = chr(ord("a") + number % 26)
    return letters if number < 26 else _letters(number // 26 - 1) + letters


def _label(config: RunConfig, keys: tuple[str, ...], *, without: str = "") -> str:
    """Method and settings."""
    keys = tuple(key for key in keys if key != f"split_options.{without}")
    values = flat(config)
    names = [short(key) for key in keys]
    clear = [name if names.count(name) == 1 else key for key, name in zip(keys, names, strict=True)]
    parts = [f"{name}={shown(values.get(key, 'unset'))}" for key, name in zip(keys, clear, strict=True)]
    return config.method + (f" ({', '.join(parts)})" if parts else "")


def _method_ranks(contents: Contents) -> dict[str, int]:
    """The grid's order of methods; without one, methods that train nothing first, then the alphabet."""
    cells = contents.configs
    static = {c.config.method for c in contents.finished if c.untrained_method}
    alphabet = sorted({c.method for c in cells.values()}, key=lambda m: (m not in static, m.lower()))
    planned = [cells[name].method for name in contents.order if name in cells]
    return {method: i for i, method in enumerate(unique([*planned, *alphabet]))}


def _sortable(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then texts."""
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, canonical(value)


def unique(items: Iterable[Item]) -> tuple[Item, ...]:
    """In order of first appearance."""
    return tuple(dict.fromkeys(items))


def listed(items: Iterable[object]) -> str:
    """With commas."""
    return ", ".join(str(item) for item in items)
