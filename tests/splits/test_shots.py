"""Few-shot draws: CoOp's public lists are reproduced; ours are nested."""

import hashlib
import json
import random
from pathlib import Path

import pytest

from fedbench.data.dataset import Item
from fedbench.data.parts import read_zhou
from fedbench.splits.shots import balanced_shots, published_shots

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "partitions.json").read_text())


def items(order: str, per_class: int) -> list[Item]:
    return [Item(f"{label}{index}", ord(label) - ord("a")) for label in order for index in range(per_class)]


@pytest.mark.parametrize("split_file", GOLDEN["few_shot"])
def test_published_draws_are_coops_public_lists(shared: Path, split_file: str) -> None:
    digest, count = GOLDEN["few_shot"][split_file]
    _, parts = read_zhou(shared / "data" / split_file)
    train, _ = published_shots(parts["train"], parts["val"], shots=16, seed=1)
    assert len(train) == count
    assert hashlib.sha256("\n".join(item.key for item in train).encode()).hexdigest()[:16] == digest


def test_published_draws_follow_first_appearance_and_draw_validation_after_training() -> None:
    train, val = items("ba", 6), items("ab", 7)
    rng = random.Random(3)
    expected = [*rng.sample(train[:6], 5), *rng.sample(train[6:], 5)]
    expected_val = [*rng.sample(val[:7], 4), *rng.sample(val[7:], 4)]
    assert published_shots(train, val, shots=5, seed=3) == (expected, expected_val)


def test_a_class_with_too_few_images_gives_all_and_draws_nothing() -> None:
    few, enough = items("a", 2), items("b", 9)
    drawn, val = published_shots([*few, *enough], [], shots=4, seed=0)
    assert drawn == [*few, *random.Random(0).sample(enough, 4)]
    assert val == []


def test_balanced_draws_are_nested_and_do_not_depend_on_other_classes() -> None:
    both = items("ab", 9)
    four = balanced_shots(both, shots=4, seed=1, purpose="shots")
    eight = balanced_shots(both, shots=8, seed=1, purpose="shots")
    assert four == [*eight[:4], *eight[8:12]]
    assert balanced_shots(items("b", 9), shots=4, seed=1, purpose="shots") == four[4:]
    assert balanced_shots(both, shots=4, seed=2, purpose="shots") != four
    assert [item.key[1:] for item in four[:4]] != [item.key[1:] for item in four[4:]]  # each class its own
