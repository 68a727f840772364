"""Few-shot draws: some images per class."""

import random
from collections.abc import Iterable

from fedbench.data.dataset import Item
from fedbench.seeds import stream

VAL_SHOTS = 4
"""At most this many validation images a class, as in CoOp."""


def by_label(items: Iterable[Item]) -> dict[int, list[Item]]:
    """Items by label; labels in the order of their first appearance, which the published draws depend on."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    return groups


def sample(items: Iterable[Item], *, shots: int, rng: random.Random) -> list[Item]:
    """`shots` items of each class by CoOp's rule; a class with fewer gives all of them and draws nothing."""
    return [
        item
        for group in by_label(items).values()
        for item in (rng.sample(group, shots) if len(group) >= shots else group)
    ]


def published_shots(
    train: Iterable[Item], val: Iterable[Item], *, shots: int, seed: int
) -> tuple[list[Item], list[Item]]:
    """CoOp's few-shot lists of training and validation images, in its order.

    They come from one generator, training first, over all classes: hand over the whole lists, not one half.
    """
    rng = random.Random(seed)
    return sample(train, shots=shots, rng=rng), sample(val, shots=min(shots, VAL_SHOTS), rng=rng)


def balanced_shots(items: Iterable[Item], *, shots: int, seed: int, purpose: str) -> list[Item]:
    """`shots` items of each class (all, if fewer), a stream per class: fewer shots are a subset of more."""
    chosen: list[Item] = []
    for label, group in sorted(by_label(items).items()):
        order = stream(seed, purpose, label=label).permutation(len(group))
        chosen += [group[position] for position in order[:shots]]
    return chosen
