"""Accuracy per round: one figure a dataset, one panel a column, one line a row."""

import statistics
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fedbench.report.figures import (
    FOOT_LINE,
    MANY,
    SMALL,
    TEXT,
    Look,
    figure,
    footnote,
    legend,
    legend_width,
    lines_of,
    not_shown,
    tidy,
    title,
)
from fedbench.report.load import Done
from fedbench.report.tables import Table
from fedbench.report.text import heading

PANEL, HEIGHT, TALL, TOP = 2.7, 2.5, 3.2, 0.52
LEGEND_ROW = 0.19
LEAST = 2.0
"""Percentage points that a panel shows at least, so that noise does not look like a result."""

DASHED: tuple[float, tuple[float, float]] = (0, (5, 2))


def curves(table: Table, dataset: str, look: Mapping[str, Look]) -> Figure:
    """The mean over seeds at every round that all seeds of a row evaluated, in a band of ± sample std.

    Methods that train nothing are dashed horizontal lines; a single seed has no band.
    """
    cells = [c for c in table.cells if c.config.dataset == dataset]
    columns = unique(column for c in cells for column in c.record.protocol.columns)
    rows = {row: [c for c in cells if table.labels[c.name] == row] for row in table.rows}
    rows = {row: found for row, found in rows.items() if found}
    aside = legend_width(rows)
    width = max(0.75 + PANEL * len(columns) + aside, 5.2)
    foot = lines_of(width, table, _seeds(rows) + not_shown(table, list(rows)))
    bottom = 0.54 + FOOT_LINE * len(foot)
    height = max(HEIGHT if len(rows) <= MANY else TALL, LEGEND_ROW * len(rows)) + TOP + bottom
    fig = figure(width, height)
    left, right = 0.62 / width, 1 - (aside + 0.1) / width
    grid = fig.add_gridspec(
        1, len(columns), left=left, right=right, bottom=bottom / height, top=1 - TOP / height, wspace=0.2
    )
    for i, column in enumerate(columns):
        axes = fig.add_subplot(grid[0, i])
        tidy(axes)
        axes.set_title(heading(column), fontsize=TEXT)
        axes.set_xlabel("round", fontsize=SMALL)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        for row, found in rows.items():
            _draw(axes, found, column, look[row], row, band=0.14 if len(rows) <= MANY else 0.07)
        axes.margins(x=0.02)
        low, high = axes.get_ylim()
        if high - low < LEAST:
            axes.set_ylim((low + high - LEAST) / 2, (low + high + LEAST) / 2)
    fig.axes[0].set_ylabel("accuracy (%)", fontsize=SMALL)
    title(fig, dataset)
    legend(fig, [_handle(row, found, look[row]) for row, found in rows.items()], left=width - aside, top=0.45)
    footnote(fig, foot)
    return fig


def series(cells: list[Done], column: str) -> dict[int, list[float]]:
    """Round to the seeds' values in percent, for the rounds that every cell evaluated."""
    found = [{r.number: r.means[column] for r in c.rounds if column in r.means} for c in cells]
    common = set.intersection(*(set(f) for f in found))
    return {n: [f[n] for f in found] for n in sorted(common)}


def _draw(axes: Axes, cells: list[Done], column: str, look: Look, row: str, *, band: float) -> None:
    points = series(cells, column)
    if not points:
        return
    rounds = np.array(list(points))
    means = np.array([statistics.fmean(v) for v in points.values()])
    if all(c.untrained_method for c in cells):
        axes.axhline(means[-1], color=look.colour, linestyle=DASHED, linewidth=1.4, label=row, zorder=1.5)
        return
    if len(cells) > 1:
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


def _handle(row: str, cells: list[Done], look: Look) -> Line2D:
    """The row's line in the legend."""
    handle = Line2D([], [], color=look.colour, linewidth=1.4, markersize=4, label=row)
    if all(c.untrained_method for c in cells):
        handle.set_linestyle(DASHED)
    else:
        handle.set_linestyle(look.line)
        handle.set_marker(look.marker)
    return handle


def _seeds(rows: Mapping[str, list[Done]]) -> str:
    counts = sorted({len(cells) for cells in rows.values()})
    if counts == [1]:
        return "One seed."
    return f"Mean ± sample std over seeds (n = {' or '.join(map(str, counts))})."
