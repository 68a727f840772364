"""Reports on stdout: the tables, and where their files are."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console, RenderableType

PIPE_WIDTH = 200
"""Columns where stdout is no terminal: rich would cut tables at 80."""


def show(table: RenderableType) -> None:
    """Print what `fedbench.report.terminal_table` gives."""
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def show_files(files: Sequence[Path]) -> None:
    """One line: `results/mine/report: table.md, table.tex`. All files lie in one folder."""
    if files:
        click.echo(f"{files[0].parent}: {', '.join(file.name for file in files)}")
