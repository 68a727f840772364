"""What every registered split must keep, and which of them the seed decides."""

from functools import cache

import pytest

from fedbench.registry import SPLITS
from fedbench.testing.splits import CHECKS, SplitTrial

SETTINGS = {
    "base-to-novel": [{}, {"partition": "balanced"}],
    "class-disjoint": [{}, {"partition": "balanced"}],
    "dirichlet": [
        {},
        {"compat": "published"},
        {"scheme": "labeldir100"},
        {"scheme": "labeldir100", "compat": "published"},
    ],
    "domain-label-skew": [{}],
    "leave-one-domain-out": [{}, {"shots": 2, "target_eval": "test"}],
}
"""Beside the defaults, what draws in another way. A split that is not named here is checked at its defaults."""

FIXED = [("leave-one-domain-out", {})]
"""All images: the same for every seed."""


@cache
def trial(name, number=0):
    return SplitTrial(SPLITS[name], options=SETTINGS.get(name, [{}])[number])


TRIALS = [(name, number) for name in SPLITS for number in range(len(SETTINGS.get(name, [{}])))]
ONCE = "another process makes the same task"
CASES = [
    (*case, check)
    for case in TRIALS
    for check in CHECKS
    if check.when(trial(*case)) and not (case[1] and check.title == ONCE)
]


@pytest.mark.parametrize(
    ("name", "number", "check"), CASES, ids=[f"{name}-{n}-{check.title}" for name, n, check in CASES]
)
def test_the_contract(name, number, check):
    assert check.problems(trial(name, number)) == []


@pytest.mark.parametrize(("name", "number"), TRIALS)
def test_seeds_differ_where_something_is_drawn(name, number):
    hashes = {trial(name, number).make(seed=seed).hash for seed in (1, 2, 3)}
    drawn = (name, SETTINGS.get(name, [{}])[number]) not in FIXED
    assert len(hashes) == (3 if drawn else 1)


@pytest.mark.parametrize(
    ("name", "quirk"), [(name, quirk) for name in SPLITS for quirk in SPLITS[name].quirks]
)
def test_every_quirk_changes_the_task(name, quirk):
    assert trial(name).make(quirks=(quirk,)).hash != trial(name).task.hash
