"""Names beside points, so that no name covers a point or another name, nor an error bar if possible."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

DISTANCES = (7.0, 13.0, 20.0, 29.0, 40.0, 54.0, 70.0, 90.0)
"""How far a name may stand from its point, in points of 1/72 inch; nearest first."""

ANGLES = (0, 180, 90, 270, 45, 135, 225, 315, 22, 158, 202, 338, 67, 113, 247, 293)
LEADER = 12.0
"""From this distance on, a thin line joins the name to its point."""

FAR = 2.0
"""A pixel of distance is as bad as covering so many pixels squared: a name must be seen to be its point's."""

PAD = 1.5
"""Points of air around a name."""

Box = tuple[float, float, float, float]
"""Left, low, right, high, in pixels (matplotlib's Bbox is slow for some ten thousand comparisons)."""

Obstacle = tuple[Box, float]
"""A box in pixels, and how bad it is to cover a pixel of it (a name or a marker: 1)."""


@dataclass(frozen=True)
class Place:
    """Where a name goes: its offset from the point, in points of 1/72 inch."""

    dx: float
    dy: float

    @property
    def led(self) -> bool:
        """Far enough from its point to need a line to it."""
        return math.hypot(self.dx, self.dy) >= LEADER

    @property
    def sides(self) -> tuple[str, str]:
        """Horizontal and vertical alignment: which side of the name faces the point."""
        flat = abs(self.dy) < 0.5 * abs(self.dx)
        across = "center" if abs(self.dx) < 0.3 * abs(self.dy) else "left" if self.dx > 0 else "right"
        return across, "center" if flat else "bottom" if self.dy > 0 else "top"


PLACES = tuple(
    Place(distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle)))
    for distance in DISTANCES
    for angle in ANGLES
)


def find_places(
    axes: Axes,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    obstacles: Sequence[Obstacle],
    *,
    size: float,
) -> list[Place]:
    """The best place that is left for each name near its point (x, y), one after the other.

    The limits of the axes must be final.
    """
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    scale = axes.figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    room = (inside.x0, inside.y0, inside.x1, inside.y1)
    taken, found = list(obstacles), []
    for name, point in zip(names, points, strict=True):
        probe = axes.annotate(name, point, fontsize=size)
        extent = probe.get_window_extent(renderer).padded(PAD * scale)
        probe.remove()
        x, y = axes.transData.transform(point)
        boxes = [_box(x, y, place, scale, extent) for place in PLACES]
        costs = [_cost(box, taken, room) + _distance(p) * scale for box, p in zip(boxes, PLACES, strict=True)]
        best = costs.index(min(costs))
        taken.append((boxes[best], 1.0))
        found.append(PLACES[best])
    return found


def write(
    axes: Axes, name: str, point: tuple[float, float], place: Place, *, colour: str, size: float
) -> None:
    """Write the name at its place, in a white halo."""
    across, up = place.sides
    leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.7, "shrinkA": 1, "shrinkB": 4}
    axes.annotate(
        name,
        point,
        xytext=(place.dx, place.dy),
        textcoords="offset points",
        ha=across,
        va=up,
        fontsize=size,
        color=colour,
        arrowprops=leader if place.led else None,
        annotation_clip=False,
        path_effects=[withStroke(linewidth=2, foreground="white")],
        zorder=5,
    )


def _distance(place: Place) -> float:
    return FAR * round(math.hypot(place.dx, place.dy) - DISTANCES[0], 6)


def _box(x: float, y: float, place: Place, scale: float, extent: Bbox) -> Box:
    """The name's box in pixels."""
    across, up = place.sides
    left = x + place.dx * scale - {"left": 0, "center": extent.width / 2, "right": extent.width}[across]
    low = y + place.dy * scale - {"bottom": 0, "center": extent.height / 2, "top": extent.height}[up]
    return left, low, left + extent.width, low + extent.height


def _cost(box: Box, taken: Sequence[Obstacle], room: Box) -> float:
    """Weighted pixels squared of the box that are covered or outside the axes."""
    outside = max(0.0, _shared(box, box) - _shared(box, room))
    return 10 * outside + sum(weight * _shared(box, other) for other, weight in taken)


def _shared(one: Box, other: Box) -> float:
    """Pixels squared that both boxes cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0
