"""pFedMMA: against the plain path, its numbers in the specification, its quirks."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from fedbench.clip.adapters import Adapters
from fedbench.engine.federation import Federation
from fedbench.errors import FedbenchError
from fedbench.methods.clip_zeroshot import CLIP
from fedbench.methods.pfedmma import PFedMMA
from fedbench.reference import PlainCLIP, run_plain
from fedbench.seeds import torch_stream
from tests.helpers.checks import resnet, towers, vit_b_16
from tests.helpers.tinyclip import golden_clip, random_clip
from tests.helpers.worlds import COUNTS, NAMES, FixedData, pixel_batches

SMALL = {"rank": 4, "scale": 0.25, "lr": 1e-3}
OTHER_NAMES = ["spotted green ring", "tiny star"]


def make(clip, quirks=(), **hyper):
    return PFedMMA(clip, NAMES, hyper=SMALL | hyper, quirks=quirks)


def start_of(method):
    """The method's start, with biases that are not zero."""
    rng = torch.Generator().manual_seed(3)
    start = method.init(torch_stream(1, "init"))
    return {name: x + 0.1 * torch.randn(x.shape, generator=rng) for name, x in start.items()}


def federation(method, **settings):
    data, start = FixedData(method, 2), start_of(method)
    return Federation(method, data, counts=COUNTS, seed=1, local_epochs=2, start=start, **settings)


def pixels(n=5):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def seen(method, clients=1, n=5):
    """What the method sees of some images, the same for all clients."""
    images = method.clip.image_input(pixels(n), method.image_input)
    return images.expand(clients, *images.shape)


@pytest.mark.parametrize("scaling", [True, False])
@pytest.mark.parametrize("clip", [golden_clip("federated"), random_clip()], ids=["golden", "unequal towers"])
def test_two_rounds_equal_the_plain_path(clip, scaling):
    method, plain = (make(c, gradient_scaling=scaling) for c in (clip, PlainCLIP(clip)))
    history = run_plain(plain, start_of(method), pixel_batches(), COUNTS, rounds=2, local_epochs=2)
    fed = federation(method)
    for r, (server, personal) in enumerate(history):
        fed.run_round(r)
        for name, value in server.items():
            torch.testing.assert_close(fed.server[name], value, atol=5e-7, rtol=0)
        for name, value in fed.personal.items():
            expected = torch.stack([client[name] for client in personal])
            torch.testing.assert_close(value, expected, atol=5e-7, rtol=0)
        with torch.no_grad():
            ours = method.logits(fed.model([0, 1, 2]), seen(method, 3), OTHER_NAMES)
            for k, client in enumerate(personal):
                p = {name: x[None] for name, x in (server | client).items()}
                theirs = plain.logits(p, seen(plain), OTHER_NAMES)
                torch.testing.assert_close(ours[k], theirs[0], atol=1e-4, rtol=0)
    start = start_of(method)
    assert all((x - start[name]).abs().max() > 1e-4 for name, x in (fed.server | fed.personal).items())


def test_sizes_on_vit_b_16():
    method = PFedMMA(vit_b_16(), NAMES)
    assert method.payload == {"trainable": 674_560, "shared": 8_448, "personal": 666_112}
    assert method.image_input == "block:4"
    start = method.init(torch.Generator().manual_seed(0))
    assert start["text_down_weight"].shape == (8, 32, 512)
    assert start["image_up_weight"].shape == (8, 768, 32)
    assert start["shared_weight"].std() == pytest.approx(0.25, rel=0.02)  # fan out
    assert start["text_up_weight"].std() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert not any(start[name].any() for name in start if name.endswith("bias"))


def test_gradient_scaling_multiplies_the_gradients_of_parameters_only():
    clip = golden_clip("federated")
    method = make(clip)
    start = {name: x[None] for name, x in start_of(method).items()}
    labels = torch.tensor([[0, 1, 2, 3, 4]])
    found = []
    for scaling in (True, False):
        method = make(clip, gradient_scaling=scaling)
        p = {name: x.clone().requires_grad_() for name, x in start.items()}
        batch = SimpleNamespace(images=seen(method), labels=labels, valid=torch.ones(1, 5, dtype=torch.bool))
        loss = method.losses(p, batch)["ce"]
        found.append((loss.item(), torch.autograd.grad(loss.sum(), list(p.values()))))
    assert found[0][0] == found[1][0]
    for scaled, plain in zip(found[0][1], found[1][1], strict=True):
        assert plain.abs().max() > 0
        torch.testing.assert_close(scaled, plain / SMALL["scale"], rtol=1e-4, atol=1e-7)


