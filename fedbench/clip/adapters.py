"""Adapters parallel to the blocks of a tower."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fedbench.clip.blocks import Hooks, product


class Adapters(Hooks):
    """Adapters beside consecutive blocks."""

    def __init__(self, layers: Sequence[tuple[Tensor, ...]], *, first: int, scale: float, rescale: bool):
        """
        Args:
            layers: for each block weight and bias of down, shared and up. (clients, ...)
            first: the first of the blocks, from 0.
            scale: α.
            rescale: parameters get the gradient that they would have with α = 1.
        """
        self.layers, self.first, self.scale, self.rescale = layers, first, scale, rescale

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
