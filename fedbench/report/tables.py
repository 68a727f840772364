"""The table of a store: rows are methods, blocks are datasets, columns are as `layout` finds them.

Definitions:

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

from fedbench.config import RunConfig
from fedbench.errors import FedbenchError
from fedbench.report.arithmetic import HM, MISSING, Value, harmonic_mean, over_seeds
from fedbench.report.clients import Names, named_clients
from fedbench.report.layout import Layout, PerSeed, gaps, layout
from fedbench.report.rows import Rows, held_out, listed, rows, unique
from fedbench.report.select import Selected, check_rule, select
from fedbench.store.read import Done, Open, Store

AVERAGE = "Average"

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
        quirks: row label to the quirks that it names.
        short: row label to the label without the shots.
        blocks: Average first where there are several datasets with the same columns, then the datasets.
        layouts: dataset to the layout of its block.
        per_seed: (row, dataset) to the numbers of every seed by metric.
        selected: cell name to the selected numbers, per client too.
        clients: cell name to its clients' names, where they are known and the layout needs them.
        cells: finished cells, in the order of datasets and rows.
        open: unfinished cells, those without a readable configuration included.
        notes: numbers that finished cells lack, and what the averages leave out.
    """

    split: str
    backbone: str
    rule: str
    rows: tuple[str, ...]
    labels: Mapping[str, str]
    quirks: Mapping[str, tuple[str, ...]]
    short: Mapping[str, str]
    blocks: tuple[Block, ...]
    layouts: Mapping[str, Layout]
    per_seed: Numbers
    selected: Mapping[str, Selected]
    clients: Mapping[str, Names]
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
    def held_out(self) -> bool:
        """Cells hold out domains, and columns are these."""
        return any(found.targets for found in self.layouts.values())

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
    ordered = unique(configs[name].dataset for name in store.order if name in configs)
    datasets = unique([*ordered, *sorted({c.dataset for c in configs.values()})])
    names = tuple(label for label in labels.order if label in present)
    selected = {cell.name: select(cell, rule) for cell in done}
    clients = named_clients(done)
    layouts = {}
    for dataset in datasets:
        planned = unique(t for n in (*store.order, *configs) if (t := _target(configs.get(n), dataset)))
        if cells := [c for c in done if c.config.dataset == dataset]:
            layouts[dataset] = layout(cells, clients, planned)

    def place(cell: Done) -> tuple[int, int, int, int]:
        dataset, target = cell.config.dataset, held_out(cell.config)
        domain = layouts[dataset].targets.index(target) if target else 0
        return datasets.index(dataset), names.index(labels.of[cell.name]), cell.config.seed, domain

    done = tuple(sorted(done, key=place))
    per_seed: dict[tuple[str, str], PerSeed] = {}
    notes: list[str] = []
    for (row, dataset, seed), cells in _grouped(done, labels.of).items():
        numbers = layouts[dataset].numbers(cells, selected, clients)
        per_seed.setdefault((row, dataset), {})[seed] = numbers
    for cell in done:
        lacking = [m for m, x in selected[cell.name].values.items() if math.isnan(x)]
        notes += [f"{cell.name} has no finite number for '{m}'" for m in lacking]
    nameless = [c.name for c in done if held_out(c.config) and c.name not in clients]
    notes += [f"{name} does not say which client is which: it is in no matrix" for name in nameless]
    for (row, dataset), seeds in per_seed.items():
        notes += gaps(f"Avg of {row} on {dataset}", layouts[dataset], seeds)
    blocks = [_block(d, found.metrics, names, per_seed) for d, found in layouts.items()]
    if len(datasets) > 1:
        average, lost = _average(datasets, layouts, names, per_seed)
        blocks, notes = [*average, *blocks], [*notes, *lost]
    return Table(
        split=split,
        backbone=backbone,
        rule=rule,
        rows=names,
        labels=labels.of,
        quirks=labels.quirks,
        short=labels.short,
        blocks=tuple(blocks),
        layouts=layouts,
        per_seed=per_seed,
        selected=selected,
        clients=clients,
        cells=done,
        open=unfinished,
        notes=tuple(notes),
    )


def _target(config: RunConfig | None, dataset: str) -> str | None:
    return held_out(config) if config is not None and config.dataset == dataset else None


def _grouped(cells: Iterable[Done], labels: Mapping[str, str]) -> dict[tuple[str, str, int], list[Done]]:
    """(row, dataset, seed) to its cells: one for each held-out domain."""
    found: dict[tuple[str, str, int], list[Done]] = {}
    for c in cells:
        found.setdefault((labels[c.name], c.config.dataset, c.config.seed), []).append(c)
    return found


def _block(dataset: str, metrics: tuple[str, ...], names: tuple[str, ...], per_seed: Numbers) -> Block:
    values = {}
    for row in names:
        seeds = sorted(per_seed.get((row, dataset), {}).items())
        values[row] = tuple(
            over_seeds({seed: numbers[m] for seed, numbers in seeds if m in numbers}) for m in metrics
        )
    return Block(dataset, metrics, values)


def _average(
    datasets: tuple[str, ...],
    layouts: Mapping[str, Layout],
    names: tuple[str, ...],
    per_seed: Numbers,
) -> tuple[list[Block], list[str]]:
    """The Average block (none if the datasets differ in their columns), and notes on what it leaves out."""
    kinds = {found.shared for found in layouts.values()}
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
                f"{AVERAGE} of {row}: over the seeds that every dataset has ({listed(common)}), "
                f"not {listed(sorted(set(every) - set(common)))}"
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

    def mean(seed: int, metric: str) -> float:
        return statistics.fmean(d[seed].get(metric, math.nan) for d in datasets)

    per_seed = {s: {m: mean(s, m) for m in columns} for s in seeds}
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
