"""Tables on stdout."""

import sys
from collections.abc import Iterable

from rich.console import Console, RenderableType

PIPE_WIDTH = 200
"""Columns where stdout is no terminal: rich would cut tables at 80."""


def show(parts: Iterable[RenderableType]) -> None:
    """Print what `fedbench.report.terminal_table` gives."""
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for part in parts:
        console.print(part)
