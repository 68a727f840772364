"""Dropout masks as pure functions of a number: the same on any device, for any number of clients at once.

A generator would have to draw client by client, and its numbers differ between CPU and GPU. Here each byte of
a mask is a hash of (the client's number, the place, the byte's index), and all clients' masks are made in one
go.
"""

import torch
from torch import Tensor

BITS = 0xFFFFFFFF
LEVELS = 256


def _mix(x: Tensor) -> Tensor:
    """Hash 32-bit numbers, held in int64 where nothing overflows: a bit of x turns half of the result's."""
    x = ((x >> 16) ^ x) * 0x45D9F3B & BITS
    x = ((x >> 16) ^ x) * 0x45D9F3B & BITS
    return (x >> 16) ^ x


def probability(p: float) -> float:
    """The probability that masks are made with: the nearest of 0/256 to 255/256."""
    return min(round(p * LEVELS), LEVELS - 1) / LEVELS


def dropped(seeds: Tensor, place: int, shape: tuple[int, ...], p: float) -> Tensor:
    """Which entries dropout sets to zero, each with `probability(p)`.

    Args:
        seeds: a number for each client and step. (clients,) int64
        place: tells the masks of one step apart, for example the block.
        shape: of one client's mask.

    Returns:
        (clients, *shape) bool
    """
    start = _mix((_mix(seeds & BITS) + place) & BITS)  # (clients,)
    size = int(torch.Size(shape).numel())
    words = _mix((start[:, None] + torch.arange(-(-size // 4), device=seeds.device)) & BITS)
    drawn = (words - 2**31).to(torch.int32).view(torch.uint8)[:, :size]  # four bytes of each word
    return (drawn < round(probability(p) * LEVELS)).view(-1, *shape)
