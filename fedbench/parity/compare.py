"""Recorded numbers against ours: quantity by quantity, each with its tolerance."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedbench.clip import FrozenCLIP
from fedbench.engine.federation import Federation
from fedbench.engine.local import Step, losses_and_gradients, train_locally
from fedbench.method import Batch, Method, Tensors
from fedbench.official import Variant
from fedbench.parity.golden import GoldenFile, numbered, official_name, whole_batch

INPUTS = re.compile(
    r"(images|labels|classnames|prompts|counts|hparams_json|template|init/.*|global/.*|eval/.*|client\d+/batch.*)"
)
"""Keys that a file gives to the method, and not results."""

X_TOKEN = 343
"""The placeholder word "X" in tokenised prompts; the learned tokens stand there."""


@dataclass(frozen=True)
class Check:
    """One compared quantity."""

    quantity: str
    deviation: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return bool(self.deviation <= self.tolerance)  # NaN fails


def tolerance(quantity: str, recorded: np.ndarray, *, rounds: float = 5e-7) -> float:
    """Largest allowed absolute deviation, from the noise that the golden folder's README measured.

    `rounds` is the one of tensors after a round of a federation.
    """
    kind = quantity.rsplit("/", 1)[0] if "." in quantity else quantity
    kind = re.sub(r"^(true|official|[a-z]+_[a-z]+)/", "", kind)
    if quantity.startswith("round"):
        return 1e-4 if "logits" in kind else 2e-5 if "loss" in kind else rounds
    scale = float(np.abs(recorded).max()) if recorded.size else 0.0
    if kind.startswith(("grad", "buf3")):
        return (1e-4 if kind == "buf3" else 2e-5) * scale + 1e-7
    if kind == "buf":
        return 2e-5 * scale + 1e-7
    for pattern, allowed in (
        ("iterations", 1.0),  # a mean near the threshold may fall to either side of it
        ("after3", 1e-3),
        ("logits", 5e-5),
        ("loss", 1e-5),
        ("step", 5e-6),
        ("tokens", 0.0),
        ("T", 1e-6),
        ("average", 1e-6),
        ("/out/", 1e-6),
    ):
        if pattern in kind:
            return allowed
    return 1e-5


def compare(
    recorded: dict[str, np.ndarray], ours: dict[str, np.ndarray], *, rounds: float = 5e-7
) -> tuple[list[Check], list[str]]:
    """Checks of all recorded results that we have too, and the names of those that we have not."""
    checks, left = [], []
    ours = _unstacked(ours, recorded)
    for key, value in recorded.items():
        if key not in ours:
            left.append(key)
            continue
        mine = np.asarray(ours[key], dtype=np.float64)
        if mine.size != value.size:
            deviation = float("inf")
        else:
            deviation = (
                float(np.abs(mine.reshape(value.shape) - value.astype(np.float64)).max())
                if value.size
                else 0.0
            )
        checks.append(Check(key, deviation, tolerance(key, value, rounds=rounds)))
    return checks, left


def _unstacked(ours: dict[str, np.ndarray], recorded: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our stacks, `name.{}`, row by row under the numbers that the file has; all rows under each, if it has others."""
    rows: dict[str, np.ndarray] = {}
    tensors = {key.rpartition("/")[2] for key in recorded}
    for pattern in (key for key in ours if "{}" in key):
        # one quantity may lack rows, such as gradients of what has none; all quantities together have them all
        numbers, stack = list(numbered(tensors, pattern.rpartition("/")[2])), ours[pattern]
        for number, key in numbered(recorded, pattern).items():
            row = numbers.index(number)
            rows[key] = stack[row] if row < len(stack) <= len(numbers) else stack
    return ours | rows


def results(file: GoldenFile, prefix: str, prefixes: list[str]) -> dict[str, np.ndarray]:
    """What a file records for one variant: its keys under the prefix that no longer prefix claims, without inputs."""
    found = {}
    for key, value in file.arrays.items():
        owner = max((p for p in prefixes if key.startswith(p)), key=len)
        if owner == prefix and not INPUTS.fullmatch(key.removeprefix(prefix)):
            found[key] = value
    return found


