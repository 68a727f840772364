"""Fixtures of the tests of single methods."""

import pytest

from tests.helpers.tinyclip import golden_clip, random_clip

CLIPS = {"golden": lambda: golden_clip("federated"), "unequal towers": random_clip}


@pytest.fixture(params=CLIPS)
def clip(request):
    """Two small CLIPs, one after the other."""
    return CLIPS[request.param]()
