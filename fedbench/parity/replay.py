"""Our numbers for a recorded file: the method on the file's inputs, under the file's keys."""

import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fedbench.clip import FrozenCLIP
from fedbench.engine.federation import Federation
from fedbench.engine.local import Step, losses_and_gradients, train_locally
from fedbench.errors import FedbenchError
from fedbench.method import Batch, Method, Tensors
from fedbench.official import Variant
from fedbench.parity.build import build, start, tensors
from fedbench.parity.compare import Numbers
from fedbench.parity.golden import GoldenFile
from fedbench.parity.names import named, numbered, official

X_TOKEN = 343
"""The placeholder word "X" in tokenised prompts; the learned tokens stand there."""


def single_step(
    file: GoldenFile, clip: FrozenCLIP, cls: type[Method], prefix: str, variant: Variant
) -> Numbers:
    """Everything that we can say about a single-step file.

    Raises:
        FedbenchError: the file lacks an input, or has one of another size.
    """
    method = build(file, cls, clip, variant).method
    step = whole_batch(file, method, "")
    own = {name: x[None] for name, x in start(file, method).items()}
    received = own | {name: x[None] for name, x in tensors(file, method, "global/").items()}
    ours = _at_start(method, own, step, received)
    if own:
        for key, switched in official(cls).gradients.items():
            leaves = {name: x.clone() for name, x in own.items()}
            other = build(file, cls, clip, switched).method
            ours |= named(cls, key, losses_and_gradients(other, leaves, step, received=received)[1])
        ours |= _trained(method, own, step, received, ours)
    shown = variant.shows
    return {prefix + key.removeprefix(shown): value for key, value in ours.items() if key.startswith(shown)}


def _at_start(method: Method, own: Tensors, step: Step, received: Tensors) -> Numbers:
    """Tokens, gradients, terms of the loss, scores and what the method probes, before training."""
    leaves = {name: x.clone().requires_grad_() for name, x in own.items()}
    ours = {"tokens": _tokens(method)}
    if method.image_input == "embedding":
        ours["image_features"] = torch.nn.functional.normalize(step.images[0], dim=-1).numpy()
    if leaves:
        losses, gradients = losses_and_gradients(method, leaves, step, received=received)
        ours |= named(type(method), "grad", gradients)
    with torch.no_grad():
        batch = Batch(step.images, step.labels, step.valid, received)
        losses = method.losses(own, batch)
        ours |= {f"loss_{name}": x[0].numpy() for name, x in losses.items()}
        ours["loss"] = sum((x[0] for x in losses.values()), torch.zeros(())).numpy()
        ours |= {name: x.numpy() for name, x in method.probe(own, batch).items()}
        ours["logits_eval"] = ours["logits_train"] = _logits(method, own, step)
    return ours


def _trained(method: Method, own: Tensors, step: Step, received: Tensors, ours: Numbers) -> Numbers:
    """Tensors and momentum after one, two and three steps, and what is recorded before each step."""
    found: Numbers = {}
    per_step = {key: [x] for key, x in ours.items() if key.endswith("_per_step")}
    for steps, names in ((1, ("step", "buf")), (2, ("step2", "buf2")), (3, ("step3", "buf3"))):
        trained = train_locally(method, own, [step] * steps, received=received)
        if per_step and steps < 3:
            probed = method.probe(trained.tensors, Batch(step.images, step.labels, step.valid, received))
            per_step = {key: [*values, probed[key].numpy()] for key, values in per_step.items()}
        momentum = {
            name: trained.state[f"{name}/momentum"] for name in own if f"{name}/momentum" in trained.state
        }
        found |= named(type(method), names[0], trained.tensors) | named(type(method), names[1], momentum)
    found["loss_per_step"] = torch.stack(list(trained.losses.values())).sum(0)[0].numpy()
    found["logits_eval_after3"] = _logits(method, trained.tensors, step)
    return found | {key: np.stack(values) for key, values in per_step.items()}


def federation(file: GoldenFile, clip: FrozenCLIP, cls: type[Method], variant: Variant) -> Numbers:
    """A recorded federation, run by the engine's own loop.

    Raises:
        FedbenchError: the file lacks an input, or has one of another size.
    """
    rounds = [int(match[1]) for key in file.arrays if (match := re.match(r"round(\d+)/", key))]
    if not rounds:
        raise FedbenchError("it records no round: no round0/…")
    method = build(file, cls, clip, variant).method
    counts, epochs = file.counts.tolist(), local_epochs(file, method)
    data = RecordedBatches(file, method, epochs=len(method.phases(epochs)))
    fed = Federation(method, data, counts=counts, seed=0, local_epochs=epochs, start=start(file, method))
    images = clip.image_input(file.images("eval/images", clip), method.image_input)[None]

    def logits(client: int) -> np.ndarray:
        with torch.no_grad():
            return method.logits(fed.model([client]), images, file.classnames)[0].numpy()

    ours = {"init_logits_eval": logits(0), "tokens": _tokens(method)}
    for r in range(1 + max(rounds)):
        happened = fed.run_round(r)
        totals = torch.stack(list(happened.losses.values())).sum(0)  # (clients, steps)
        ours |= named(cls, f"round{r}/server", {name: x[None] for name, x in fed.server.items()})
        for place, client in enumerate(happened.participants):
            here = f"round{r}/client{client}"
            ours[f"{here}/loss_per_batch"] = totals[place][happened.active[place]].numpy()
            uploads = {name: x[place][None] for name, x in happened.uploads.items()}
            ours |= named(cls, f"{here}/upload", uploads)
        for client in range(len(counts)):
            here = f"round{r}/client{client}"
            ours |= named(cls, here, {name: x[client][None] for name, x in fed.personal.items()})
            ours[f"{here}/logits_eval"] = logits(client)
    return ours


