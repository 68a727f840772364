"""A method that keeps to the contract, and many with one fault each."""

import random

import numpy as np
import torch
from pydantic import Field

from fedbench.learned import Learned, normal
from fedbench.method import Method


class Shifted(Method):
    """Class features, shifted by a shared and a personal vector."""

    name = "Shifted"
    paper = "An example."
    quirks = {"momentum-leak": "one SGD serves all clients", "doubled": "the personal vector counts twice"}

    def tensors(self):
        return {
            "own": Learned((self.clip.embed_dim,), normal()),
            "common": Learned((self.clip.embed_dim,), normal(), shared=True),
        }

    def prompts(self, classnames):
        return self.sentences(classnames)

    def shift(self, p):
        return (p["own"] * (2 if self.quirk("doubled") else 1) + p["common"])[:, None]

    def losses(self, p, batch):
        return {"ce": self.cross_entropy(self.logits(p, batch.images, self.classnames), batch)}

    def logits(self, p, images, classnames):
        return self.cosine_logits(images, self.encode_words(self.prompts(classnames)) + self.shift(p))


class Untold(Shifted):
    paper = " "


class Mumbled(Shifted):
    """The name of a quirk, and its line."""

    quirks = {**Shifted.quirks, "Not So": "short"}


class Undocumented(Shifted):
    """A hyper-parameter that nobody explains."""

    class Hyper(Method.Hyper):
        """lr: the rate."""

        told: float = Field(default=1.0, description="explained here")
        riddle: float = 1.0


class Needy(Shifted):
    """A hyper-parameter without a value."""

    class Hyper(Method.Hyper):
        """mu: a weight."""

        mu: float


class NoJSON(Shifted):
    """A hyper-parameter that no record can hold."""

    class Hyper(Method.Hyper):
        """power: of ten."""

        power: float = float("inf")


class Careless(Shifted):
    """Takes any hyper-parameter."""

    def __init__(self, clip, classnames, *, hyper=None, quirks=()):
        super().__init__(clip, classnames, quirks=quirks)


class Typo(Shifted):
    """Trains a tensor that is not there."""

    def phases(self, local_epochs):
        return [("onw", "common")] * local_epochs


class Global(Shifted):
    """A start from the global generator."""

    def init(self, rng):
        start = super().init(rng)
        return start | {"own": torch.randn_like(start["own"])}


class Unlike(Shifted):
    """A start of another shape."""

    def init(self, rng):
        start = super().init(rng)
        return start | {"own": start["own"][:2]}


class Double(Shifted):
    """A start in double precision."""

    def init(self, rng):
        return {name: x.double() for name, x in super().init(rng).items()}


class PerClass(Shifted):
    """A tensor for each class."""

    def tensors(self):
        shape = (len(self.classnames), self.clip.embed_dim)
        return super().tensors() | {"own": Learned(shape, normal())}

    def shift(self, p):
        return p["own"].mean(1)[:, None] + p["common"][:, None]


class Long(Shifted):
    """Prompts that do not fit."""

    def prompts(self, classnames):
        return [[0] * 90 for _ in classnames]


class Prober(Shifted):
    """A probe that breaks."""

    def probe(self, p, batch):
        return {"x": p["nothing"]}


class Summed(Shifted):
    """A loss without the clients axis."""

    def losses(self, p, batch):
        return {"ce": super().losses(p, batch)["ce"].mean()}


class Mixed(Shifted):
    """A loss of one client in which the others count."""

    def losses(self, p, batch):
        ce = super().losses(p, batch)["ce"]
        return {"ce": ce + 0.1 * ce.mean()}


class Neighbour(Shifted):
    """A gradient from the neighbour's images, in a loss that is right."""

    def losses(self, p, batch):
        theirs = {name: x.roll(1, 0) for name, x in p.items()}
        extra = super().losses(theirs, batch)["ce"]
        return {"ce": super().losses(p, batch)["ce"] + (extra - extra.detach())}


class Padded(Shifted):
    """Counts fillers."""

    def losses(self, p, batch):
        logits = self.logits(p, batch.images, self.classnames).flatten(0, 1)
        each = torch.nn.functional.cross_entropy(logits, batch.labels.flatten(), reduction="none")
        return {"ce": each.view_as(batch.labels).mean(1)}


class Idle(Shifted):
    """Declares a tensor that no loss depends on."""

    def tensors(self):
        return super().tensors() | {"unused": Learned((2,), lambda shape, rng: torch.zeros(shape))}


class Sum(Shifted):
    """A server that adds."""

    def aggregate(self, uploads, counts, previous, *, round_):
        return {name: x.sum(0) for name, x in uploads.items()}


class Forgetful(Shifted):
    """Remembers in an attribute what no checkpoint holds."""

    seen = 0

    def losses(self, p, batch):
        self.seen += 1
        return {name: x * (1 + self.seen / 10) for name, x in super().losses(p, batch).items()}


class Deaf(Shifted):
    """A quirk that nobody asks for."""

    def shift(self, p):
        return (p["own"] + p["common"])[:, None]


class Fresh(Shifted):
    """An optimiser of its own, which momentum-leak does not reach."""

    def optimizer_state(self, usual="fresh"):
        return usual


class Noisy(Shifted):
    """Draws from numpy's global generator in training."""

    def losses(self, p, batch):
        noise = float(np.random.random()) + random.random()
        return {"ce": super().losses(p, batch)["ce"] + 0 * noise}


class Fast(Shifted):
    """Another number where the plain path runs."""

    def losses(self, p, batch):
        plain = type(self.clip).__name__ == "PlainCLIP"
        return {name: x * (1.01 if plain else 1) for name, x in super().losses(p, batch).items()}


class Flat(Shifted):
    """Scores without the images axis."""

    def logits(self, p, images, classnames):
        return super().logits(p, images, classnames)[:, 0]

    def losses(self, p, batch):
        return {"ce": (p["own"] + p["common"]).square().sum(1)}


class Ordered(Shifted):
    """Scores that depend on a class's place."""

    def logits(self, p, images, classnames):
        return super().logits(p, images, classnames) + torch.arange(len(classnames))


class Centred(Shifted):
    """Scores that depend on the other images."""

    def logits(self, p, images, classnames):
        scores = super().logits(p, images, classnames)
        return scores - scores.mean(1, keepdim=True)


class Same(Shifted):
    """Tests everybody with the first client's tensors."""

    def logits(self, p, images, classnames):
        return super().logits({name: x[:1].expand_as(x) for name, x in p.items()}, images, classnames)


class Small(Shifted):
    """Fits only one backbone."""

    def tensors(self):
        return {name: Learned((48,), normal(), shared=x.shared) for name, x in super().tensors().items()}


class Particular(Shifted):
    """Wants tokens, and does not say that a ResNet has none."""

    image_input = "tokens"

    def logits(self, p, images, classnames):
        return super().logits(p, images[:, :, 0], classnames)

    def skip(self):
        return None


class Vandal(Shifted):
    """Trains the backbone."""

    def losses(self, p, batch):
        self.clip.model.logit_scale.data += 0.001
        return super().losses(p, batch)
