"""What every backbone must keep to."""

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from fedbench.clip.loader import BackboneLoader
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.prompts import text_prompt
from fedbench.testing.base import Checks, Result, moved_generators, run, some
from fedbench.testing.trials import near
from fedbench.testing.worlds import NAMES, NOVEL


class BackboneTrial:
    """A backbone under test."""

    def __init__(self, cls: type[BackboneLoader]):
        self.cls, self.name = cls, cls.name

    @cached_property
    def clip(self) -> FrozenCLIP:
        """The model, loaded once."""
        return self.cls().load()


CHECKS: Checks[BackboneTrial] = Checks()


def examine(cls: type[BackboneLoader]) -> Result:
    """All checks of one backbone."""
    return run(CHECKS, BackboneTrial(cls))


@CHECKS.add(about="load")
def it_loads_a_frozen_clip_under_its_own_name(trial: BackboneTrial) -> Iterator[str]:
    if not trial.cls.__doc__:
        yield "the class has no docstring: what it is, in one line"
    if not isinstance(trial.clip, FrozenCLIP):
        yield f"`load` gives a {type(trial.clip).__name__}; give a FrozenCLIP (fedbench.clip.load.from_state_dict)"
        return
    if trial.clip.name != trial.name:
        yield f"the model is called '{trial.clip.name}': records and messages would not say '{trial.name}'"
    if any(x.requires_grad for x in trial.clip.model.parameters()):
        yield "its weights want gradients; FrozenCLIP freezes them, leave them so"


@CHECKS.add(about="load")
def two_loads_have_the_same_weights(trial: BackboneTrial) -> Iterator[str]:
    with moved_generators() as moved:
        again = trial.cls().load()
    if moved:
        yield f"loading draws from {some(moved)}: weights that no file has come from a generator of their own"
    if again.weights_hash != trial.clip.weights_hash:
        yield "the second time its weights are others"


@CHECKS.add(about="load")
def its_logit_scale_is_finite(trial: BackboneTrial) -> Iterator[str]:
    if not math.isfinite(trial.clip.logit_scale) or trial.clip.logit_scale <= 0:
        yield f"the logit scale is {trial.clip.logit_scale}"


@CHECKS.add(about="load")
def the_text_tower_is_open_clips(trial: BackboneTrial) -> Iterator[str]:
    clip = trial.clip
    prompts = [text_prompt(clip.text.tokenize, f"a photo of a {name}.") for name in (*NAMES, *NOVEL)]
    ids = torch.zeros(len(prompts), clip.text.length, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(list(prompt))
    with torch.no_grad():
        ours = clip.text.encode(clip.text.pack(prompts))[0, 0]
        theirs = clip.model.encode_text(ids)
    yield from _compared(ours, theirs)


@CHECKS.add(about="load")
def the_image_tower_is_open_clips(trial: BackboneTrial) -> Iterator[str]:
    clip = trial.clip
    size = clip.preprocess.size
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ours, theirs = clip.encode_image(pixels), clip.model.encode_image(pixels)
    yield from _compared(ours, theirs)
    if ours.shape[1] != clip.embed_dim:
        yield f"image features have {ours.shape[1]} numbers, the joint space {clip.embed_dim}"


def _compared(ours: Tensor, theirs: Tensor) -> Iterator[str]:
    if not torch.isfinite(theirs).all():
        yield "open_clip's own features are not finite: the weights are damaged"
    elif not near(ours, theirs, absolute=1e-4 * float(theirs.abs().max()), relative=0):
        off = float((ours - theirs).abs().max())
        yield f"features are up to {off:.2g} away from those of open_clip's own forward pass"
