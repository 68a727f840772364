"""Adapters parallel to the blocks of a tower."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from fedbench.clip.blocks import Hooks, product
from fedbench.learned import Learned, normal, zeros


def adapter_layers(
    name: str, *, blocks: int, out: int, into: int, shared: bool = False
) -> dict[str, Learned]:
    """A layer of an adapter for each of some blocks, as stacks.

    `<name>_weight` (blocks, out, into) starts Kaiming normal for ReLU with fan out, `<name>_bias` (blocks, out) zero.
    """
    return {
        f"{name}_weight": Learned((blocks, out, into), normal((2 / out) ** 0.5), shared=shared),
        f"{name}_bias": Learned((blocks, out), zeros(), shared=shared),
    }


class Adapters(Hooks):
    """Adapters beside consecutive blocks."""

    def __init__(self, layers: Sequence[tuple[Tensor, ...]], *, first: int, scale: float, rescale: bool):
        """
        Args:
            layers: for each block weight and bias of down, shared and up. (clients, ...)
            first: the first of the blocks, from 0.
            scale: α.
            rescale: parameters get the gradient that they would have with α = 1; the one that flows on through the
                block stays as it is. Plain autograd gives parameters α times as much.
        """
        self.layers, self.first, self.scale, self.rescale = layers, first, scale, rescale

    @classmethod
    def stacked(
        cls, p: Mapping[str, Tensor], names: Sequence[str], *, first: int, scale: float, rescale: bool
    ) -> Self:
        """From the stacks that `adapter_layers` declares; `names` are those of down, shared and up."""
        stacks = [p[f"{name}_{kind}"].unbind(1) for name in names for kind in ("weight", "bias")]
        return cls(list(zip(*stacks, strict=True)), first=first, scale=scale, rescale=rescale)

    def branch(self, block: int, h: Tensor) -> Tensor | None:
        """α A(h). (clients or 1, sequences, tokens, width) → (clients, sequences, tokens, width)"""
        if not 0 <= block - self.first < len(self.layers):
            return None
        down, down_bias, middle, middle_bias, up, up_bias = self.layers[block - self.first]
        x = Scaled.apply(h, 1.0, self.scale) if self.rescale else h
        x = x.flatten(1, 2).expand(len(down), -1, -1)  # (clients, sequences * tokens, width)
        x = affine(F.relu(affine(F.relu(affine(x, down, down_bias)), middle, middle_bias)), up, up_bias)
        x = Scaled.apply(x, self.scale, 1.0) if self.rescale else x * self.scale
        return x.unflatten(1, h.shape[1:3])


class Scaled(torch.autograd.Function):
    """Multiplication by one factor on the way forward and by another on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: float, backward: float) -> Tensor:
        ctx.factor = backward
        return x * forward

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.factor, None, None


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each client's own layer. x (clients, rows, in), weight (clients, out, in) → (clients, rows, out)"""
    return product(x, weight.transpose(1, 2)) + bias[:, None]
