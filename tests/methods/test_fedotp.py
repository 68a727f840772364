"""FedOTP: against the plain path, the solver, what the specification asks for, and the quirks."""

import numpy as np
import pytest
import torch

from fedbench.clip.transport import patch_similarity
from fedbench.method import Batch
from fedbench.methods.fedotp import FedOTP
from fedbench.seeds import torch_stream
from tests.helpers.checks import (
    against_plain,
    distance,
    federation,
    gradients,
    logits,
    resnet,
    run,
    same,
    sizes,
    start,
    vit_b_16,
)
from tests.helpers.tinyclip import golden_clip, random_clip
from tests.helpers.worlds import NAMES, make_method, start_of


def make(*quirks, clip=None, **hyper):
    return make_method("FedOTP", clip or golden_clip(), quirks=quirks, hyper=hyper)


def similarities(*, clients=1, classes=3, images=4, patches=16, seed=0):
    """Like CLIP's: around 0.2. (clients, 2, classes, images, patches)"""
    rng = torch.Generator().manual_seed(seed)
    return 0.2 + 0.08 * torch.randn(clients, 2, classes, images, patches, generator=rng)


def tokens(method, *, clients=1, images=4, seed=0):
    """Random patch tokens. (clients, images, 17, embed)"""
    shape = (clients, images, 17, method.clip.embed_dim)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def solved(s, *, capped, share, eps=0.1, thresh=1e-3, sweeps=100):
    """One problem, written down as in the paper. s (patches, 2) → T"""
    k = np.exp(-(1 - s) / eps)
    u, v = np.ones(len(s)), np.ones(2)
    for _ in range(sweeps):
        old_u, old_v = u, v
        u = (1 / len(s)) / (k @ v)
        u = np.minimum(u, 1) if capped else u
        v = share / 2 / (k.T @ u)
        if (np.abs(v - old_v) if capped else np.abs(u - old_u)).mean() < thresh:
            break
    return u[:, None] * k * v


@pytest.mark.parametrize("ot", ["COT", "Sinkhorn"])
def test_two_rounds_equal_the_plain_path(clip, ot):
    tensors, scores = against_plain("FedOTP", clip, begin=start_of, local_epochs=1, lr=1e-3, ot=ot)
    assert tensors < 5e-7
    assert scores < 1e-4


def test_half_prompts_stay_in_half_precision_and_lose_small_updates(clip):
    half, plain = (make(*q, clip=clip, lr=1e-7) for q in (("half-prompts",), ()))
    fed, _ = run(half)
    for name, x in fed.state().items():
        if name.startswith(("server/", "personal/")):
            assert torch.equal(x, x.half().float()), name
    begun = half.init(torch_stream(1, "init"))
    assert all(torch.equal(x, x.half().float()) for x in begun.values())
    assert any(not torch.equal(x, x.half().float()) for x in plain.init(torch_stream(1, "init")).values())
    moved = {}
    for method in (half, plain):
        first = {name: x.half().float() for name, x in start_of(method).items()}
        trained = federation(method, start=first)
        trained.run_round(0)
        moved[method] = float((trained.personal["local"] != first["local"]).float().mean())
    assert moved[half] < 0.1 < 0.9 < moved[plain]


@pytest.mark.parametrize("quirks", [(), ("batch-stop",)])
def test_any_number_of_clients_at_once_gives_the_same_bits(clip, quirks):
    reference, rounds = run(make(*quirks, clip=clip))
    for size in (1, 2):
        other, again = run(make(*quirks, clip=clip), clients_at_once=size)
        assert same(reference.state(), other.state())
        assert all(same(a.losses, b.losses) for a, b in zip(rounds, again, strict=True))


@pytest.mark.parametrize(("ot", "share"), [("COT", 0.8), ("COT", 1.0), ("Sinkhorn", 1.0)])
def test_each_plan_is_the_papers_iteration(ot, share):
    method, sim = make(ot=ot, top_percent=share), similarities()
    plan, _ = method.transport().plan(sim)
    for c in range(3):
        for image in range(4):
            expected = solved(sim[0, :, c, image].double().numpy().T, capped=ot == "COT", share=share)
            np.testing.assert_allclose(plan[0, :, c, image].numpy().T, expected, atol=2e-6)


def test_capped_plans_give_each_prompt_its_share_and_leave_patches_aside():
    plan, _ = make(top_percent=0.8).transport().plan(similarities())
    patches = plan.sum(1)  # (clients, classes, images, patches)
    torch.testing.assert_close(plan.sum(-1), torch.full(plan.shape[:-1], 0.4))
    assert (patches <= 1 / 16 + 1e-3).all()
    assert (patches < 0.8 / 16).any()


def test_balanced_plans_use_every_patch():
    plan, _ = make(ot="Sinkhorn").transport().plan(similarities())
    torch.testing.assert_close(plan.sum(-1), torch.full(plan.shape[:-1], 0.5))
    torch.testing.assert_close(plan.sum(1), torch.full(plan[:, 0].shape, 1 / 16), atol=1e-3, rtol=0)


@pytest.mark.parametrize("ot", ["COT", "Sinkhorn"])
def test_a_small_eps_does_not_underflow(ot):
    sim = similarities() - 0.5  # K is as small as e^-130, which is 0 in float32
    plan, _ = make(ot=ot, eps=0.01).transport().plan(sim)
    share = 0.8 if ot == "COT" else 1.0
    torch.testing.assert_close(plan.sum(dim=(1, 4)), torch.full((1, 3, 4), share))
    expected = solved(sim[0, :, 0, 0].double().numpy().T, capped=ot == "COT", share=share, eps=0.01)
    np.testing.assert_allclose(plan[0, :, 0, 0].numpy().T, expected, atol=1e-4)


