"""The table of a store: rows are methods, sections are datasets, columns are as `layout` finds them.

Definitions:

- a number is the mean over seeds, ± is the sample standard deviation (ddof 1) over seeds, n their count;
- HM is computed per seed from that seed's columns, then pooled over seeds like any column;
- the Average section averages columns over the datasets, per seed, over the seeds that every dataset has; its ±
  is the sample standard deviation over seeds of these per-seed averages. Its HM is the HM of the averaged,
  unrounded columns (not a mean of HMs), the ± beside it that of the per-seed HMs of averaged columns;
- a missing cell makes its average missing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fedbench.config import RunConfig
from fedbench.errors import FedbenchError
from fedbench.report.entries import Entry, entries
from fedbench.report.layout import Layout, PerSeed, gaps, layout
from fedbench.report.matrix import Matrix, Placed, matrices, spreads
from fedbench.report.rows import SHOTS, Row, held_out, rows, unique
from fedbench.report.sections import Numbers, Section, average, section
from fedbench.report.select import check_rule
from fedbench.store.read import Contents, Unfinished


@dataclass(frozen=True)
class Table:
    """All cells of one protocol on one backbone.

    Attributes:
        rows: those of its cells, finished or not, in order.
        shots: row label to images per class (None: all), for the rows that have one number of them.
        entries: finished cells, in the order of datasets, rows, seeds and held-out domains.
        unfinished: those without a readable configuration included.
        layouts: dataset to the layout of its section.
        sections: the average first, where there are several datasets with the same columns; then the datasets.
        spreads: over clients, for the datasets that have one column.
        matrices: held-out domain by source client, for the datasets that hold out domains.
        notes: numbers that finished cells lack, and what the averages leave out.
    """

    split: str
    backbone: str
    rule: str
    rows: tuple[Row, ...]
    shots: Mapping[str, int | None]
    entries: tuple[Entry, ...]
    unfinished: tuple[Unfinished, ...]
    layouts: Mapping[str, Layout]
    sections: tuple[Section, ...]
    spreads: tuple[Section, ...]
    matrices: tuple[Matrix, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def caveat(self) -> str:
        """What every table and figure must say of its backbone: "" if nothing."""
        backbones = [e.record.backbone for e in self.entries]
        if any(not b.trained for b in backbones):
            return "untrained: numbers mean nothing"
        return next((b.label for b in backbones if b.label), "")

    @property
    def title(self) -> str:
        return f"{self.split}, {self.backbone}" + (f" ({self.caveat})" if self.caveat else "")

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the rows."""
        return tuple(row.label for row in self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the table's datasets, without HM."""
        return unique(column for e in self.entries for column in e.record.protocol.columns)

    @property
    def held_out(self) -> bool:
        """Cells hold out domains, and columns are these."""
        return any(found.targets for found in self.layouts.values())

    @property
    def mixed_n(self) -> bool:
        """Rows rest on different numbers of seeds: each then states its own."""
        values = [v for found in self.sections for row in found.values.values() for v in row]
        return len({v.n for v in values if not v.missing}) > 1

    @property
    def changed(self) -> frozenset[Row]:
        """Rows with a cell that was run by other code than the present."""
        return frozenset(e.row for e in self.entries if e.cell.changed)


def build_tables(contents: Contents, rule: str = "last") -> tuple[Table, ...]:
    """One table per (split, backbone) of the store.

    Raises:
        FedbenchError: unknown rule, a metric that the rule needs is missing, or no finished cell.
    """
    check_rule(rule)
    if not contents.finished:
        raise FedbenchError(_nothing(contents))
    row_of = rows(contents)
    keys = unique((c.split, c.backbone) for c in contents.configs.values())
    return tuple(_table(contents.part(*key), *key, row_of, rule) for key in keys)


def _table(part: Contents, split: str, backbone: str, row_of: dict[str, Row], rule: str) -> Table:
    configs = part.configs
    present = {row_of[name] for name in configs}
    ordered = tuple(row for row in unique(row_of.values()) if row in present)
    labels = [row.label for row in ordered]
    datasets = unique(c.dataset for c in configs.values())
    found = entries(part, row_of, rule)
    layouts = {
        d: layout(own, _targets(configs, d))
        for d in datasets
        if (own := [e for e in found if e.dataset == d])
    }

    def place(e: Entry) -> tuple[int, int, int, int]:
        domain = layouts[e.dataset].targets.index(e.target) if e.target else 0
        return datasets.index(e.dataset), ordered.index(e.row), e.seed, domain

    found.sort(key=place)
    placed = _placed(found)
    numbers = {(row, d): _per_seed(own, layouts[d]) for (row, d), own in placed.items()}
    averages, lost = average(datasets, layouts, labels, numbers) if len(datasets) > 1 else ([], [])
    return Table(
        split=split,
        backbone=backbone,
        rule=rule,
        rows=ordered,
        shots=_shots(configs, row_of),
        entries=tuple(found),
        unfinished=part.unfinished,
        layouts=layouts,
        sections=(*averages, *(section(d, own, labels, numbers) for d, own in layouts.items())),
        spreads=spreads(placed, layouts, labels),
        matrices=matrices(placed, layouts, labels),
        notes=(*lost, *_notes(found, layouts, numbers)),
    )


def _targets(configs: Mapping[str, RunConfig], dataset: str) -> tuple[str, ...]:
    """The domains that cells on the dataset hold out, finished or not."""
    targets = (held_out(c) for c in configs.values() if c.dataset == dataset)
    return unique(target for target in targets if target is not None)


def _placed(found: Sequence[Entry]) -> Placed:
    placed: dict[tuple[str, str], list[Entry]] = {}
    for e in found:
        placed.setdefault((e.row.label, e.dataset), []).append(e)
    return placed


def _per_seed(found: Sequence[Entry], own: Layout) -> PerSeed:
    """A seed has several cells where each holds out a domain."""
    return {seed: own.numbers(e for e in found if e.seed == seed) for seed in unique(e.seed for e in found)}


def _shots(configs: Mapping[str, RunConfig], row_of: Mapping[str, Row]) -> dict[str, int | None]:
    found: dict[str, set[object]] = {}
    for name, config in configs.items():
        found.setdefault(row_of[name].label, set()).add(config.split_options.get(SHOTS, "unset"))
    single = {label: values.pop() for label, values in found.items() if len(values) == 1}
    return {label: value for label, value in single.items() if value is None or isinstance(value, int)}


def _notes(found: Sequence[Entry], layouts: Mapping[str, Layout], numbers: Numbers) -> Iterator[str]:
    for e in found:
        for metric, value in e.selected.values.items():
            if math.isnan(value):
                yield f"{e.name} has no finite number for '{metric}'"
    for e in found:
        if e.target is not None and e.clients is None:
            yield f"{e.name} does not say which client is which: it is in no matrix"
    for (label, dataset), seeds in numbers.items():
        yield from gaps(f"Avg of {label} on {dataset}", layouts[dataset], seeds)


def _nothing(contents: Contents) -> str:
    """Why there is no table."""
    if not contents.unfinished:
        return f"{contents.path} holds no cells yet: start some with `bench run`"
    first = next((c for c in contents.unfinished if c.state == "failed"), contents.unfinished[0])
    count = len(contents.unfinished)
    return (
        f"{contents.path} holds no finished cell ({count} unfinished; {first.line}): finish with `bench run`"
    )
