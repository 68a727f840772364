"""Draws one object in one of four domains; a pure function of its arguments.

An image is a scene (`sample_scene`: all random choices) put on a canvas of twice the size (`_draw`), halved,
and finished (`_finish`: shading, light and noise). `difficulty` 0 is a clean, large, upright object; 1 is
small, turned, partly covered, off-colour and noisy before a cluttered background.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fedbench.world.shapes import HOLES, OUTLINES
from fedbench.world.vocabulary import DOMAINS, Attributes, generator, parse

_SUPERSAMPLING = 2
# hue in turns, saturation, value; jitter keeps neighbours apart at low difficulty and lets them touch at 1
_COLOURS = {
    "red": (0.0, 0.88, 0.82), "orange": (0.078, 0.92, 0.95), "yellow": (0.155, 0.85, 0.95),
    "green": (0.36, 0.80, 0.62), "blue": (0.61, 0.85, 0.82), "purple": (0.77, 0.70, 0.62),
    "pink": (0.92, 0.42, 0.97), "white": (0.12, 0.03, 0.97),
}  # fmt: skip
RGB = tuple[float, float, float]  # each in 0..1


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All random choices of one image. Lengths are fractions of the image side, angles are radians."""

    attributes: Attributes
    domain: str
    difficulty: float
    centre: tuple[float, float]
    radius: float
    angle: float
    stretch: float
    colour: RGB
    second: RGB  # the tone that draws the pattern
    backdrop: tuple[RGB, RGB]  # a gradient from the first to the second
    backdrop_angle: float
    clutter: int  # number of distractor blobs behind the object
    covers: int  # number of strips in front of it
    pattern_angle: float
    pattern_step: float  # in radii

    @property
    def traits(self) -> frozenset[str]:
        """Words beside the attributes that a caption may truthfully use."""
        brightness = np.mean(self.backdrop) if self.domain != "negative" else 1 - np.mean(self.backdrop)
        size = ("small",) if self.radius < 0.25 else ("large",) if self.radius > 0.33 else ()
        light = ("dark",) if brightness < 0.35 else ("bright",) if brightness > 0.6 else ()
        busy = ("busy",) if self.clutter > 3 else ("clean",) if self.clutter < 1 else ()
        return frozenset((self.domain, *size, *light, *busy))


def render(
    name: str, *, seed_key: str, domain: str = "photo", size: int = 48, difficulty: float = 1.0
) -> Image.Image:
    """An RGB image of `size` x `size` pixels of the class `name`; equal arguments give equal bytes.

    KeyError when `name` is no combination of this world, ValueError for an unknown domain.
    """
    attributes = parse(name)
    rng = generator(f"fedbench/world/render/{name}/{domain}/{size}/{difficulty!r}/{seed_key}")
    return draw(sample_scene(attributes, domain=domain, difficulty=difficulty, rng=rng), size=size, rng=rng)


def draw(scene: Scene, *, size: int, rng: np.random.Generator) -> Image.Image:
    """The scene as an RGB image of `size` x `size` pixels; `rng` places clutter and noise."""
    canvas = _draw(scene, side=size * _SUPERSAMPLING, rng=rng)
    return _finish(canvas.reduce(_SUPERSAMPLING), scene, rng)


def sample_scene(
    attributes: Attributes, *, domain: str, difficulty: float, rng: np.random.Generator
) -> Scene:
    """Draws the random choices of one image of `attributes`; ValueError for an unknown domain."""
    if domain not in DOMAINS:
        raise ValueError(f"unknown rendering domain {domain!r}; known: {', '.join(DOMAINS)}")
    spread = 0.35 + 0.65 * difficulty
    radius = rng.uniform(0.34 - 0.14 * spread, 0.42 - 0.06 * spread)
    # at difficulty 1 a fifth of the object may leave the image
    reach = max(0.0, 0.5 - radius * (1.05 - 0.25 * difficulty))
    busy = domain in ("photo", "negative")
    colour = _colour(attributes.colour, spread, rng)
    return Scene(
        attributes=attributes, domain=domain, difficulty=difficulty,
        centre=(0.5 + reach * rng.uniform(-1, 1), 0.5 + reach * rng.uniform(-1, 1)),
        radius=radius, angle=rng.normal(0, 0.38 * spread), stretch=np.exp(rng.normal(0, 0.12 * spread)),
        colour=colour, second=_second(attributes.colour, spread, rng),
        backdrop=_backdrop(domain, spread, rng), backdrop_angle=rng.uniform(0, 2 * np.pi),
        clutter=int(rng.integers(0, 3 + round(5 * difficulty))) if busy else 0,
        covers=int(rng.random() < 0.6 * difficulty),
        pattern_angle=rng.normal(0, 0.5 * spread) + (np.pi / 2) * rng.integers(2),
        pattern_step=rng.uniform(0.50, 0.62 + 0.1 * spread),
    )  # fmt: skip