def local_epochs(file: GoldenFile, method: Method) -> int:
    """As the file states them, else as many as its losses of a client's round tell, else 1.

    Raises:
        FedbenchError: it states no whole number above 0.
    """
    if "local_epochs" in file.hparams:
        epochs = file.hparams["local_epochs"]
        if type(epochs) is not int or epochs < 1:
            raise FedbenchError(f"hparams_json: local_epochs = {epochs!r}: no whole number above 0")
        return epochs
    steps, batches = np.size(file.arrays.get("round0/client0/loss_per_batch", ())), len(_batches(file, 0))
    told = (e for e in range(1, steps + 1) if len(method.phases(e)) * batches == steps)
    return next(told, 1)


class RecordedBatches:
    """The fixed batches of a recorded federation, as the engine's `LocalData`: in order, in every epoch."""

    def __init__(self, file: GoldenFile, method: Method, *, epochs: int):
        """
        Raises:
            FedbenchError: a batch is missing, or there are those of more clients than are counted.
        """
        self.epochs, clients = epochs, len(file.counts)
        beyond = [
            key for key in file.arrays if (m := re.match(r"client(\d+)/", key)) and int(m[1]) >= clients
        ]
        if beyond:
            raise FedbenchError(f"counts is of {clients} clients, and there is {beyond[0]}")
        self.batches = [
            [whole_batch(file, method, prefix) for prefix in _batches(file, client)]
            for client in range(clients)
        ]

    def steps(self, round_: int, clients: Sequence[int]) -> Iterator[Step]:
        """Clients with fewer batches sit out the last steps of an epoch."""
        longest = max(len(self.batches[c]) for c in clients)
        for epoch, s in itertools.product(range(self.epochs), range(longest)):
            chosen = [self.batches[c][min(s, len(self.batches[c]) - 1)] for c in clients]
            active = torch.tensor([s < len(self.batches[c]) for c in clients])
            size = max(x.labels.shape[1] for x in chosen)
            images, labels, valid = (
                torch.cat([_padded(getattr(x, part), size) for x in chosen])
                for part in ("images", "labels", "valid")
            )
            yield Step(images, labels, valid, active, epoch)


def whole_batch(file: GoldenFile, method: Method, prefix: str) -> Step:
    """One step of one client on all images that the file has under `prefix`.

    Raises:
        FedbenchError: no images, some of another size, or labels without a class.
    """
    images = file.images(f"{prefix}images", method.clip)
    labels = file.labels(f"{prefix}labels", images)
    features = method.clip.image_input(images, method.image_input)[None]
    valid = torch.ones(1, len(labels), dtype=torch.bool)
    return Step(features, labels[None], valid, torch.ones(1, dtype=torch.bool))


def _batches(file: GoldenFile, client: int) -> list[str]:
    """Prefixes of a client's batches, one at least; those before the last one that the file has must be there."""
    keys = (key.rpartition("/")[0] for key in file.arrays)
    last = max(numbered(keys, f"client{client}/batch{{}}"), default=0)
    return [f"client{client}/batch{b}/" for b in range(last + 1)]


def _padded(x: Tensor, size: int) -> Tensor:
    """Zeros up to `size` images. (1, batch, ...) → (1, size, ...)"""
    return torch.cat([x, x.new_zeros(1, size - x.shape[1], *x.shape[2:])], dim=1)


def _logits(method: Method, p: Tensors, step: Step) -> np.ndarray:
    with torch.no_grad():
        return method.logits(p, step.images, method.classnames)[0].numpy()


def _tokens(method: Method) -> np.ndarray:
    """The prompts as the authors tokenise them. (prompt sets * classes, context length)

    In our prompts a negative number stands for a learned token (`fedbench.clip.prompts.slot`): -1 for token 0, -2
    for token 1, and so on. The authors' prompts have a word there, which the learned token then replaces: the word
    of the phrase that it starts from, else an "X". They tokenise these words right behind the [SOS], and move the
    learned tokens to where `position` says only afterwards, so a name in front of them does not show here.
    """
    words = method.clip.text.tokenize(method.phrase)
    tokens = np.zeros((len(method.classnames), method.clip.text.length), dtype=np.int64)
    for row, (sos, *rest) in enumerate(method.prompts(method.classnames)):
        learned = [-1 - token for token in rest if token < 0]  # their numbers, from 0
        stand_ins = [words[i] if i < len(words) else X_TOKEN for i in learned]
        prompt = [sos, *stand_ins, *(token for token in rest if token >= 0)]
        tokens[row, : len(prompt)] = prompt
    return np.tile(tokens, (official(type(method)).prompt_sets, 1))
