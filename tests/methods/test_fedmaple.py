"""FedMaPLe: against the plain path, its numbers in the specification, its quirks."""

import pytest
import torch

from fedbench.clip.deep import DeepTokens
from fedbench.engine.federation import Federation
from fedbench.errors import FedbenchError
from fedbench.methods.fedmaple import REST, FedMaPLe
from fedbench.reference import PlainCLIP, run_plain
from fedbench.seeds import torch_stream
from tests.helpers.checks import resnet, towers
from tests.helpers.tinyclip import golden_clip, random_clip
from tests.helpers.worlds import COUNTS, NAMES, FixedData, pixel_batches

OTHER_NAMES = ["spotted green ring", "tiny star"]


def make(clip, quirks=(), **hyper):
    return FedMaPLe(clip, NAMES, hyper={"depth": 3, "lr": 1e-3} | hyper, quirks=quirks)


def start_of(method):
    """The method's start, with deep tokens that matter and coupling layers that differ."""
    rng = torch.Generator().manual_seed(3)
    start = method.init(torch_stream(1, "init"))
    return {name: x + 0.1 * torch.randn(x.shape, generator=rng) for name, x in start.items()}


def federation(method, data=None, counts=COUNTS, **settings):
    data = data or FixedData(method, 2)
    return Federation(method, data, counts=counts, seed=1, local_epochs=2, start=start_of(method), **settings)


def pixels(n=5):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def seen(method, n=5):
    return method.clip.image_input(pixels(n), method.image_input)[None]


@pytest.fixture
def inputs(monkeypatch):
    """Inputs of the blocks of the towers that run: (number of tokens, block) to tensor."""
    recorded = {}
    replace = DeepTokens.tokens

    def record(hooks, block, x):
        x = replace(hooks, block, x)
        recorded[x.shape[2], block] = x.detach()
        return x

    monkeypatch.setattr(DeepTokens, "tokens", record)
    return recorded


@pytest.mark.parametrize("hyper", [{}, {"n_ctx": 5, "depth": 2}], ids=["phrase", "random"])
@pytest.mark.parametrize("clip", [golden_clip("federated"), random_clip()], ids=["golden", "unequal towers"])
def test_two_rounds_equal_the_plain_path(clip, hyper):
    method, plain = (make(c, **hyper) for c in (clip, PlainCLIP(clip)))
    history = run_plain(plain, start_of(method), pixel_batches(), COUNTS, rounds=2, local_epochs=2)
    fed = federation(method)
    for r, (server, _) in enumerate(history):
        fed.run_round(r)
        for name, value in server.items():
            torch.testing.assert_close(fed.server[name], value, atol=5e-7, rtol=0)
        with torch.no_grad():
            p = {name: x[None] for name, x in server.items()}
            theirs = plain.logits(p, seen(plain), OTHER_NAMES)
            ours = method.logits(fed.model([0]), seen(method), OTHER_NAMES)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    start = start_of(method)
    assert all((x - start[name]).abs().max() > 1e-5 for name, x in fed.server.items())


@pytest.mark.parametrize(("depth", "count"), [(None, 3_555_072), (3, 1_185_024), (1, 395_008)])
def test_sizes_on_vit_b16(depth, count):
    method = FedMaPLe(towers(), NAMES, hyper={"depth": depth})
    assert method.payload == {"trainable": count, "shared": count, "personal": 0}


def test_default_depth_and_number_of_official_tensors():
    assert FedMaPLe(towers(), NAMES).depth == 9
    assert FedMaPLe(towers(4, 4), NAMES).depth == 3
    assert FedMaPLe(towers(24, 12), NAMES).depth == 9
    assert FedMaPLe(towers(1, 1), NAMES).depth == 1
    learned, official = FedMaPLe(towers(), NAMES).learned, FedMaPLe.official.tensors
    assert sum(x.shape[0] if "{}" in official[ours] else 1 for ours, x in learned.items()) == 27
    with pytest.raises(FedbenchError, match="depth = 13"):
        FedMaPLe(towers(), NAMES, hyper={"depth": 13})


def test_couplings_beyond_the_image_tower_are_sent_and_never_trained():
    """As the official code has them: `torch.optim` passes over parameters without a gradient, weight decay too."""
    method = FedMaPLe(towers(3, 6), NAMES, hyper={"depth": 5})
    assert [method.learned[n].shape[0] for n in ("deep", "deep_weight", "idle_weight")] == [4, 2, 2]
    assert method.payload["shared"] == 5 * (2 * 512 + 512 * 768 + 768)
    fed = federation(make(random_clip(layers=2, text_layers=4), depth=4))
    first = dict(fed.server)
    fed.run_round(0)
    moved = {name: float((x - first[name]).abs().max()) for name, x in fed.server.items()}
    assert {name for name, by in moved.items() if by < 1e-7} == {"idle_weight", "idle_bias"}


def test_a_backbone_without_a_plain_image_tower_is_skipped_with_a_reason():
    assert "RN50" in FedMaPLe(resnet(), NAMES).skip()


