"""The memory budget: measured bytes, and a clear refusal."""

import pytest
import torch

from fedbench.engine.memory import GIB, budget_bytes, clients_that_fit, step_bytes
from fedbench.errors import FedbenchError
from tests.engine.worlds import FixedData, make_method, start_of
from tests.tinyclip import random_clip


def measured(name="PromptFL", clients=1, **hyper):
    method = make_method(name, random_clip(), hyper=hyper)
    model = {n: x.expand(clients, *x.shape) for n, x in start_of(method).items()}
    step = next(iter(FixedData(method).steps(0, range(clients))))
    return step_bytes(method, model, step)


def test_bytes_grow_with_clients_and_prompt_sets():
    one, three = measured(n_ctx=60), measured(n_ctx=60, clients=3)  # enough tokens not to be padded
    assert 2.5 * one < three < 3.1 * one
    assert measured("FedPGP", n_ctx=60) > 1.6 * one, "FedPGP encodes two prompts a class"


def test_the_count_is_of_the_right_order():
    # 2 blocks of width 32: about 20 values a token and channel are kept; weights are not counted
    method = make_method("PromptFL", random_clip())
    tokens = len(method.tree(method.classnames).ids)
    assert 8 < measured() / (tokens * 2 * 32 * 4) < 60


def test_as_many_clients_as_the_budget_holds():
    assert clients_that_fit(100, 2500) == 10
    with pytest.raises(
        FedbenchError,
        match=r"one client's step needs about 5.00 GiB, the budget is 1.00 GiB; raise --memory-gib",
    ):
        clients_that_fit(2 * GIB, GIB)


def test_the_users_budget_wins():
    assert budget_bytes(torch.device("cpu"), 0.5) == GIB // 2
    assert 0 < budget_bytes(torch.device("cpu"), None) <= 4 * GIB
