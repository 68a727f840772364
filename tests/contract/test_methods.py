"""What every registered method must keep, whoever wrote it; a new file in `methods/` is tested unasked."""

from functools import cache

import pytest

from fedbench.registry import METHODS
from fedbench.testing.methods import CHECKS
from fedbench.testing.trials import MethodTrial, near, scores
from fedbench.testing.worlds import NAMES, NOVEL


@cache
def trial(name):
    return MethodTrial(METHODS[name])


CASES = [(name, check) for name in METHODS for check in CHECKS if check.when(trial(name))]


@pytest.mark.parametrize(("name", "check"), CASES, ids=[f"{name}-{check.title}" for name, check in CASES])
def test_the_contract(name, check):
    assert check.problems(trial(name)) == []


@pytest.mark.parametrize("name", list(METHODS))
def test_a_class_has_its_score_whatever_the_other_classes_are(name):
    """True of all methods of this zoo, and not asked of others."""
    fed = trial(name).federation()
    novel = scores(fed, NOVEL)
    for names in (NOVEL[1:], NAMES):
        assert names[0] == NOVEL[1]
        assert near(scores(fed, names)[..., 0], novel[..., 1], absolute=1e-4, relative=1e-4)
