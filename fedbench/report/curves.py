"""Accuracy per round: one figure a dataset, one panel a column, one line a row."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fedbench.report.entries import Entry
from fedbench.report.figures import (
    FOOT_LINE,
    MANY,
    SMALL,
    TEXT,
    Style,
    figure,
    footnote,
    legend,
    legend_width,
    lines_of,
    not_shown,
    tidy,
    title,
)
from fedbench.report.tables import Table
from fedbench.report.text import heading

PANEL, HEIGHT, TALL, TOP = 2.7, 2.5, 3.2, 0.52
LEGEND_ROW, GAP = 0.19, 0.75
ACROSS = 3
"""Panels side by side, before they go below each other; four still stand in one row."""

LEAST = 2.0
"""Percentage points that a panel shows at least, so that noise does not look like a result."""

DASHED: tuple[float, tuple[float, float]] = (0, (5, 2))


@dataclass(frozen=True)
class Panel:
    """One set of axes: a column, of the cells that hold out `target` where they hold out domains."""

    title: str
    column: str
    target: str | None = None


def curves(table: Table, dataset: str, look: Mapping[str, Style]) -> Figure:
    """The mean over seeds at every round that all seeds of a row evaluated, in a band of ± sample std.

    Methods that train nothing are dashed horizontal lines; a single seed has no band.
    """
    entries = [e for e in table.entries if e.dataset == dataset]
    panels = _panels(table, dataset)
    rows = {row.label: [e for e in entries if e.row == row] for row in table.rows}
    rows = {row: found for row, found in rows.items() if found}
    aside = legend_width(rows)
    across = min(len(panels), ACROSS) if len(panels) != ACROSS + 1 else len(panels)
    down = math.ceil(len(panels) / across)
    width = max(0.75 + PANEL * across + aside, 5.2)
    said = _seeds(panels, rows) + not_shown(table, list(rows)) + _alone(table, dataset)
    foot = lines_of(width, table, said)
    bottom = 0.54 + FOOT_LINE * len(foot)
    tall = HEIGHT if len(rows) <= MANY or down > 1 else TALL
    height = max(tall * down + GAP * (down - 1), LEGEND_ROW * len(rows)) + TOP + bottom
    fig = figure(width, height)
    left, right = 0.62 / width, 1 - (aside + 0.1) / width
    grid = fig.add_gridspec(
        down,
        across,
        left=left,
        right=right,
        bottom=bottom / height,
        top=1 - TOP / height,
        wspace=0.2,
        hspace=GAP / tall,
    )
    for i, panel in enumerate(panels):
        axes = fig.add_subplot(grid[divmod(i, across)])
        tidy(axes)
        axes.set_title(panel.title, fontsize=TEXT)
        axes.set_xlabel("round", fontsize=SMALL)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        for row, own in rows.items():
            found = [e for e in own if e.target == panel.target]
            _draw(axes, found, panel.column, look[row], row, band=0.14 if len(rows) <= MANY else 0.07)
        axes.margins(x=0.02)
        low, high = axes.get_ylim()
        if high - low < LEAST:
            axes.set_ylim((low + high - LEAST) / 2, (low + high + LEAST) / 2)
        if i % across == 0:
            axes.set_ylabel("accuracy (%)", fontsize=SMALL)
    title(fig, dataset)
    legend(fig, [_handle(row, found, look[row]) for row, found in rows.items()], left=width - aside, top=0.45)
    footnote(fig, foot)
    return fig


def series(entries: list[Entry], column: str) -> dict[int, list[float]]:
    """Round to the seeds' values in percent, for the rounds that every cell evaluated."""
    found = [{r.number: r.means[column] for r in e.cell.rounds if column in r.means} for e in entries]
    common = set.intersection(*(set(f) for f in found)) if found else set()
    return {n: [f[n] for f in found] for n in sorted(common)}


def _draw(axes: Axes, entries: list[Entry], column: str, look: Style, row: str, *, band: float) -> None:
    points = series(entries, column)
    if not points:
        return
    rounds = np.array(list(points))
    means = np.array([statistics.fmean(v) for v in points.values()])
    if all(e.cell.untrained_method for e in entries):
        axes.axhline(means[-1], color=look.colour, linestyle=DASHED, linewidth=1.4, label=row, zorder=1.5)
        return
    if len(entries) > 1:
        std = np.array([statistics.stdev(v) for v in points.values()])
        axes.fill_between(rounds, means - std, means + std, color=look.colour, alpha=band, linewidth=0)
    axes.plot(
        rounds,
        means,
        color=look.colour,
        linestyle=look.line,
        linewidth=1.2,
        marker=look.marker,
        markersize=3.6,
        markevery=max(1, len(rounds) // 6),
        markeredgecolor="white",
        markeredgewidth=0.4,
        label=row,
    )


def _handle(row: str, entries: list[Entry], look: Style) -> Line2D:
    """The row's line in the legend."""
    handle = Line2D([], [], color=look.colour, linewidth=1.4, markersize=4, label=row)
    if all(e.cell.untrained_method for e in entries):
        handle.set_linestyle(DASHED)
    else:
        handle.set_linestyle(look.line)
        handle.set_marker(look.marker)
    return handle


def _panels(table: Table, dataset: str) -> list[Panel]:
    found = table.layouts[dataset]
    if found.targets:
        several = len(found.columns) > 1
        return [
            Panel((f"{heading(column)}, " if several else "") + f"held out: {target}", column, target)
            for column in found.columns
            for target in found.targets
        ]
    return [Panel(heading(column), column) for column in found.columns]


def _alone(table: Table, dataset: str) -> str:
    """Why there is no scatter beside the curves."""
    columns = table.layouts[dataset].columns
    return f" No scatter: the only column is {heading(columns[0])}." if len(columns) == 1 else ""


def _seeds(panels: list[Panel], rows: Mapping[str, list[Entry]]) -> str:
    counts = sorted({sum(e.target == p.target for e in row) for row in rows.values() for p in panels} - {0})
    if counts == [1]:
        return "One seed."
    return f"Mean ± sample std over seeds (n = {' or '.join(map(str, counts))})."
