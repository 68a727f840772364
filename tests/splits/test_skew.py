"""The Dirichlet schemes: the published draws are the recorded ones, impossible ones say what would work."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.splits.skew import LabelDir
from fedbench.task import Task

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "partitions.json").read_text())


class Balanced(Dataset):
    """CIFAR's sizes without its images."""

    name = "balanced"

    def __init__(self, classes: int, *, train: int = 50_000, test: int = 10_000):
        self.classnames = tuple(f"class_{k}" for k in range(classes))
        self.superclasses = tuple(k // 5 for k in range(classes))
        self.source = "official"
        self.parts = {
            part: tuple(Item(f"{part}/{i:05d}", i * classes // size) for i in range(size))
            for part, size in (("train", train), ("test", test))
        } | {"val": ()}

    def open(self, item: Item) -> Any:
        raise AssertionError("a split must not open images")

    def fingerprint(self, item: Item) -> str:
        raise AssertionError("a split must not read files")


def make(dataset: Dataset, *, seed: int = 1, **options: Any) -> Task:
    split = SPLITS["dirichlet"]
    return split(split.Options(**options)).make(dataset, seed=seed)


def sizes(task: Task) -> tuple[list[int], list[int]]:
    rows = task.metrics["local"].rows
    assert rows is not None
    return [len(client.train) for client in task.clients], [len(own) for own in rows]


def classes(task: Task) -> list[int]:
    return [len({item.label for item in client.train}) for client in task.clients]


@pytest.fixture(scope="module")
def cifar10() -> Balanced:
    return Balanced(10)


@pytest.fixture(scope="module")
def cifar100() -> Balanced:
    return Balanced(100)


@pytest.mark.parametrize("seed", GOLDEN["labeldir"])
def test_published_labeldir_is_the_papers_partition(cifar10: Balanced, seed: str) -> None:
    recorded = GOLDEN["labeldir"][seed]
    task = make(cifar10, seed=int(seed), compat="published")
    train, test = sizes(task)
    assert train[:5] == recorded["train"]
    assert test[:5] == recorded["test"]
    assert [min(train), max(train), min(test), max(test)] == recorded["ranges"]
    if "client_0" in recorded:
        labels = [item.label for item in task.clients[0].train]
        assert [labels.count(k) for k in range(10)] == recorded["client_0"]


def test_published_labeldir_takes_as_many_tries_as_the_papers_code() -> None:
    labels = [np.repeat(np.arange(10), 5000), np.repeat(np.arange(10), 1000)]
    rng, tries = np.random.RandomState(3), []
    LabelDir(0.1, 100, 10, 1000).deal(
        labels, draws=lambda attempt: tries.append(attempt) or rng, what="seed 3"
    )
    assert len(tries) == 743


def label(entry: dict[str, Any]) -> str:
    return f"{entry['classes']} classes, beta {entry['beta']}, {entry['clients']} clients"


def measured(train: list[list[int]], test: list[list[int]]) -> dict[str, list[float]]:
    """What the recording has of one partition, from the labels of each client's images."""
    found: dict[str, list[float]] = {}
    for part, lists in (("train", train), ("test", test)):
        counts, kinds = [len(own) for own in lists], [len(set(own)) for own in lists]
        found[part] = [min(counts), max(counts)]
        found[f"{part}_classes"] = [min(kinds), float(np.mean(kinds)), max(kinds)]
    return found


@pytest.mark.parametrize("entry", [e for e in GOLDEN["datasplit"] if e["scheme"] == "labeldir"], ids=label)
def test_published_labeldir_has_the_recorded_ranges_over_ten_seeds(entry: dict[str, Any]) -> None:
    labels = [np.repeat(np.arange(entry["classes"]), size // entry["classes"]) for size in (50_000, 10_000)]
    rule = LabelDir(entry["beta"], entry["clients"], 10, 10_000)
    found = []
    for seed in range(10):
        rng = np.random.RandomState(seed)
        dealt = rule.deal(labels, draws=lambda _, rng=rng: rng, what="recorded")  # type: ignore[misc]
        train, test = ([y[own].tolist() for own in lists] for y, lists in zip(labels, dealt, strict=True))
        found.append(measured(train, test))
    for key in ("train", "test", "train_classes", "test_classes"):
        ranges = [[min(each), max(each)] for each in zip(*(one[key] for one in found), strict=True)]
        np.testing.assert_allclose(ranges, entry[key], atol=1e-9)


@pytest.mark.parametrize("entry", [e for e in GOLDEN["datasplit"] if e["scheme"] == "labeldir100"], ids=label)
def test_published_labeldir100_is_near_the_recording_of_images_in_another_order(
    entry: dict[str, Any],
) -> None:
    """In which order the recorded labels lay is not known: classes and sizes depend on it, weakly."""
    task = make(
        Balanced(100), beta=entry["beta"], clients=entry["clients"], scheme="labeldir100", compat="published"
    )
    rows, items = task.metrics["local"].rows, task.pools["test"].items
    assert rows is not None
    found = measured(
        [[i.label for i in c.train] for c in task.clients], [[items[r].label for r in own] for own in rows]
    )
    for key in ("train", "test"):
        np.testing.assert_allclose(
            found[key], [bounds[0] for bounds in entry[key]], atol=0.01 * 60_000 / entry["clients"] * 2.5
        )
    for key in ("train_classes", "test_classes"):
        np.testing.assert_allclose(found[key], [bounds[0] for bounds in entry[key]], atol=3)


def test_published_labeldir100_has_the_same_clients_for_every_seed_in_another_order(
    cifar100: Balanced,
) -> None:
    one, two = (make(cifar100, seed=seed, scheme="labeldir100", compat="published") for seed in (1, 2))
    assert {c.train for c in one.clients} == {c.train for c in two.clients}
    assert [c.train for c in one.clients] != [c.train for c in two.clients]
    train, test = sizes(one)
    assert {a + b for a, b in zip(train, test, strict=True)} == {600}
    assert min(classes(one)) == 8  # as recorded: late clients find most classes empty
    own = [make(cifar100, seed=seed, scheme="labeldir100") for seed in (1, 2)]
    assert {c.train for c in own[0].clients}.isdisjoint(c.train for c in own[1].clients)


def test_the_test_set_follows_the_train_proportions(cifar10: Balanced) -> None:
    task = make(cifar10, clients=10, seed=7)
    rows, items = task.metrics["local"].rows, task.pools["test"].items
    assert rows is not None
    for client, own in zip(task.clients, rows, strict=True):
        train, test = ([i.label for i in list_] for list_ in (client.train, [items[row] for row in own]))
        for label in range(10):
            assert abs(train.count(label) / 5000 - test.count(label) / 1000) < 0.002


def test_seeds_and_settings_have_their_own_draws(cifar10: Balanced) -> None:
    hashes = {
        make(cifar10, seed=s, clients=n, compat=c).hash
        for s in (0, 1)
        for n in (5, 6)
        for c in ("independent", "published")
    }
    assert len(hashes) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"beta": 0.05, "clients": 20, "max_tries": 5},
            "dirichlet on balanced: no draw with beta=0.05 over clients=20 gives every client min_size=10 training and "
            "test images (5 draws, the best gave ",
        ),
        (
            {"beta": 0.3, "clients": 60},
            "dirichlet on balanced: no draw with beta=0.3 over clients=60 gives every client min_size=10 training and "
            "test images: there are 500 test images; use min_size up to 8 or clients up to 50",
        ),
        (
            {"beta": 0.3, "clients": 501, "min_size": 1},
            "dirichlet on balanced: no draw with beta=0.3 over clients=501 gives every client min_size=1 training and "
            "test images: there are 500 test images; use fewer clients",
        ),
    ],
)
def test_impossible_skews_are_refused_with_what_would_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FedbenchError) as refused:
        make(Balanced(10, train=2000, test=500), **options)
    assert str(refused.value).startswith(message)


