"""Numbers per client: held-out domain by source client, and the spread over clients."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedbench.report.arithmetic import MISSING, Value, over_clients, over_seeds
from fedbench.report.clients import groups
from fedbench.report.rows import held_out
from fedbench.report.tables import Block, Table
from fedbench.store.read import Finished

ALL = "*"
"""In a metric's name: over all clients, as in `target/amazon<-*`."""


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


def matrices(table: Table) -> list[Matrix]:
    """A matrix for every row and column on every dataset with held-out domains whose sources have names."""
    return [
        _matrix(table, dataset, row, column)
        for dataset, layout in table.layouts.items()
        for row in table.rows
        for column in layout.columns
        if any(c.name in table.clients for c in cells_of(table, row, dataset) if held_out(c.config))
    ]


def cells_of(table: Table, row: str, dataset: str) -> list[Finished]:
    """The finished cells of a row on a dataset."""
    return [c for c in table.cells if table.labels[c.name] == row and c.config.dataset == dataset]


def _matrix(table: Table, dataset: str, row: str, column: str) -> Matrix:
    layout = table.layouts[dataset]
    seeds: dict[tuple[str, str], dict[int, float]] = {}
    sources: dict[str, list[str]] = {target: [] for target in layout.targets}
    for c in cells_of(table, row, dataset):
        target, names = held_out(c.config), table.clients.get(c.name)
        if target is None or names is None:
            continue
        sources[target] += [name for name in names.names if name not in sources[target]]
        numbers = table.selected[c.name].clients[column]
        for name, number in zip(names.names, numbers, strict=False):  # there may be no numbers
            seeds.setdefault((target, name), {})[c.config.seed] = number
    values = {(t, s): over_seeds(seeds.get((t, s), {})) for t in layout.targets for s in sources[t]}
    across = {}
    for target in layout.targets:
        means = [values[target, source].mean for source in sources[target]]
        across[target] = over_clients([means]) if means else MISSING
    shown = tuple(d for d in layout.domains if any(d in found for found in sources.values()))
    return Matrix(dataset, row, column, layout.targets, shown, values, across)


def spreads(table: Table) -> list[Block]:
    """Per dataset with a single column: mean ± sample std over clients, both averaged over seeds.

    The metrics are the block's, with `<-*` behind them. Datasets with held-out domains have matrices instead,
    and where no cell has two clients there is no spread.
    """
    blocks = []
    for dataset, layout in table.layouts.items():
        if len(layout.columns) > 1 or layout.targets:
            continue
        values = {row: _spread(table, dataset, row) for row in table.rows}
        if any(value.n > 1 for row in values.values() for value in row):
            blocks.append(Block(dataset, tuple(f"{m}<-{ALL}" for m in layout.metrics), values))
    return blocks


def _spread(table: Table, dataset: str, row: str) -> tuple[Value, ...]:
    layout = table.layouts[dataset]
    (column,) = layout.columns
    cells = cells_of(table, row, dataset)
    everyone = [table.selected[c.name].clients[column] for c in cells]
    values = []
    for domain in layout.groups:
        parts = []
        for c, numbers in zip(cells, everyone, strict=True):
            places = groups(table.clients[c.name].names) if c.name in table.clients else {}
            parts.append([numbers[i] for i in places.get(domain, ())] if numbers else [])
        values.append(over_clients(parts))
    return (*values, over_clients(everyone))


def spread_of_means(value: Value) -> Value:
    """The spread alone, as a number of the table."""
    return Value(value.std, n=1) if value.n > 1 else MISSING
