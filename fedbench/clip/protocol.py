"""What methods and the engine want of a backbone, whoever implements it.

Two things do: `fedbench.clip.model.FrozenCLIP`, which is fast, and `fedbench.reference.PlainCLIP`, which is plain. A
third party brings weights, not towers: `BackboneLoader` is what the registry of backbones holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from fedbench.clip.blocks import UNCHANGED, Hooks
from fedbench.clip.prompts import Prompt


@dataclass(frozen=True)
class Preprocess:
    """How pixels are prepared: side in pixels, mean and standard deviation per channel, interpolation."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"


class TextEncoder(Protocol):
    """A causal text tower over prompt trees."""

    width: int
    length: int
    """Longest prompt, in tokens."""

    @property
    def blocks(self) -> Any:
        """One for each layer; has a length."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text's tokens, without [SOS] and [EOT]."""
        ...

    def pack(self, prompts: Sequence[Prompt]) -> Any:
        """The prompts of a label space in the form that `encode` takes, on the tower's device."""
        ...

    def embed(self, tokens: list[int]) -> Tensor:
        """Token embeddings, without positions. (tokens, width)"""
        ...

    def encode(self, prompts: Any, context: Tensor | None = None, hooks: Hooks = UNCHANGED) -> Tensor:
        """Text features, not normalised. context (clients, sets, slots, width) → (clients, sets, classes, embed)"""
        ...


class ImageEncoder(Protocol):
    """A plain vision transformer with a class token and a clients axis."""

    width: int
    visual: Any
    """open_clip's module, for its layer norms and embeddings."""

    @property
    def blocks(self) -> Any:
        """One for each layer; has a length."""
        ...

    def tokens(self, images: Tensor) -> Tensor:
        """Pixels (clients, images, 3, side, side) → input of block 0 (clients, images, 1 + patches, width)"""
        ...

    def blocks_between(self, x: Tensor, first: int, last: int, hooks: Hooks = UNCHANGED) -> Tensor:
        """Run blocks `first` to `last - 1`. (clients, images, tokens, width) → the same"""
        ...

    def encode_tokens(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int = 0) -> Tensor:
        """Like `encode`, for all tokens, the class token first. (clients, images, 1 + patches, embed)"""
        ...

    def encode(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int = 0) -> Tensor:
        """Input of block `first` (clients, images, tokens, width) → raw features (clients, images, embed)"""
        ...


class Backbone(Protocol):
    """A frozen CLIP as methods see it."""

    name: str
    model: Any
    """open_clip's module, frozen."""
    logit_scale: float
    preprocess: Preprocess

    @property
    def text(self) -> TextEncoder:
        """The text tower."""
        ...

    @property
    def image(self) -> ImageEncoder | None:
        """The image tower; None where it is no plain vision transformer."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    @property
    def embed_dim(self) -> int:
        """Width of the joint space."""
        ...

    def image_input(self, pixels: Tensor, kind: str) -> Tensor:
        """What methods ask for as their `image_input`. (images, 3, side, side) → (images, ...)"""
        ...

    def autocast(self) -> Any:
        """The context in which towers run."""
        ...