def test_start():
    clip = golden_clip()
    start = FedMaPLe(clip, NAMES).init(torch.Generator().manual_seed(0))
    assert torch.equal(start["context"], clip.text.token_embedding.weight[[320, 1125]])  # "a photo"
    assert start["deep"].shape == (2, 2, 64)
    assert start["deep"].std() == pytest.approx(0.02, rel=0.2)
    for name in ("deep_weight", "deep_bias"):
        assert torch.equal(start[name][0], start[name][1])
        assert 0.11 < start[name].abs().max() <= 1 / 8  # U(±1/√64)
    assert not torch.equal(start["deep_weight"][0], start["proj_weight"])
    more = FedMaPLe(clip, NAMES, hyper={"n_ctx": 5})
    assert more.init(torch.Generator().manual_seed(0))["context"].std() == pytest.approx(0.02, rel=0.2)
    assert [token for token in more.prompts(["star"])[0][:7] if token < 0] == [-1, -2, -3, -4, -5]


@pytest.mark.parametrize("plain", [False, True])
def test_where_the_tokens_enter(inputs, plain):
    clip = golden_clip()  # four blocks
    method = make(PlainCLIP(clip) if plain else clip)
    p = {name: x[None] for name, x in start_of(method).items()}

    def run(p):
        inputs.clear()
        with torch.no_grad():
            method.images(p, seen(method))
        return {block: x for (_, block), x in inputs.items()}

    before, after = run(p), run(p | {"deep": p["deep"] + torch.tensor([0.0, 1.0])[:, None, None]})
    assert before[0].shape[2] == 17 + 2  # beside the class token and the patches
    first = p["context"] @ p["proj_weight"][0].T + p["proj_bias"]
    torch.testing.assert_close(before[0][0, 0, -2:], clip.image.visual.ln_pre(first[0]))
    torch.testing.assert_close(before[0][:, :, :17], seen(method))
    for block in (1, 2):
        deep = p["deep"][0, block - 1] @ p["deep_weight"][0, block - 1].T + p["deep_bias"][0, block - 1]
        torch.testing.assert_close(before[block][0, :, -2:], deep.expand(5, -1, -1), atol=1e-6, rtol=1e-5)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[2][:, :, :-2], after[2][:, :, :-2])
    assert not torch.equal(before[2], after[2])
    assert (before[3][0, 0, -2:] - before[3][0, 1, -2:]).abs().max() > 1e-3  # passed on, no longer the same


@pytest.mark.parametrize("plain", [False, True])
def test_where_the_tokens_enter_the_text(inputs, plain):
    clip = golden_clip()
    method = make(PlainCLIP(clip) if plain else clip)
    p = {name: x[None] for name, x in start_of(method).items()}
    with torch.no_grad():
        method.text(p, NAMES)
    x = {block: x[0, 0] for (_, block), x in inputs.items()}
    positions = clip.text.positional_embedding[1:3]
    torch.testing.assert_close(x[0][1:3], p["context"][0] + positions)
    words = clip.text.token_embedding.weight[[539, 320]] + clip.text.positional_embedding[3:5]
    torch.testing.assert_close(x[0][3:5], words)
    for block in (1, 2):
        assert torch.equal(x[block][1:3], p["deep"][0, block - 1])
    assert not torch.equal(x[3][1:3], p["deep"][0, 1])


def test_text_does_not_depend_on_the_images():
    method = make(golden_clip())
    p = {name: x[None] for name, x in start_of(method).items()}
    with torch.no_grad():
        together = method.logits(p, seen(method), NAMES)
        alone = torch.cat([method.logits(p, seen(method)[:, i : i + 1], NAMES) for i in range(5)], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_alike_clients_average_to_themselves():
    method = make(golden_clip("federated"))
    data = FixedData(method, 2)
    data.batches = [data.batches[0]] * 2
    fed = federation(method, data, counts=[12, 12])
    uploads = fed.run_round(0).uploads
    assert not fed.personal
    for name, x in uploads.items():
        assert torch.equal(x[0], x[1])
        torch.testing.assert_close(fed.server[name], x[0], atol=1e-7, rtol=1e-6)


def test_bits_do_not_depend_on_how_many_train_together():
    clip = random_clip()
    alone, *together = (federation(make(clip), clients_at_once=n) for n in (1, 2, 3))
    for fed in (alone, *together):
        for r in range(2):
            fed.run_round(r)
    for fed in together:
        for name, x in alone.state().items():
            assert torch.equal(x, fed.state()[name]), name


def test_half_casts_round_the_learned_tokens_at_use():
    clip = golden_clip()
    method, quirky = make(clip), make(clip, quirks=["half-casts"])
    p = {name: x[None] for name, x in start_of(method).items()}
    rounded = p | {"deep": p["deep"].half().float()}
    with torch.no_grad():
        assert torch.equal(quirky.text(p, NAMES), method.text(rounded, NAMES))
        assert not torch.equal(quirky.text(p, NAMES), method.text(p, NAMES))
        assert torch.equal(quirky.text(rounded, NAMES), method.text(rounded, NAMES))  # nothing left to round
        images, exact = quirky.images(p, seen(method)), method.images(p, seen(method))
    assert 1e-6 < (images - exact).abs().max() < 1e-2


def test_context_only_average_leaves_the_rest_with_the_last_client():
    clip = golden_clip("federated")
    fed = federation(make(clip, quirks=["context-only-average"]))
    assert fed.method.payload["shared"] == 2 * 64
    for r in range(2):
        uploads = fed.run_round(r).uploads
        assert list(uploads) == ["context"]
        for name in REST:
            assert torch.equal(fed.personal[name][0], fed.personal[name][2])
    # the first client of a round goes on where the last one of the round before stopped
    clean = federation(make(clip))
    clean.run_round(0)
    assert (clean.server["deep"] - fed.personal["deep"][0]).abs().max() > 1e-5
