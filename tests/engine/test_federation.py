"""The engine's loop against the plain one, and what may not change a number."""

import pytest
import torch

from fedbench.engine.federation import Federation
from fedbench.errors import FedbenchError
from fedbench.method import Method, Optimizer
from fedbench.reference import PlainCLIP, run_plain
from tests.helpers.tinyclip import golden_clip, random_clip
from tests.helpers.worlds import COUNTS, FixedData, federation, make_method, pixel_batches, start_of

TRAINED = ["CoOp", "PromptFL", "Prox", "FedPGP"]


@pytest.fixture(params=["golden", "random"])
def clip(request):
    return golden_clip("federated") if request.param == "golden" else random_clip()


def run(method: Method, rounds: int = 2, **settings):
    fed = federation(method, **settings)
    return fed, [fed.run_round(r) for r in range(rounds)]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", ["PromptFL", "Prox", "FedPGP"])
def test_two_rounds_equal_the_plain_path(name, clip):
    # a small rate: a large one would amplify float32 noise, and a wrong loop is 1e-3 away even so
    method = make_method(name, clip, hyper={"lr": 1e-3})
    plain = make_method(name, PlainCLIP(clip), hyper={"lr": 1e-3})
    history = run_plain(plain, start_of(method), pixel_batches(), COUNTS, rounds=2, local_epochs=2)
    fed = federation(method, local_epochs=2)
    for r, (server, personal) in enumerate(history):
        fed.run_round(r)
        for tensor, value in server.items():
            torch.testing.assert_close(fed.server[tensor], value, atol=1e-6, rtol=0)
        for tensor, value in fed.personal.items():
            expected = torch.stack([client[tensor] for client in personal])
            torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", TRAINED)
def test_any_number_of_clients_at_once_gives_the_same_bits(name, clip):
    reference, rounds = run(make_method(name, clip))
    for size in (1, 2):
        other, again = run(make_method(name, clip), clients_at_once=size)
        assert same(reference.server, other.server)
        assert same(reference.personal, other.personal)
        assert all(same(a.losses, b.losses) for a, b in zip(rounds, again, strict=True))


@pytest.mark.parametrize("name", TRAINED)
def test_a_restored_federation_goes_on_with_the_same_bits(name, clip):
    straight, _ = run(make_method(name, clip), rounds=3)
    first, _ = run(make_method(name, clip), rounds=1)
    second = federation(make_method(name, clip))
    second.restore({k: x.clone() for k, x in first.state().items()})
    for r in (1, 2):
        second.run_round(r)
    assert same(straight.state(), second.state())


def test_promptfl_sends_its_context_and_keeps_nothing():
    fed, rounds = run(make_method("PromptFL", golden_clip("federated")))
    assert set(rounds[0].uploads) == {"context"} == set(fed.server)
    assert fed.personal == {}
    assert len(rounds[0].uploads["context"]) == 3


def test_the_server_weighs_by_training_images():
    fed = federation(make_method("PromptFL", golden_clip("federated")))
    uploads = fed.run_round(0).uploads["context"]
    expected = (12 * uploads[0] + 12 * uploads[1] + 8 * uploads[2]) / 32
    torch.testing.assert_close(fed.server["context"], expected, atol=1e-6, rtol=0)
    assert not torch.allclose(fed.server["context"], uploads.mean(0), atol=1e-4)


def test_coop_sends_nothing_and_trains_on_without_interruption():
    clip = golden_clip("federated")
    fed, rounds = run(make_method("CoOp", clip), rounds=2)
    assert rounds[0].uploads == {} == fed.server
    long = federation(make_method("CoOp", clip), local_epochs=2)
    long.run_round(0)
    # one round of two epochs is two rounds of one epoch: nothing is reset in between
    assert same(fed.personal, long.personal)


def test_coop_restarting_each_round_loses_the_rounds_before():
    method = make_method("CoOp", golden_clip("federated"), quirks=["restart-each-round"])
    fed = federation(method)
    fed.run_round(0)
    after_one = {k: x.clone() for k, x in fed.personal.items()}
    fed.kept = {}  # but for the momentum, which the released optimiser keeps
    fed.run_round(1)
    assert same(after_one, fed.personal)


