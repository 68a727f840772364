"""The memory budget: measured bytes, and a clear refusal."""

from types import SimpleNamespace

import pytest
import torch

from fedbench.engine.memory import GIB, budget_bytes, clients_that_fit, step_bytes
from fedbench.errors import FedbenchError
from tests.helpers.tinyclip import random_clip
from tests.helpers.worlds import FixedData, make_method, start_of

CPU = torch.device("cpu")


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
    assert clients_that_fit(100, device=CPU, gib=2500 / GIB) == 10
    with pytest.raises(
        FedbenchError,
        match=r"one client's step needs about 5.00 GiB, the budget is 1.00 GiB; raise --memory-gib",
    ):
        clients_that_fit(2 * GIB, device=CPU, gib=1.0)


def test_without_a_budget_one_client_may_take_more_than_several(monkeypatch):
    free = SimpleNamespace(available=10 * GIB)
    monkeypatch.setattr("fedbench.engine.memory.psutil.virtual_memory", lambda: free)
    assert budget_bytes(CPU, None) == 8 * GIB
    assert clients_that_fit(GIB // 5, device=CPU) == 8, "half a GiB each, 4 GiB are enough"
    assert clients_that_fit(2 * GIB, device=CPU) == 1
    with pytest.raises(FedbenchError, match=r"needs about 10.00 GiB, the budget is 8.00 GiB"):
        clients_that_fit(4 * GIB, device=CPU)


def test_the_users_budget_wins():
    assert budget_bytes(CPU, 0.5) == GIB // 2
