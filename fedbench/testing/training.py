"""What every method must keep to in training."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from fedbench.engine.contract import check_losses
from fedbench.engine.local import Step, losses_and_gradients
from fedbench.method import Batch, Method
from fedbench.reference import PlainCLIP, plain_losses
from fedbench.store.journal import Journal
from fedbench.testing.base import Checks, some
from fedbench.testing.trials import MethodTrial, copied, different, near, rng, scores
from fedbench.testing.worlds import COUNTS, NAMES, NOVEL, FixedData, pixel_batches

CHECKS: Checks[MethodTrial] = Checks()


def _trains(trial: MethodTrial) -> bool:
    return trial.trains


@CHECKS.add(about="losses", when=_trains)
def losses_are_one_number_a_client(trial: MethodTrial) -> Iterator[str]:
    method = trial.make()
    p, step = trial.start(method, 3), trial.step(method, 3)
    received = {name: p[name] for name in method.shared}
    for seeds in (None, torch.tensor([1, 2, 3])):
        losses = method.losses(p, Batch(step.images, step.labels, step.valid, received, seeds))
        check_losses(method, losses, clients=3)
        for term, x in losses.items():
            if not torch.isfinite(x).all():
                yield f"the term '{term}' is not finite"


@CHECKS.add(about="losses", when=_trains)
def what_is_trained_moves(trial: MethodTrial) -> Iterator[str]:
    known = trial.history()
    method, after = known.fed.method, known.fed.model([0, 1, 2])
    for name in dict.fromkeys(name for names in method.phases(1) for name in names):
        moved = (after[name] != known.start[name]).flatten(1).any(1)
        if not moved.all():
            yield f"'{name}' is trained and does not move: no term of the loss depends on it"
        if not torch.isfinite(after[name]).all():
            yield f"'{name}' is not finite after two rounds"
    for term in known.rounds[0].losses:
        if not all(torch.isfinite(round_.losses[term]).all() for round_ in known.rounds):
            yield f"the term '{term}' is not finite after some steps"
    if torch.equal(*known.scores):
        yield "the scores do not change from one round to the next"


class _OneEpoch(FixedData):
    """Only the batches of one local epoch."""

    def __init__(self, method: Method, epoch: int):
        super().__init__(method)
        self.epoch = epoch

    def steps(self, round_: int, clients: Sequence[int]) -> Iterator[Step]:
        return (step for step in super().steps(round_, clients) if step.epoch == self.epoch)


@CHECKS.add(about="phases", when=_trains)
def nothing_else_moves_in_a_phase(trial: MethodTrial) -> Iterator[str]:
    for epoch, names in enumerate(trial.make().phases(1)):
        fed = trial.federation()
        fed.data = _OneEpoch(fed.method, epoch)
        start = copied(fed.model([0, 1, 2]))
        after = fed.train([0, 1, 2], 0).tensors
        if moved := [name for name in different(after, start) if name not in names]:
            yield f"epoch {epoch} trains {some(names)}, and {some(moved)} moves too"


@CHECKS.add(about="losses", when=_trains)
def the_gradient_of_a_client_is_its_own(trial: MethodTrial) -> Iterator[str]:
    method = trial.make()
    p, step = trial.start(method, 2), trial.step(method, 2)
    other = Step(step.images.clone(), step.labels.clone(), step.valid, step.active)
    other.images[1], other.labels[1] = other.images[1].flip(0) + 0.1, (other.labels[1] + 1) % len(NAMES)
    q = {name: torch.stack([x[0], x[1] + 0.01]) for name, x in p.items()}
    (losses, gradients), (changed, own) = (
        losses_and_gradients(
            method, copied(tensors), s, received={name: tensors[name] for name in method.shared}
        )
        for tensors, s in ((p, step), (q, other))
    )
    for what, before, after in (("the term", losses, changed), ("the gradient of", gradients, own)):
        for name, x in before.items():
            if not torch.equal(x[0], after[name][0]):
                yield (
                    f"{what} '{name}' of one client changes with another client's images and tensors: never sum or "
                    "average over the clients axis"
                )


@CHECKS.add(about="losses", when=_trains)
def images_that_are_only_fillers_do_not_count(trial: MethodTrial) -> Iterator[str]:
    method = trial.make()
    p, step = trial.start(method, 1), trial.step(method, 1)
    received = {name: p[name] for name in method.shared}
    longer = Step(
        torch.cat([step.images, torch.full_like(step.images[:, :2], 0.5)], dim=1),
        torch.cat([step.labels, torch.zeros(1, 2, dtype=torch.long)], dim=1),
        torch.cat([step.valid, torch.zeros(1, 2, dtype=torch.bool)], dim=1),
        step.active,
    )
    (losses, gradients), (padded, same) = (
        losses_and_gradients(method, p, s, received=received) for s in (step, longer)
    )
    for term, x in losses.items():
        if not near(padded[term], x, absolute=1e-5, relative=1e-5):
            yield f"the term '{term}' counts images where `batch.valid` is False"
    for name, x in gradients.items():
        if not near(same[name], x, absolute=2e-5, relative=1e-3):
            yield f"the gradient of '{name}' counts images where `batch.valid` is False"


@CHECKS.add(when=_trains)
def clients_that_stay_away_keep_what_is_theirs(trial: MethodTrial) -> Iterator[str]:
    fed = trial.federation(participation=0.67)
    before = copied(fed.personal)
    participants = fed.run_round(0).participants
    (away,) = {0, 1, 2} - set(participants)
    for name, x in fed.personal.items():
        if not torch.equal(x[away], before[name][away]):
            yield f"'{name}' of a client that does not take part moves"


@CHECKS.add(when=_trains)
def only_shared_tensors_leave_a_client_and_the_payload_counts_them(trial: MethodTrial) -> Iterator[str]:
    known, sizes = trial.history(), trial.history().fed.method.payload
    shared = set(known.fed.method.shared)
    for tensors, names in (
        *((round_.uploads, shared) for round_ in known.rounds),
        (known.fed.server, shared),
        (known.fed.personal, known.start.keys() - shared),
    ):
        if set(tensors) != names:
            yield f"{some(sorted(tensors))} are there where {some(sorted(names)) or 'none'} should be"
    sent = sum(x[0].numel() for x in known.rounds[0].uploads.values())
    kept = sum(x[0].numel() for x in known.fed.personal.values())
    if sizes != {"shared": sent, "personal": kept, "trainable": sent + kept}:
        yield f"the payload says {sizes}; {sent} numbers are sent and {kept} kept"


@CHECKS.add(about="aggregate", when=_trains)
def equal_uploads_are_their_own_average(trial: MethodTrial) -> Iterator[str]:
    method = trial.make()
    before = {name: x for name, x in method.init(rng()).items() if name in method.shared}
    uploads = {name: x.expand(3, *x.shape) + 0.1 for name, x in before.items()}
    for round_ in (0, 1) if uploads else ():
        server = method.aggregate(uploads, torch.tensor(COUNTS), before, round_=round_)
        if server.keys() != before.keys():
            yield f"it gives {some(server)}; the server holds {some(before)}"
            return
        for name, x in server.items():
            if not near(x, uploads[name][0], absolute=1e-6, relative=1e-5):
                yield f"'{name}': three clients send the same, and the server gets something else"


@CHECKS.add(about="losses", when=_trains)
def bits_do_not_depend_on_how_many_clients_train_at_once(trial: MethodTrial) -> Iterator[str]:
    known = trial.history()
    for at_once in (1, 2):
        fed = trial.federation(clients_at_once=at_once)
        round_ = fed.run_round(0)
        other = different(fed.state(), known.states[0]) + different(round_.uploads, known.rounds[0].uploads)
        for client in range(3):  # where a client waits for its neighbours, the tables differ
            taken, expected = round_.active[client], known.rounds[0].active[client]
            for term, values in round_.losses.items():
                if not torch.equal(values[client][taken], known.rounds[0].losses[term][client][expected]):
                    other.append(term)
        if other:
            yield (
                f"with {at_once} at once and 3 at once {some(dict.fromkeys(other))} differ: keep the clients axis "
                "first and multiply with frozen weights through fedbench.clip.blocks.linear"
            )


@CHECKS.add(when=_trains)
def a_saved_federation_goes_on_with_the_same_bits(trial: MethodTrial) -> Iterator[str]:
    for quirks, six in (((), False), *(((quirk,), True) for quirk in trial.cls.quirks)):
        known = trial.history(*quirks, six=six)
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal(Path(folder), identity=trial.name)
            journal.append({"round": 0})
            journal.checkpoint(0, known.states[0])
            _, state = journal.resume()
        fed = trial.federation(*quirks, six=six)
        fed.restore(state)
        fed.run_round(1)
        other = different(copied(fed.state()), known.states[1])
        if other or not torch.equal(scores(fed), known.scores[1]):
            yield (
                f"after a restart{f' under {quirks[0]}' if quirks else ''} {some(other or ['the scores'])} differ: "
                "whatever lasts from round to round belongs into the tensors or `remembered`"
            )


@CHECKS.add(when=lambda trial: bool(trial.cls.quirks))
def every_quirk_changes_something(trial: MethodTrial) -> Iterator[str]:
    plain = trial.history(six=True).scores
    for quirk in trial.cls.quirks:
        released = trial.history(quirk, six=True).scores
        if max(float((a - b).abs().max()) for a, b in zip(plain, released, strict=True)) <= 1e-6:
            yield f"'{quirk}' leaves all scores as they are: ask for it with self.quirk('{quirk}')"


@CHECKS.add(about="tensors", when=lambda trial: "momentum-leak" in trial.cls.quirks)
def under_momentum_leak_a_client_goes_on_with_the_momentum_of_the_one_before(
    trial: MethodTrial,
) -> Iterator[str]:
    leaky, clean = trial.federation("momentum-leak"), trial.federation()
    ours, theirs = (fed.run_round(0).uploads | fed.personal for fed in (leaky, clean))
    if still := [name for name, x in theirs.items() if torch.equal(ours[name][1], x[1])]:
        yield f"{some(still)} of the second client are as without it: use self.sgd() or optimizer_state()"


@CHECKS.add(when=_trains)
def the_fast_path_computes_what_the_plain_path_computes(trial: MethodTrial) -> Iterator[str]:
    clip = trial.clip
    fast, plain = trial.make(), trial.make(clip=PlainCLIP(clip))
    p, step = trial.start(fast, 1), trial.step(fast, 1)
    received = {name: p[name] for name in fast.shared}
    losses, gradients = losses_and_gradients(
        fast, copied(p), step, received=received, seeds=torch.tensor([3])
    )
    pixels, labels = pixel_batches(clip.preprocess.size)[0][0]
    q = {name: x.clone().requires_grad_() for name, x in p.items()}
    theirs = plain_losses(plain, q, pixels, labels, received=received, seed=3)
    total = torch.stack(list(theirs.values())).sum()
    named = dict(zip(q, torch.autograd.grad(total, list(q.values()), materialize_grads=True), strict=True))
    for term, x in losses.items():
        if not near(x.detach(), theirs[term].detach(), absolute=1e-5, relative=1e-4):
            yield f"the term '{term}' is {x.item():.6g}, and {theirs[term].item():.6g} on the plain path"
    for name, x in gradients.items():
        if not near(x, named[name], absolute=1e-6 + 1e-3 * float(named[name].abs().max()), relative=0):
            yield f"the gradient of '{name}' is another one on the plain path (fedbench.reference)"
    images = clip.image_input(pixels, fast.image_input)[None]
    with torch.no_grad():
        ours, right = fast.logits(p, images, NOVEL), plain.logits(p, images, NOVEL)
    if not near(ours, right, absolute=1e-3, relative=1e-4):
        yield "the scores are others on the plain path (fedbench.reference)"


@CHECKS.add(when=_trains)
def nothing_is_drawn_from_a_global_generator(trial: MethodTrial) -> Iterator[str]:
    if moved := trial.history().moved:
        yield f"two rounds draw from {some(moved)}: use batch.seeds with fedbench.clip.dropout"
