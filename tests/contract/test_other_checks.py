"""The checks of splits, datasets, backbones and executors find what they are for; one fault in each class here."""

import random
from dataclasses import replace

import pytest
import torch
from PIL import Image as PILImage
from pydantic import BaseModel, Field

from fedbench.clip.loader import BackboneLoader
from fedbench.data.dataset import Item
from fedbench.errors import FedbenchError
from fedbench.executors.base import Outcome
from fedbench.executors.in_process import InProcess
from fedbench.registry import BACKBONES, DATASETS, SPLITS, load_plugin
from fedbench.splits.class_disjoint import ClassDisjoint
from fedbench.task import Client, Metric, Pool, Split, Task
from fedbench.testing import backbones, check, check_and_print, datasets, executors, splits
from fedbench.testing.listed import Listed

Shapes = DATASETS["shapes"]
Tiny = BACKBONES["tiny"]


def found(checks, trial, title):
    """What the check of this title says."""
    (one,) = (check for check in checks if check.title == title)
    return [problem.text for problem in one.problems(trial) or []]


# -- splits --------------------------------------------------------------------------------------------------


class Turns(Split):
    """Clients take turns; everybody is tested on everything."""

    class Options(Split.Options):
        """clients: how many."""

        clients: int = Field(default=3, ge=1)

    def make(self, dataset, *, seed):
        clients = self.options.clients
        lists = [dataset.parts["train"][k::clients] for k in range(clients)]
        if not all(lists) or not dataset.parts["test"]:
            raise FedbenchError(f"{self.name}: too few images for {clients} clients")
        return Task(
            protocol=self.name,
            dataset=dataset,
            classnames=dataset.classnames,
            clients=tuple(Client(f"client {k}", tuple(items)) for k, items in enumerate(lists)),
            pools={"test": Pool(dataset.classnames, dataset.parts["test"])},
            metrics={"global": Metric("test")},
            columns=("global",),
        )


class Silent(Turns):
    class Options(Turns.Options):
        """clients: how many."""

        riddle: int = 1


class Needy(Turns):
    """Wants to know something, and gives no task."""

    class Options(Turns.Options):
        """clients: how many; place: where."""

        place: str

    def make(self, dataset, *, seed):
        return None


class Loose(Turns):
    """Takes any option."""

    class Options(BaseModel):
        clients: int = Field(default=3, ge=1, description="how many")


class Shuffled(Turns):
    """Draws from the global generator."""

    def make(self, dataset, *, seed):
        task = super().make(dataset, seed=seed)
        first, *others = task.clients
        return replace(task, clients=(Client(first.name, tuple(random.sample(first.train, 50))), *others))


def changed(name, **changes):
    """`Turns` with a task that a function of each field changes."""

    class Changed(Turns):
        """With a fault."""

        def make(self, dataset, *, seed):
            task = super().make(dataset, seed=seed)
            return replace(task, **{field: change(task) for field, change in changes.items()})

    Changed.name = Changed.__name__ = name
    return Changed


def clients(change):
    """Every client's list, changed."""
    return lambda task: tuple(Client(c.name, change(c.train)) for c in task.clients)


def relabelled(items, change):
    return tuple(Item(item.key, change(item.label), item.domain) for item in items)


SPLIT_FAULTS = [
    (Silent, "it says what it is", "no docstring"),
    (Silent, "it says what it is", "'riddle' is not explained"),
    (Needy, "it says what it is", "the option 'place' has no default and no example"),
    (Loose, "unknown options are refused", "an option that does not exist is accepted"),
    (Shuffled, "the task is a function of data set and seed", "it draws from random"),
    (Shuffled, "the task is a function of data set and seed", "another task the second time"),
    (
        changed("Shared", clients=clients(lambda t: (*t, *Listed().parts["train"][:1]))),
        "no image has two clients",
        "1 ",
    ),
    (
        changed("Empty", clients=clients(lambda t: ())),
        "clients have names and images",
        "without a training image",
    ),
    (changed("Nobody", clients=lambda task: ()), "clients have names and images", "there are no clients"),
    (
        changed("Namesakes", clients=lambda task: tuple(Client("x", c.train) for c in task.clients)),
        "clients have names and images",
        "two clients are called x",
    ),
    (
        changed("Beyond", clients=clients(lambda t: relabelled(t, lambda label: label + 20))),
        "labels are in the label space",
        "label 24 of photo/class_4/train_0.jpg; labels are ints below 24",
    ),
    (
        changed("Numpy", clients=clients(lambda t: relabelled(t, lambda label: float(label)))),
        "labels are in the label space",
        "labels are ints",
    ),
    (
        changed("Turned", classnames=lambda task: task.classnames[::-1]),
        "images keep their class",
        "is called 'class 23' and is 'class 0'",
    ),
    (
        changed("Strange", clients=clients(lambda t: (*t, Item("elsewhere.jpg", 0)))),
        "images keep their class",
        "elsewhere.jpg",
    ),
    (
        changed("Leak", pools=lambda task: {"test": Pool(task.classnames, task.clients[0].train)}),
        "nothing that is trained on is tested on",
        "training images are in the pool 'test'",
    ),
    (
        changed("Nowhere", metrics=lambda task: {"global": Metric("tests")}),
        "metrics are of rows that are there",
        "the pool 'tests', which is not there",
    ),
    (
        changed("Fewer", metrics=lambda task: {"global": Metric("test", ((0,), (1,)))}),
        "metrics are of rows that are there",
        "rows for 2 of 3 clients",
    ),
    (
        changed("Outside", metrics=lambda task: {"global": Metric("test", ((0,), (1,), (99_999,)))}),
        "metrics are of rows that are there",
        "rows outside its pool",
    ),
    (
        changed("Twice", metrics=lambda task: {"global": Metric("test", ((0,), (1,), (2, 2)))}),
        "metrics are of rows that are there",
        "counts a row twice",
    ),
    (
        changed("Undefined", metrics=lambda task: {"global": Metric("test", ((0,), (1,), ()))}),
        "metrics are of rows that are there",
        "its accuracy would be undefined",
    ),
    (
        changed("Column", columns=lambda task: ("local",)),
        "columns are metrics",
        "local is a column and no metric",
    ),
    (changed("Summary", summary=lambda task: "mean"), "columns are metrics", "the summary is 'mean'"),
    (changed("Protocol", protocol=lambda task: "other"), "the record can be written", "give it `self.name`"),
]


