"""Words of the built-in world: what a class is made of, and which classes are kept out of pretraining.

A class is `pattern colour shape`, such as "striped red star". Of the 5 x 8 x 10 = 400 combinations, 40 are
benchmark classes. Pretraining never draws or captions one of those 40; it does see each of their words, and
each pair of them, in the other 360, so a benchmark class is new as a combination only.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np

PATTERNS = ("plain", "striped", "dotted", "checkered", "outlined")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SHAPES = ("star", "heart", "circle", "square", "triangle", "cross", "arrow", "moon", "ring", "leaf")
DOMAINS = ("photo", "sketch", "negative", "flat")

CLASSES_PER_HALF = 20
_SHUFFLE_NAME = "fedbench/world/classes/1"  # change it and the shipped weights no longer match the classes


class Attributes(NamedTuple):
    """The three words of a combination."""

    pattern: str
    colour: str
    shape: str

    @property
    def name(self) -> str:
        return " ".join(self)


COMBINATIONS = tuple(Attributes(*words) for words in itertools.product(PATTERNS, COLOURS, SHAPES))
_BY_NAME = {attributes.name: attributes for attributes in COMBINATIONS}


def generator(key: str) -> np.random.Generator:
    """A generator of its own for `key`, the same on every machine and without global random state."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def parse(name: str) -> Attributes:
    """The attributes of the class called `name`; KeyError when it is no combination of this world."""
    return _BY_NAME[name]


def _balanced(words: tuple[str, ...], count: int, rng: np.random.Generator) -> list[str]:
    """`count` words in random order, each word as often as the others, give or take one."""
    order = rng.permutation(len(words))
    return [words[order[i % len(words)]] for i in rng.permutation(count)]


def _choose_classes() -> tuple[Attributes, ...]:
    """Two halves of 20 classes, each balanced over patterns, colours and shapes.

    Base and novel must be alike, or Novel accuracy would measure which words it got. The first draw in which
    no class occurs twice and each colour occurs five times over both halves is taken.
    """
    rng = generator(_SHUFFLE_NAME)
    while True:
        halves = [
            Attributes(*words)
            for _ in range(2)
            for words in zip(
                *(_balanced(options, CLASSES_PER_HALF, rng) for options in (PATTERNS, COLOURS, SHAPES)),
                strict=True,
            )
        ]
        colours = Counter(attributes.colour for attributes in halves)
        if len(set(halves)) == len(halves) and len(set(colours.values())) == 1:
            return tuple(halves)


BENCHMARK = _choose_classes()
CLASSNAMES: tuple[str, ...] = tuple(attributes.name for attributes in BENCHMARK)
PRETRAINING: tuple[Attributes, ...] = tuple(sorted(set(COMBINATIONS) - set(BENCHMARK)))
