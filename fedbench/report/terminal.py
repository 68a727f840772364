"""The table on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from fedbench.report.arithmetic import Value, ranks
from fedbench.report.facts import definitions, facts, unfinished, warnings
from fedbench.report.stats import compare
from fedbench.report.tables import Block, Table
from fedbench.report.text import ABSENT, comparison_title, heading, number, seeds

STYLES = {0: "", 1: "bold", 2: "underline"}


def terminal(tables: Sequence[Table], *, versus: str | None = None) -> RenderableType:
    """All tables of a store, for `rich.print`; with `versus`, a paired comparison under each.

    Raises:
        FedbenchError: there is no row `versus`.
    """
    parts: list[RenderableType] = []
    for table in tables:
        parts.append(Text(table.title, style="bold"))
        parts += [_block(table, block) for block in table.blocks]
        if table.blocks:
            parts.append(Text(f"{definitions(table)} Best bold, second best underlined.", style="dim"))
        if versus is not None and table.blocks:
            parts.append(_comparison(table, versus))
        parts += [_line(f"{name}: ", text) for name, text in facts(table)]
        parts += [_line("Warning: ", line, "yellow") for line in warnings(table)]
        parts += [_line("Note: ", line) for line in table.notes]
        if table.open:
            parts.append(Text("Cells without numbers:", style="yellow"))
            parts += [Padding(Text(line), (0, 0, 0, 2)) for line in unfinished(table)]
    return Group(*parts)


def _block(table: Table, block: Block) -> Grid:
    grid = Grid(title=Text(block.dataset), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("Method", overflow="fold", min_width=10)
    for name in block.metrics:
        grid.add_column(Text(heading(name)), justify="right", overflow="fold")
    columns = []
    for i in range(len(block.metrics)):
        values = [block.values[row][i] for row in table.rows]
        columns.append([_cell(v, STYLES[rank]) for v, rank in zip(values, ranks(values), strict=True)])
    if table.mixed_n:
        grid.add_column("n", justify="right")
        columns.append([Text(str(seeds(block, row))) for row in table.rows])
    for i, row in enumerate(table.rows):
        grid.add_row(Text(row), *(column[i] for column in columns))
    return grid


def _comparison(table: Table, versus: str) -> RenderableType:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("Method", overflow="fold")
    for name in ("Difference", "p", "n"):
        grid.add_column(name, justify="right")
    for c in compare(table, versus):
        shown = ABSENT if c.difference is None else f"{c.difference:+.2f}"
        grid.add_row(Text(c.row), shown, c.verdict, str(c.n))
    return Group(Text(comparison_title(table, versus)), grid)


def _cell(value: Value, style: str) -> Text:
    mean, spread = number(value)
    return Text.assemble((mean, style), spread)


def _line(name: str, text: str, style: str = "dim") -> Text:
    return Text.assemble((name, style), text)