def _colour(word: str, spread: float, rng: np.random.Generator) -> RGB:
    """A colour that `word` names, moved in hue, saturation and value by `spread`."""
    hue, saturation, value = _COLOURS[word]
    hue += rng.normal(0, 0.018 * spread)
    saturation += rng.normal(0, 0.10 * spread) * (saturation > 0.1)
    value *= 1 - abs(rng.normal(0, 0.16 * spread))
    return colorsys.hsv_to_rgb(hue % 1.0, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))


def _second(word: str, spread: float, rng: np.random.Generator) -> RGB:
    """The pattern's tone: near black, or now and then cream where that contrasts with the colour."""
    light = word not in ("white", "yellow", "pink") and rng.random() < 0.35 * spread
    tone = rng.uniform(0.82, 0.95) if light else rng.uniform(0.05, 0.22)
    return (tone, tone * rng.uniform(0.9, 1.0), tone * rng.uniform(0.82, 1.0))


def _backdrop(domain: str, spread: float, rng: np.random.Generator) -> tuple[RGB, RGB]:
    """Two ends of the background: muted colours, paper for a sketch, one even tone for `flat`."""
    if domain == "sketch":
        tone = rng.uniform(0.60, 0.78)
        return ((tone, tone * 0.98, tone * 0.93),) * 2
    first, other = (
        colorsys.hsv_to_rgb(rng.random(), 0.55 * spread * rng.random(), rng.uniform(0.12, 0.78))
        for _ in range(2)
    )
    return (first, first) if domain == "flat" else (first, other)


def _ink(colour: RGB) -> tuple[int, int, int]:
    return tuple(int(255 * channel + 0.5) for channel in colour)  # type: ignore[return-value]


