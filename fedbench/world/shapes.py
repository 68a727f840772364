"""Outlines of the ten shapes: polygons in a unit disc, y down, drawn upright."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _polar(radii: list[float], start: float = -90.0) -> np.ndarray:
    """A polygon whose corners stand at equal angles, with these radii, from `start` degrees on."""
    angles = np.deg2rad(start + 360.0 * np.arange(len(radii)) / len(radii))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.asarray(radii)[:, None]


def _heart() -> np.ndarray:
    t = np.linspace(0.0, 2 * np.pi, 32, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y - 2.0], axis=1) / 16.5


def _moon() -> np.ndarray:
    outer = np.deg2rad(np.linspace(50, 310, 22))
    inner = np.deg2rad(np.linspace(298, 62, 18))
    rim = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    bite = np.stack([0.40 + 0.76 * np.cos(inner), 0.84 * np.sin(inner)], axis=1)
    return np.concatenate([rim, bite]) + np.array([0.2, 0.0])


def _leaf() -> np.ndarray:
    t = np.linspace(-1.0, 1.0, 14)
    right = np.stack([0.48 * (1 - t**2), t], axis=1)
    return np.concatenate([right, right[::-1] * [-1, 1]])


def _points(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs)


_OUTLINES: dict[str, Callable[[], np.ndarray]] = {
    "star": lambda: _polar([1.0, 0.42] * 5),
    "heart": _heart,
    "circle": lambda: _polar([0.9] * 28),
    "square": lambda: _polar([1.08] * 4, start=45.0),
    "triangle": lambda: _polar([1.05] * 3) + np.array([0.0, 0.15]),
    "cross": lambda: _points(
        (-.33, -1), (.33, -1), (.33, -.33), (1, -.33), (1, .33), (.33, .33),
        (.33, 1), (-.33, 1), (-.33, .33), (-1, .33), (-1, -.33), (-.33, -.33),
    ),
    "arrow": lambda: _points((1, 0), (.1, -.85), (.1, -.36), (-1, -.36), (-1, .36), (.1, .36), (.1, .85)),
    "moon": _moon,
    "ring": lambda: _polar([0.98] * 28),
    "leaf": _leaf,
}  # fmt: skip

OUTLINES: dict[str, np.ndarray] = {name: outline() for name, outline in _OUTLINES.items()}  # (points, 2)
HOLES: dict[str, np.ndarray] = {"ring": _polar([0.42] * 24)}  # (points, 2)
