"""The contract that every method of the zoo implements. Read `methods/promptfl.py` for the smallest example."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from fedbench.clip.prompts import Prompt
from fedbench.clip.protocol import Backbone
from fedbench.clip.tools import ClipTools
from fedbench.config import Frozen, validated
from fedbench.errors import FedbenchError
from fedbench.learned import Learned, Optimizer, OptimizerState
from fedbench.official import Official
from fedbench.quirks import Quirky

Tensors = dict[str, Tensor]
"""A method's tensors by name. In the engine each carries the clients axis first."""

MOMENTUM_LEAK = {
    "momentum-leak": "one SGD serves all clients: its momentum goes from client to client and from round to round"
}
"""A quirk of most drivers; `Method.optimizer_state` asks for it."""

DERIVED = ("shared", "optimizer", "payload", "trains")
"""What follows from `tensors` and is not said a second time."""


@dataclass(frozen=True)
class Batch:
    """One local step of several clients.

    Attributes:
        images: what the method's `image_input` asks for. (clients, batch, ...)
        labels: places in the label space of training. (clients, batch)
        valid: False where a client has fewer images than the batch is wide. (clients, batch) bool
        received: the shared tensors that the clients got from the server at the start of the round.
        seeds: a number for each client and step, from which a method draws what is random in training, with
            `fedbench.clip.dropout`; None: nothing is random. (clients,) int64
    """

    images: Tensor
    labels: Tensor
    valid: Tensor
    received: Tensors
    seeds: Tensor | None = None


