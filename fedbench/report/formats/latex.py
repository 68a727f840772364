r"""The tables as LaTeX: one booktabs `table` environment for each grid; needs \usepackage{booktabs}."""

import re
from collections.abc import Iterator, Sequence

from fedbench.registry import FORMATS
from fedbench.report.document import Cell, Document, Grid
from fedbench.report.formats.base import Format

PREAMBLE = "% fedbench report. Needs booktabs (and inputenc with utf8 before TeX of 2018) in the preamble.\n"

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "†": r"$^{\dagger}$",
    "–": "--",
    **{c: "\\" + c for c in "&%$#_{}"},
}

RANKS = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}


@FORMATS.register("tex")
class Latex(Format):
    """LaTeX tables, each with what must be said of it."""

    def render(self, documents: Sequence[Document]) -> bytes:
        return (PREAMBLE + "\n".join(table for d in documents for table in _tables(d))).encode()


def escape(text: str) -> str:
    """LaTeX's special characters, each once; other characters that pdflatex may lack become `?`."""
    text = re.sub("|".join(map(re.escape, SPECIAL)), lambda match: SPECIAL[match[0]], text)
    return text.encode("latin-1", "replace").decode("latin-1")


def _tables(document: Document) -> Iterator[str]:
    for grid in document.grids:
        yield _table(document, grid, grid.title, caption=_caption(document, grid))
    if document.comparison:
        caption = escape(f"{document.comparison.title}: {document.title}.")
        yield _table(document, document.comparison, "comparison", caption=caption)
    if not document.grids:
        yield from (f"% without numbers: {line}\n" for line in document.unfinished)


def _table(document: Document, grid: Grid, name: str, *, caption: str) -> str:
    lines = [" & ".join([escape(row), *map(_cell, cells)]) + r" \\" for row, cells in grid.lines]
    heads = ["$n$" if head == "n" else escape(head) for head in grid.heads]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{document.split}-{document.backbone}-{name}".lower())
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{slug}}}",
            rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
            r"\toprule",
            " & ".join([escape(grid.corner), *heads]) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *_remarks(document, full=grid in document.sections),
            r"\end{table}",
            "",
        ]
    )


def _cell(cell: Cell) -> str:
    return RANKS[cell.rank].format(escape(cell.mean)) + escape(cell.spread)


def _caption(document: Document, grid: Grid) -> str:
    """What the numbers are; backbone with its caveat and the selection rule always stand here."""
    said = dict(document.facts)
    seeds = said["Seeds"] if grid.main else said["Seeds"].partition(" (")[0]  # n is in the note
    text = f"{grid.title}, {document.title}. Selection: {said['Selection']}. Seeds: {seeds}. "
    text += document.definitions if grid.main else grid.note
    marked = grid.main or any(cell.rank for _, cells in grid.lines for cell in cells)
    return escape(text) + (r" Best \textbf{bold}, second best \underline{underlined}." if marked else "")


def _remarks(document: Document, *, full: bool) -> list[str]:
    """Warnings, small under the table; `full`, under a section, also the other facts and missing cells."""
    lines = [f"Warning: {line}." for line in document.warnings]
    if full:
        said = [f"{name}: {text}." for name, text in document.facts if name not in ("Selection", "Seeds")]
        lines = [*said, *lines]
        lines += [f"Note: {line}." for line in document.notes]
        lines += [f"Without numbers: {line}." for line in document.unfinished]
    if not lines:
        return []
    joined = "\\\\\n".join(escape(line) for line in lines)
    start = r"\par\medskip\begin{minipage}{\linewidth}\footnotesize\raggedright"
    return [start, joined, r"\end{minipage}"]
