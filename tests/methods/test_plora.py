"""pLoRA: against the plain path, its acceptance tests, its sizes, its dropout and its quirk."""

import pytest
import torch

from fedbench.clip.dropout import dropped, probability
from fedbench.engine.local import train_locally
from fedbench.method import Batch
from tests.helpers.checks import (
    against_plain,
    distance,
    federation,
    gradients,
    logits,
    run,
    same,
    sizes,
    start,
)
from tests.helpers.tinyclip import golden_clip
from tests.helpers.worlds import NAMES, FixedData, make_method, pixel_batches

A, B = {"text_a", "image_a"}, {"text_b", "image_b"}


def plora(clip=None, quirks=(), **hyper):
    return make_method("pLoRA", clip or golden_clip("federated"), hyper={"lr": 1e-3, **hyper}, quirks=quirks)


def somewhere(method):
    """A start where B is not zero, so that A has gradients from the first step."""
    rng = torch.Generator().manual_seed(5)
    return {name: x + 0.1 * torch.randn(x.shape, generator=rng) for name, x in start(method).items()}


@pytest.mark.parametrize("dropout", [0.25, 0.0])
def test_two_rounds_equal_the_plain_path(clip, dropout):
    tensors, scores = against_plain("pLoRA", clip, lr=2e-4, dropout=dropout, local_epochs=1, begin=somewhere)
    assert tensors < 5e-6  # AdamW makes steps of 2e-4 from gradients of any size, and of their noise too
    assert scores < 1e-4


def test_sizes_on_vit_b_16():
    assert sizes("pLoRA") == {"trainable": 184320, "shared": 92160, "personal": 92160}
    assert sizes("pLoRA", hyper={"rank": 8})["shared"] == 368640
    shared = {f: sizes("pLoRA", hyper={"shared_factor": f})["shared"] for f in ("A", "both", "none")}
    assert shared == {"A": 92160, "both": 184320, "none": 0}


def test_what_a_client_sends_is_72_tensors_of_the_specification():
    _, rounds = run(plora(), rounds=1)
    assert set(rounds[0].uploads) == B
    layers = sum(x.shape[1] * x.shape[2] for x in rounds[0].uploads.values())
    assert layers == 3 * (5 + 5)  # query, key, value in each block; 72 with 12 + 12 blocks


def test_before_training_it_is_zero_shot_clip_to_the_bit(clip):
    method, zero_shot = plora(clip), make_method("CLIP", clip)
    pixels = pixel_batches()[0][0][0]
    p = {name: x[None].expand(2, *x.shape) for name, x in start(method).items()}
    with torch.no_grad():
        ours = method.logits(p, pixels.expand(2, *pixels.shape), NAMES)
        theirs = zero_shot.logits({}, clip.encode_image(pixels)[None], NAMES)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[0])


def test_dropout_moves_nothing_while_b_is_zero_and_a_has_no_gradient(clip):
    method = plora(clip)
    p = {name: x[None] for name, x in start(method).items()}
    with_masks, grads = gradients(method, p, seeds=torch.tensor([3]))
    without, _ = gradients(method, p)
    assert torch.equal(with_masks["ce"], without["ce"])
    assert all((grads[name] == 0).all() for name in A)
    assert all((grads[name] != 0).any() for name in B)


def test_after_a_round_b_is_equal_and_a_differs():
    fed, _ = run(plora(), rounds=2)
    model = fed.model([0, 1, 2])
    for name in B:
        assert torch.equal(model[name][0], model[name][1])
    for name in A:
        assert not torch.equal(model[name][0], model[name][1])


@pytest.mark.parametrize(("factor", "server"), [("B", B), ("A", A), ("both", A | B), ("none", set())])
def test_the_switch_says_what_is_averaged(factor, server):
    fed, rounds = run(plora(shared_factor=factor), rounds=1)
    assert set(fed.server) == set(rounds[0].uploads) == server
    assert set(fed.personal) == (A | B) - server


def test_both_with_one_client_is_none_with_one_client():
    results = []
    for factor in ("both", "none"):
        fed = federation(plora(shared_factor=factor), participation=0.34)
        fed.sample = lambda round_: [0]
        fed.run_round(0)
        fed.run_round(1)
        results.append(fed.model([0]))
    assert same(*results)


def test_updates_are_b_a_h_over_root_r_added_to_queries_keys_and_values(clip):
    method = plora(clip, rank=3, alpha=2.0)
    p = {name: x[None] for name, x in somewhere(method).items()}
    h = torch.randn(1, 2, 5, clip.image.width, generator=torch.Generator().manual_seed(0))
    delta = method.lora(p, "image", seeds=None).qkv(1, h)
    a, b = p["image_a"][0, 1], p["image_b"][0, 1]
    expected = torch.cat([2 / 3**0.5 * h[0] @ a[m].T @ b[m].T for m in range(3)], dim=-1)
    torch.testing.assert_close(delta[0], expected, atol=1e-6, rtol=1e-5)


