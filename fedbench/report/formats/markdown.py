"""The tables as GitHub Markdown."""

import re
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from fedbench.registry import FORMATS
from fedbench.report.document import Cell, Document, Grid
from fedbench.report.formats.base import Format

MARKS = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}


@FORMATS.register("md")
class Markdown(Format):
    """GitHub Markdown."""

    def render(self, documents: Sequence[Document]) -> bytes:
        return "\n".join("\n\n".join(_parts(document)) + "\n" for document in documents).encode()


def _parts(document: Document) -> Iterator[str]:
    yield f"# {escape(document.title)}"
    for grid in document.sections:
        yield _titled(grid)
    if document.sections:
        yield document.definitions + " Best **bold**, second best <u>underlined</u>."
    for grid, note in document.others:
        yield _titled(grid)
        if note:
            yield escape(note)
    if document.comparison:
        yield f"{escape(document.comparison.title)}:"
        yield _grid(document.comparison)
    yield _bullets(f"{name}: {text}" for name, text in document.facts)
    for line in document.warnings:
        yield f"**Warning**: {escape(line)}"
    for line in document.notes:
        yield f"Note: {escape(line)}"
    if document.unfinished:
        yield "Cells without numbers:"
        yield _bullets(document.unfinished)


def _titled(grid: Grid) -> str:
    return f"## {escape(grid.title)}\n\n{_grid(grid)}"


def _grid(grid: Grid) -> str:
    rows = [[escape(name), *map(_cell, cells)] for name, cells in grid.lines]
    align = ("left", *("right" for _ in grid.heads)) if rows else None
    heads = [grid.corner, *map(escape, grid.heads)]
    return tabulate(rows, heads, tablefmt="github", disable_numparse=True, colalign=align)


def _cell(cell: Cell) -> str:
    return MARKS[cell.rank].format(cell.mean) + cell.spread


def _bullets(lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def escape(text: str) -> str:
    """Characters that Markdown would take for its own."""
    return re.sub(r"([\\|*<>`])", r"\\\1", text)