def test_no_gradient_goes_through_the_plan():
    method = make()
    p = {name: x[None].requires_grad_() for name, x in start_of(method).items()}
    text, images = method.text(p, NAMES), tokens(method)
    through = torch.autograd.grad(method.scores(text, images).square().sum(), text, retain_graph=True)[0]
    sim = patch_similarity(text, images)
    held = method.clip.logit_scale * (method.transport().plan(sim.detach())[0] * sim).sum(dim=(1, 4))
    torch.testing.assert_close(through, torch.autograd.grad(held.square().sum(), text)[0])
    assert not method.transport().plan(sim)[0].requires_grad


def test_the_images_own_token_is_not_used():
    method, images = make(), tokens(make())
    p = {name: x[None] for name, x in start_of(method).items()}
    replaced = torch.cat([images[:, :, :1] * -7, images[:, :, 1:]], dim=2)
    assert torch.equal(method.logits(p, images, NAMES), method.logits(p, replaced, NAMES))
    assert not torch.equal(method.logits(p, images, NAMES), method.logits(p, images.roll(1, dims=-1), NAMES))


def test_scores_do_not_depend_on_the_batch_except_under_batch_stop():
    sim = similarities()
    alone, together = (make().transport().plan(x)[0][:, :, :1, :1] for x in (sim[:, :, :1, :1], sim))
    assert torch.equal(alone, together)
    quirky = make("batch-stop")
    assert not torch.equal(
        quirky.transport().plan(sim[:, :, :1, :1])[0], quirky.transport().plan(sim)[0][:, :, :1, :1]
    )
    # one image and one class are a batch of their own
    assert torch.equal(quirky.transport().plan(sim[:, :, :1, :1])[0], alone)


def test_batch_stop_takes_equally_many_sweeps_for_all_of_a_client():
    sim = torch.cat([similarities(), similarities(seed=1) * 2])
    own = make().transport().plan(sim)[1]
    shared = make("batch-stop").transport().plan(sim)[1]
    assert len(own.unique()) > 2
    assert all(len(client.unique()) == 1 for client in shared)
    assert shared[0].max() != shared[1].max()  # clients stop by themselves
    assert own.min() < shared[0].max() <= own[0].max()


def test_batch_stop_counts_real_images_only():
    quirky, sim = make("batch-stop"), similarities()
    padded = torch.cat([sim, similarities(images=2, seed=5) * 3], dim=3)
    valid = torch.tensor([[True] * 4 + [False] * 2])
    assert torch.equal(
        quirky.transport().plan(padded, valid)[0][:, :, :, :4], quirky.transport().plan(sim)[0]
    )
    assert not torch.equal(quirky.transport().plan(padded)[0][:, :, :, :4], quirky.transport().plan(sim)[0])


@pytest.mark.parametrize("quirks", [(), ("batch-stop",)])
def test_padding_changes_no_loss_and_no_gradient(quirks):
    method = make(*quirks)
    p = {name: x[None].requires_grad_() for name, x in start_of(method).items()}
    images, labels = tokens(method, images=3), torch.tensor([[0, 2, 1]])
    padded = torch.cat([images, torch.zeros_like(images)], dim=1)
    valid = torch.tensor([[True] * 3 + [False] * 3])

    def step(x, y, counted):
        loss = method.losses(p, Batch(x, y, counted, {}))["ce"]
        return loss, *torch.autograd.grad(loss.sum(), list(p.values()))

    for a, b in zip(
        step(images, labels, valid[:, :3]), step(padded, torch.cat([labels] * 2, dim=1), valid), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_both_prompts_are_trained_and_one_is_sent():
    method = make(clip=random_clip())
    _, found = gradients(method, {n: x[None] for n, x in start(method).items()})
    assert all(x.abs().max() > 0 for x in found.values())
    fed, rounds = run(method)
    assert set(rounds[0].uploads) == {"context"} == set(fed.server)
    assert not torch.equal(fed.personal["local"][0], fed.personal["local"][1])


def test_payload_is_the_global_prompt():
    assert sizes("FedOTP") == {"trainable": 16384, "shared": 8192, "personal": 8192}
    assert sizes("FedOTP", hyper={"n_ctx": 4}) == {"trainable": 4096, "shared": 2048, "personal": 2048}


def test_momentum_leaks_to_the_next_client():
    clean, (first, _) = run(make())
    leaky, (also, _) = run(make("momentum-leak"))
    assert torch.equal(first.uploads["context"][0], also.uploads["context"][0])
    assert not torch.equal(first.uploads["context"][1], also.uploads["context"][1])
    assert distance(clean.server, leaky.server) > 1e-4


def test_batch_stop_changes_training_a_little():
    clean, _ = run(make(), rounds=1)
    other, _ = run(make("batch-stop"), rounds=1)
    assert 0 < distance(clean.server, other.server) < 1e-3


def test_new_classes_need_no_new_tensors(clip):
    fed, _ = run(make(clip=clip), rounds=1)
    names = ["spotted green ring", "tiny star"]
    assert logits(fed, names=names).shape == (4, 2)
    assert not torch.equal(logits(fed, 0, names), logits(fed, 1, names))


def test_a_backbone_without_patches_is_skipped():
    assert "RN50" in FedOTP(resnet(), NAMES).skip()
    assert FedOTP(vit_b_16(), NAMES).skip() is None
