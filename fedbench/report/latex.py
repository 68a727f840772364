r"""The table as LaTeX: one booktabs `table` environment for each block; needs \usepackage{booktabs}."""

import re
from collections.abc import Sequence

from fedbench.report.facts import definitions, facts, unfinished, warnings
from fedbench.report.panels import Cell, Panel, panels
from fedbench.report.tables import Table

PREAMBLE = "% fedbench report. Needs booktabs (and inputenc with utf8 before TeX of 2018) in the preamble.\n"

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
    **{c: "\\" + c for c in "&%$#_{}"},
}


def latex(tables: Sequence[Table]) -> str:
    """All tables of a store: one `table` environment for each dataset, the average, and what follows them."""
    parts = [_panel(table, panel) for table in tables for panel in panels(table)]
    parts += [f"% without numbers: {line}\n" for t in tables if not t.blocks for line in unfinished(t)]
    return PREAMBLE + "\n".join(parts)


def escape(text: str) -> str:
    """LaTeX's special characters, each once; other characters that pdflatex may lack become `?`."""
    text = re.sub("|".join(map(re.escape, SPECIAL)), lambda match: SPECIAL[match[0]], text)
    return text.encode("latin-1", "replace").decode("latin-1")


def _panel(table: Table, panel: Panel) -> str:
    lines = [" & ".join([escape(name), *map(_cell, cells)]) + r" \\" for name, cells in panel.lines]
    heads = ["$n$" if head == "n" else escape(head) for head in panel.heads]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{table.split}-{table.backbone}-{panel.title}".lower())
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_caption(table, panel)}}}",
            rf"\label{{tab:{slug}}}",
            rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
            r"\toprule",
            " & ".join([escape(panel.corner), *heads]) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *_remarks(table, panel),
            r"\end{table}",
            "",
        ]
    )


def _cell(cell: Cell) -> str:
    mean, spread = escape(cell.mean), escape(cell.spread)
    return {0: mean, 1: rf"\textbf{{{mean}}}", 2: rf"\underline{{{mean}}}"}[cell.rank] + spread


def _caption(table: Table, panel: Panel) -> str:
    """What the numbers are; backbone with its caveat and the selection rule always stand here."""
    said = dict(facts(table))
    seeds = said["Seeds"] if panel.main else said["Seeds"].partition(" (")[0]  # n is in the note
    text = f"{panel.title}, {table.title}. Selection: {said['Selection']}. Seeds: {seeds}. "
    text += definitions(table) if panel.main else panel.note
    marked = panel.main or any(cell.rank for _, cells in panel.lines for cell in cells)
    return escape(text) + (r" Best \textbf{bold}, second best \underline{underlined}." if marked else "")


def _remarks(table: Table, panel: Panel) -> list[str]:
    """Warnings, small under the table; under a block of the table also the other facts and missing cells."""
    lines = [f"Warning: {line}." for line in warnings(table)]
    if panel.main:
        said = [f"{name}: {text}." for name, text in facts(table) if name not in ("Selection", "Seeds")]
        lines = [*said, *lines]
        lines += [f"Note: {line}." for line in table.notes]
        lines += [f"Without numbers: {line}." for line in unfinished(table)]
    if not lines:
        return []
    joined = "\\\\\n".join(escape(line) for line in lines)
    start = r"\par\medskip\begin{minipage}{\linewidth}\footnotesize\raggedright"
    return [start, joined, r"\end{minipage}"]
