"""What methods are checked on: a small CLIP with random weights, and three clients with a few random images."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import open_clip
import torch
from torch import Tensor

from fedbench.clip.load import from_state_dict
from fedbench.clip.model import FrozenCLIP
from fedbench.engine.local import Step
from fedbench.method import Method

NAMES = ["star", "striped red star", "blue ring", "plain dot", "green cross"]
"""The label space of training."""
NOVEL = ["violet moon", "star", "a bird that nobody has seen before"]
"""Another one, with one class in common."""
COUNTS = [12, 12, 8]
"""Each client's number of training images."""


@cache
def random_clip(
    *,
    embed: int = 48,
    width: int = 64,
    layers: int = 3,
    text_width: int = 32,
    text_layers: int = 2,
    quick: bool = False,
    precision: str = "float32",
) -> FrozenCLIP:
    """Random weights, towers of unequal depth and width; images of 32 pixels in patches of 16."""
    vision = {"layers": layers, "width": width, "head_width": 16, "patch_size": 16, "image_size": 32}
    text = {"layers": text_layers, "width": text_width, "heads": 2}
    clip = _random({"embed_dim": embed, "quick_gelu": quick, "vision_cfg": vision, "text_cfg": text}, seed=7)
    return clip.to("cpu", precision=precision)


@cache
def wide_clip() -> FrozenCLIP:
    """ViT-B/16 with two blocks a tower, and random weights."""
    vision = {"layers": 2, "width": 768, "patch_size": 16, "image_size": 224}
    return _random(
        {"embed_dim": 512, "vision_cfg": vision, "text_cfg": {"layers": 2, "width": 512, "heads": 8}}, seed=3
    )


def _random(config: dict[str, Any], *, seed: int) -> FrozenCLIP:
    config["text_cfg"] |= {"context_length": 77, "vocab_size": 49408}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = open_clip.CLIP(**config).state_dict()
    return from_state_dict(config, state, name="random test CLIP", label="untrained")


def pixel_batches(size: int = 32) -> list[list[tuple[Tensor, Tensor]]]:
    """Each client's (pixels, labels) batches of four images."""
    rng = torch.Generator().manual_seed(11)
    return [
        [
            (torch.randn(4, 3, size, size, generator=rng), torch.randint(len(NAMES), (4,), generator=rng))
            for _ in range(count // 4)
        ]
        for count in COUNTS
    ]


class FixedData:
    """The engine's `LocalData` over `pixel_batches`; each epoch goes over them in order."""

    def __init__(self, method: Method, local_epochs: int = 1):
        self.epochs = len(method.phases(local_epochs))
        self.batches = [
            [(method.clip.image_input(x, method.image_input), y) for x, y in client]
            for client in pixel_batches(method.clip.preprocess.size)
        ]

    def steps(self, round_: int, clients: Sequence[int]) -> Iterator[Step]:
        """All local steps of these clients; who has run out of batches sees the first one again, masked."""
        most = max(len(self.batches[c]) for c in clients)
        for epoch in range(self.epochs):
            for s in range(most):
                chosen = [self.batches[c][s if s < len(self.batches[c]) else 0] for c in clients]
                images, labels = (torch.stack([part[i] for part in chosen]) for i in (0, 1))
                active = torch.tensor([s < len(self.batches[c]) for c in clients])
                yield Step(images, labels, torch.ones_like(labels, dtype=torch.bool), active, epoch)