def _mix(first: RGB, second: RGB, part: float) -> RGB:
    return tuple(a + (b - a) * part for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def _draw(scene: Scene, *, side: int, rng: np.random.Generator) -> Image.Image:
    """Background, clutter, the patterned object and what covers it, on a `side` x `side` canvas."""
    canvas = _gradient(scene, side)
    pen = ImageDraw.Draw(canvas)
    for _ in range(scene.clutter):
        _blob(pen, scene, side, rng)
    paper = scene.backdrop[0]
    sketch = scene.domain == "sketch"
    fill, tone = (_mix(paper, scene.colour, 0.30), scene.colour) if sketch else (scene.colour, scene.second)
    outline = _place(OUTLINES[scene.attributes.shape], scene, side)
    hole = HOLES.get(scene.attributes.shape)
    edges = [outline] if hole is None else [outline, _place(hole, scene, side)]
    mask = Image.new("L", (side, side), 0)
    mask_pen = ImageDraw.Draw(mask)
    for edge, ink in zip(edges, (255, 0), strict=False):
        mask_pen.polygon(edge, fill=ink)
    surface = Image.new("RGB", (side, side), _ink(fill))
    _pattern(ImageDraw.Draw(surface), scene, side, edges, _ink(tone))
    canvas.paste(surface, mask=mask)
    if sketch:
        for edge in edges:
            pen.line(
                [*edge, edge[0]],
                fill=_ink(_mix(scene.colour, (0.1, 0.1, 0.1), 0.35)),
                width=max(2, side // 40),
            )
    for _ in range(scene.covers):
        _cover(pen, scene, side, rng)
    return canvas


def _gradient(scene: Scene, side: int) -> Image.Image:
    first, second = scene.backdrop
    if first == second:
        return Image.new("RGB", (side, side), _ink(first))
    ramp = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    across = 0.5 + ramp[None, :] * np.cos(scene.backdrop_angle) + ramp[:, None] * np.sin(scene.backdrop_angle)
    level = Image.fromarray((across.clip(0, 1) * 255).astype(np.uint8))
    near, far = (Image.new("RGB", (side, side), _ink(end)) for end in (first, second))
    return Image.composite(far, near, level)


def _blob(pen: ImageDraw.ImageDraw, scene: Scene, side: int, rng: np.random.Generator) -> None:
    """One distractor behind the object: an ellipse, a bar or a triangle, more colourful when difficult."""
    kind, hue, saturation, value, x, y, width, height = rng.random(8)
    ink = _ink(colorsys.hsv_to_rgb(hue, saturation * (0.3 + 0.5 * scene.difficulty), 0.15 + 0.7 * value))
    x, y, width, height = x * side, y * side, (0.05 + 0.16 * width) * side, (0.05 + 0.16 * height) * side
    if kind < 0.4:
        pen.ellipse((x - width, y - height, x + width, y + height), fill=ink)
    elif kind < 0.7:
        pen.line((x - 2 * width, y - height, x + 2 * width, y + height), fill=ink, width=max(2, side // 16))
    else:
        pen.polygon(
            [(x - width, y + height), (x + width, y + height), (x + width * (2 * hue - 1), y - height)],
            fill=ink,
        )


def _cover(pen: ImageDraw.ImageDraw, scene: Scene, side: int, rng: np.random.Generator) -> None:
    """A strip across the object, in a background tone."""
    angle, offset, part = rng.random(3) * (np.pi, 1.2, 1.0)
    along, away = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    middle = (np.array(scene.centre) + away * (offset - 0.6) * scene.radius) * side
    start, end = middle - along * 0.8 * side, middle + along * 0.8 * side
    width = int((0.05 + 0.05 * part) * side * scene.difficulty) + 1
    pen.line((*start, *end), fill=_ink(_mix(*scene.backdrop, part)), width=width)


def _place(points: np.ndarray, scene: Scene, side: int) -> list[tuple[float, float]]:
    """Unit-disc points (points, 2) as canvas pixels."""
    cos, sin = np.cos(scene.angle), np.sin(scene.angle)
    turned = (points * (scene.stretch, 1 / scene.stretch)) @ np.array([[cos, sin], [-sin, cos]])
    placed = (turned * scene.radius + scene.centre) * side
    return [(x, y) for x, y in placed.tolist()]


def _pattern(
    pen: ImageDraw.ImageDraw,
    scene: Scene,
    side: int,
    edges: list[list[tuple[float, float]]],
    ink: tuple[int, ...],
) -> None:
    """Draws the pattern over the whole surface; the object's mask cuts it out afterwards."""
    pattern = scene.attributes.pattern
    step = scene.pattern_step * scene.radius * side
    if pattern == "outlined":
        thickness = round(0.62 * step / len(edges))  # a ring has two rims to share its width
        for edge in edges:
            pen.line([*edge, edge[0], edge[1]], fill=ink, width=thickness, joint="curve")
    elif pattern == "striped":
        for row in range(-3, 4):
            ends = _grid(scene, side, step, [(-9.0, row), (9.0, row)])
            pen.line([*ends[0], *ends[1]], fill=ink, width=round(0.5 * step))
    elif pattern == "dotted":
        for x, y in _grid(
            scene, side, step, [(i + 0.5 * (j % 2), j * 0.9) for i in range(-3, 4) for j in range(-3, 4)]
        ):
            pen.ellipse((x - 0.30 * step, y - 0.30 * step, x + 0.30 * step, y + 0.30 * step), fill=ink)
    elif pattern == "checkered":
        for i in range(-3, 4):
            for j in range(-3 + i % 2, 4, 2):
                pen.polygon(
                    _grid(scene, side, step, [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]), fill=ink
                )


def _grid(
    scene: Scene, side: int, step: float, cells: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Pattern coordinates (in steps, about the object's centre) as canvas pixels."""
    angle = scene.angle + scene.pattern_angle
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    x0, y0 = scene.centre[0] * side, scene.centre[1] * side
    return [(float(x0 + u * cos - v * sin), float(y0 + u * sin + v * cos)) for u, v in cells]


def _finish(image: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Shading, light, blur and noise; `sketch` and `flat` have little or none; `negative` inverts."""
    side, difficulty = image.width, scene.difficulty
    textured = scene.domain in ("photo", "negative")
    if textured and rng.random() < 0.5 * difficulty:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.2 + 0.02 * side * difficulty)))
    pixels = np.asarray(image, dtype=np.float32)
    if textured:
        ramp = np.linspace(-1, 1, side, dtype=np.float32)
        a, b, gain, lift = rng.normal(0, 1, 4) * (0.12, 0.12, 0.12 * difficulty, 10 * difficulty)
        shade = 1 + np.float32(gain) + ramp[None, :] * np.float32(a) + ramp[:, None] * np.float32(b)
        pixels = pixels * shade[:, :, None] + np.float32(lift)
    if scene.domain != "flat":
        grain = (3 + 18 * difficulty) if textured else 4 + 6 * difficulty
        pixels = pixels + rng.standard_normal((side, side, 3), dtype=np.float32) * np.float32(
            grain * rng.random()
        )
    pixels = pixels.clip(0, 255)
    return Image.fromarray((255 - pixels if scene.domain == "negative" else pixels).astype(np.uint8))
