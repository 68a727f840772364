"""The base-to-novel protocol on lists of known content and on CoOp's split files."""

import json
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from fedbench.data.parts import read_zhou
from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.splits.base_to_novel import BaseToNovel
from fedbench.task import Task

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "partitions.json").read_text())


def make(dataset, *, seed: int = 1, **options) -> Task:
    return BaseToNovel(BaseToNovel.Options(**options)).make(dataset, seed=seed)


@pytest.fixture
def seven(listed):
    """Seven classes, 4 of them base; the list starts with a late one; class k has 6 + k training images."""
    return listed([(6 + label, 3, 2 + label) for label in range(7)], order=[3, 0, 6, 2, 1, 5, 4])


def test_is_found_through_the_registry_with_the_papers_defaults() -> None:
    assert SPLITS["base-to-novel"] is BaseToNovel
    assert BaseToNovel.Options().model_dump() == {"clients": 10, "shots": 16, "partition": "published"}


@pytest.mark.parametrize("wrong", [{"shots": 0}, {"clients": 0}, {"partition": "iid"}, {"client": 3}])
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        BaseToNovel.Options(**wrong)


def test_halves_pools_and_columns(seven) -> None:
    task = make(seven, clients=2, shots=4)
    assert task.classnames == ("class_0", "class_1", "class_2", "class_3")
    assert task.pools["novel"].classnames == ("class_4", "class_5", "class_6")
    assert [len(task.pools[name].items) for name in ("base", "novel", "val")] == [
        2 + 3 + 4 + 5,
        6 + 7 + 8,
        4 * 3,
    ]
    assert {(i.key.split("/")[0], i.label) for i in task.pools["novel"].items} == {
        ("class_4", 0),
        ("class_5", 1),
        ("class_6", 2),
    }
    assert task.columns == ("local", "base", "novel")
    assert list(task.metrics) == ["local", "base", "novel", "val"]
    assert task.metrics["base"].rows is None
    assert task.metrics["novel"].rows is None
    assert task.summary == "hm"
    assert task.notes == ()


def test_local_rows_are_all_test_images_of_the_clients_own_classes(seven) -> None:
    task = make(seven, clients=2, shots=4)
    for pool in ("base", "val"):
        rows = task.metrics["local" if pool == "base" else "val"].rows
        assert rows is not None
        for client, own in zip(task.clients, rows, strict=True):
            labels = {item.label for item in client.train}
            assert own == tuple(r for r, i in enumerate(task.pools[pool].items) if i.label in labels)


def test_published_lists_are_those_of_the_papers_code(seven) -> None:
    """An independent derivation of CoOp's split, with the global generator, as that code uses it."""
    state = random.getstate()
    random.seed(5)
    few: dict[int, list] = {}
    for label in (3, 0, 6, 2, 1, 5, 4):
        few[label] = random.sample([i for i in seven.parts["train"] if i.label == label], 4)
    random.seed(2023)
    order = [0, 1, 2, 3]
    random.shuffle(order)
    expected = []
    for block in (order[:1], order[1:2], order[2:]):
        images = [random.sample(few[label], 4) for label in (3, 0, 2, 1) if label in block]
        expected.append([(i.key, i.label) for image_list in images for i in image_list])
    random.setstate(state)
    task = make(seven, seed=5, clients=3, shots=4)
    assert [[(i.key, i.label) for i in client.train] for client in task.clients] == expected


def test_fixed_shots_are_drawn_from_all_images_after_the_reset(listed) -> None:
    """Spec 2.4, Pets: the few-shot draw comes after `seed(2023)` and the shuffle, from the whole training list."""

    class Fixed(listed):
        fixed_shots = True

    dataset = Fixed([(6 + label, 3, 2 + label) for label in range(7)], order=[3, 0, 6, 2, 1, 5, 4])
    state = random.getstate()
    random.seed(2023)
    order = [0, 1, 2, 3]
    random.shuffle(order)
    expected = []
    for block in (order[:2], order[2:]):
        drawn = [
            random.sample([i for i in dataset.parts["train"] if i.label == label], 4)
            for label in (3, 0, 2, 1)
            if label in block
        ]
        expected.append([(i.key, i.label) for images in drawn for i in images])
    random.setstate(state)
    for seed in (1, 2):
        task = make(dataset, seed=seed, clients=2, shots=4)
        assert [[(i.key, i.label) for i in client.train] for client in task.clients] == expected


@pytest.mark.parametrize("split_file", GOLDEN["local_test_sizes"])
def test_local_test_sizes_with_coops_split(shared: Path, listed, split_file: str) -> None:
    dataset = listed([])
    dataset.classnames, dataset.parts = read_zhou(shared / "data" / split_file)
    task = make(dataset)
    rows = task.metrics["local"].rows
    assert rows is not None
    assert [len(own) for own in rows] == GOLDEN["local_test_sizes"][split_file]
    assert sum(task.counts) == 16 * len(task.classnames)


