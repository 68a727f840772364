"""What every method must keep to, whoever wrote it: what it says about itself, and its scores."""

import json
import re
from collections.abc import Iterable, Iterator
from copy import copy
from itertools import pairwise
from typing import Any

import torch

from fedbench.clip.model import hash_model
from fedbench.config import Frozen, complete
from fedbench.engine.contract import check_logits, check_names, check_start
from fedbench.engine.federation import Federation
from fedbench.engine.local import Step, losses_and_gradients
from fedbench.errors import FedbenchError
from fedbench.method import Batch, Method
from fedbench.testing import training
from fedbench.testing.base import Check, Checks, Result, moved_generators, run, some, strange_quirks
from fedbench.testing.trials import MethodTrial, near, rng, scores, some_images
from fedbench.testing.worlds import NAMES, NOVEL, random_clip, wide_clip

DECLARES: Checks[MethodTrial] = Checks()
SCORES: Checks[MethodTrial] = Checks()


def examine(cls: type[Method], **settings: Any) -> Result:
    """All checks of one method; `settings` as of `MethodTrial`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other: the matrices are small
    try:
        return run(CHECKS, MethodTrial(cls, **settings))
    finally:
        torch.set_num_threads(threads)


# -- what a method says about itself -------------------------------------------------------------------------


@DECLARES.add()
def it_says_what_it_is(trial: MethodTrial) -> Iterator[str]:
    if not getattr(trial.cls, "paper", "").strip():
        yield "`paper` is empty: authors, title, venue, year"
    if not trial.cls.__doc__:
        yield "the class has no docstring: what it is, in one line"
    yield from strange_quirks(trial.cls.quirks)


@DECLARES.add()
def hyper_parameters_are_complete_and_documented(trial: MethodTrial) -> Iterator[str]:
    hyper = trial.cls.Hyper
    if needed := [key for key, info in hyper.model_fields.items() if info.is_required()]:
        yield f"{some(needed)} has no default: give it the paper's value"
        return
    json.dumps(complete(hyper, {}, owner=trial.name, kind="hyper-parameter"))
    told = " ".join(base.__doc__ or "" for base in hyper.__mro__ if issubclass(base, Frozen))
    for key, info in hyper.model_fields.items():
        known = key in Method.Hyper.model_fields or info.description
        if not known and not re.search(rf"\b{re.escape(key)}\b", told):
            yield f"'{key}' is not explained: name it in the docstring of Hyper, or in Field(description=...)"


@DECLARES.add(about="__init__")
def unknown_hyper_parameters_and_quirks_are_refused(trial: MethodTrial) -> Iterator[str]:
    wrong: list[dict] = [{"hyper": {f"{key}x": 1}} for key in trial.cls.Hyper.model_fields]
    wrong += [{"quirks": [quirk[:-1]]} for quirk in trial.cls.quirks] + [{"quirks": ["no-such-thing"]}]
    for arguments in wrong:
        try:
            trial.cls(trial.clip, NAMES, **arguments)
        except FedbenchError:
            continue
        yield f"{arguments} is accepted: hand hyper and quirks on to Method.__init__"


@DECLARES.add()
def phases_leaks_and_ablations_name_its_tensors(trial: MethodTrial) -> Iterable[str]:
    for quirks in ((), *((quirk,) for quirk in trial.cls.quirks)):
        for local_epochs in (1, 2):
            check_names(trial.make(quirks=quirks), local_epochs)
    return ()


@DECLARES.add(about="init")
def the_start_is_as_declared_and_drawn_from_the_given_generator(trial: MethodTrial) -> Iterator[str]:
    for names in (NAMES, NOVEL):
        method = trial.make(names=names)
        with moved_generators() as moved:
            start = method.init(rng())
        if moved:
            yield f"it draws from {some(moved)}: draw from the generator that it is given"
        check_start(method, start)
        for name, x in start.items():
            if x.dtype != torch.float32 or x.device.type != "cpu" or not torch.isfinite(x).all():
                yield f"the tensor '{name}' must be finite float32 on the CPU; it is {x.dtype} on {x.device}"
    again = method.init(rng())
    if other := [name for name, x in start.items() if not torch.equal(x, again[name])]:
        yield f"a second start from an equal generator differs in {some(other)}"


@DECLARES.add(about="tensors")
def its_tensors_do_not_depend_on_the_classes(trial: MethodTrial) -> Iterator[str]:
    shapes = [
        {name: tensor.shape for name, tensor in trial.make(names=names).learned.items()}
        for names in (NAMES, NOVEL)
    ]
    for name in shapes[0]:
        if shapes[0][name] != shapes[1].get(name):
            yield (
                f"'{name}' is {shapes[0][name]} with {len(NAMES)} classes and {shapes[1].get(name)} with "
                f"{len(NOVEL)}: what is learned must serve classes that training has not seen"
            )


@DECLARES.add(about="prompts")
def there_is_a_prompt_that_fits_for_each_class(trial: MethodTrial) -> Iterator[str]:
    method = trial.make()
    for names in (NAMES, NOVEL):
        prompts = method.prompts(names)
        if len(prompts) != len(names):
            yield f"{len(prompts)} prompts for {len(names)} classes"
        if too_long := [len(prompt) for prompt in prompts if len(prompt) > method.clip.text.length]:
            yield f"a prompt has {max(too_long)} tokens; the text tower takes {method.clip.text.length}"


@DECLARES.add(about="probe")
def what_parity_compares_can_be_computed(trial: MethodTrial) -> Iterator[str]:
    method = trial.make()
    p, step = trial.start(method, 1), trial.step(method, 1)
    received = {name: p[name] for name in method.shared}
    with torch.no_grad():
        found = method.probe(p, Batch(step.images, step.labels, step.valid, received))
    for name, x in found.items():
        if not isinstance(x, torch.Tensor):
            yield f"'{name}' is a {type(x).__name__}; give tensors"


@DECLARES.add(about="skip")
def a_backbone_without_a_plain_vit_is_served_or_refused_with_a_reason(trial: MethodTrial) -> Iterator[str]:
    clip = copy(random_clip())
    clip.image = None
    method = trial.make(clip=clip)
    reason = method.skip()
    if (reason is None) != (method.image_input == "embedding"):
        yield f"it wants '{method.image_input}' of an image, and `skip` says {reason!r}"
    if reason is not None and clip.name not in reason:
        yield f"the reason does not name the backbone: {reason}"


# -- scores --------------------------------------------------------------------------------------------------


def _trained(trial: MethodTrial) -> Federation:
    return trial.history().fed if trial.trains else trial.federation()


@SCORES.add(about="logits")
def classes_that_training_has_not_seen_get_scores(trial: MethodTrial) -> Iterator[str]:
    fed = _trained(trial)
    for names in (NAMES, NOVEL, NOVEL[:1]):
        found = scores(fed, names)
        check_logits(fed.method, found, shape=(3, 4, len(names)))
        if not torch.isfinite(found).all():
            yield f"scores of {len(names)} classes are not finite"


@SCORES.add(about="logits")
def scores_follow_their_classes_into_any_order(trial: MethodTrial) -> Iterator[str]:
    fed = _trained(trial)
    turned = scores(fed, NOVEL[::-1]).flip(-1)
    if not near(turned, scores(fed, NOVEL), absolute=1e-4, relative=1e-4):
        yield "the same classes in another order get other scores"


@SCORES.add(about="logits")
def the_scores_of_an_image_do_not_depend_on_other_images(trial: MethodTrial) -> Iterator[str]:
    fed = _trained(trial)
    images, p = some_images(fed.method), fed.model([1])
    with torch.no_grad():
        together, alone = (fed.method.logits(p, x[None], NAMES) for x in (images, images[2:3]))
    if not near(together[0, 2], alone[0, 0], absolute=1e-4, relative=1e-4):
        yield "an image alone gets other scores than among others: tests come in pieces of any size"


@SCORES.add(about="logits", when=lambda trial: trial.trains)
def clients_are_tested_with_their_own_tensors(trial: MethodTrial) -> Iterator[str]:
    fed = trial.history().fed
    everyone, images = scores(fed), some_images(fed.method)
    for client in range(3):
        with torch.no_grad():
            own = fed.method.logits(fed.model([client]), images[None], NAMES)[0]
        if not near(own, everyone[client], absolute=1e-5, relative=1e-5):
            yield f"client {client} alone gets other scores than beside the others"
    differ = any((a - b).abs().max() > 1e-6 for a, b in pairwise(everyone))
    if differ != bool(fed.personal):
        yield (
            "clients have personal tensors, and all get the same scores"
            if fed.personal
            else "clients have no personal tensors, and get different scores"
        )


@SCORES.add()
def it_runs_on_the_shapes_of_vit_b_16(trial: MethodTrial) -> Iterator[str]:
    clip = wide_clip()
    method = trial.make(clip=clip)
    if reason := method.skip():
        yield f"it refuses a plain vision transformer: {reason}"
        return
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    images = clip.image_input(pixels, method.image_input)[None]
    p = trial.start(method, 1)
    with torch.no_grad():
        check_logits(method, method.logits(p, images, NOVEL), shape=(1, 2, len(NOVEL)))
    if p:
        valid, active = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, dtype=torch.bool)
        received = {name: p[name] for name in method.shared}
        step = Step(images, torch.tensor([[1, 4]]), valid, active)
        losses, gradients = losses_and_gradients(method, p, step, received=received)
        for name, x in (losses | gradients).items():
            if not torch.isfinite(x).all():
                yield f"'{name}' is not finite there"


@SCORES.add()
def it_runs_with_towers_in_bfloat16(trial: MethodTrial) -> Iterator[str]:
    method, exact = trial.make(clip=random_clip(precision="bf16")), trial.make(clip=random_clip())
    with torch.no_grad():
        found, right = (m.logits(trial.start(m, 1), some_images(m)[None], NAMES) for m in (method, exact))
    if not near(found.float(), right, absolute=0.5, relative=0):
        yield f"scores are up to {(found - right).abs().max():.2g} away from those in float32"


@SCORES.add()
def the_backbone_is_left_as_it_is(trial: MethodTrial) -> Iterator[str]:
    model = trial.clip.model
    if hash_model(model) != trial.weights:
        yield "its weights have changed: they are frozen"
    if any(x.grad is not None or x.requires_grad for x in model.parameters()):
        yield "its weights have gradients: they are frozen"


CHECKS: tuple[Check[MethodTrial], ...] = (*DECLARES, *training.CHECKS, *SCORES)
