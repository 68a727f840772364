"""The grids of a table as every form prints them: texts and marks, no markup.

Blocks come first (a row per method), then what the store's cells allow: a matrix for each method whose cells
hold out domains, spreads over the clients of each domain, and numbers by shots where shots vary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedbench.report.arithmetic import HM, MISSING, Value, ranks
from fedbench.report.layout import AVG
from fedbench.report.matrix import Matrix, matrices, spread_of_means, spreads
from fedbench.report.rows import SHOTS, unique
from fedbench.report.tables import Block, Table
from fedbench.report.text import counted, heading, number, seeds

SPREAD = "Std over clients"


@dataclass(frozen=True)
class Cell:
    """A printed number: the mean, what follows it, and its rank in the column (0: no mark)."""

    mean: str
    spread: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Panel:
    """One grid. `lines` hold a row's name and its cells under `heads`; `note` says what the numbers are.

    `main`: a block of the table, which the table's own definitions explain.
    """

    title: str
    corner: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cell, ...]], ...]
    note: str = ""

    @property
    def main(self) -> bool:
        return not self.note


def panels(table: Table) -> list[Panel]:
    """All grids of the table, blocks first."""
    over = {block.dataset: block for block in spreads(table)}
    return [
        *(_block(table, block, over.get(block.dataset)) for block in table.blocks),
        *(_matrix(table, matrix) for matrix in matrices(table)),
        *(_spread(table, block) for block in over.values() if len(block.metrics) > 1),
        *by_shots(table),
    ]


def with_notes(grids: Sequence[Panel]) -> list[tuple[Panel, str]]:
    """The grids that are no blocks, each with its note; "" where the next one has the same."""
    others = [panel for panel in grids if not panel.main]
    following = [panel.note for panel in others[1:]] + [""]
    return [(p, p.note if p.note != note else "") for p, note in zip(others, following, strict=False)]


def _block(table: Table, block: Block, over: Block | None) -> Panel:
    heads = [heading(m) for m in block.metrics]
    columns = [ranked([block.values[row][i] for row in table.rows]) for i in range(len(block.metrics))]
    if over is not None and len(over.metrics) == 1:
        heads.append(SPREAD)
        columns.append([plain(spread_of_means(over.values[row][0])) for row in table.rows])
    if table.mixed_n:
        heads.append("n")
        columns.append([Cell(seeds(block, row)) for row in table.rows])
    return Panel(block.dataset, "Method", tuple(heads), _lines(table.rows, columns))


def _matrix(table: Table, matrix: Matrix) -> Panel:
    columns = []
    for source in matrix.sources:
        values = [matrix.values.get((target, source), MISSING) for target in matrix.targets]
        texts = [number(v)[0] for v in values]  # a held-out domain is no source: no number lacks there
        columns.append([Cell("" if t == source else x) for t, x in zip(matrix.targets, texts, strict=True)])
    across = [matrix.over_sources[target] for target in matrix.targets]
    columns.append([Cell(number(v)[0]) for v in across])
    columns.append([plain(spread_of_means(v)) for v in across])
    counts = {t: [v.n for (target, _), v in matrix.values.items() if target == t] for t in matrix.targets}
    heads = [*matrix.sources, "Mean", "Std"]
    note = (
        "Accuracies in %. Rows: held-out domain; columns: source client. Mean and Std: mean and sample "
        "standard deviation over the row's source clients, not over seeds. "
    )
    every = unique(max(found, default=0) for found in counts.values() if found)
    if len(every) > 1:
        heads.append("n")
        columns.append([Cell(counted(found)) for found in counts.values()])
        note += "Each cell is the mean over the n seeds that held out the domain."
    else:
        note += "One seed." if every == (1,) else f"Each cell is the mean over {counted(every)} seeds."
    title = f"{matrix.dataset}: {matrix.row}, {heading(matrix.column)} by source"
    return Panel(title, "Held out", tuple(heads), _lines(matrix.targets, columns), note)


def _spread(table: Table, block: Block) -> Panel:
    values = [[block.values[row][i] for row in table.rows] for i in range(len(block.metrics))]
    heads = [heading(m.partition("<-")[0]) for m in block.metrics]
    columns = [[plain(v) for v in column] for column in values]
    clients = zip(heads, (max(v.n for v in column) for column in values), strict=True)
    note = (
        "Accuracies in %: mean ± sample standard deviation over clients, both averaged over seeds. Clients: "
        + ", ".join(f"{head} {n}" for head, n in clients)
        + "."
    )
    return Panel(f"{block.dataset}: over clients", "Method", tuple(heads), _lines(table.rows, columns), note)


def by_shots(table: Table) -> list[Panel]:
    """Rows without their shots, by shots, where these vary: the summary of the columns, else each column."""
    shots = _shots(table)
    order = sorted(unique(shots.values()), key=lambda count: (count is None, count))
    if len(order) < 2:
        return []
    rows = unique(table.short[row] for row in table.rows if row in shots)
    place = {(table.short[row], count): row for row, count in shots.items()}
    found = []
    for block in table.blocks:
        for name in _summary(block.metrics):
            i = block.metrics.index(name)
            values = {key: block.values[row][i] for key, row in place.items()}
            columns = [ranked([values.get((row, count), MISSING) for row in rows]) for count in order]
            counts = unique(v.n for v in values.values() if not v.missing)
            over = "mean ± sample standard deviation over seeds, n = " + counted(counts)
            note = (
                f"{heading(name)} in %: {'one seed' if counts == (1,) else over}. Columns: images per class."
            )
            title = f"{block.dataset}: {heading(name)} by shots"
            heads = tuple(_shots_head(count) for count in order)
            found.append(Panel(title, "Method", heads, _lines(rows, columns), note))
    return found


def _shots_head(count: int | None) -> str:
    return "all images" if count is None else "1 shot" if count == 1 else f"{count} shots"


def _shots(table: Table) -> dict[str, int | None]:
    """Row to its shots (None: all images), for the rows that have one number of them."""
    found: dict[str, set[object]] = {}
    configs = {c.name: c.config for c in table.cells} | {c.name: c.config for c in table.open if c.config}
    for name, config in configs.items():
        found.setdefault(table.labels[name], set()).add(config.split_options.get(SHOTS, "unset"))
    single = {row: values.pop() for row, values in found.items() if len(values) == 1}
    return {row: value for row, value in single.items() if value is None or isinstance(value, int)}


def _summary(metrics: Sequence[str]) -> Sequence[str]:
    """HM or the mean over held-out domains where there is one, else the columns over all clients."""
    ends = [m for m in metrics if m == HM or m.endswith(f"/{AVG}")]
    return ends or [m for m in metrics if "/" not in m] or metrics


def ranked(values: Sequence[Value]) -> list[Cell]:
    """A column with its best and second best marked."""
    return [Cell(*number(v), rank) for v, rank in zip(values, ranks(values), strict=True)]


def plain(value: Value) -> Cell:
    """A number without a mark."""
    return Cell(*number(value))


def _lines(
    names: Iterable[str], columns: Sequence[Sequence[Cell]]
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    return tuple((name, tuple(column[i] for column in columns)) for i, name in enumerate(names))
