"""Tables on stdout."""

import sys

from rich.console import Console, RenderableType

PIPE_WIDTH = 200
"""Columns where stdout is no terminal: rich would cut tables at 80."""


def show(table: RenderableType) -> None:
    """Print what `fedbench.report.terminal_table` gives."""
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)
