"""The checks of backbones and executors find what they are for; one fault in each class here."""

import pytest
import torch

from fedbench.clip.loader import BackboneLoader
from fedbench.executors.base import Outcome
from fedbench.executors.in_process import InProcess
from fedbench.registry import BACKBONES
from fedbench.testing import backbones, executors
from tests.helpers.found import found

Tiny = BACKBONES["tiny"]


def backbone(change, name="tiny"):
    class Faulty(BackboneLoader):
        def load(self):
            clip = Tiny().load()
            return change(clip) or clip

    Faulty.name = name
    return Faulty


def doubled(tower):
    """A tower whose features are twice as long."""
    encode = tower.encode
    tower.encode = lambda *arguments, **more: 2 * encode(*arguments, **more)


BACKBONE_FAULTS = {
    "another name": (
        backbone(lambda clip: None, "other"),
        "it loads a frozen clip under its own name",
        "called 'tiny'",
    ),
    "no clip": (
        backbone(lambda clip: clip.model),
        "it loads a frozen clip under its own name",
        "gives a CLIP",
    ),
    "gradients": (
        backbone(lambda clip: clip.model.requires_grad_() and None),
        "it loads a frozen clip under its own name",
        "want gradients",
    ),
    "another seed each time": (
        backbone(lambda clip: setattr(clip, "weights_hash", str(torch.rand(1)))),
        "two loads have the same weights",
        "loading draws from torch",
    ),
    "scale": (
        backbone(lambda clip: setattr(clip, "logit_scale", float("nan"))),
        "its logit scale is finite",
        "nan",
    ),
    "text": (
        backbone(lambda clip: doubled(clip.text)),
        "the text tower is open clips",
        "away from those of open_clip",
    ),
    "image": (
        backbone(lambda clip: doubled(clip.image)),
        "the image tower is open clips",
        "away from those of open_clip",
    ),
}


@pytest.mark.parametrize("fault", BACKBONE_FAULTS)
def test_a_fault_of_a_backbone_is_found(fault):
    cls, title, words = BACKBONE_FAULTS[fault]
    texts = found(backbones.CHECKS, backbones.BackboneTrial(cls), title)
    assert any(words in text for text in texts), texts


# -- executors -----------------------------------------------------------------------------------------------


class Loses(InProcess):
    """Loses the second cell."""

    name = "Loses"

    def poll(self):
        return [outcome for outcome in super().poll() if "-s2-" not in outcome.cell]


class Lies(InProcess):
    """Says done, and runs nothing."""

    name = "Lies"

    def poll(self):
        taken, self._next = self._next, None
        return [Outcome(taken[0].cell, "done")] if taken else []


class Raises(InProcess):
    """Raises what a cell raises."""

    name = "Raises"

    def poll(self):
        outcomes = super().poll()
        for outcome in outcomes:
            if outcome.state == "failed":
                raise RuntimeError(outcome.reason)
        return outcomes


@pytest.mark.parametrize(
    ("cls", "title", "words"),
    [
        (Loses, "every cell has one outcome", "submitted were"),
        (Lies, "cells give the bits that they give in this process", "leaves other numbers, or none"),
        (Lies, "a cell that breaks is an outcome", "it is 'done'"),
        (Lies, "progress is reported", "`report` is never called for"),
        (Raises, "every cell has one outcome", "RuntimeError: ZeroDivisionError: a toy that breaks (toy.py:"),
    ],
)
def test_a_fault_of_an_executor_is_found(cls, title, words, monkeypatch):
    monkeypatch.setattr(executors, "PAUSE", 0.0)
    texts = found(executors.CHECKS, executors.ExecutorTrial(cls), title)
    assert any(words in text for text in texts), texts
