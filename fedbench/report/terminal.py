"""The table on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from fedbench.report.facts import definitions, facts, unfinished, warnings
from fedbench.report.panels import Panel, panels, with_notes
from fedbench.report.stats import compare
from fedbench.report.tables import Table
from fedbench.report.text import ABSENT, comparison_title

STYLES = {0: "", 1: "bold", 2: "underline"}


def terminal(tables: Sequence[Table], *, versus: str | None = None) -> RenderableType:
    """All tables of a store, for `rich.print`; with `versus`, a paired comparison under each.

    Raises:
        FedbenchError: there is no row `versus`.
    """
    parts: list[RenderableType] = []
    for table in tables:
        parts.append(Text(table.title, style="bold"))
        grids = panels(table)
        parts += [_grid(panel) for panel in grids if panel.main]
        if table.blocks:
            parts.append(Text(f"{definitions(table)} Best bold, second best underlined.", style="dim"))
        for panel, note in with_notes(grids):
            parts += [_grid(panel), *([Text(note, style="dim")] if note else [])]
        if versus is not None and table.blocks:
            parts.append(_comparison(table, versus))
        parts += [_line(f"{name}: ", text) for name, text in facts(table)]
        parts += [_line("Warning: ", line, "yellow") for line in warnings(table)]
        parts += [_line("Note: ", line) for line in table.notes]
        if table.open:
            parts.append(Text("Cells without numbers:", style="yellow"))
            parts += [Padding(Text(line), (0, 0, 0, 2)) for line in unfinished(table)]
    return Group(*parts)


def _grid(panel: Panel) -> Grid:
    grid = Grid(title=Text(panel.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column(panel.corner, overflow="fold", min_width=10)
    for head in panel.heads:
        grid.add_column(Text(head), justify="right", overflow="fold")
    for name, cells in panel.lines:
        grid.add_row(Text(name), *(Text.assemble((c.mean, STYLES[c.rank]), c.spread) for c in cells))
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


def _line(name: str, text: str, style: str = "dim") -> Text:
    return Text.assemble((name, style), text)
