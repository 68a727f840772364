"""The table of a store: rows are methods, blocks are datasets, columns are whatever the protocol names.

Definitions (DESIGN section 5):

- a number is the mean over seeds, ± is the sample standard deviation (ddof 1) over seeds, n their count;
- HM is computed per seed from that seed's columns, then pooled over seeds like any column;
- the Average block averages columns over the datasets, per seed, over the seeds that every dataset has; its ±
  is the sample standard deviation over seeds of these per-seed averages. Its HM is the HM of the averaged,
  unrounded columns (not a mean of HMs), the ± beside it that of the per-seed HMs of averaged columns;
- a missing cell makes its average missing.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from fedbench.errors import FedbenchError
from fedbench.report.arithmetic import MISSING, Value, harmonic_mean, over_seeds
from fedbench.report.load import Done, Open, Store
from fedbench.report.rows import Rows, rows
from fedbench.report.select import check_rule, select

AVERAGE = "Average"
HM = "hm"

Item = TypeVar("Item")

PerSeed = dict[int, dict[str, float]]
"""Seed to metric to percent."""

Numbers = Mapping[tuple[str, str], PerSeed]
"""(row, dataset) to the selected numbers of every seed."""


@dataclass(frozen=True)
class Block:
    """The rows of one dataset, or of the average over datasets. `values[row]` follow `metrics`."""

    dataset: str
    metrics: tuple[str, ...]
    values: Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True)
class Table:
    """All cells of one protocol on one backbone.

    Attributes:
        rows: row labels in order.
        labels: cell name to row label.
        blocks: Average first where there are several datasets with the same columns, then the datasets.
        per_seed: (row, dataset) to the selected numbers of every seed, HM included.
        cells: finished cells, in the order of datasets and rows.
        open: unfinished cells, those without a readable configuration included.
        notes: numbers that finished cells lack, and what the averages leave out.
    """

    split: str
    backbone: str
    rule: str
    rows: tuple[str, ...]
    labels: Mapping[str, str]
    blocks: tuple[Block, ...]
    per_seed: Numbers
    cells: tuple[Done, ...]
    open: tuple[Open, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def caveat(self) -> str:
        """What every table and figure must say of its backbone: "" if nothing."""
        if any(not c.record.backbone.trained for c in self.cells):
            return "untrained: numbers mean nothing"
        return next((c.record.backbone.label for c in self.cells if c.record.backbone.label), "")

    @property
    def title(self) -> str:
        return f"{self.split}, {self.backbone}" + (f" ({self.caveat})" if self.caveat else "")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the table's datasets, without HM."""
        return unique(column for c in self.cells for column in c.record.protocol.columns)

    @property
    def mixed_n(self) -> bool:
        """Rows rest on different numbers of seeds: each then states its own."""
        values = [v for block in self.blocks for row in block.values.values() for v in row]
        return len({v.n for v in values if not v.missing}) > 1


def build_tables(store: Store, rule: str = "last") -> tuple[Table, ...]:
    """One table per (split, backbone) of the store.

    Raises:
        FedbenchError: unknown rule, a metric that the rule needs is missing, or no finished cell.
    """
    check_rule(rule)
    if not store.done:
        raise FedbenchError(_nothing(store))
    labels = rows(store)
    keys = unique((c.split, c.backbone) for c in store.configs.values())
    return tuple(_table(store, labels, split, backbone, rule) for split, backbone in keys)


def _table(store: Store, labels: Rows, split: str, backbone: str, rule: str) -> Table:
    done = tuple(c for c in store.done if (c.config.split, c.config.backbone) == (split, backbone))
    unfinished = tuple(
        c for c in store.open if c.config is None or (c.config.split, c.config.backbone) == (split, backbone)
    )
    configs = {n: c for n, c in store.configs.items() if (c.split, c.backbone) == (split, backbone)}
    present = {labels.of[name] for name in configs}
    listed = unique(configs[name].dataset for name in store.order if name in configs)
    datasets = unique([*listed, *sorted({c.dataset for c in configs.values()})])
    names = tuple(label for label in labels.order if label in present)
    metrics = {dataset: _metrics(c for c in done if c.config.dataset == dataset) for dataset in datasets}
    per_seed: dict[tuple[str, str], PerSeed] = {}
    notes: list[str] = []
    for cell in done:
        seeds = per_seed.setdefault((labels.of[cell.name], cell.config.dataset), {})
        values = select(cell, rule).values
        seeds[cell.config.seed] = _numbers(values, metrics[cell.config.dataset])
        notes += [f"{cell.name} has no finite number for '{m}'" for m, x in values.items() if math.isnan(x)]
    blocks = [_block(d, metrics[d], names, per_seed) for d in datasets if metrics[d]]

    def place(cell: Done) -> tuple[int, int, int]:
        return datasets.index(cell.config.dataset), names.index(labels.of[cell.name]), cell.config.seed

    if len(datasets) > 1:
        average, gaps = _average(datasets, metrics, names, per_seed)
        blocks, notes = [*average, *blocks], [*notes, *gaps]
    return Table(
        split=split,
        backbone=backbone,
        rule=rule,
        rows=names,
        labels=labels.of,
        blocks=tuple(blocks),
        per_seed=per_seed,
        cells=tuple(sorted(done, key=place)),
        open=unfinished,
        notes=tuple(notes),
    )


