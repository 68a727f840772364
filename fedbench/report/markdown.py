"""The table as GitHub Markdown."""

import re
from collections.abc import Sequence

from tabulate import tabulate

from fedbench.report.arithmetic import ranks
from fedbench.report.facts import definitions, facts, unfinished, warnings
from fedbench.report.stats import compare
from fedbench.report.tables import Block, Table
from fedbench.report.text import ABSENT, comparison_title, heading, number, seeds


def markdown(tables: Sequence[Table], *, versus: str | None = None) -> str:
    """All tables of a store as one document; with `versus`, a paired comparison under each.

    Raises:
        FedbenchError: there is no row `versus`.
    """
    return "\n".join(_table(table, versus) for table in tables)


def _table(table: Table, versus: str | None) -> str:
    parts = [f"# {escape(table.title)}"]
    parts += [f"## {escape(block.dataset)}\n\n{_block(table, block)}" for block in table.blocks]
    if table.blocks:
        parts.append(definitions(table) + " Best **bold**, second best <u>underlined</u>.")
    if versus is not None and table.blocks:
        parts.append(_comparison(table, versus))
    parts.append(_bullets([f"{name}: {text}" for name, text in facts(table)]))
    parts += [f"**Warning**: {escape(line)}" for line in warnings(table)]
    parts += [f"Note: {escape(line)}" for line in table.notes]
    if table.open:
        parts.append("Cells without numbers:\n\n" + _bullets(unfinished(table)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(table: Table, block: Block) -> str:
    columns = []
    for i in range(len(block.metrics)):
        values = [block.values[row][i] for row in table.rows]
        cells = []
        for value, rank in zip(values, ranks(values), strict=True):
            mean, spread = number(value)
            cells.append({0: mean, 1: f"**{mean}**", 2: f"<u>{mean}</u>"}[rank] + spread)
        columns.append(cells)
    heads = [escape(heading(m)) for m in block.metrics]
    if table.mixed_n:
        heads.append("n")
        columns.append([str(seeds(block, row)) for row in table.rows])
    rows = [[escape(row), *(column[i] for column in columns)] for i, row in enumerate(table.rows)]
    return _grid(rows, ["Method", *heads])


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
