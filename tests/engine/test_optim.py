"""ClientOptimizer against torch.optim, one client at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbench.engine.optim import ClientOptimizer
from fedbench.method import Optimizer

SGD = st.builds(
    Optimizer,
    lr=st.floats(1e-4, 1.0),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    weight_decay=st.sampled_from([0.0, 5e-4, 0.1]),
)
ADAMW = st.builds(
    Optimizer,
    kind=st.just("adamw"),
    lr=st.floats(1e-4, 0.1),
    weight_decay=st.sampled_from([0.0, 1e-2]),
    betas=st.sampled_from([(0.9, 0.999), (0.5, 0.9)]),
)


def torch_optimizer(x, s):
    if s.kind == "adamw":
        return torch.optim.AdamW([x], lr=s.lr, betas=s.betas, weight_decay=s.weight_decay)
    return torch.optim.SGD([x], lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(SGD, ADAMW), st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6)
)
def test_each_client_is_trained_as_torch_trains_it_alone(settings_, plan):
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 5, generator=rng)
    gradients = torch.randn(len(plan), 3, 4, 5, generator=rng)
    ours = {"w": start.clone()}
    optimizer = ClientOptimizer(ours, {"w": settings_})
    for gradient, active in zip(gradients, plan, strict=True):
        optimizer.step({"w": gradient}, torch.tensor(active))
    for k in range(3):
        theirs = start[k].clone().requires_grad_()
        alone = torch_optimizer(theirs, settings_)
        for gradient, active in zip(gradients, plan, strict=True):
            if active[k]:
                theirs.grad = gradient[k].clone()
                alone.step()
        torch.testing.assert_close(ours["w"][k], theirs.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_masked_client_keeps_its_bits(kind):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(3, 7, generator=rng)
    ours = {"w": x.clone()}
    optimizer = ClientOptimizer(ours, {"w": Optimizer(lr=0.1, momentum=0.9, weight_decay=0.01, kind=kind)})
    optimizer.step({"w": torch.randn(3, 7, generator=rng)}, torch.ones(3, dtype=torch.bool))
    before, state = ours["w"].clone(), {k: v.clone() for k, v in optimizer.state.items()}
    optimizer.step({"w": torch.randn(3, 7, generator=rng)}, torch.tensor([True, False, True]))
    assert torch.equal(ours["w"][1], before[1])
    assert not torch.equal(ours["w"][0], before[0])
    assert all(torch.equal(optimizer.state[k][1], state[k][1]) for k in state)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_client_has_the_same_bits_in_any_company(kind):
    rng = torch.Generator().manual_seed(2)
    x, gradients = torch.randn(9, 11, generator=rng), torch.randn(5, 9, 11, generator=rng)

    def run(clients):
        p = {"w": x[clients].clone()}
        optimizer = ClientOptimizer(p, {"w": Optimizer(lr=0.3, momentum=0.9, weight_decay=0.01, kind=kind)})
        for gradient in gradients:
            optimizer.step({"w": gradient[clients]}, torch.ones(len(clients), dtype=torch.bool))
        return p["w"]

    together = run(list(range(9)))
    assert all(torch.equal(run([k])[0], together[k]) for k in range(9))


def test_state_goes_on_where_it_was_left():
    rng = torch.Generator().manual_seed(3)
    gradients, plan = torch.randn(4, 2, 3, generator=rng), Optimizer(lr=0.1, momentum=0.9, weight_decay=0.0)
    everyone = torch.ones(2, dtype=torch.bool)
    whole = {"w": torch.zeros(2, 3)}
    optimizer = ClientOptimizer(whole, {"w": plan})
    for gradient in gradients:
        optimizer.step({"w": gradient}, everyone)
    halves, state = {"w": torch.zeros(2, 3)}, None
    for part in gradients.split(2):
        optimizer = ClientOptimizer(halves, {"w": plan}, state=state)
        for gradient in part:
            optimizer.step({"w": gradient}, everyone)
        state = optimizer.state
    assert torch.equal(whole["w"], halves["w"])