def _metrics(cells: Iterable[Done]) -> tuple[str, ...]:
    """The columns of a dataset, and HM if its protocol ends with it."""
    protocols = [c.record.protocol for c in cells]
    columns = unique(column for p in protocols for column in p.columns)
    return (*columns, HM) if any(p.summary == HM for p in protocols) else columns


def _numbers(values: Mapping[str, float], metrics: tuple[str, ...]) -> dict[str, float]:
    """One seed's numbers, with the HM of its columns."""
    numbers = {m: values.get(m, math.nan) for m in metrics if m != HM}
    return numbers | {HM: harmonic_mean(list(numbers.values()))} if HM in metrics else numbers


def _block(dataset: str, metrics: tuple[str, ...], names: tuple[str, ...], per_seed: Numbers) -> Block:
    values = {}
    for row in names:
        seeds = sorted(per_seed.get((row, dataset), {}).items())
        values[row] = tuple(over_seeds({seed: numbers[m] for seed, numbers in seeds}) for m in metrics)
    return Block(dataset, metrics, values)


def _average(
    datasets: tuple[str, ...],
    metrics: Mapping[str, tuple[str, ...]],
    names: tuple[str, ...],
    per_seed: Numbers,
) -> tuple[list[Block], list[str]]:
    """The Average block (none if the datasets differ in their columns), and notes on what it leaves out."""
    kinds = {m for m in metrics.values() if m}
    if len(kinds) != 1:
        return [], ["no average: the datasets do not have the same columns"] if kinds else []
    (shared,) = kinds
    values: dict[str, tuple[Value, ...]] = {}
    notes = []
    for row in names:
        seeds = [set(per_seed.get((row, d), {})) for d in datasets]
        common, every = sorted(set.intersection(*seeds)), sorted(set.union(*seeds))
        values[row] = _average_row([per_seed.get((row, d), {}) for d in datasets], shared, common)
        if common and common != every:
            notes.append(
                f"{AVERAGE} of {row}: over the seeds that every dataset has ({_list(common)}), "
                f"not {_list(sorted(set(every) - set(common)))}"
            )
        elif every and not common:
            lacking = [d for d, s in zip(datasets, seeds, strict=True) if not s]
            why = f"no finished cell on {', '.join(lacking)}" if lacking else "no seed that all datasets have"
            notes.append(f"{AVERAGE} of {row} is missing: {why}")
    return [Block(AVERAGE, shared, values)], notes


def _average_row(datasets: list[PerSeed], metrics: tuple[str, ...], seeds: list[int]) -> tuple[Value, ...]:
    """One row of the Average block, over seeds that every dataset has."""
    if not seeds:
        return tuple(MISSING for _ in metrics)
    columns = [m for m in metrics if m != HM]
    per_seed = {s: {m: statistics.fmean(d[s][m] for d in datasets) for m in columns} for s in seeds}
    row = [over_seeds({s: per_seed[s][m] for s in seeds}) for m in columns]
    if HM in metrics:
        hm = harmonic_mean([value.mean for value in row])
        row.append(over_seeds({s: harmonic_mean(list(per_seed[s].values())) for s in seeds}, mean=hm))
    return tuple(row)


def _nothing(store: Store) -> str:
    """Why there is no table."""
    if not store.open:
        return f"{store.path} holds no cells yet: start some with `bench run`"
    first = next((c for c in store.open if c.state == "failed"), store.open[0])
    count = len(store.open)
    return f"{store.path} holds no finished cell ({count} unfinished; {first.line}): finish with `bench run`"


def _list(seeds: Iterable[int]) -> str:
    return ", ".join(str(s) for s in seeds)


def unique(items: Iterable[Item]) -> tuple[Item, ...]:
    """In order of first appearance."""
    return tuple(dict.fromkeys(items))
