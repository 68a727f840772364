"""What personalisation costs: the first column (Local) against the last (Novel), one point a row."""

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedbench.report.arithmetic import Value
from fedbench.report.figures import (
    FOOT_LINE,
    MANY,
    SMALL,
    TEXT,
    Style,
    figure,
    footnote,
    ink,
    legend,
    legend_width,
    lines_of,
    not_shown,
    tidy,
    title,
)
from fedbench.report.labels import Obstacle, find_places, write
from fedbench.report.sections import Section
from fedbench.report.select import describe
from fedbench.report.tables import Table
from fedbench.report.text import heading

WIDTH, SIDE, LEFT, TOP = 5.2, 3.6, 0.6, 0.38
"""Inches: the figure's width (without a legend), the axes' height, the margins."""

MARKER = 6.5
BAR = 0.6
"""A name over a thin bar can still be read."""

Point = tuple[str, Value, Value]


def scatter(table: Table, section: Section, look: Mapping[str, Style]) -> Figure | None:
    """Means over seeds with ± sample std as error bars. None if the protocol has fewer than two columns."""
    columns = [m for m in table.columns if m in section.metrics]
    if len(columns) < 2:
        return None
    first, last = section.metrics.index(columns[0]), section.metrics.index(columns[-1])
    points = [(row, section.values[row][first], section.values[row][last]) for row in table.labels]
    points = [(row, x, y) for row, x, y in points if not (x.missing or y.missing)]
    if not points:
        return None
    rule = describe(table.rule, columns[0])
    absent = not_shown(table, [row for row, *_ in points])
    foot = lines_of(WIDTH, table, f"{rule[:1].upper()}{rule[1:]}. {_seeds(points)}{absent}")
    bottom = 0.58 + FOOT_LINE * len(foot)
    height = SIDE + TOP + bottom
    fig = figure(WIDTH, height)
    axes = fig.add_axes((LEFT / WIDTH, bottom / height, (WIDTH - LEFT - 0.1) / WIDTH, SIDE / height))
    tidy(axes)
    axes.margins(0.14)
    axes.set_xlabel(f"{heading(columns[0])} accuracy (%)", fontsize=TEXT)
    axes.set_ylabel(f"{heading(columns[-1])} accuracy (%)", fontsize=TEXT)
    for row, x, y in points:
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=None if math.isnan(x.std) else x.std,
            yerr=None if math.isnan(y.std) else y.std,
            color=look[row].colour,
            marker=look[row].marker,
            markersize=MARKER,
            markeredgecolor="white",
            markeredgewidth=0.6,
            elinewidth=0.9,
            linestyle="none",
        )
    _name(fig, axes, points, look)
    title(fig, f"{section.dataset}: {heading(columns[0])} against {heading(columns[-1])}")
    footnote(fig, foot)
    return fig


def _name(fig: Figure, axes: Axes, points: list[Point], look: Mapping[str, Style]) -> None:
    """Names beside the points; where many points crowd, a legend beside the axes."""
    fig.draw_without_rendering()  # fixes the limits, which the names' places depend on
    rows = [row for row, *_ in points]
    where = [(x.mean, y.mean) for _, x, y in points]
    size = SMALL + 0.5
    places = find_places(axes, rows, where, _obstacles(axes, points), size=size)
    if len(rows) <= MANY or not any(place.led for place in places):
        for row, point, place in zip(rows, where, places, strict=True):
            write(axes, row, point, place, colour=ink(look[row].colour), size=size)
        return
    box = axes.get_position()
    width = WIDTH + legend_width(rows)
    fig.set_size_inches(width, fig.get_figheight())
    axes.set_position((box.x0 * WIDTH / width, box.y0, box.width * WIDTH / width, box.height))
    legend(fig, [_handle(row, look[row]) for row in rows], left=WIDTH + 0.05, top=TOP)


def _handle(row: str, look: Style) -> Line2D:
    """The row's point in the legend."""
    handle = Line2D([], [], color=look.colour, linestyle="none", markersize=MARKER - 1, label=row)
    handle.set_marker(look.marker)
    return handle


def _obstacles(axes: Axes, points: list[Point]) -> list[Obstacle]:
    """Markers and error bars in pixels."""
    scale = axes.figure.dpi / 72
    half = MARKER / 2 * scale
    boxes: list[Obstacle] = []
    for _, x, y in points:
        dx = 0.0 if math.isnan(x.std) else x.std
        dy = 0.0 if math.isnan(y.std) else y.std
        left, low = axes.transData.transform((x.mean - dx, y.mean - dy))
        right, high = axes.transData.transform((x.mean + dx, y.mean + dy))
        px, py = axes.transData.transform((x.mean, y.mean))
        boxes.append(((px - half, py - half, px + half, py + half), 1.0))
        boxes.append(((left, py - scale / 2, right, py + scale / 2), BAR))
        boxes.append(((px - scale / 2, low, px + scale / 2, high), BAR))
    return boxes


def _seeds(points: list[Point]) -> str:
    counts = sorted({x.n for _, x, _ in points})
    if counts == [1]:
        return "One seed."
    return f"Bars: ± sample std over seeds (n = {' or '.join(map(str, counts))})."
