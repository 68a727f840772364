"""The tables on a terminal: short, and the numbers last, where the eye is when a command has ended.

What a screen has no room for (hyper-parameters, machine, hashes) stands in the other forms.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedbench.registry import FORMATS
from fedbench.report.document import Document, Grid
from fedbench.report.formats.base import Format
from fedbench.report.sections import AVERAGE

STYLES = {0: "", 1: "bold", 2: "underline"}

SHOWN = ("Data", "Quirks", "Selection", "Seeds")
"""Facts without which numbers mislead."""

FEW = 5
"""Unfinished cells that there is room for."""

WIDTH = 200
"""Columns of a file, which nobody cuts."""


@FORMATS.register("txt")
class Terminal(Format):
    """What the command shows, as plain text."""

    def render(self, documents: Sequence[Document]) -> bytes:
        text = io.StringIO()
        Console(file=text, width=WIDTH).print(terminal(documents))
        return text.getvalue().encode()


def terminal(documents: Sequence[Document]) -> RenderableType:
    """All tables of a store, for `rich.print`."""
    return Group(*(part for document in documents for part in _parts(document)))


def _parts(document: Document) -> Iterator[RenderableType]:
    yield Text(document.title, style="bold")
    for grid, note in document.others:
        yield _grid(grid)
        if note:
            yield Text(note, style="dim")
    if document.comparison:
        yield Text(document.comparison.title)  # longer than the grid is wide
        yield _grid(replace(document.comparison, title=""))
    if document.sections:
        yield Text(f"{document.definitions} Best bold, second best underlined.", style="dim")
    for name, text in document.facts:
        if name in SHOWN:
            yield _line(f"{name}: ", text)
    for line in document.warnings:
        yield _line("Warning: ", line, "yellow")
    for line in document.notes:
        yield _line("Note: ", line)
    for line in document.unfinished[:FEW]:
        yield _line("Without numbers: ", line, "yellow")
    if len(document.unfinished) > FEW:
        yield Text(f"and {len(document.unfinished) - FEW} more; `bench status` lists them", style="yellow")
    yield from map(_grid, sorted(document.sections, key=lambda grid: grid.title == AVERAGE))  # that one last


def _grid(grid: Grid) -> Table:
    title = Text(grid.title) if grid.title else None
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(grid.corner, overflow="fold", min_width=10)
    for head in grid.heads:
        table.add_column(Text(head), justify="right", overflow="fold")
    for name, cells in grid.lines:
        table.add_row(Text(name), *(Text.assemble((c.mean, STYLES[c.rank]), c.spread) for c in cells))
    return table


def _line(name: str, text: str, style: str = "dim") -> Text:
    return Text.assemble((name, style), text)
