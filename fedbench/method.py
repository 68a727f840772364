"""The contract that every method of the zoo implements. Read `methods/promptfl.py` for the smallest example."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat
from torch import Tensor

from fedbench.clip.blocks import UNCHANGED, Hooks, product
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.prompts import Prompt, PromptTree, context_prompt, text_prompt
from fedbench.config import validated
from fedbench.errors import FedbenchError, unknown
from fedbench.official import Official

Tensors = dict[str, Tensor]
"""A method's tensors by name. In the engine each carries the clients axis first."""

MOMENTUM_LEAK = {
    "momentum-leak": "one SGD serves all clients: its momentum goes from client to client and from round to round"
}


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


@dataclass(frozen=True)
class Optimizer:
    """How one tensor is trained.

    Attributes:
        kind: "sgd" or "adamw", each as in `torch.optim`.
        lr, weight_decay: of either; momentum: of SGD; betas: of AdamW.
        state: "fresh" starts anew for each client and round (FedAvg); "kept" stays with the client.
        half: tensor and state are rounded to half precision after each step.
    """

    lr: float
    weight_decay: float
    kind: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    state: Literal["fresh", "kept"] = "fresh"
    half: bool = False


class Settings(BaseModel):
    """Hyper-parameters: immutable, unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Method(ABC):
    """A way to adapt a frozen CLIP in a federation. One file in `methods/`, found through the registry.

    All tensors of a step carry a leading clients axis: the engine trains several clients in one pass, and sums
    their losses before `backward`, so that each client's gradient is its own.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    """Authors, title, venue, year."""
    code: ClassVar[str] = ""
    """The authors' repository and commit, where there is one."""
    shared: tuple[str, ...] = ()
    """Tensors that the server averages. Everything else stays with the client. A class attribute; set again in
    `__init__` where it depends on hyper-parameters or quirks."""
    quirks: ClassVar[Mapping[str, str]] = {}
    """Released behaviours that differ from the paper: name and one line. Off by default."""
    image_input: str = "embedding"
    """What `losses` and `logits` want of an image: the engine computes and caches up to there, for all clients.

    "embedding" (embed,), "tokens" (1 + patches, embed), "block:3" (the input of image block 3: 1 + patches, width)
    or "pixels" (3, side, side), which is not cached. A class attribute, or a property where it depends on
    hyper-parameters.
    """
    trains: ClassVar[bool] = True
    """False for methods that only evaluate."""
    phrase: str = ""
    """Words that the learned tokens start from; the authors' tokenised prompts show them in the tokens' places."""
    official: ClassVar[Official | None] = None

    class Hyper(Settings):
        """Hyper-parameters with the paper's values. Subclasses add their own, or replace these."""

        lr: PositiveFloat = 1e-3
        momentum: NonNegativeFloat = 0.9
        weight_decay: NonNegativeFloat = 5e-4

    def __init__(
        self,
        clip: FrozenCLIP,
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
        self.clip = clip
        self.classnames = tuple(classnames)
        self.hyper: Any = validated(self.Hyper, dict(hyper or {}), where=self.name)
        for quirk in quirks:
            if quirk not in self.quirks:
                raise (
                    unknown(f"quirk of {self.name}", quirk, self.quirks)
                    if self.quirks
                    else FedbenchError(f"{self.name} has no quirks: '{quirk}' does not apply")
                )
        self.active_quirks = frozenset(quirks)
        self._trees: dict[tuple[str, ...], PromptTree] = {}
        self.memory: Tensors = {}
        """What a quirk lets later tests see of earlier ones; belongs into a checkpoint."""

    # -- what a method writes -------------------------------------------------------------------------------

    @abstractmethod
    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """The prompts of a label space, one per class, with slots where learned tokens stand."""

    @abstractmethod
    def init(self, rng: torch.Generator) -> Tensors:
        """One client's tensors at the start, without the clients axis; all of them are trained. On the CPU."""

    @abstractmethod
    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """The terms of the training loss by name, weights included; their sum is minimised. Each (clients,)"""

    @abstractmethod
    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of a trained model over any label space. images (clients, n, ...) → (clients, n, classes)"""

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

    def optimizer(self, name: str) -> Optimizer:
        """How tensor `name` is trained: here SGD with the values in `Hyper`, fresh for each client and round."""
        return Optimizer(lr=self.hyper.lr, momentum=self.hyper.momentum, weight_decay=self.hyper.weight_decay)

    def phases(self, local_epochs: int) -> list[Sequence[str]]:
        """Names of the tensors that are trained in each local epoch of a round: here all, `local_epochs` times."""
        return [tuple(self.init(torch.Generator()))] * local_epochs

    @property
    def ablations(self) -> Mapping[str, Sequence[str]]:
        """Scores that are logged besides, as `<metric>/<name>`: name to the tensors that are zero in them."""
        return {}

    @property
    def leaked(self) -> tuple[str, ...]:
        """Personal tensors that, under a quirk, pass from each client to the next instead of staying with it."""
        return ()

    @property
    def dropped(self) -> tuple[int, ...]:
        """Clients that, under a quirk, neither train nor are tested."""
        return ()

    def skip(self) -> str | None:
        """Why this method cannot run on this backbone, or None."""
        if self.image_input != "embedding" and self.clip.image is None:
            return (
                f"{self.name} works inside the image tower, "
                f"and that of {self.clip.name} is no plain vision transformer"
            )
        return None

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Intermediate quantities under the names of the golden files, for `bench parity`.

        A name that ends in `_per_step` stands for a number: its value before each recorded step is compared.
        """
        return {}

    def probe_aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors) -> dict[str, Tensors]:
        """Intermediate quantities of the server's step, by the golden file's name and tensor, for `bench parity`."""
        return {}

    # -- what methods use -----------------------------------------------------------------------------------

    def contexts(self, classnames: Sequence[str], *, n_ctx: int, position: str = "end") -> list[Prompt]:
        """CoOp's prompts: [SOS] learned tokens, class name, full stop, [EOT]; underscores in names are spaces."""
        names = (name.replace("_", " ") for name in classnames)
        return [
            context_prompt(self.clip.text.tokenize, name, n_ctx=n_ctx, position=position) for name in names
        ]

    def sentences(self, classnames: Sequence[str], template: str = "a photo of a {}.") -> list[Prompt]:
        """Prompts of plain words, by default CLIP's; {} stands for the name, whose underscores are spaces."""
        texts = (template.replace("{}", name.replace("_", " ")) for name in classnames)
        return [text_prompt(self.clip.text.tokenize, text) for text in texts]

    @torch.no_grad()
    def encode_words(self, prompts: Sequence[Prompt]) -> Tensor:
        """Text features of prompts without learned tokens, which are constant in training. (1, classes, embed)"""
        return self.encode(self.clip.text.pack(prompts))[:, 0]

    def tree(self, classnames: Sequence[str]) -> PromptTree:
        """`prompts(classnames)` packed for the text tower, on the backbone's device; made once per label space."""
        key = tuple(classnames)
        if key not in self._trees:
            self._trees[key] = self.clip.text.pack(self.prompts(key))
        return self._trees[key]

    def encode(self, tree: PromptTree, context: Tensor | None = None, hooks: Hooks = UNCHANGED) -> Tensor:
        """Text features of length 1. context (clients, sets, n_ctx, width) → (clients, sets, classes, embed)"""
        with self.clip.autocast():
            features = self.clip.text.encode(tree, context, hooks)
        return F.normalize(features.float(), dim=-1)

    def encode_images(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int = 0) -> Tensor:
        """Image features, not normalised. Input of block `first` (clients, n, tokens, width) → (clients, n, embed)"""
        assert self.clip.image is not None, "methods that work inside the image tower are skipped without one"
        with self.clip.autocast():
            return self.clip.image.encode(x, hooks, first=first).float()

    def cosine_logits(self, images: Tensor, text: Tensor) -> Tensor:
        """CLIP's scores. (clients, n, embed), (clients, classes, embed) → (clients, n, classes)"""
        return product(self.clip.logit_scale * F.normalize(images, dim=-1), text.transpose(1, 2))

    def see(self, pixels: Tensor, hooks: Hooks = UNCHANGED) -> Tensor:
        """Image features, not normalised. Pixels (clients, n, 3, side, side) → (clients, n, embed)"""
        assert self.clip.image is not None, "methods that work inside the image tower are skipped without one"
        with self.clip.autocast():
            x = self.clip.image.tokens(pixels)
        return self.encode_images(x, hooks)

    @staticmethod
    def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
        """Mean over each client's own images. logits (clients, batch, classes) → (clients,)"""
        each = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
        return (each.view_as(batch.valid) * batch.valid).sum(1) / batch.valid.sum(1)

    @staticmethod
    def normal(*shape: int, rng: torch.Generator, std: float = 0.02) -> Tensor:
        """A tensor from N(0, std²), CoOp's initialisation."""
        return torch.randn(*shape, generator=rng) * std

    @staticmethod
    def uniform(*shape: int, rng: torch.Generator, fan_in: int) -> Tensor:
        """A tensor from U(±1/√fan_in), PyTorch's initialisation of linear layers."""
        return (2 * torch.rand(*shape, generator=rng) - 1) / fan_in**0.5

    def quirk(self, name: str) -> bool:
        """Whether a released behaviour is switched on."""
        return name in self.active_quirks
