"""Low-rank updates of the attention of a tower: queries, keys and values of every block."""

from collections.abc import Callable

import torch
from torch import Tensor

from fedbench.clip.blocks import Hooks, product


class LoRA(Hooks):
    """Adds scale · B A h to the queries, keys and values of every block; nothing is merged into weights."""

    def __init__(
        self, a: Tensor, b: Tensor, *, scale: float, drop: Callable[[int, Tensor], Tensor] | None = None
    ):
        """
        Args:
            a: from the block's input down. (clients, blocks, 3, rank, width)
            b: up to queries, keys and values. (clients, blocks, 3, width, rank)
            drop: what becomes of h (clients or 1, sequences, tokens, width) in a block before A.
        """
        self.a, self.b, self.scale, self.drop = a, b, scale, drop

    def qkv(self, block: int, h: Tensor) -> Tensor:
        """h = ln_1(x) → (clients, sequences, tokens, 3 * width)"""
        if self.drop is not None:
            h = self.drop(block, h)
        down = self.a[:, block].flatten(1, 2)  # (clients, 3 * rank, width)
        # the three B side by side in one matrix, zeros elsewhere: one product instead of three
        three = torch.eye(3, dtype=self.b.dtype, device=self.b.device) * self.scale
        up = torch.einsum("kmdr,mn->kmrnd", self.b[:, block], three).flatten(3, 4).flatten(1, 2)
        tokens = h.flatten(1, 2).expand(len(down), -1, -1)  # (clients, sequences * tokens, width)
        return product(product(tokens, down.transpose(1, 2)), up).unflatten(1, h.shape[1:3])
