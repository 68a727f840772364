"""Reports of a result store: tables in several forms, and figures. Reads the store and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType

from fedbench.errors import FedbenchError, unknown
from fedbench.registry import FORMATS
from fedbench.report.compose import documents
from fedbench.report.document import Document
from fedbench.report.select import RULES
from fedbench.report.tables import Table, build_tables
from fedbench.store.files import replace
from fedbench.store.read import read

__all__ = [
    "PICTURES",
    "RULES",
    "TEXTS",
    "documents_of",
    "tables_of",
    "terminal_table",
    "write_plots",
    "write_report",
]

TEXTS = ("md", "tex", "csv")
"""Forms that a report is written in unless the user says otherwise; all of them: `fedbench.registry.FORMATS`."""

PICTURES = ("png", "pdf", "svg")


def tables_of(store: Path, *, select: str = "last") -> tuple[Table, ...]:
    """The tables of the store in `store`, as objects.

    Raises:
        FedbenchError: no store, another schema, a damaged file, no finished cell, or an impossible selection.
    """
    return build_tables(read(store), select)


def documents_of(store: Path, *, select: str = "last", versus: str | None = None) -> tuple[Document, ...]:
    """The tables as a renderer gets them; with `versus`, a row, a paired comparison with it in each.

    Raises:
        FedbenchError: as `tables_of`; no such row.
    """
    return documents(tables_of(store, select=select), versus=versus)


def write_report(
    store: Path,
    *,
    formats: Sequence[str] = TEXTS,
    select: str = "last",
    versus: str | None = None,
    out: Path | None = None,
) -> list[Path]:
    """Write `table.md`, `table.tex` and `table.csv` (with another rule than `last`: `table-RULE.md`, ...).

    Args:
        formats: names in `FORMATS`.
        out: the folder; None: `report` in the store.

    Raises:
        FedbenchError: as `documents_of`; an unknown format; the folder cannot be written.
    """
    renderers = {name: FORMATS[name]() for name in formats}
    found = documents_of(store, select=select, versus=versus)
    suffix = "" if select == "last" else f"-{select}"
    files = {f"table{suffix}.{name}": renderer.render(found) for name, renderer in renderers.items()}
    return [_write(out or store / "report", name, content) for name, content in files.items()]


def terminal_table(store: Path, select: str = "last", *, versus: str | None = None) -> RenderableType:
    """The tables for `rich.print`.

    Raises:
        FedbenchError: as `documents_of`.
    """
    from fedbench.report.formats.terminal import terminal

    return terminal(documents_of(store, select=select, versus=versus))


def write_plots(
    store: Path, *, select: str = "last", formats: Sequence[str] = ("png", "pdf"), out: Path | None = None
) -> list[Path]:
    """Write `rounds-DATASET` and `scatter-DATASET` (for the average too) in each of `formats`.

    The selection rule matters to the scatter only; a rule other than `last` is part of its name.

    Raises:
        FedbenchError: as `tables_of`; an unknown format; the folder cannot be written.
    """
    for form in formats:
        if form not in PICTURES:
            raise unknown("format of a figure", form, PICTURES)
    tables = tables_of(store, select=select)
    from fedbench.report.figures import rendered  # matplotlib takes a second, which tables need not wait for
    from fedbench.report.plots import figures

    folder = out or store / "report"
    written = []
    for name, fig in figures(tables):
        written += [_write(folder, f"{name}.{form}", rendered(fig, form)) for form in dict.fromkeys(formats)]
    return written


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace(path, content, durable=False)
    except OSError as error:
        raise FedbenchError(
            f"{path} cannot be written ({error.strerror}): choose a folder with --out"
        ) from error
    return path
