"""What a method learns: its tensors, declared once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fedbench.clip.protocol import TextEncoder

Start = Callable[[tuple[int, ...], torch.Generator], Tensor]
"""Draws a tensor of a shape, on the CPU."""


OptimizerState = Literal["fresh", "kept", "passed on"]


@dataclass(frozen=True)
class Optimizer:
    """How one tensor is trained.

    Attributes:
        kind: "sgd" or "adamw", each as in `torch.optim`.
        lr, weight_decay: of either; momentum: of SGD; betas: of AdamW.
        state: "fresh" starts anew for each client and round (FedAvg); "kept" stays with the client; "passed on" is
            one state that goes from client to client and from round to round, as in code that makes one optimiser.
        half: tensor and state are rounded to half precision after each step.
    """

    lr: float
    weight_decay: float
    kind: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    state: OptimizerState = "fresh"
    half: bool = False


@dataclass(frozen=True)
class Learned:
    """One tensor that every client holds and trains.

    Attributes:
        shape: of one client's tensor, without the clients axis.
        start: how it begins; tensors are drawn in the order of their declaration from one stream.
        shared: sent to the server and averaged; else it stays with its client.
        optimizer: how it is trained; None: as the method's hyper-parameters say (`Method.sgd`).
    """

    shape: tuple[int, ...]
    start: Start
    shared: bool = False
    optimizer: Optimizer | None = None


def normal(std: float = 0.02) -> Start:
    """N(0, std²); 0.02 is CoOp's initialisation of contexts."""
    return lambda shape, rng: torch.randn(*shape, generator=rng) * std


def uniform(fan_in: int) -> Start:
    """U(±1/√fan_in), PyTorch's initialisation of linear layers."""
    return lambda shape, rng: (2 * torch.rand(*shape, generator=rng) - 1) / fan_in**0.5


def orthogonal() -> Start:
    """A matrix with orthonormal rows or columns, whichever are fewer."""
    return lambda shape, rng: torch.nn.init.orthogonal_(torch.empty(*shape), generator=rng)


def zeros() -> Start:
    """Zeros; draws nothing."""
    return lambda shape, rng: torch.zeros(*shape)


def copies(start: Start) -> Start:
    """Layers that begin equal: one is drawn, and repeated along the first axis."""
    return lambda shape, rng: start(shape[1:], rng).repeat(shape[0], *(1 for _ in shape[1:]))


def from_words(text: "TextEncoder", words: Sequence[int], *, n_ctx: int, shared: bool) -> Learned:
    """A context (n_ctx, width) that starts from the embeddings of words (their tokens), or from N(0, 0.02²) without.

    With words there are as many learned tokens as these. The random start is drawn all the same, so that the tensors
    after it begin equal with and without words.
    """
    random = normal()
    if not words:
        return Learned((n_ctx, text.width), random, shared=shared)

    def start(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        random((n_ctx, text.width), rng)
        return text.embed(list(words)).cpu()

    return Learned((len(words), text.width), start, shared=shared)