@pytest.mark.parametrize(
    ("cls", "title", "words"), SPLIT_FAULTS, ids=[f"{cls.__name__}-{words}" for cls, _, words in SPLIT_FAULTS]
)
def test_a_fault_of_a_split_is_found(cls, title, words):
    cls.name = cls.__name__
    texts = found(splits.CHECKS, splits.SplitTrial(cls), title)
    assert any(words in text for text in texts), texts


def test_a_good_split_has_no_problems(capsys):
    assert check_and_print(Turns) == []
    assert capsys.readouterr().out == "Turns: 12 checks passed\n"
    assert check(Turns, dataset=Shapes(None), options={"clients": 7}) == []


def test_what_is_no_task_is_found():
    trial = splits.SplitTrial(Needy, options={"place": "here"})
    assert found(splits.CHECKS, trial, "columns are metrics") == [
        "`make` gives a NoneType; give a fedbench.task.Task"
    ]


def test_settings_that_end_in_another_error_or_a_broken_task_are_found():
    class Hasty(Turns):
        """Refuses nothing."""

        name = "Hasty"

        def make(self, dataset, *, seed):
            if self.options.clients > 1000:
                raise ValueError("no")
            lists = [dataset.parts["train"][k::3] for k in range(3)]
            pools = {"test": Pool(dataset.classnames, dataset.parts["test"])}
            everyone = tuple(Client(f"client {k}", items) for k, items in enumerate(lists))
            metrics = {"global": Metric("test")}
            return Task(self.name, dataset, dataset.classnames, everyone, pools, metrics, ("global",))

    texts = found(splits.CHECKS, splits.SplitTrial(Hasty), "what is impossible is refused in one line")
    place = Hasty.make.__code__.co_firstlineno + 2
    advice = f"with clients=10000: ValueError: no (test_other_checks.py:{place}); raise a FedbenchError that says what"
    assert any(text.startswith(advice) for text in texts), texts
    assert any(text.startswith("with no training image: client 0, client 1") for text in texts)
    assert any(text.startswith("with no test image: the metric 'global' has no row") for text in texts)


def test_a_task_that_depends_on_the_order_of_a_set_is_found(tmp_path, plugins):
    plugin = tmp_path / "unordered.py"
    plugin.write_text(
        "from dataclasses import replace\n"
        "from fedbench.registry import SPLITS\n"
        "@SPLITS.register('unordered')\n"
        "class Unordered(SPLITS['class-disjoint']):\n"
        "    '''Class names through a set.'''\n"
        "    def make(self, dataset, *, seed):\n"
        "        task = super().make(dataset, seed=seed)\n"
        "        return replace(task, classnames=tuple(set(task.classnames)))\n"
    )
    load_plugin(plugin)
    trial = splits.SplitTrial(SPLITS["unordered"])
    assert found(splits.CHECKS, trial, "another process makes the same task") == [
        "its hash is another one there: never go through a set, sort or use dict.fromkeys"
    ]


def test_a_quirk_that_makes_no_task_is_found():
    class Quirk(ClassDisjoint):
        """Under its quirk nobody has an image."""

        name = "Quirk"
        quirks = {"nobody-trains": "nobody has an image"}

        def make(self, dataset, *, seed):
            task = super().make(dataset, seed=seed)
            empty = tuple(Client(c.name, ()) for c in task.clients)
            return replace(task, clients=empty) if self.quirk("nobody-trains") else task

    texts = found(splits.CHECKS, splits.SplitTrial(Quirk), "tasks under each quirk are tasks too")
    assert texts[0].startswith("under 'nobody-trains': client 0, client 1")


