"""What the tests of methods share: runs of a small federation, and models that are only sizes."""

from functools import cache
from typing import Any

import torch

from fedbench.clip import FrozenCLIP
from fedbench.clip.load import skeleton
from fedbench.engine.federation import Federation
from fedbench.engine.local import Step, losses_and_gradients
from fedbench.method import Method, Tensors
from fedbench.reference import PlainCLIP, run_plain
from fedbench.registry import METHODS
from fedbench.seeds import torch_stream
from tests.helpers.worlds import COUNTS, NAMES, FixedData, make_method, pixel_batches


def same(a: Tensors, b: Tensors) -> bool:
    """The same names and the same bits."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def distance(a: Tensors, b: Tensors) -> float:
    """Largest difference of the tensors of the same names."""
    assert a.keys() == b.keys()
    return max((float((a[k] - b[k]).abs().max()) for k in a), default=0.0)


def start(method: Method) -> Tensors:
    """The method's own start."""
    return method.init(torch_stream(1, "init"))


def federation(method: Method, *, local_epochs: int = 1, **settings: Any) -> Federation:
    """Three clients with unequal numbers of batches."""
    data = FixedData(method, local_epochs)
    return Federation(method, data, counts=COUNTS, seed=1, local_epochs=local_epochs, **settings)


def run(method: Method, rounds: int = 2, **settings: Any):
    """A federation after some rounds, and what happened in them."""
    fed = federation(method, **settings)
    return fed, [fed.run_round(r) for r in range(rounds)]


def logits(fed: Federation, client: int = 0, names=NAMES) -> torch.Tensor:
    """Scores of a client's model on some images."""
    method = fed.method
    with torch.no_grad():
        images = method.clip.image_input(pixel_batches()[2][1][0], method.image_input)
        return method.logits(fed.model([client]), images[None], names)[0]


def against_plain(name: str, clip, *, begin=start, local_epochs: int = 2, rounds: int = 2, **hyper: Any):
    """Largest differences of the federation from the plain path: tensors after each round, last logits."""
    method, plain = (make_method(name, c, hyper=hyper) for c in (clip, PlainCLIP(clip)))
    first = begin(method)
    history = run_plain(
        plain, first, pixel_batches(), COUNTS, rounds=rounds, local_epochs=local_epochs, seed=1
    )
    fed = federation(method, local_epochs=local_epochs, start=first)
    worst = 0.0
    for r, (server, personal) in enumerate(history):
        fed.run_round(r)
        worst = max(worst, distance(fed.server, server))
        for k, own in enumerate(personal):
            worst = max(worst, distance({n: x[k] for n, x in fed.personal.items()}, own))
    scores = 0.0
    for k, own in enumerate(personal):
        p = {n: x[None] for n, x in (server | own).items()}
        with torch.no_grad():
            images = plain.clip.image_input(pixel_batches()[2][1][0], plain.image_input)
            theirs = plain.logits(p, images[None], NAMES)[0]
        scores = max(scores, float((logits(fed, k) - theirs).abs().max()))
    return worst, scores


def gradients(method: Method, p: Tensors, *, clients: int = 1, seeds=None):
    """Losses and gradients of one step of some clients at once, all with the tensors p (clients, ...)."""
    step = next(iter(FixedData(method).steps(0, list(range(clients)))))
    step = Step(step.images, step.labels, step.valid, step.active)
    received = {n: p[n] for n in method.shared}
    return losses_and_gradients(method, p, step, received=received, seeds=seeds)


@cache
def vit_b_16() -> FrozenCLIP:
    """The sizes of ViT-B/16, without weights."""
    return skeleton("ViT-B-16")


def towers(layers: int = 12, text_layers: int = 12) -> FrozenCLIP:
    """ViT-B/16 with other numbers of blocks, without weights."""
    clip = skeleton("ViT-B-16")
    clip.image.blocks, clip.text.blocks = (
        (tower.blocks * 2)[:count] for tower, count in ((clip.image, layers), (clip.text, text_layers))
    )
    return clip


@cache
def resnet() -> FrozenCLIP:
    """A CLIP whose image encoder is no vision transformer, without weights."""
    return skeleton("RN50")


def sizes(name: str, **switches: Any) -> dict[str, int]:
    """Trainable, shared and personal numbers on ViT-B/16."""
    return METHODS[name](vit_b_16(), NAMES, **switches).payload
