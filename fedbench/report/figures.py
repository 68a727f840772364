"""What all figures share: a colour, marker and dash for each row, sizes, the footnote, files.

Figures are `matplotlib.figure.Figure` objects with an Agg canvas; pyplot and its global state are not used.
"""

import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from fedbench.report.facts import quirks
from fedbench.report.tables import Table
from fedbench.report.warnings import changed

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00",
    "#332288", "#882255", "#117733", "#999933", "#AA4499", "#44AA99",
)  # fmt: skip
"""Okabe and Ito's six, then six of Tol's "muted": for colour-blind readers, with the markers' help."""

MARKERS = "osD^vPX<>hpd"
GREY = "#555555"
TEXT, SMALL = 9.0, 7.5
DPI = 200
FOOT_LINE = 0.14
"""Inches."""

MANY = 6
"""With more rows, bands are fainter and names may go into a legend."""


Line = Literal["-", "-.", ":"]
LINES: tuple[Line, ...] = get_args(Line)


@dataclass(frozen=True)
class Style:
    """How a row is drawn, in every figure of the store."""

    colour: str
    marker: str
    line: Line


def looks(tables: Sequence[Table]) -> dict[str, Style]:
    """A look for each row of the store; from the thirteenth row on, colours come again with another dash."""
    rows = list(dict.fromkeys(row for table in tables for row in table.labels))
    n = len(PALETTE)
    # Markers go round out of step with the colours, so that no pair of both repeats before long.
    return {
        row: Style(PALETTE[i % n], MARKERS[(i + i // n) % n], LINES[i // n % 3]) for i, row in enumerate(rows)
    }


class Picture(Figure):
    """A figure that a notebook shows, without `%matplotlib inline`, as wide on the screen as in print."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return rendered(self, "png"), {"width": round(96 * self.get_figwidth())}


def figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches."""
    fig = Picture(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def ink(colour: str) -> str:
    """The colour, darkened so that small text in it can be read on white."""
    red, green, blue = to_rgb(colour)
    return to_hex((0.62 * red, 0.62 * green, 0.62 * blue))


def tidy(axes: Axes) -> None:
    """Light axes: two spines, a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(True, color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, color=GREY, length=3)


def lines_of(width: float, table: Table, text: str) -> list[str]:
    """The footnote's lines in a figure of `width` inches: backbone with its caveat, then `text`, then quirks."""
    said = f"{text.rstrip()} Quirks {found}." if (found := quirks(table)) else text
    if others := changed(table):
        said += f" Run by code that has changed since: {', '.join(others)}."
    caveat = f" ({table.caveat})" if table.caveat else ""
    characters = int((width - 0.16) * 72 / (0.52 * SMALL))  # a character takes about half of the font size
    return textwrap.wrap(f"{table.split}, {table.backbone}{caveat}. {said}", characters)


def footnote(fig: Figure, lines: Sequence[str]) -> None:
    """Small lines at the lower left."""
    x, y = 0.08 / fig.get_figwidth(), 0.07 / fig.get_figheight()
    fig.text(x, y, "\n".join(lines), fontsize=SMALL, color=GREY, ha="left", va="bottom", linespacing=1.3)


def title(fig: Figure, text: str) -> None:
    """Bold, at the upper left."""
    x, y = 0.08 / fig.get_figwidth(), 1 - 0.1 / fig.get_figheight()
    fig.text(x, y, text, fontsize=TEXT + 1.5, va="top", weight="bold")


def legend(fig: Figure, handles: Sequence[Artist], *, left: float, top: float) -> None:
    """To the right of the panels, where no data are: `left` and `top` in inches from the figure's corner."""
    fig.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left / fig.get_figwidth(), 1 - top / fig.get_figheight()),
        fontsize=SMALL,
        frameon=False,
        handlelength=2.4,
        labelspacing=0.45,
        borderaxespad=0,
    )


def legend_width(names: Iterable[str]) -> float:
    """Inches that a legend with these names takes."""
    return 0.6 + 0.065 * max(map(len, names))


def not_shown(table: Table, shown: Sequence[str]) -> str:
    """Names the rows of the table that a figure lacks, for its footnote."""
    absent = [row for row in table.labels if row not in shown]
    return f" Without numbers: {', '.join(absent)}." if absent else ""


def rendered(fig: Figure, form: str) -> bytes:
    """The figure as a file of the form "png", "pdf" or "svg", without the time of day in it."""
    buffer = io.BytesIO()
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(form)
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "fedbench"}):  # journals refuse Type 3
        fig.savefig(buffer, format=form, metadata=metadata)
    return buffer.getvalue()


def slug(text: str) -> str:
    """A part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)