def test_the_seed_changes_the_images_but_not_the_published_blocks(seven) -> None:
    first, second = (make(seven, seed=seed, clients=2, shots=4) for seed in (1, 2))
    assert first.metrics["local"] == second.metrics["local"]
    assert first.clients != second.clients
    assert first.hash != second.hash
    assert make(seven, seed=1, clients=2, shots=4).hash == first.hash


def test_balanced_blocks_and_images_come_from_the_seed(seven) -> None:
    tasks = [make(seven, seed=seed, clients=2, shots=4, partition="balanced") for seed in range(6)]
    assert len({task.metrics["local"] for task in tasks}) > 1
    assert all([len(client.train) for client in task.clients] == [8, 8] for task in tasks)


@pytest.mark.parametrize(
    ("partition", "digest"), [("published", "e3c090843cd15405"), ("balanced", "1ccab5950bdb4644")]
)
def test_tasks_are_pinned(seven, partition: str, digest: str) -> None:
    """A changed draw changes every result: if this fails on purpose, say so in the change log."""
    assert make(seven, seed=1, clients=3, shots=4, partition=partition).hash == digest


def test_domains_are_kept(listed) -> None:
    dataset = listed([(2, 1, 1)] * 4)
    dataset.parts = {
        part: tuple(type(i)(i.key, i.label, "photo") for i in listed)
        for part, listed in dataset.parts.items()
    }
    task = make(dataset, clients=2, shots=1)
    assert {i.domain for c in task.clients for i in c.train} == {"photo"}
    assert {i.domain for i in task.pools["novel"].items} == {"photo"}


def test_too_few_images_are_noted(listed) -> None:
    task = make(listed([(2, 1, 1), (5, 1, 1), (3, 1, 1), (5, 1, 1)]), clients=2, shots=4)
    assert task.notes == (
        "2 of 4 classes have fewer than 4 training images and give all they have (fewest: 2, class_0)",
    )
    assert sorted(len(client.train) for client in task.clients) == [2, 4]


def test_classes_without_training_images_leave_both_halves_and_are_noted(listed) -> None:
    task = make(listed([(4, 1, 1), (0, 0, 3), (4, 1, 1), (4, 1, 1)], missing=7), clients=2, shots=4)
    assert task.classnames == ("class_0", "class_2")
    assert task.pools["novel"].classnames == ("class_3",)
    assert task.notes == (
        "7 images of the split are missing and were left out",
        "1 class (class_1) without a training image, left out of both halves",
    )


def test_classes_without_test_images_stay_in_the_label_space_and_are_noted(listed) -> None:
    task = make(listed([(4, 1, 1), (4, 1, 0), (4, 1, 1), (4, 1, 0)]), clients=1, shots=4)
    assert task.classnames == ("class_0", "class_1")
    assert task.notes == ("2 classes (class_1, class_3) without a test image, kept in the label space",)


def test_an_own_split_is_noted(listed) -> None:
    dataset = listed([(4, 1, 1)] * 2)
    dataset.source = "own"
    assert make(dataset, clients=1, shots=4).notes == (
        "fedbench's own train/val/test split, not the published one",
    )


@pytest.mark.parametrize(
    ("counts", "note"),
    [
        ([(4, 0, 1)] * 4, "no validation images, so no val metric and no best-val selection"),
        (
            [(4, 1, 1), (4, 0, 1), (4, 1, 1), (4, 1, 1)],
            "no validation image for client 1, so no val metric and no best-val selection",
        ),
    ],
)
def test_without_validation_images_for_every_client_there_is_no_val_metric(listed, counts, note: str) -> None:
    task = make(listed(counts), clients=2, shots=4)
    assert "val" not in task.metrics
    assert "val" not in task.pools
    assert task.notes == (note,)


@pytest.mark.parametrize(
    ("counts", "clients", "message"),
    [
        (
            [(4, 1, 1), (0, 1, 1)],
            1,
            "base-to-novel needs at least 2 classes with training images; listed has 1",
        ),
        (
            [(4, 1, 1)] * 9,
            10,
            "5 base classes of listed cannot be dealt to 10 clients: partition=published leaves 9 of them "
            "without a class; client counts that work: 1-5; partition=balanced takes 1-5",
        ),
        (
            [(4, 1, 1), (4, 1, 0), (4, 1, 1)],
            2,
            "base-to-novel: client 1 of 2 has no test image of its classes (class_1), so its Local accuracy "
            "is undefined; complete the images or use fewer clients",
        ),
        (
            [(4, 1, 1), (4, 1, 1), (4, 1, 0)],
            2,
            "base-to-novel: listed has no test image of its 1 novel classes",
        ),
    ],
)
def test_impossible_tasks_are_refused(listed, counts, clients: int, message: str) -> None:
    with pytest.raises(FedbenchError) as refused:
        make(listed(counts), clients=clients, shots=4)
    assert str(refused.value) == message
