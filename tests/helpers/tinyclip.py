"""Small CLIPs for tests: the golden one, and random ones of any shape."""

from functools import cache
from pathlib import Path

from fedbench.clip.model import FrozenCLIP
from fedbench.parity.golden import load_clip
from fedbench.testing.worlds import random_clip

__all__ = ["GOLDEN", "golden_clip", "random_clip"]

GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def golden_clip(name: str = "") -> FrozenCLIP:
    """The CLIP that the golden numbers were recorded on."""
    return load_clip(GOLDEN / name)
