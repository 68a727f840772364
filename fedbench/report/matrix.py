"""Numbers per client: held-out domain by source client, and the spread over clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedbench.report.arithmetic import MISSING, Value, over_clients, over_seeds
from fedbench.report.clients import groups
from fedbench.report.entries import Entry
from fedbench.report.layout import Layout
from fedbench.report.sections import Section

ALL = "*"
"""In a metric's name: over all clients, as in `target/amazon<-*`."""

Placed = Mapping[tuple[str, str], Sequence[Entry]]
"""(row, dataset) to its cells."""


@dataclass(frozen=True)
class Matrix:
    """One column of one row of the table on one dataset, by held-out domain and source client.

    Attributes:
        values: (target, source) to mean and sample standard deviation over seeds.
        over_sources: target to mean and sample standard deviation over its sources of the means over seeds.
    """

    dataset: str
    row: str
    column: str
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    values: Mapping[tuple[str, str], Value]
    over_sources: Mapping[str, Value]

    def metric(self, target: str, source: str = ALL) -> str:
        """The metric's name in the long form."""
        return f"{self.column}/{target}<-{source}"


def matrices(placed: Placed, layouts: Mapping[str, Layout], rows: Sequence[str]) -> tuple[Matrix, ...]:
    """A matrix for every row and column on every dataset with held-out domains whose sources have names."""
    found = []
    for dataset, layout in layouts.items():
        for row in rows:
            cells = [e for e in placed.get((row, dataset), ()) if e.clients and e.target is not None]
            found += [_matrix(dataset, row, column, layout, cells) for column in layout.columns if cells]
    return tuple(found)


def _matrix(dataset: str, row: str, column: str, layout: Layout, entries: Sequence[Entry]) -> Matrix:
    seeds: dict[tuple[str, str], dict[int, float]] = {}
    sources: dict[str, list[str]] = {target: [] for target in layout.targets}
    for e in entries:
        assert e.target is not None
        assert e.clients is not None
        sources[e.target] += [name for name in e.clients.names if name not in sources[e.target]]
        numbers = e.selected.clients[column]
        for name, number in zip(e.clients.names, numbers, strict=False):  # there may be no numbers
            seeds.setdefault((e.target, name), {})[e.seed] = number
    values = {(t, s): over_seeds(seeds.get((t, s), {})) for t in layout.targets for s in sources[t]}
    across = {}
    for target in layout.targets:
        means = [values[target, source].mean for source in sources[target]]
        across[target] = over_clients([means]) if means else MISSING
    shown = tuple(d for d in layout.domains if any(d in found for found in sources.values()))
    return Matrix(dataset, row, column, layout.targets, shown, values, across)


def spreads(placed: Placed, layouts: Mapping[str, Layout], rows: Sequence[str]) -> tuple[Section, ...]:
    """Per dataset with a single column: mean ± sample std over clients, both averaged over seeds.

    The metrics are the section's, with `<-*` behind them. Datasets with held-out domains have matrices instead,
    and where no cell has two clients there is no spread.
    """
    found = []
    for dataset, layout in layouts.items():
        if len(layout.columns) > 1 or layout.targets:
            continue
        values = {row: _spread(layout, placed.get((row, dataset), ())) for row in rows}
        if any(value.n > 1 for row in values.values() for value in row):
            found.append(Section(dataset, tuple(f"{m}<-{ALL}" for m in layout.metrics), values))
    return tuple(found)


def _spread(layout: Layout, entries: Sequence[Entry]) -> tuple[Value, ...]:
    (column,) = layout.columns
    everyone = [e.selected.clients[column] for e in entries]
    values = []
    for domain in layout.groups:
        parts = []
        for e, numbers in zip(entries, everyone, strict=True):
            places = groups(e.clients.names) if e.clients else {}
            parts.append([numbers[i] for i in places.get(domain, ())] if numbers else [])
        values.append(over_clients(parts))
    return (*values, over_clients(everyone))


def spread_of_means(value: Value) -> Value:
    """The spread alone, as a number of the table."""
    return Value(value.std, n=1) if value.n > 1 else MISSING