# -- datasets ------------------------------------------------------------------------------------------------


def dataset(change=None, **attributes):
    """`shapes` with a fault: `change` is applied to each instance."""

    class Faulty(Shapes):
        def __init__(self, root, *, allow_missing=False):
            super().__init__(root, allow_missing=allow_missing)
            if change:
                change(self)

    for key, value in attributes.items():
        setattr(Faulty, key, value)
    Faulty.name = "faulty"
    return Faulty


def appended(*items):
    def change(self):
        self.parts = {**self.parts, "test": (*self.parts["test"], *items)}

    return change


FIRST = Item("photo/striped red star/train/0000", 0, "photo")
DATASET_FAULTS = {
    "no title": (dataset(title=""), "it says what it is", "`title` is empty"),
    "published": (dataset(published=(1, 2)), "it says what it is", "train, val and test"),
    "list of names": (
        dataset(lambda self: setattr(self, "classnames", list(self.classnames))),
        "class names are ordered and unique",
        "is a list",
    ),
    "one name twice": (
        dataset(lambda self: setattr(self, "classnames", (self.classnames[1], *self.classnames[1:]))),
        "class names are ordered and unique",
        "is the name of two classes",
    ),
    "source": (
        dataset(lambda self: setattr(self, "source", "web")),
        "class names are ordered and unique",
        "`source` is 'web'",
    ),
    "label": (
        dataset(appended(Item("x", 40, "photo"))),
        "labels are in range and no image is in two parts",
        "1 labels are no ints below 40; the first: 40 of x",
    ),
    "two parts": (
        dataset(lambda self: appended(self.parts["train"][0])(self)),
        "labels are in range and no image is in two parts",
        "1 images are listed twice",
    ),
    "backslash": (
        dataset(appended(Item("a\\b", 0, "photo"))),
        "labels are in range and no image is in two parts",
        "keys are relative and have / in them",
    ),
    "no part": (
        dataset(lambda self: setattr(self, "parts", {"train": self.parts["train"]})),
        "labels are in range and no image is in two parts",
        "they must be train, val, test",
    ),
    "grey": (
        dataset(open=lambda self, item: PILImage.new("L", (8, 8))),
        "images are rgb and fingerprints stable",
        "is a L image",
    ),
    "fingerprint": (
        dataset(fingerprint=lambda self, item: str(random.random())),
        "images are rgb and fingerprints stable",
        "another one the second time",
    ),
    "any domain": (
        dataset(domain_parts=lambda self, domain: self.__dict__.get("parts", {})),
        "domains divide the images",
        "a domain that does not exist is no error",
    ),
    "no note": (
        dataset(notes=lambda self: [], missing=7),
        "what was left out is said",
        "7 images are missing",
    ),
    "order": (
        dataset(
            lambda self: setattr(
                self, "parts", {**self.parts, "val": tuple(random.sample(self.parts["val"], 50))}
            )
        ),
        "two constructions agree",
        "in another order",
    ),
}


@pytest.mark.parametrize("fault", DATASET_FAULTS)
def test_a_fault_of_a_dataset_is_found(fault):
    cls, title, words = DATASET_FAULTS[fault]
    texts = found(datasets.CHECKS, datasets.DatasetTrial(cls), title)
    assert any(words in text for text in texts), texts


def test_a_dataset_without_its_images_is_checked_as_far_as_it_goes(tmp_path):
    class Elsewhere(Shapes):
        """Not here."""

        name, image_folders, download = "elsewhere", ("elsewhere",), "it from https://example.org"

        def __init__(self, root, *, allow_missing=False):
            raise FedbenchError("elsewhere: no images; --data-root, or get it from https://example.org")

    (line,) = datasets.examine(Elsewhere, root=tmp_path).lines()
    assert line == f"elsewhere: 2 checks passed; the others need its images, which are not below '{tmp_path}'"
    (tmp_path / "elsewhere").mkdir()
    (line,) = datasets.examine(Elsewhere, root=tmp_path).lines()
    assert line.startswith("elsewhere: it can be made of what is there: elsewhere: no images;")


def test_a_refusal_that_does_not_help_is_found():
    class Curt(Shapes):
        """Says little."""

        name, image_folders, download = "curt", ("curt",), "it from https://example.org"

        def __init__(self, root, *, allow_missing=False):
            raise FedbenchError("no\nimages")

    texts = found(datasets.CHECKS, datasets.DatasetTrial(Curt), "without its files it says how to get them")
    assert [text.partition(":")[0] for text in texts] == [
        "the refusal must begin with 'curt",
        "the refusal has several lines",
        "the refusal does not say where the images are looked for (--data-root)",
        "the refusal does not say how to get the images (`download`)",
    ]


# -- backbones -----------------------------------------------------------------------------------------------


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
