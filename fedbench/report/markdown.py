"""The table as GitHub Markdown."""

import re
from collections.abc import Sequence

from tabulate import tabulate

from fedbench.report.facts import definitions, facts, unfinished, warnings
from fedbench.report.panels import Panel, panels, with_notes
from fedbench.report.stats import compare
from fedbench.report.tables import Table
from fedbench.report.text import ABSENT, comparison_title


def markdown(tables: Sequence[Table], *, versus: str | None = None) -> str:
    """All tables of a store as one document; with `versus`, a paired comparison under each.

    Raises:
        FedbenchError: there is no row `versus`.
    """
    return "\n".join(_table(table, versus) for table in tables)


def _table(table: Table, versus: str | None) -> str:
    parts = [f"# {escape(table.title)}"]
    grids = panels(table)
    parts += [_panel(panel) for panel in grids if panel.main]
    if table.blocks:
        parts.append(definitions(table) + " Best **bold**, second best <u>underlined</u>.")
    for panel, note in with_notes(grids):
        parts += [_panel(panel), escape(note)]
    if versus is not None and table.blocks:
        parts.append(_comparison(table, versus))
    parts.append(_bullets([f"{name}: {text}" for name, text in facts(table)]))
    parts += [f"**Warning**: {escape(line)}" for line in warnings(table)]
    parts += [f"Note: {escape(line)}" for line in table.notes]
    if table.open:
        parts.append("Cells without numbers:\n\n" + _bullets(unfinished(table)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _panel(panel: Panel) -> str:
    marks = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}
    cells = [[marks[c.rank].format(c.mean) + c.spread for c in line] for _, line in panel.lines]
    rows = [[escape(name), *texts] for (name, _), texts in zip(panel.lines, cells, strict=True)]
    grid = _grid(rows, [panel.corner, *map(escape, panel.heads)])
    return f"## {escape(panel.title)}\n\n{grid}"


def _comparison(table: Table, versus: str) -> str:
    rows = []
    for c in compare(table, versus):
        difference = ABSENT if c.difference is None else f"{c.difference:+.2f}"
        rows.append([escape(c.row), difference, c.verdict, str(c.n)])
    return f"{escape(comparison_title(table, versus))}:\n\n" + _grid(rows, ["Method", "Difference", "p", "n"])


def _grid(rows: list[list[str]], headers: list[str]) -> str:
    align = ("left", *("right" for _ in headers[1:]))
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align if rows else None)


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def escape(text: str) -> str:
    """Characters that Markdown would take for its own."""
    return re.sub(r"([\\|*<>`])", r"\\\1", text)
