r"""The table as LaTeX: one booktabs `table` environment for each block; needs \usepackage{booktabs}."""

import re
from collections.abc import Sequence

from fedbench.report.arithmetic import Value, ranks
from fedbench.report.facts import definitions, facts, unfinished, warnings
from fedbench.report.tables import Block, Table
from fedbench.report.text import heading, number, seeds

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
    """All tables of a store: one `table` environment for each dataset and for the average."""
    parts = [_block(table, block) for table in tables for block in table.blocks]
    parts += [f"% without numbers: {line}\n" for t in tables if not t.blocks for line in unfinished(t)]
    return PREAMBLE + "\n".join(parts)


def escape(text: str) -> str:
    """LaTeX's special characters, each once; other characters that pdflatex may lack become `?`."""
    text = re.sub("|".join(map(re.escape, SPECIAL)), lambda match: SPECIAL[match[0]], text)
    return text.encode("latin-1", "replace").decode("latin-1")


def _block(table: Table, block: Block) -> str:
    columns = []
    for i in range(len(block.metrics)):
        values = [block.values[row][i] for row in table.rows]
        columns.append([_cell(v, rank) for v, rank in zip(values, ranks(values), strict=True)])
    heads = [escape(heading(m)) for m in block.metrics]
    if table.mixed_n:
        heads.append("$n$")
        columns.append([str(seeds(block, row)) for row in table.rows])
    lines = [" & ".join([escape(row), *(c[i] for c in columns)]) + r" \\" for i, row in enumerate(table.rows)]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{table.split}-{table.backbone}-{block.dataset}".lower())
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_caption(table, block)}}}",
            rf"\label{{tab:{slug}}}",
            rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
            r"\toprule",
            " & ".join(["Method", *heads]) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *_remarks(table),
            r"\end{table}",
            "",
        ]
    )


def _cell(value: Value, rank: int) -> str:
    mean, spread = map(escape, number(value))
    return {0: mean, 1: rf"\textbf{{{mean}}}", 2: rf"\underline{{{mean}}}"}[rank] + spread


def _caption(table: Table, block: Block) -> str:
    """What the numbers are; backbone with its caveat and the selection rule always stand here."""
    said = dict(facts(table))
    text = f"{block.dataset}, {table.title}. Selection: {said['Selection']}. Seeds: {said['Seeds']}. "
    return escape(text + definitions(table)) + r" Best \textbf{bold}, second best \underline{underlined}."


def _remarks(table: Table) -> list[str]:
    """The other facts, warnings and missing cells, small under the table."""
    lines = [f"{name}: {text}." for name, text in facts(table) if name not in ("Selection", "Seeds")]
    lines += [f"Warning: {line}." for line in warnings(table)]
    lines += [f"Note: {line}." for line in table.notes]
    lines += [f"Without numbers: {line}." for line in unfinished(table)]
    joined = "\\\\\n".join(escape(line) for line in lines)
    start = r"\par\medskip\begin{minipage}{\linewidth}\footnotesize\raggedright"
    return [start, joined, r"\end{minipage}"]