def test_the_advice_works() -> None:
    dataset = Balanced(10, train=2000, test=500)
    options = {"beta": 0.05, "clients": 20, "max_tries": 20}
    with pytest.raises(FedbenchError) as refused:
        make(dataset, **options)
    advice = str(refused.value).partition("; what works here: ")[2].split(" or ")
    assert advice
    for entry in advice:
        key, _, value = entry.partition("=")
        make(dataset, **options | {key: float(value) if key == "beta" else int(value)})


def test_labeldir100_needs_superclasses(listed) -> None:
    with pytest.raises(
        FedbenchError, match="needs superclasses, as CIFAR-100 has them; listed has none: use scheme=labeldir"
    ):
        make(listed([(9, 0, 9)] * 4), scheme="labeldir100", clients=2)


def test_labeldir100_refuses_clients_that_are_too_small() -> None:
    with pytest.raises(
        FedbenchError,
        match=r"scheme=labeldir100 with beta=0.3 over clients=20 gives a client \d training or test",
    ):
        make(Balanced(10, train=300, test=60), scheme="labeldir100", clients=20)


def test_classes_without_an_image_get_nothing() -> None:
    dataset = Balanced(10, train=500, test=100)
    dataset.parts = {part: tuple(i for i in items if i.label != 3) for part, items in dataset.parts.items()}
    dataset.superclasses = tuple(-1 if k == 3 else k // 5 for k in range(10))
    for scheme in ("labeldir", "labeldir100"):
        task = make(dataset, scheme=scheme, clients=2, min_size=1)
        assert {i.label for c in task.clients for i in c.train} == set(range(10)) - {3}
