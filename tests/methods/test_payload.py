"""What each method sends, against the numbers of the papers and their code."""

import pytest

from tests.helpers.checks import sizes

SHARED_ON_VIT_B_16 = {
    "CLIP": 0,
    "CoOp": 0,
    "PromptFL": 8192,
    "Prox": 8192,
    "FedPGP": 8192,
    "FedOTP": 8192,
    "pFedMMA": 8448,
    "FedTV": 532480,
    "FedMaPLe": 3555072,
    "FedCoCoOp": 41504,
    "pFedPT": 8192,
    "pLoRA": 92160,
}
"""Numbers that a client sends in a round."""


@pytest.mark.parametrize("name", SHARED_ON_VIT_B_16)
def test_a_client_sends_as_many_numbers_as_published(name):
    assert sizes(name)["shared"] == SHARED_ON_VIT_B_16[name]