def test_the_dropped_client_is_never_trained_averaged_or_tested():
    clip = golden_clip("federated")
    method = make_method("PromptFL", clip, quirks=["drop-client-5"])
    data = FixedData(method)
    data.batches = data.batches * 2
    counts = [*COUNTS, *COUNTS]
    fed = Federation(method, data, counts=counts, seed=1, start=start_of(method))
    assert fed.sample(0) == [0, 1, 2, 3, 4] == fed.run_round(0).participants
    without = FixedData(method)
    without.batches = data.batches[:5]
    plain = make_method("PromptFL", clip)
    five = Federation(plain, without, counts=counts[:5], seed=1, start=start_of(plain))
    five.run_round(0)
    assert same(fed.server, five.server)
    third = Federation(method, data, counts=counts, seed=1, participation=0.34)
    assert not any(5 in third.sample(r) for r in range(50))
    with pytest.raises(
        FedbenchError, match="PromptFL is to drop client 5, and there are 3: use more clients"
    ):
        federation(method)


def test_full_participation_ignores_the_share():
    clip = golden_clip("federated")
    some, everyone = (
        federation(make_method("PromptFL", clip, quirks=quirks), participation=0.34)
        for quirks in ((), ("full-participation",))
    )
    assert len(some.sample(1)) == 1
    assert [everyone.sample(r) for r in range(3)] == [[0, 1, 2]] * 3


def leaking_by_hand(method: Method, rounds: int):
    """One torch SGD over all clients in turn, as in the released code."""
    start = start_of(method)
    p = {name: x[None].clone() for name, x in start.items()}
    optimizer = torch.optim.SGD(p.values(), lr=method.hyper.lr, momentum=0.9, weight_decay=5e-4)
    server = {name: start[name] for name in method.shared}
    data = FixedData(method)
    for _ in range(rounds):
        uploads = []
        for client in range(3):
            for name, x in server.items():
                p[name].copy_(x[None])
            for step in data.steps(0, [client]):
                for x in p.values():
                    x.requires_grad_()
                loss = sum(method.losses(p, step_batch(step)).values())
                grads = torch.autograd.grad(loss.sum(), list(p.values()))
                with torch.no_grad():
                    for x, g in zip(p.values(), grads, strict=True):
                        x.requires_grad_(False)
                        x.grad = g
                    optimizer.step()
            uploads.append({name: p[name][0].clone() for name in server})
        server = {
            name: sum(c * u[name] for c, u in zip(COUNTS, uploads, strict=True)) / sum(COUNTS)
            for name in server
        }
    return server


def step_batch(step):
    from fedbench.method import Batch

    return Batch(step.images, step.labels, step.valid, {})


def test_momentum_leak_is_one_sgd_for_all_clients_and_rounds():
    clip = golden_clip("federated")
    leaking, _ = run(make_method("PromptFL", clip, quirks=["momentum-leak"]))
    fresh, _ = run(make_method("PromptFL", clip))
    expected = leaking_by_hand(make_method("PromptFL", clip), rounds=2)
    torch.testing.assert_close(leaking.server["context"], expected["context"], atol=1e-5, rtol=0)
    assert (leaking.server["context"] - fresh.server["context"]).abs().max() > 1e-2


def test_detached_prox_is_promptfl_and_true_prox_stays_nearer_to_the_server():
    clip = golden_clip("federated")
    hyper = {"mu": 20.0, "lr": 0.01}
    plain, _ = run(make_method("PromptFL", clip, hyper={"lr": 0.01}))
    released, rounds = run(make_method("Prox", clip, hyper=hyper, quirks=["detached-prox"]))
    true, _ = run(make_method("Prox", clip, hyper=hyper))
    assert same(plain.server, released.server)
    assert rounds[0].losses["prox"].sum() > 0
    start = start_of(make_method("PromptFL", clip))["context"]
    assert (true.server["context"] - start).norm() < 0.9 * (released.server["context"] - start).norm()


