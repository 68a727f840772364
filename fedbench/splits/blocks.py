"""Which client owns which classes: disjoint blocks of 0..n-1."""

import random
from typing import Literal

import numpy as np

from fedbench.errors import FedbenchError
from fedbench.seeds import stream

Partition = Literal["published", "balanced"]

BLOCKS_SEED = 2023
"""Hard-coded in the papers' code: the published class blocks are the same for every run seed."""


def published_blocks(classes: int, *, clients: int, rng: random.Random) -> list[list[int]]:
    """The papers' rule: shuffle, `round(classes / clients)` each, the last client takes what remains.

    `rng` is `random.Random(2023)` in that code, whatever the run's seed, and goes on to order the images.
    """
    order = list(range(classes))
    rng.shuffle(order)
    sizes = _sizes(classes, clients=clients, partition="published")
    starts = np.cumsum([0, *sizes])
    return [sorted(order[start : start + size]) for start, size in zip(starts, sizes, strict=False)]


def balanced_blocks(classes: int, *, clients: int, seed: int) -> list[list[int]]:
    """Blocks that differ by one class at most, drawn with the run's seed."""
    order = stream(seed, "class-blocks").permutation(classes)
    return [sorted(block.tolist()) for block in np.array_split(order, clients)]


def check_possible(classes: int, *, clients: int, partition: Partition, what: str) -> None:
    """Refuse a partition that leaves clients without a class.

    Raises:
        FedbenchError: with the client counts that work. `what` says what the `classes` are.
    """
    empty = _sizes(classes, clients=clients, partition=partition).count(0)
    if not empty:
        return
    working = [n for n in range(1, classes + 1) if 0 not in _sizes(classes, clients=n, partition=partition)]
    message = (
        f"{classes} {what} cannot be dealt to {clients} clients: partition={partition} leaves {empty} of "
        f"them without a class; client counts that work: {_ranges(working)}"
    )
    if partition == "published":
        message += f"; partition=balanced takes {_ranges(range(1, classes + 1))}"
    raise FedbenchError(message)


def _sizes(classes: int, *, clients: int, partition: Partition) -> list[int]:
    """Number of classes of each client."""
    if partition == "balanced":
        return [len(block) for block in np.array_split(np.arange(classes), clients)]
    each = round(classes / clients)  # Python's rule, half to even, as published
    sizes = []
    left = classes
    for _ in range(clients - 1):
        sizes.append(min(each, left))
        left -= sizes[-1]
    return [*sizes, left]


def _ranges(numbers: "list[int] | range") -> str:
    """`[1, 2, 3, 5]` as `1-3, 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)
