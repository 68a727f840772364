"""Reports of a result store: tables (Markdown, LaTeX, CSV, terminal) and figures. Reads only the store."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType

from fedbench.errors import FedbenchError, unknown
from fedbench.report.latex import latex
from fedbench.report.long import csv
from fedbench.report.markdown import markdown
from fedbench.report.select import RULES
from fedbench.report.tables import Table, build_tables
from fedbench.report.terminal import terminal
from fedbench.store.read import read

__all__ = ["FORMATS", "PICTURES", "RULES", "tables_of", "terminal_table", "write_plots", "write_report"]

FORMATS = ("md", "tex", "csv")
PICTURES = ("png", "pdf", "svg")


def tables_of(store: Path, *, select: str = "last") -> tuple[Table, ...]:
    """The tables of the store in `store`, as objects.

    Raises:
        FedbenchError: no store, another schema, a damaged file, no finished cell, or an impossible selection.
    """
    return build_tables(read(store), select)


def write_report(
    store: Path,
    *,
    formats: Sequence[str] = FORMATS,
    select: str = "last",
    versus: str | None = None,
    out: Path | None = None,
) -> list[Path]:
    """Write `table.md`, `table.tex` and `table.csv` (with another rule than `last`: `table-RULE.md`, ...).

    Args:
        out: the folder; None: `report` in the store.
        versus: a row with which the Markdown compares every other in pairs.

    Raises:
        FedbenchError: as `tables_of`; an unknown format; no such row; the folder cannot be written.
    """
    _check(formats, FORMATS, "format of a table")
    tables = tables_of(store, select=select)
    texts = {
        "md": lambda: markdown(tables, versus=versus),
        "tex": lambda: latex(tables),
        "csv": lambda: csv(tables),
    }
    made = {f"table{_suffix(select)}.{form}": texts[form]().encode() for form in dict.fromkeys(formats)}
    return [_write(out or store / "report", name, content) for name, content in made.items()]


def terminal_table(store: Path, select: str = "last", *, versus: str | None = None) -> RenderableType:
    """The tables for `rich.print`.

    Raises:
        FedbenchError: as `tables_of`; no row `versus`.
    """
    return terminal(tables_of(store, select=select), versus=versus)


def write_plots(
    store: Path, *, select: str = "last", formats: Sequence[str] = ("png", "pdf"), out: Path | None = None
) -> list[Path]:
    """Write `rounds-DATASET` and `scatter-DATASET` (for the average too) in each of `formats`.

    The selection rule matters to the scatter only; a rule other than `last` is part of its name.

    Raises:
        FedbenchError: as `tables_of`; an unknown format; the folder cannot be written.
    """
    _check(formats, PICTURES, "format of a figure")
    tables = tables_of(store, select=select)
    from fedbench.report.figures import rendered  # matplotlib takes a second, which tables need not wait for
    from fedbench.report.plots import figures

    folder = out or store / "report"
    written = []
    for name, fig in figures(tables):
        written += [_write(folder, f"{name}.{form}", rendered(fig, form)) for form in dict.fromkeys(formats)]
    return written


def _suffix(rule: str) -> str:
    return "" if rule == "last" else f"-{rule}"


def _check(formats: Sequence[str], known: Sequence[str], kind: str) -> None:
    for form in formats:
        if form not in known:
            raise unknown(kind, form, known)


def _write(folder: Path, name: str, content: bytes) -> Path:
    """Write beside the place and rename: nobody ever sees half a file."""
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)  # mkstemp makes files private
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise FedbenchError(
            f"{path} cannot be written ({error.strerror}): choose a folder with --out"
        ) from error
    return path