def test_placeholder_anchor_changes_the_pull_on_the_shared_prompt():
    clip = golden_clip("federated")
    paper, _ = run(make_method("FedPGP", clip, hyper={"mu": 5.0}))
    code, _ = run(make_method("FedPGP", clip, hyper={"mu": 5.0}, quirks=["placeholder-anchor"]))
    assert (paper.server["context"] - code.server["context"]).abs().max() > 1e-5
    without = [
        run(make_method("FedPGP", clip, hyper={"mu": 0.0}, quirks=q))[0] for q in ([], ["placeholder-anchor"])
    ]
    assert same(without[0].server, without[1].server)


def test_fedpgps_ablations():
    clip = golden_clip("federated")

    def terms(**hyper):
        fed, rounds = run(make_method("FedPGP", clip, hyper=hyper), rounds=1)
        return fed, rounds[0].losses

    _, neither = terms(positive=False, negative=False)
    assert set(neither) == {"ce"}
    full, _ = terms(adaptation="full-rank")
    assert set(full.personal) == {"delta"}
    assert full.personal["delta"].shape == (3, 4, clip.text.width)
    # without the positive side the shared prompt is not held near the anchor: the anchor has no effect
    without = [
        run(make_method("FedPGP", clip, hyper={"positive": False}, quirks=q))[0]
        for q in ([], ["placeholder-anchor"])
    ]
    assert same(without[0].server, without[1].server)
    # without the negative side the personal part feels cross-entropy alone
    only_positive = federation(make_method("FedPGP", clip, hyper={"negative": False}))
    plain_ce = federation(make_method("FedPGP", clip, hyper={"positive": False, "negative": False}))
    steps = [next(iter(f.data.steps(0, [0]))) for f in (only_positive, plain_ce)]
    grads = [gradients_of(f, s) for f, s in zip((only_positive, plain_ce), steps, strict=True)]
    torch.testing.assert_close(grads[0]["u"], grads[1]["u"], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(grads[0]["context"], grads[1]["context"], atol=1e-6)


def gradients_of(fed, step):
    from fedbench.engine.local import losses_and_gradients

    p = {name: x.clone() for name, x in fed.model([0]).items()}
    return losses_and_gradients(fed.method, p, step, received={n: p[n].detach() for n in fed.method.shared})[
        1
    ]


def test_partial_participation_leaves_the_others_alone_and_is_the_same_for_all_methods():
    clip = golden_clip("federated")
    feds = {name: federation(make_method(name, clip), participation=0.67) for name in ("FedPGP", "CoOp")}
    chosen = {name: [fed.sample(r) for r in range(8)] for name, fed in feds.items()}
    assert chosen["FedPGP"] == chosen["CoOp"]
    assert all(len(c) == 2 and c == sorted(c) for c in chosen["CoOp"])
    assert len({tuple(c) for c in chosen["CoOp"]}) > 1
    fed = feds["FedPGP"]
    before = {k: x.clone() for k, x in fed.personal.items()}
    took_part = fed.run_round(0).participants
    (left_out,) = set(range(3)) - set(took_part)
    assert all(torch.equal(fed.personal[k][left_out], before[k][left_out]) for k in before)
    assert all(not torch.equal(fed.personal[k][took_part[0]], before[k][took_part[0]]) for k in before)


def test_the_reported_loss_is_the_mean_over_steps_that_were_taken():
    fed = federation(make_method("PromptFL", golden_clip("federated")))
    happened = fed.run_round(0)
    assert happened.active.tolist() == [[True] * 3, [True] * 3, [True, True, False]]
    taken = happened.losses["ce"][happened.active]
    assert happened.mean_losses()["ce"] == pytest.approx(taken.mean().item(), rel=1e-6)
    assert len(taken) == 8


def test_kept_optimiser_state_is_saved_and_fresh_state_is_not():
    clip = golden_clip("federated")
    assert not [k for k in run(make_method("PromptFL", clip))[0].state() if k.startswith("optimizer")]
    kept = [k for k in run(make_method("CoOp", clip))[0].state() if k.startswith("optimizer")]
    assert kept == ["optimizer/context/momentum"]
    assert make_method("CoOp", clip).optimizer("context") == Optimizer(
        lr=0.05, momentum=0.9, weight_decay=5e-4, state="kept"
    )