class Method(Quirky, ClipTools, ABC):
    """A way to adapt a frozen CLIP in a federation. One file in `methods/`, found through the registry.

    All tensors of a step carry a leading clients axis: the engine trains several clients in one pass, and sums
    their losses before `backward`, so that each client's gradient is its own.

    This class is the contract; what methods use to fulfil it stands in `ClipTools` (prompts, features, scores).
    """

    paper: ClassVar[str]
    """Authors, title, venue, year."""
    bibtex: ClassVar[str] = ""
    """The paper's BibTeX entry, indented as it stands in the code."""
    code: ClassVar[str] = ""
    """The authors' repository and commit, where there is one."""
    image_input: str = "embedding"
    """What `losses` and `logits` want of an image: the engine computes and caches up to there, for all clients.

    "embedding" (embed,), "tokens" (1 + patches, embed), "block:3" (the input of image block 3: 1 + patches, width)
    or "pixels" (3, side, side), which is not cached. A class attribute, or set in `__init__` where it depends on
    hyper-parameters.
    """
    phrase: str = ""
    """Words that the learned tokens start from; the authors' tokenised prompts show them in the tokens' places."""
    official: ClassVar[Official | None] = None

    class Hyper(Frozen):
        """Hyper-parameters with the paper's values. Subclasses add their own, or replace these."""

        lr: PositiveFloat = Field(1e-3, description="learning rate of SGD")
        momentum: NonNegativeFloat = Field(0.9, description="of SGD")
        weight_decay: NonNegativeFloat = Field(5e-4, description="of SGD")

    hyper: Frozen
    """The values in force; a method says `hyper: Hyper` below its own `Hyper`."""

    def __init_subclass__(cls, **kwargs: Any):
        """Refuses what an older contract had, which would be ignored without a word."""
        super().__init_subclass__(**kwargs)
        for name in DERIVED:
            if name in cls.__dict__:
                raise FedbenchError(
                    f"{cls.__name__} sets '{name}', which follows from its tensors: say it there "
                    "(`tensors`, fedbench.learned.Learned)"
                )

    def __init__(
        self,
        clip: Backbone,
        classnames: Sequence[str],
        *,
        hyper: Mapping[str, Any] | None = None,
        quirks: Sequence[str] = (),
    ):
        """
        Args:
            clip: the backbone.
            classnames: label space of training.
            hyper: hyper-parameters that differ from the defaults.
            quirks: names of released behaviours to switch on.

        Raises:
            FedbenchError: unknown or impossible hyper-parameter, unknown quirk.
        """
        super().__init__(clip)
        self._switch_on(quirks)
        self.classnames = tuple(classnames)
        self.hyper = validated(self.Hyper, dict(hyper or {}), where=self.name)
        self.remembered: Tensors = {}
        """What a quirk lets later tests see of earlier ones; belongs into a checkpoint."""

    # -- what a method writes -------------------------------------------------------------------------------

    @abstractmethod
    def tensors(self) -> dict[str, Learned]:
        """What a client learns: its tensors by name, with shape, start, whether they are shared, and optimiser."""

    @abstractmethod
    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """The prompts of a label space, one per class, with slots where learned tokens stand."""

    @abstractmethod
    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of a trained model over any label space. images (clients, n, ...) → (clients, n, classes)"""

    # -- what a method may change ---------------------------------------------------------------------------

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """The terms of the training loss by name, weights included; their sum is minimised. Each (clients,)

        By default the cross-entropy of `logits` over training's classes.
        """
        return {"ce": self.cross_entropy(self.logits(p, batch.images, self.classnames), batch)}

    def init(self, rng: torch.Generator) -> Tensors:
        """One client's tensors at the start, on the CPU, without the clients axis: each as `tensors` declares."""
        return {name: tensor.start(tensor.shape, rng) for name, tensor in self.learned.items()}

    def aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors, *, round_: int) -> Tensors:
        """The server's step: here FedAvg, weighted by numbers of training images.

        Args:
            uploads: the participants' shared tensors. (participants, ...)
            counts: their numbers of training images. (participants,)
            previous: the server's tensors before this round.
            round_: the round, from 0.
        """
        weights = (counts / counts.sum()).to(torch.float32)
        return {name: torch.tensordot(weights.to(x.device), x, dims=1) for name, x in uploads.items()}

    def phases(self, local_epochs: int) -> list[Sequence[str]]:
        """Names of the tensors that are trained in each local epoch of a round: here all, `local_epochs` times."""
        return [tuple(self.learned)] * local_epochs

    @property
    def ablations(self) -> Mapping[str, Sequence[str]]:
        """Scores that are logged besides, as `<metric>/<name>`: name to the tensors that are zero in them."""
        return {}

    def skip(self) -> str | None:
        """Why this method cannot run on this backbone, or None."""
        if self.image_input != "embedding" and self.clip.image is None:
            return (
                f"{self.name} works inside the image tower, and that of {self.clip.name} is no plain vision "
                "transformer"
            )
        return None

    # -- what only quirks change: released behaviours that the engine reads ---------------------------------

    @property
    def leaked(self) -> tuple[str, ...]:
        """Personal tensors that pass from each client to the next instead of staying with it."""
        return ()

    @property
    def dropped(self) -> tuple[int, ...]:
        """Clients that neither train nor are tested."""
        return ()

    @property
    def restarts(self) -> bool:
        """Whether personal tensors start again from the common start in every round."""
        return False

    @property
    def everyone_trains(self) -> bool:
        """Whether all clients train in every round, whatever the participation."""
        return False

    # -- what `bench parity` compares -----------------------------------------------------------------------

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Intermediate quantities under the names of the golden files.

        A name that ends in `_per_step` stands for a number: its value before each recorded step is compared.
        """
        return {}

    def probe_aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors) -> dict[str, Tensors]:
        """Intermediate quantities of the server's step, by the golden file's name and tensor."""
        return {}

    # -- what follows ---------------------------------------------------------------------------------------

    @cached_property
    def learned(self) -> dict[str, Learned]:
        """`tensors`, asked once."""
        return self.tensors()

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of the tensors that the server averages."""
        return tuple(name for name, tensor in self.learned.items() if tensor.shared)

    @property
    def trains(self) -> bool:
        """False for methods that only evaluate: they learn nothing."""
        return bool(self.learned)

    def optimizer(self, name: str) -> Optimizer:
        """How tensor `name` is trained."""
        return self.learned[name].optimizer or self.sgd()

    @cached_property
    def payload(self) -> dict[str, int]:
        """Numbers of trainable, shared and personal parameters of one client."""
        sizes = {name: torch.Size(tensor.shape).numel() for name, tensor in self.learned.items()}
        shared = sum(sizes[name] for name in self.shared)
        trainable = sum(sizes.values())
        return {"trainable": trainable, "shared": shared, "personal": trainable - shared}

    # -- what methods use -----------------------------------------------------------------------------------

    def sgd(self, *, state: OptimizerState = "fresh") -> Optimizer:
        """SGD with the values in `Hyper`, by default fresh for each client and round."""
        h = self.hyper
        assert isinstance(h, Method.Hyper), (
            f"{self.name}.Hyper has no learning rate: give its tensors optimisers"
        )
        return Optimizer(
            lr=h.lr, momentum=h.momentum, weight_decay=h.weight_decay, state=self.optimizer_state(state)
        )

    def optimizer_state(self, usual: OptimizerState = "fresh") -> OptimizerState:
        """Where the state of an optimiser goes: as `usual`, or to the next client under `momentum-leak`."""
        return "passed on" if "momentum-leak" in self.active_quirks else usual

    @staticmethod
    def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
        """Mean over each client's own images. logits (clients, batch, classes) → (clients,)"""
        each = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
        return (each.view_as(batch.valid) * batch.valid).sum(1) / batch.valid.sum(1)
