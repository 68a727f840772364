"""The checks of splits find what they are for; one fault in each class here."""

import random
from dataclasses import replace

import pytest
from pydantic import BaseModel, Field

from fedbench.data.dataset import Item
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS, SPLITS, load_plugin
from fedbench.splits.class_disjoint import ClassDisjoint
from fedbench.task import Client, Metric, Pool, Split, Task
from fedbench.testing import check, check_and_print, splits
from fedbench.testing.listed import Listed
from tests.helpers.found import found

Shapes = DATASETS["shapes"]


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
    advice = f"with clients=10000: ValueError: no (test_split_checks.py:{place}); raise a FedbenchError that says what"
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
