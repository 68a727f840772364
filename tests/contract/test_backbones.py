"""What every registered backbone must keep to."""

from functools import cache

import pytest

from fedbench.registry import BACKBONES
from fedbench.testing.backbones import CHECKS, BackboneTrial


@cache
def trial(name):
    return BackboneTrial(BACKBONES[name])


@pytest.mark.parametrize("check", list(CHECKS), ids=lambda check: check.title)
@pytest.mark.parametrize("name", list(BACKBONES))
def test_the_contract(name, check):
    assert check.problems(trial(name)) == []
