"""What the engine refuses of a method at once, with the method's own file and line."""

import inspect
import re
from types import SimpleNamespace

import pytest
import torch

from fedbench.engine.evaluate import Evaluator
from fedbench.engine.federation import Federation
from fedbench.errors import FedbenchError
from fedbench.learned import Learned, normal
from fedbench.method import Method
from fedbench.quirks import Quirky
from fedbench.task import Metric, Pool, Task
from tests.helpers.tinyclip import random_clip
from tests.helpers.worlds import COUNTS, NAMES, FixedData


class Shifted(Method):
    """Class features, shifted by a personal tensor each; with whatever a test makes wrong."""

    name = "Shifted"
    paper = "none"

    def tensors(self):
        shape = (len(self.classnames), self.clip.embed_dim)
        return {"delta": Learned(shape, normal()), "common": Learned(shape, normal(), shared=True)}

    def prompts(self, classnames):
        return self.sentences(classnames)

    def losses(self, p, batch):
        return {"ce": self.cross_entropy(self.logits(p, batch.images, self.classnames), batch)}

    def logits(self, p, images, classnames):
        return self.cosine_logits(
            images, self.encode_words(self.prompts(classnames)) + p["delta"] + p["common"]
        )


def federation(cls, **settings):
    method = cls(random_clip(), NAMES)
    return Federation(method, FixedData(method), counts=COUNTS, seed=1, **settings)


def line(cls, name):
    """Where a class of this file defines a function, as messages write it."""
    function = vars(cls)[name]
    function = function.fget if isinstance(function, property) else function
    return f"test_contract.py:{inspect.getsourcelines(function)[1]}"


def refusal(cls, **settings):
    with pytest.raises(FedbenchError) as caught:
        federation(cls, **settings).run_round(0)
    return str(caught.value)


def test_the_right_method_is_not_refused():
    losses = federation(Shifted).run_round(0).losses
    assert losses["ce"].shape == (3, 3)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_loss_without_the_clients_axis_is_refused(at_once):
    class Summed(Shifted):
        def losses(self, p, batch):
            return {"ce": super().losses(p, batch)["ce"].mean()}

    assert refusal(Summed, clients_at_once=at_once) == (
        f"Shifted, `losses` ({line(Summed, 'losses')}): the term 'ce' has shape () and must have ({at_once},), one "
        "number a client: sum over images, not over clients"
    )


def test_a_loss_for_each_image_is_refused():
    class Each(Shifted):
        def losses(self, p, batch):
            return {"ce": super().losses(p, batch)["ce"], "far": batch.valid.float()}

    assert "the term 'far' has shape (3, 4) and must have (3,)" in refusal(Each)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(3), "it gives a Tensor; give the terms by name"),
        (None, "it gives a NoneType; give the terms by name"),
        ({}, "it gives an empty dictionary; give the terms by name"),
        ({"ce": 1.0}, "the term 'ce' is a float; give tensors by their names"),
        ({0: torch.zeros(3)}, "the term 0 is a Tensor; give tensors by their names"),
    ],
)
def test_losses_that_are_no_terms_by_name_are_refused(given, message):
    class Other(Shifted):
        def losses(self, p, batch):
            return given

    assert message in refusal(Other)


@pytest.mark.parametrize("where", ["phases", "leaked", "ablations"])
def test_names_that_nobody_declared_are_refused_before_anything_is_trained(where):
    class Typo(Shifted):
        def phases(self, local_epochs):
            return [("delat",) if where == "phases" else ("delta",)] * local_epochs

        @property
        def leaked(self):
            return ("delat",) if where == "leaked" else ()

        @property
        def ablations(self):
            return {"alone": ("delat",)} if where == "ablations" else {}

    with pytest.raises(FedbenchError) as caught:
        federation(Typo)
    assert str(caught.value) == (
        f"Shifted, `{where}` ({line(Typo, where)}): unknown tensor 'delat'; did you mean delta?"
    )


def test_a_shared_tensor_cannot_leak():
    class Leaky(Shifted):
        @property
        def leaked(self):
            return ("common",)

    with pytest.raises(FedbenchError, match="'common' is shared; only a personal tensor passes to the next"):
        federation(Leaky)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p | {"other": p["delta"]}, "the tensor 'other' is not declared in `tensors`"),
        (lambda p: {"delta": p["delta"]}, "there is no tensor 'common', which `tensors` declares"),
        (lambda p: p | {"delta": p["delta"][0]}, "has shape (48,); `tensors` declares (5, 48)"),
    ],
)
def test_a_start_that_is_not_as_declared_is_refused(change, message):
    class Own(Shifted):
        def init(self, rng):
            return change(super().init(rng))

    with pytest.raises(FedbenchError, match=re.escape(message)):
        federation(Own)


def test_scores_of_another_shape_are_refused():
    class Flat(Shifted):
        def logits(self, p, images, classnames):
            return super().logits(p, images, classnames).amax(1)

    class Data:
        def ensure(self, items, views):
            """They are there."""

        def rows(self, items, view):
            return torch.zeros(len(items), 48)

    pools = {"test": Pool(tuple(NAMES), tuple(SimpleNamespace(label=0) for _ in range(4)))}
    task = Task(
        "p", SimpleNamespace(notes=list), tuple(NAMES), (), pools, {"local": Metric("test")}, ("local",)
    )
    evaluate = Evaluator(task, Data(), device="cpu")
    assert evaluate(federation(Shifted))["local"].shape == (3,)
    with pytest.raises(FedbenchError, match=r"the scores have shape \(1, 5\) and must have \(1, 4, 5\)"):
        evaluate(federation(Flat))


@pytest.mark.parametrize("old", ["shared", "optimizer", "payload", "trains"])
def test_what_follows_from_the_tensors_cannot_be_said_again(old):
    with pytest.raises(
        FedbenchError, match=f"Old sets '{old}', which follows from its tensors: say it there"
    ):
        type("Old", (Shifted,), {old: ("delta",)})


def test_a_quirk_that_nobody_declared_is_refused_where_it_is_asked_for():
    class Typo(Quirky):
        name = "typo"
        quirks = {"momentum-leak": "one SGD serves all clients"}

    class Heir(Typo):
        quirks = {}

    assert not Typo().quirk("momentum-leak")
    assert not Heir().quirk("momentum-leak"), "code of the base may ask for the base's quirks"
    with pytest.raises(FedbenchError, match=r"'momentum-leek'; did you mean momentum-leak\?"):
        Typo().quirk("momentum-leek")
