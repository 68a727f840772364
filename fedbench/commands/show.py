"""What commands print: tables, and lists of names with their texts, as wide as the terminal."""

import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # lists of names need not wait for it
    from rich.console import RenderableType

PIPE_WIDTH = 200
"""Columns where stdout is no terminal: rich would cut tables at 80."""

Rows = Iterable[tuple[str, str]]
"""Names and their texts."""


def show(table: "RenderableType") -> None:
    """Print what `fedbench.report.terminal_table` gives."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def show_files(files: Sequence[Path]) -> None:
    """One line: `results/mine/report: table.md, table.tex`. All files lie in one folder."""
    if files:
        click.echo(f"{files[0].parent}: {', '.join(file.name for file in files)}")


def columns() -> int:
    """How wide to write: the terminal's columns, or what COLUMNS says, else `PIPE_WIDTH`."""
    return shutil.get_terminal_size(fallback=(PIPE_WIDTH, 24)).columns


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken between words only: a name with hyphens stays whole."""
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def definitions(rows: Rows, *, indent: int = 0) -> Iterator[str]:
    """Lines of a list of names and texts; what goes on in a second line stands below the text, not below the name.

    A name of more than a third of the width has a line of its own.
    """
    rows, width = list(rows), columns()
    names = max((len(name) for name, _ in rows if len(name) <= width // 3), default=0)
    margin = " " * indent
    hanging = margin + " " * (names + 2)
    for name, text in rows:
        lines = wrapped(text, width - len(hanging))
        if len(name) > names:
            yield margin + name
        else:
            yield f"{margin}{name:{names}}  {lines.pop(0)}".rstrip()
        yield from (hanging + line for line in lines if line)


def show_section(title: str, rows: Rows) -> None:
    """A titled list below a blank line; nothing where there are no rows."""
    lines = list(definitions(rows, indent=2))
    if lines:
        click.echo("\n".join(["", title, *lines]))


def summary(cls: type) -> str:
    """First line of a class's own docstring."""
    return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0].strip()


def show_bibtex(entries: Iterable[tuple[str, str]]) -> None:
    """BibTeX entries by the name of what they belong to, each once; BibTeX reads a line with % as a comment."""
    texts = (inspect.cleandoc(entry) if entry else f"% {name}: nothing to cite" for name, entry in entries)
    click.echo("\n\n".join(dict.fromkeys(texts)))