def single_step(
    file: GoldenFile, clip: FrozenCLIP, cls: type[Method], prefix: str, variant: Variant
) -> dict[str, np.ndarray]:
    """Everything that we can say about a single-step file, under the file's keys."""
    method = file.build(cls, clip, variant)
    step = whole_batch(method, file.tensor("images"), file.tensor("labels"))
    start = {name: x[None] for name, x in file.start(method).items()}
    received = start | {name: x[None] for name, x in file.tensors(method, "global/").items()}
    ours = _at_start(method, start, step, received)
    if start:
        assert cls.official is not None
        for key, switched in cls.official.gradients.items():
            leaves = {name: x.clone() for name, x in start.items()}
            other = file.build(cls, clip, switched)
            ours |= _named(cls, key, losses_and_gradients(other, leaves, step, received=received)[1])
        per_step = {key: [x] for key, x in ours.items() if key.endswith("_per_step")}
        for steps, names in ((1, ("step", "buf")), (2, ("step2", "buf2")), (3, ("step3", "buf3"))):
            trained = train_locally(method, start, [step] * steps, received=received)
            if per_step and steps < 3:
                probed = method.probe(trained.tensors, Batch(step.images, step.labels, step.valid, received))
                per_step = {key: [*values, probed[key].numpy()] for key, values in per_step.items()}
            momentum = {
                name: trained.state[f"{name}/momentum"]
                for name in start
                if f"{name}/momentum" in trained.state
            }
            ours |= _named(cls, names[0], trained.tensors) | _named(cls, names[1], momentum)
        total = torch.stack(list(trained.losses.values())).sum(0)
        ours["loss_per_step"] = total[0].numpy()
        ours["logits_eval_after3"] = _logits(method, trained.tensors, step)
        ours |= {key: np.stack(values) for key, values in per_step.items()}
    shown = variant.shows
    return {prefix + key.removeprefix(shown): value for key, value in ours.items() if key.startswith(shown)}


def _at_start(method: Method, start: Tensors, step: Step, received: Tensors) -> dict[str, np.ndarray]:
    leaves = {name: x.clone().requires_grad_() for name, x in start.items()}
    ours = {"tokens": _tokens(method)}
    if method.image_input == "embedding":
        ours["image_features"] = torch.nn.functional.normalize(step.images[0], dim=-1).numpy()
    if leaves:
        losses, gradients = losses_and_gradients(method, leaves, step, received=received)
        ours |= _named(type(method), "grad", gradients)
    with torch.no_grad():
        batch = Batch(step.images, step.labels, step.valid, received)
        losses = method.losses(start, batch)
        ours |= {f"loss_{name}": x[0].numpy() for name, x in losses.items()}
        ours["loss"] = sum((x[0] for x in losses.values()), torch.zeros(())).numpy()
        ours |= {name: x.numpy() for name, x in method.probe(start, batch).items()}
        ours["logits_eval"] = ours["logits_train"] = _logits(method, start, step)
    return ours


def federation(
    file: GoldenFile, clip: FrozenCLIP, cls: type[Method], variant: Variant
) -> dict[str, np.ndarray]:
    """A recorded federation, run by the engine's own loop; results under the file's keys."""
    method = file.build(cls, clip, variant)
    epochs = int(file.hparams.get("local_epochs", 1))
    data = RecordedBatches(file, method, epochs=len(method.phases(epochs)))
    counts = file.arrays["counts"].tolist()
    fed = Federation(method, data, counts=counts, seed=0, local_epochs=epochs, start=file.start(method))
    images = clip.image_input(file.tensor("eval/images"), method.image_input)[None]

    def logits(client: int) -> np.ndarray:
        with torch.no_grad():
            return method.logits(fed.model([client]), images, file.classnames)[0].numpy()

    ours = {"init_logits_eval": logits(0), "tokens": _tokens(method)}
    rounds = 1 + max(int(m[1]) for key in file.arrays if (m := re.match(r"round(\d+)/", key)))
    for r in range(rounds):
        happened = fed.run_round(r)
        totals = torch.stack(list(happened.losses.values())).sum(0)  # (clients, steps)
        ours |= _named(cls, f"round{r}/server", {name: x[None] for name, x in fed.server.items()})
        for place, client in enumerate(happened.participants):
            here = f"round{r}/client{client}"
            ours[f"{here}/loss_per_batch"] = totals[place][happened.active[place]].numpy()
            ours |= _named(
                cls, f"{here}/upload", {name: x[place][None] for name, x in happened.uploads.items()}
            )
        for client in range(len(fed.counts)):
            here = f"round{r}/client{client}"
            ours |= _named(cls, here, {name: x[client][None] for name, x in fed.personal.items()})
            ours[f"{here}/logits_eval"] = logits(client)
    return ours


