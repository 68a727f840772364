"""Small CLIPs for tests: the golden one, and random ones of any shape."""

from functools import cache
from pathlib import Path

import open_clip
import torch

from fedbench.clip.load import from_state_dict
from fedbench.clip.model import FrozenCLIP
from fedbench.parity.golden import load_clip

GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def golden_clip(name: str = "") -> FrozenCLIP:
    """The CLIP that the golden numbers were recorded on."""
    return load_clip(GOLDEN / name)


@cache
def random_clip(
    *,
    embed: int = 48,
    width: int = 64,
    layers: int = 3,
    text_width: int = 32,
    text_layers: int = 2,
    quick: bool = False,
) -> FrozenCLIP:
    """Random weights, towers of unequal depth and width; images of 32 pixels in patches of 16."""
    config = {
        "embed_dim": embed,
        "quick_gelu": quick,
        "vision_cfg": {
            "layers": layers,
            "width": width,
            "head_width": 16,
            "patch_size": 16,
            "image_size": 32,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": text_width,
            "heads": 2,
            "layers": text_layers,
        },
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        state = open_clip.CLIP(**config).state_dict()
    return from_state_dict(config, state, name="random test CLIP", label="untrained")
