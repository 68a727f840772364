"""Random streams by name. Nothing in fedbench draws from a shared or global generator.

A stream is a pure function of (seed, purpose, names): `stream(3, "batches", round=2, client=7)` gives the same
numbers in any order, on any worker, after any resume. Draws are made on the CPU, so that a GPU sees the same.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _entropy(seed: int, purpose: str, names: dict[str, int | str]) -> int:
    text = "/".join([str(seed), purpose, *(f"{key}={names[key]}" for key in sorted(names))])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def stream(seed: int, purpose: str, **names: int | str) -> np.random.Generator:
    """A numpy generator for one purpose, for example `stream(seed, "shots")`."""
    return np.random.Generator(np.random.PCG64(_entropy(seed, purpose, names)))


def number(seed: int, purpose: str, **names: int | str) -> int:
    """A number below 2^32 for one purpose, where others than generators need one."""
    return _entropy(seed, purpose, names) & (2**32 - 1)


def torch_stream(seed: int, purpose: str, **names: int | str) -> "torch.Generator":
    """A CPU torch generator for one purpose, for example `torch_stream(seed, "init")`."""
    import torch  # here, so that data sets and splits, which draw with numpy, do not wait seconds for it

    return torch.Generator().manual_seed(_entropy(seed, purpose, names) & (2**63 - 1))
