"""The grids of a table.

Sections come first (a row per method), then what the store's cells allow: a matrix for each method whose cells
hold out domains, spreads over the clients of each domain, and numbers by shots where shots vary.
"""

from collections.abc import Iterable, Sequence

from fedbench.report.arithmetic import HM, MISSING, Value, ranks
from fedbench.report.document import Cell, Grid
from fedbench.report.layout import AVG
from fedbench.report.matrix import Matrix, spread_of_means
from fedbench.report.rows import unique
from fedbench.report.sections import Section
from fedbench.report.stats import compare, metric
from fedbench.report.tables import Table
from fedbench.report.text import ABSENT, counted, heading, number, seeds
from fedbench.report.warnings import MARK

SPREAD = "Std over clients"


def grids(table: Table) -> list[Grid]:
    """All grids of the table, sections first."""
    over = {section.dataset: section for section in table.spreads}
    return [
        *(_section(table, section, over.get(section.dataset)) for section in table.sections),
        *(_matrix(table, matrix) for matrix in table.matrices),
        *(_spread(table, section) for section in table.spreads if len(section.metrics) > 1),
        *by_shots(table),
    ]


def comparison(table: Table, versus: str) -> Grid:
    """Every other row against `versus`, in pairs.

    Raises:
        FedbenchError: no such row.
    """
    of = ["dataset", *(["held-out domain"] if table.held_out else []), "seed"]
    what = "HM" if metric(table) == HM else "the mean of the columns"
    title = (
        f"Paired difference in {what} to {versus} over ({', '.join(of)}) pairs "
        "(p: two-sided Wilcoxon signed-rank test, not corrected for several rows)"
    )
    names = dict(zip(table.labels, _labels(table), strict=True))
    lines = [
        (
            names[c.row],
            (
                Cell(ABSENT if c.difference is None else f"{c.difference:+.2f}"),
                Cell(c.verdict),
                Cell(str(c.n)),
            ),
        )
        for c in compare(table, versus)
    ]
    return Grid(title, "Method", ("Difference", "p", "n"), tuple(lines))


def marked(name: str, changed: bool) -> str:
    """A row's name with the mark of code that has changed since."""
    return f"{name} {MARK}" if changed else name


def _labels(table: Table) -> list[str]:
    """The rows' names as every grid prints them."""
    return [marked(row.label, row in table.changed) for row in table.rows]


def _section(table: Table, section: Section, over: Section | None) -> Grid:
    heads = [heading(m) for m in section.metrics]
    columns = [ranked([section.values[row][i] for row in table.labels]) for i in range(len(section.metrics))]
    if over is not None and len(over.metrics) == 1:
        heads.append(SPREAD)
        columns.append([plain(spread_of_means(over.values[row][0])) for row in table.labels])
    if table.mixed_n:
        heads.append("n")
        columns.append([Cell(seeds(section, row)) for row in table.labels])
    return Grid(section.dataset, "Method", tuple(heads), _lines(_labels(table), columns))


def _matrix(table: Table, matrix: Matrix) -> Grid:
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
    name = dict(zip(table.labels, _labels(table), strict=True))[matrix.row]
    title = f"{matrix.dataset}: {name}, {heading(matrix.column)} by source"
    return Grid(title, "Held out", tuple(heads), _lines(matrix.targets, columns), note)


def _spread(table: Table, section: Section) -> Grid:
    values = [[section.values[row][i] for row in table.labels] for i in range(len(section.metrics))]
    heads = [heading(m.partition("<-")[0]) for m in section.metrics]
    columns = [[plain(v) for v in column] for column in values]
    clients = zip(heads, (max(v.n for v in column) for column in values), strict=True)
    note = (
        "Accuracies in %: mean ± sample standard deviation over clients, both averaged over seeds. Clients: "
        + ", ".join(f"{head} {n}" for head, n in clients)
        + "."
    )
    title = f"{section.dataset}: over clients"
    return Grid(title, "Method", tuple(heads), _lines(_labels(table), columns), note)


def by_shots(table: Table) -> list[Grid]:
    """Rows without their shots, by shots, where these vary: the summary of the columns, else each column."""
    order = sorted(unique(table.shots.values()), key=lambda count: (count is None, count))
    if len(order) < 2:
        return []
    having = [row for row in table.rows if row.label in table.shots]
    rows = unique(row.short for row in having)
    place = {(row.short, table.shots[row.label]): row.label for row in having}
    changed = {row.short for row in having if row in table.changed}
    names = [marked(row, row in changed) for row in rows]
    found = []
    for section in table.sections:
        for name in _summary(section.metrics):
            i = section.metrics.index(name)
            values = {key: section.values[row][i] for key, row in place.items()}
            columns = [ranked([values.get((row, count), MISSING) for row in rows]) for count in order]
            counts = unique(v.n for v in values.values() if not v.missing)
            over = "mean ± sample standard deviation over seeds, n = " + counted(counts)
            note = (
                f"{heading(name)} in %: {'one seed' if counts == (1,) else over}. Columns: images per class."
            )
            title = f"{section.dataset}: {heading(name)} by shots"
            heads = tuple(_shots_head(count) for count in order)
            found.append(Grid(title, "Method", heads, _lines(names, columns), note))
    return found


def _shots_head(count: int | None) -> str:
    return "all images" if count is None else "1 shot" if count == 1 else f"{count} shots"


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
