"""The built-in world: procedurally drawn images of compositional classes in four domains, and a tiny CLIP.

`CLASSNAMES` are the benchmark's 40 classes in label order: the first 20 are base, the others novel. The
backbone is in `fedbench.world.backbone`, kept out of here so that drawing does not import torch.
"""

from __future__ import annotations

from PIL import Image

from fedbench.world.render import render
from fedbench.world.vocabulary import CLASSNAMES, DOMAINS

__all__ = [
    "BENCHMARK_DIFFICULTY",
    "BENCHMARK_SIZE",
    "CLASSNAMES",
    "DOMAINS",
    "PARTS",
    "render",
    "render_benchmark",
]

PARTS = ("train", "val", "test")
BENCHMARK_SIZE = 48  # larger than the model's 32, so that random resized crops have something to crop
BENCHMARK_DIFFICULTY = 1.0  # pretraining images stay below 0.7


def render_benchmark(classname: str, domain: str, part: str, index: int) -> Image.Image:
    """Image `index` of `classname` in `part` of the benchmark: 48 x 48 RGB, a pure function of its arguments.

    KeyError for a name that is not in CLASSNAMES, ValueError for an unknown domain, part or negative index.
    """
    if classname not in CLASSNAMES:
        raise KeyError(classname)
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r}; known: {', '.join(PARTS)}")
    if index < 0:
        raise ValueError(f"image index must not be negative, got {index}")
    return render(
        classname,
        seed_key=f"{part}/{index}",
        domain=domain,
        size=BENCHMARK_SIZE,
        difficulty=BENCHMARK_DIFFICULTY,
    )