def test_the_branch_is_the_specified_function_and_passes_on_the_plain_gradient():
    rng = torch.Generator().manual_seed(0)
    shapes = [(4, 8), (4,), (4, 4), (4,), (8, 4), (8,)]
    layer = tuple(torch.randn(1, *shape, generator=rng) for shape in shapes)
    down, b1, middle, b2, up, b3 = (x[0] for x in layer)
    x = torch.randn(1, 2, 3, 8, generator=rng)
    weights = torch.randn(1, 2, 3, 8, generator=rng)
    gradients = []
    for rescale in (True, False):
        h = x.clone().requires_grad_()
        hooks = Adapters([layer], first=2, scale=0.01, rescale=rescale)
        out = hooks.branch(2, h)
        expected = 0.01 * (F.relu(F.relu(x @ down.T + b1) @ middle.T + b2) @ up.T + b3)
        torch.testing.assert_close(out.detach(), expected)
        gradients.append(torch.autograd.grad((out * weights).sum(), h)[0])
        assert hooks.branch(1, h) is None
        assert hooks.branch(3, h) is None
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("layers", "text_layers", "hyper", "first", "count"),
    [
        (12, 12, {}, 4, 8),
        (24, 12, {}, 4, 8),
        (4, 4, {}, 1, 3),
        (3, 2, {}, 0, 2),
        (1, 1, {}, 0, 1),
        (24, 12, {"start": 9}, 8, 4),
        (12, 12, {"end": 3}, 2, 1),
        (12, 12, {"start": 2, "end": 4}, 1, 3),
    ],
)
def test_adapted_blocks(layers, text_layers, hyper, first, count):
    method = PFedMMA(towers(layers, text_layers), NAMES, hyper=hyper)
    assert (method.first, method.layers, method.image_input) == (first, count, f"block:{first}")


def test_a_backbone_without_a_plain_image_tower_is_skipped_with_a_reason():
    assert "RN50" in PFedMMA(resnet(), NAMES).skip()
    assert PFedMMA(resnet(), NAMES).payload["shared"] == 8_448


@pytest.mark.parametrize("hyper", [{"end": 13}, {"start": 13}, {"start": 6, "end": 5}, {"rank": 0}])
def test_impossible_blocks_are_refused(hyper):
    with pytest.raises(FedbenchError, match="pFedMMA"):
        PFedMMA(vit_b_16(), NAMES, hyper=hyper)


@pytest.mark.parametrize("side", ["text", "image"])
def test_without_output_the_adapters_of_a_tower_leave_clip_as_it_is(side):
    clip = random_clip()
    method = make(clip)
    p = {name: x[None] for name, x in start_of(method).items()}
    silent = p | {name: torch.zeros_like(x) for name, x in p.items() if name.startswith(f"{side}_up")}
    features = F.normalize(clip.encode_image(pixels()), dim=-1)
    zero_shot = CLIP(clip, NAMES)

    def features_of(p):
        return {"text": method.text(p, NAMES), "image": F.normalize(method.images(p, seen(method)), dim=-1)}

    with torch.no_grad():
        before, after = features_of(p), features_of(silent)
        frozen = {"text": zero_shot.encode(zero_shot.tree(NAMES))[0], "image": features[None]}
    torch.testing.assert_close(after[side], frozen[side], atol=1e-6, rtol=0)
    assert (before[side] - frozen[side]).abs().max() > 1e-3
    other = {"text": "image", "image": "text"}[side]
    assert torch.equal(before[other], after[other])


def test_bits_do_not_depend_on_how_many_train_together():
    clip = random_clip()
    alone, *together = (federation(make(clip), clients_at_once=n) for n in (1, 2, 3))
    for fed in (alone, *together):
        for r in range(2):
            fed.run_round(r)
    for fed in together:
        for name, x in alone.state().items():
            assert torch.equal(x, fed.state()[name]), name


def test_stale_text_cache_tests_everyone_with_the_text_of_the_first_client():
    clip = golden_clip("federated")
    method, fresh = make(clip, quirks=["stale-text-cache"], lr=0.05), make(clip, lr=0.05)
    fed, other = federation(method), federation(fresh)
    images, everyone = seen(method, 3), [0, 1, 2]
    start = fresh.logits(other.model(everyone), images, NAMES)
    torch.testing.assert_close(method.logits(fed.model(everyone), images, NAMES), start)
    for r in range(2):
        uploads = fed.run_round(r).uploads
        other.run_round(r)
        for name, x in other.state().items():
            assert torch.equal(fed.state()[name], x), name  # training is as it was
        if r == 0:  # client 0 as it left its training: its own adapters and its own middle
            first_text = fresh.text(fed.model([0]) | {name: x[:1] for name, x in uploads.items()}, NAMES)
        model = fed.model(everyone)
        tested = method.logits(model, images, NAMES)
        expected = method.cosine_logits(fresh.images(model, images), first_text)
        torch.testing.assert_close(tested, expected, atol=1e-5, rtol=0)
        assert (tested - fresh.logits(model, images, NAMES)).abs().max() > 1e-2
        changed = {n: torch.zeros_like(x) if n.startswith("text") else x for n, x in model.items()}
        assert torch.equal(method.logits(changed, images, NAMES), tested)
