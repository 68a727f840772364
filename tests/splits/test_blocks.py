"""Class blocks: the published ones are recorded from the papers' code, the impossible ones are refused."""

import json
import random
import re
from pathlib import Path

import pytest

from fedbench.errors import FedbenchError
from fedbench.splits.blocks import balanced_blocks, check_possible, published_blocks

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "partitions.json").read_text())


def published(classes: int, clients: int) -> list[list[int]]:
    return published_blocks(classes, clients=clients, rng=random.Random(2023))


@pytest.mark.parametrize("classes", GOLDEN["class_blocks"])
def test_published_blocks_are_the_recorded_ones(classes: str) -> None:
    assert published(int(classes), 10) == GOLDEN["class_blocks"][classes]


def test_recorded_empty_clients_are_exactly_the_refused_ones() -> None:
    recorded = dict(GOLDEN["empty_clients"])
    for classes in range(1, 110):
        blocks = published(classes, 10)
        assert (0 in map(len, blocks)) == (classes in recorded)
        if classes in recorded:
            assert [len(block) for block in blocks] == recorded[classes]
            with pytest.raises(FedbenchError, match="without a class"):
                check_possible(classes, clients=10, partition="published", what="classes")
        else:
            check_possible(classes, clients=10, partition="published", what="classes")


def test_balanced_blocks_differ_by_one_class_at_most_and_depend_on_the_seed() -> None:
    blocks = balanced_blocks(24, clients=10, seed=1)
    assert sorted(map(len, blocks)) == [2] * 6 + [3] * 4
    assert sorted(label for block in blocks for label in block) == list(range(24))
    assert blocks != balanced_blocks(24, clients=10, seed=2)


@pytest.mark.parametrize(
    ("classes", "clients", "partition", "message"),
    [
        (
            5,
            10,
            "published",
            "5 base classes of eurosat cannot be dealt to 10 clients: partition=published leaves 9 of them "
            "without a class; client counts that work: 1-5; partition=balanced takes 1-5",
        ),
        (
            18,
            10,
            "published",
            "18 base classes of eurosat cannot be dealt to 10 clients: partition=published leaves 1 of them "
            "without a class; client counts that work: 1-6, 8-9, 13-18; partition=balanced takes 1-18",
        ),
        (
            20,
            30,
            "balanced",
            "20 base classes of eurosat cannot be dealt to 30 clients: partition=balanced leaves 10 of them "
            "without a class; client counts that work: 1-20",
        ),
    ],
)
def test_impossible_partitions_name_the_client_counts_that_work(
    classes: int, clients: int, partition: str, message: str
) -> None:
    with pytest.raises(FedbenchError) as refused:
        check_possible(classes, clients=clients, partition=partition, what="base classes of eurosat")  # type: ignore[arg-type]
    assert str(refused.value) == message


@pytest.mark.parametrize("classes", [5, 18, 19, 35])
def test_the_advice_is_right_for_every_client_count(classes: int) -> None:
    with pytest.raises(FedbenchError) as refused:
        check_possible(classes, clients=classes + 1, partition="published", what="classes")
    advice = re.search(r"counts that work: ([\d, -]+);", str(refused.value))
    assert advice is not None
    bounds = [[int(bound) for bound in run.split("-")] for run in advice[1].split(", ")]
    advised = {count for run in bounds for count in range(run[0], run[-1] + 1)}
    assert advised == {n for n in range(1, classes + 3) if all(published(classes, n))}