class RecordedBatches:
    """The fixed batches of a recorded federation, as the engine's `LocalData`: in order, in every epoch."""

    def __init__(self, file: GoldenFile, method: Method, *, epochs: int):
        self.epochs = epochs
        self.batches: list[list[Step]] = []
        for client in range(len(file.arrays["counts"])):
            keys = [
                f"client{client}/batch{b}"
                for b in range(len(file.arrays))
                if f"client{client}/batch{b}/images" in file.arrays
            ]
            self.batches.append(
                [whole_batch(method, file.tensor(f"{k}/images"), file.tensor(f"{k}/labels")) for k in keys]
            )

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


def _padded(x: torch.Tensor, size: int) -> torch.Tensor:
    """Repeat zeros up to `size` images. (1, batch, ...) → (1, size, ...)"""
    return torch.cat([x, x.new_zeros(1, size - x.shape[1], *x.shape[2:])], dim=1)


def aggregation(file: GoldenFile, method: Method, rule: str, tag: str) -> dict[str, np.ndarray]:
    """The server's step on recorded uploads, under the file's keys."""
    users = file.arrays[f"{tag}/users"].tolist()
    names = [key.split("/", 2)[2] for key in file.arrays if key.startswith(f"{tag}/{rule}/")]
    uploads = {n: torch.stack([file.tensor(f"in/client{u}/{n}") for u in users]) for n in names}
    previous = {n: file.tensor(f"prev_global/{n}") for n in names}
    counts = file.tensor("counts")[users]
    results = {rule: method.aggregate(uploads, counts, previous, round_=1)}
    results |= method.probe_aggregate(uploads, counts, previous)
    return {f"{tag}/{key}/{n}": x.numpy() for key, tensors in results.items() for n, x in tensors.items()}


def personal_parts(file: GoldenFile, method: Method, stem: str) -> dict[str, np.ndarray]:
    """The server's step on whole clients, of which only the shared tensors are averaged, under the file's keys."""
    clients = range(len(file.arrays["counts"]))
    models = [file.tensors(method, f"{stem}/in/client{k}/") for k in clients]
    uploads = {name: torch.stack([model[name] for model in models]) for name in method.shared}
    server = method.aggregate(uploads, file.tensor("counts"), {}, round_=0)
    after = [
        _named(type(method), f"{stem}/out/client{k}", {n: x[None] for n, x in (models[k] | server).items()})
        for k in clients
    ]
    return {key: x for named in after for key, x in named.items() if key in file.arrays}


def _named(cls: type[Method], prefix: str, tensors: Tensors) -> dict[str, np.ndarray]:
    """Our tensors (1, ...) under the authors' names; rows of one tensor are joined, and given singly too."""
    named: dict[str, np.ndarray] = {}
    rows: dict[str, dict[int, np.ndarray]] = {}
    for name, x in tensors.items():
        theirs, row = official_name(cls, name)
        if row is None:
            before = (
                [named[f"{prefix}/{theirs}"]] if f"{prefix}/{theirs}" in named else []
            )  # stacks share a name
            named[f"{prefix}/{theirs}"] = np.concatenate([*before, x[0].numpy()])
        else:
            rows.setdefault(theirs, {})[row] = named[f"{prefix}/{theirs}[{row}]"] = x[0].numpy().copy()
    return named | {f"{prefix}/{theirs}": np.stack([r[i] for i in sorted(r)]) for theirs, r in rows.items()}


def _logits(method: Method, p: Tensors, step: Step) -> np.ndarray:
    with torch.no_grad():
        return method.logits(p, step.images, method.classnames)[0].numpy()


def _tokens(method: Method) -> np.ndarray:
    tokens = np.zeros((len(method.classnames), method.clip.text.length), dtype=np.int64)
    stands = dict(enumerate(method.clip.text.tokenize(method.phrase)))
    for row, (first, *rest) in enumerate(method.prompts(method.classnames)):
        # the authors tokenise the learned tokens in front, and move their embeddings where `position` says
        prompt = [first, *(t for t in rest if t < 0), *(t for t in rest if t >= 0)]
        tokens[row, : len(prompt)] = [
            stands.get(-1 - token, X_TOKEN) if token < 0 else token for token in prompt
        ]
    return np.tile(tokens, (method.official.prompt_sets if method.official else 1, 1))
