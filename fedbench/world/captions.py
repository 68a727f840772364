"""Pretraining pairs: images of the 360 combinations that are no benchmark class, with captions about them.

A caption names one, two or all three attributes of its own image, in any order, inside a template, behind
0 to 16 filler words. No template or filler contains an attribute word, so what a caption can say about
pattern, colour and shape is what its combination says, and no benchmark combination is ever captioned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from fedbench.world.render import draw, sample_scene
from fedbench.world.vocabulary import PRETRAINING, Attributes, generator

IMAGE_SIZE = 32
MAX_DIFFICULTY = 0.7
MAX_FILLERS = 16
_DOMAIN_SHARES = {"photo": 0.70, "sketch": 0.10, "negative": 0.10, "flat": 0.10}

# {} is the phrase; TRAIT_TEMPLATES say something that must be true of the image
TEMPLATES = (
    "a photo of a {}.", "a photo of a {}.", "a {}.", "{}", "an image of a {}.", "a picture of the {}.",
    "one {}.", "this is a {}.", "a photo of the {}.", "there is a {} in the scene.", "a close view of a {}.",
)  # fmt: skip
TRAIT_TEMPLATES = {
    "photo": ("a photo of a {}.", "a natural photo of a {}."),
    "sketch": ("a sketch of a {}.", "a drawing of a {}.", "a pencil sketch of the {}."),
    "negative": ("a negative of a {}.", "an inverted photo of a {}."),
    "flat": ("a flat poster of a {}.", "a graphic of a {}, without texture."),
    "small": ("a small {}.", "a photo of a small {}.", "a {}, far away."),
    "large": ("a large {}.", "a photo of a large {}.", "a {}, very near."),
    "dark": ("a {} in the dark.", "a photo of a {} at night."),
    "bright": ("a {} in bright light.", "a photo of a {} at noon."),
    "busy": ("a {} among many things.", "a messy photo of a {}."),
    "clean": ("a {} alone.", "a clean photo of a {}."),
}
_WITHOUT_SHAPE = ("object", "thing", "figure")
_FILLERS = (
    "the of and with for this that some any other new old good great best very more most such only just "
    "also even still here there now then today often always never maybe about over under near between "
    "before after by at on in to from as like what which who where when how why we you they it our your "
    "their my his her is was are were be been has have had do does did can could will would may might "
    "must should make made take see seen look show find found use used work play keep give know think way "
    "day time year home house world people man woman child dog cat car tree water air city street room "
    "table book game team music food life part place point hand head number name word line kind type form "
    "size real true free full open high low long short big little early late next last first second three "
    "four five many few own same different nice happy quick slow hot cold warm soft hard light heavy "
    "simple special live love up down out off again once"
)
FILLERS = tuple(_FILLERS.split())


class Caption(NamedTuple):
    """A caption, and the attributes and traits that it claims its image has."""

    text: str
    claims: frozenset[str]


class Pair(NamedTuple):
    """One pretraining example."""

    image: Image.Image  # RGB, 32 x 32
    attributes: Attributes
    traits: frozenset[str]
    caption: Caption


def phrases(attributes: Attributes) -> tuple[str, ...]:
    """All ways to name one, two or three of the attributes; the benchmark's own order comes first."""
    pattern, colour, shape = attributes
    return (
        f"{pattern} {colour} {shape}",
        f"{colour} {pattern} {shape}",
        f"{pattern} {shape} in {colour}",
        f"{colour} {shape} that is {pattern}",
        f"{colour} {shape}",
        f"{pattern} {shape}",
        f"{shape}",
        *(f"{pattern} {colour} {noun}" for noun in _WITHOUT_SHAPE),
        *(f"{colour} {noun}" for noun in _WITHOUT_SHAPE),
        *(f"{pattern} {noun}" for noun in _WITHOUT_SHAPE),
    )


# half of all captions name all three in the benchmark's word order, as that is what has to be composed
_PHRASE_SHARES = np.array([0.48, 0.06, 0.05, 0.05, 0.09, 0.07, 0.05] + [0.05 / 3] * 9)


def caption(attributes: Attributes, traits: frozenset[str], rng: np.random.Generator) -> Caption:
    """A random true caption of an image with these attributes and traits."""
    options = phrases(attributes)
    phrase = options[rng.choice(len(options), p=_PHRASE_SHARES / _PHRASE_SHARES.sum())]
    claims = {word for word in attributes if word in phrase.split()}
    frames: tuple[str, ...] = TEMPLATES
    if rng.random() < 0.35:
        trait = sorted(traits)[rng.integers(len(traits))]
        claims.add(trait)
        frames = TRAIT_TEMPLATES[trait]
    text = " ".join([*_fillers(rng), frames[rng.integers(len(frames))].format(phrase)])
    return Caption(text, frozenset(claims))


def _fillers(rng: np.random.Generator) -> list[str]:
    """0 to 16 words that mean nothing here.

    They put the phrase at every position that a learned context of up to 16 tokens will push it to, so that
    such a context is no surprise to the text tower. "X" is the placeholder that prompt learners start from.
    """
    if rng.random() < 0.5:
        return []
    count = int(rng.integers(1, MAX_FILLERS + 1))
    if rng.random() < 0.2:
        return ["X"] * count
    return [FILLERS[i] for i in rng.integers(len(FILLERS), size=count)]


def pretraining_pair(index: int) -> Pair:
    """Example `index` of pretraining; any index >= 0 works, and equal indices give equal pairs."""
    rng = generator(f"fedbench/world/pretraining/{index}")
    attributes = PRETRAINING[rng.integers(len(PRETRAINING))]
    domain = str(rng.choice(list(_DOMAIN_SHARES), p=list(_DOMAIN_SHARES.values())))
    scene = sample_scene(attributes, domain=domain, difficulty=float(rng.uniform(0, MAX_DIFFICULTY)), rng=rng)
    image = draw(scene, size=IMAGE_SIZE, rng=rng)
    return Pair(image, attributes, scene.traits, caption(attributes, scene.traits, rng))
