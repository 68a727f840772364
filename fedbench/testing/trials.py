"""A method on a small CLIP: what its checks share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedbench.clip.model import FrozenCLIP, hash_model
from fedbench.config import validated
from fedbench.engine.federation import Federation, RoundResult
from fedbench.engine.local import Step
from fedbench.errors import FedbenchError
from fedbench.method import Method, Tensors
from fedbench.seeds import torch_stream
from fedbench.testing.base import moved_generators
from fedbench.testing.worlds import COUNTS, NAMES, FixedData, pixel_batches, random_clip

LARGE_STEPS = {"lr": 0.05}
"""A learning rate at which a few steps matter, for methods that have one."""


@dataclass
class History:
    """Two rounds of a federation.

    Attributes:
        fed: the federation after them.
        start: its first three clients' tensors at the start. (clients, ...)
        rounds, states, scores: of each round: what happened, and the state and all clients' scores after it.
        moved: the global generators that were drawn from.
    """

    fed: Federation
    start: Tensors
    rounds: list[RoundResult]
    states: list[Tensors]
    scores: list[Tensor]
    moved: list[str]


class MethodTrial:
    """A method class under test; runs are made once and shared by the checks."""

    def __init__(
        self, cls: type[Method], *, clip: FrozenCLIP | None = None, hyper: Mapping[str, Any] | None = None
    ):
        """
        Args:
            clip: what to try it on; by default a small CLIP with random weights and unequal towers.
            hyper: hyper-parameters that differ from the defaults.
        """
        self.cls, self.name, self.clip = cls, cls.name, clip or random_clip()
        self.hyper = dict(hyper or {})
        self.hyper = {key: x for key, x in LARGE_STEPS.items() if self._takes(key, x)} | self.hyper
        self.weights = hash_model(self.clip.model)
        self._histories: dict[tuple[bool, tuple[str, ...]], History] = {}

    def _takes(self, key: str, value: Any) -> bool:
        try:
            validated(self.cls.Hyper, self.hyper | {key: value}, where=self.name)
        except FedbenchError:
            return False
        return True

    def make(self, *, clip: Any = None, names: Sequence[str] = NAMES, quirks: Sequence[str] = ()) -> Method:
        """The method, by default on the trial's own CLIP."""
        return self.cls(clip or self.clip, names, hyper=self.hyper, quirks=quirks)

    @property
    def trains(self) -> bool:
        """False for methods that only evaluate."""
        return self.make().trains

    def federation(self, *quirks: str, six: bool = False, **settings: Any) -> Federation:
        """Three clients with three, three and two batches; `six`: twice that, and half of them take part."""
        method = self.make(quirks=quirks)
        data, counts = FixedData(method), list(COUNTS)
        if six:  # some quirks need a sixth client, or one that stays away
            data.batches, counts = data.batches * 2, counts * 2
            settings["participation"] = 0.5
        return Federation(method, data, counts=counts, seed=1, **settings)

    def history(self, *quirks: str, six: bool = False) -> History:
        """Two rounds, run once."""
        if (six, quirks) not in self._histories:
            with moved_generators() as moved:
                fed = self.federation(*quirks, six=six)
                known = History(fed, copied(fed.model([0, 1, 2])), [], [], [], moved)
                for r in range(2):
                    known.rounds.append(fed.run_round(r))
                    known.scores.append(scores(fed))
                    known.states.append(copied(fed.state()))
            self._histories[six, quirks] = known
        return self._histories[six, quirks]

    def start(self, method: Method, clients: int) -> Tensors:
        """The common start, for some clients. (clients, ...)"""
        return {name: x.expand(clients, *x.shape).clone() for name, x in method.init(rng()).items()}

    def step(self, method: Method, clients: int) -> Step:
        """The first local step of some clients."""
        return next(iter(FixedData(method).steps(0, range(clients))))


def rng() -> torch.Generator:
    """The stream of common starts of seed 1."""
    return torch_stream(1, "init")


def copied(tensors: Tensors) -> Tensors:
    """The same values in other memory."""
    return {name: x.clone() for name, x in tensors.items()}


def some_images(method: Method) -> Tensor:
    """Four images that nobody trains on last. (images, ...)"""
    return method.clip.image_input(pixel_batches(method.clip.preprocess.size)[2][1][0], method.image_input)


def scores(fed: Federation, names: Sequence[str] = NAMES) -> Tensor:
    """What all clients' models say about some images. (clients, images, classes)"""
    images, everyone = some_images(fed.method), range(len(fed.counts))
    with torch.no_grad():
        return fed.method.logits(fed.model(everyone), images.expand(len(everyone), *images.shape), names)


def different(a: Tensors, b: Tensors) -> list[str]:
    """Names of the tensors that are not the same to the bit, or only in one of both."""
    return [
        name for name in {**a, **b} if name not in a or name not in b or not torch.equal(a[name], b[name])
    ]


def near(a: Tensor, b: Tensor, *, absolute: float, relative: float) -> bool:
    """Whether all values are the same but for rounding."""
    return a.shape == b.shape and torch.allclose(a, b, atol=absolute, rtol=relative)