# -- dropout -------------------------------------------------------------------------------------------------


def test_masks_are_functions_of_seed_and_place():
    seeds = torch.tensor([5, 6, 2**31 + 7, 5])
    masks = dropped(seeds, 3, (40, 50), 0.25)
    assert masks.shape == (4, 40, 50)
    assert masks.dtype == torch.bool
    assert torch.equal(masks[0], masks[3])
    assert torch.equal(dropped(seeds[1:2], 3, (40, 50), 0.25)[0], masks[1])
    for other in (masks[1], masks[2], dropped(seeds[:1], 4, (40, 50), 0.25)[0]):
        both = (masks[0] & other).float().mean()  # independent draws agree as often as chance has it
        assert 0.04 < both < 0.085
        assert not torch.equal(other, masks[0])


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.999])
def test_masks_have_their_probability_in_every_row_and_column(p):
    mask = dropped(torch.tensor([11]), 0, (400, 400), p)[0].float()
    assert mask.mean() == pytest.approx(probability(p), abs=0.005)
    assert abs(probability(p) - p) <= 1 / 256
    for axis in (0, 1):
        assert mask.mean(axis).std() <= 1.3 * (0.25 / 400) ** 0.5
    neighbours = (mask[:, 1:] * mask[:, :-1]).mean()
    assert neighbours == pytest.approx(probability(p) ** 2, abs=0.006)


def test_a_clients_masks_do_not_depend_on_its_neighbours_or_on_what_they_have_left():
    method = plora(clip=golden_clip("federated"))
    trained = {size: run(method, clients_at_once=size)[0] for size in (1, 2, 3)}
    for size in (1, 2):
        assert same(trained[size].server, trained[3].server)
        assert same(trained[size].personal, trained[3].personal)
    # two epochs: client 2 has fewer batches, its second epoch begins while it waits for the others
    two = {size: run(method, 1, clients_at_once=size, local_epochs=2)[0] for size in (1, 3)}
    assert same(two[1].personal, two[3].personal)


def test_masks_differ_between_clients_rounds_and_steps():
    method = plora()
    seen = []
    losses = method.losses
    method.losses = lambda p, batch: seen.append(batch.seeds) or losses(p, batch)
    run(method, rounds=2)
    assert len(seen) == 2 * 3  # three steps a round
    active = torch.stack(seen)[:, :2].flatten()  # the first two clients are always active
    assert len(set(active.tolist())) == len(active)


def test_dropout_is_for_training_only_and_keeps_the_mean():
    method = plora()
    p = {name: x[None] for name, x in somewhere(method).items()}
    h = torch.randn(1, 3, 7, method.clip.image.width, generator=torch.Generator().manual_seed(1))
    clean = method.lora(p, "image", seeds=None).qkv(0, h)
    noisy = torch.stack([method.lora(p, "image", seeds=torch.tensor([s])).qkv(0, h) for s in range(400)])
    assert (noisy[0] - clean).abs().max() > 1e-2
    error = (noisy.mean(0) - clean).abs().max() / clean.abs().max()
    assert error < 0.25
    step = next(iter(FixedData(method).steps(0, [0])))
    batch = Batch(step.images, step.labels, step.valid, p)
    scores = method.logits(p, step.images, NAMES)
    assert torch.equal(method.losses(p, batch)["ce"], method.cross_entropy(scores, batch))


def test_without_dropout_the_seed_changes_nothing_and_with_it_it_does():
    for rate, differ in ((0.0, False), (0.25, True)):
        method = plora(dropout=rate)
        begin = {name: x[None] for name, x in somewhere(method).items()}
        ends = [
            train_locally(
                method, begin, FixedData(method).steps(0, [0]), received=begin, seeds=torch.tensor([seed])
            ).tensors
            for seed in (1, 100)
        ]
        assert (distance(*ends) > 1e-5) == differ


def test_momentum_leak_is_one_adamw_for_all_clients():
    leaking, _ = run(plora(quirks=["momentum-leak"]))
    fresh, _ = run(plora())
    # three batches, three batches and two, in two rounds, are counted by one optimiser
    assert leaking.kept["text_b/steps"].unique().tolist() == [16.0]
    assert fresh.kept == {}
    assert distance(leaking.server, fresh.server) > 1e-4
    assert (logits(leaking) - logits(fresh)).abs().max() > 1e-4
