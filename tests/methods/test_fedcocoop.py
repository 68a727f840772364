"""FedCoCoOp: against the plain path, its acceptance tests, its sizes and its quirks."""

import pytest
import torch

from fedbench.errors import FedbenchError
from fedbench.methods import fedcocoop
from tests.helpers.checks import against_plain, logits, run, sizes, start
from tests.helpers.tinyclip import golden_clip
from tests.helpers.worlds import NAMES, make_method

NET = {"w1", "b1", "w2", "b2"}


@pytest.fixture
def images():
    return torch.randn(1, 7, 64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("phrase", ["", "a photo of a"])
def test_two_rounds_equal_the_plain_path(clip, phrase):
    tensors, scores = against_plain("FedCoCoOp", clip, lr=1e-3, phrase=phrase, local_epochs=1)
    assert tensors < 5e-7
    assert scores < 1e-4


def test_sizes_on_vit_b_16():
    assert sizes("FedCoCoOp") == {"trainable": 41504, "shared": 41504, "personal": 0}
    assert sizes("FedCoCoOp", hyper={"phrase": "a photo of a"})["shared"] == 35360


def test_the_loop_over_images_equals_the_batch(clip, images):
    method = make_method("FedCoCoOp", clip)
    p = {name: x[None] for name, x in start(method).items()}
    images = images[..., : clip.embed_dim]
    with torch.no_grad():
        together = method.logits(p, images, NAMES)
        singly = []
        for i in range(7):
            shift = method.shift(p, images[:, i : i + 1])[:, 0]
            text = method.encode(method.tree(NAMES), (p["context"] + shift)[:, None])[:, 0]
            singly.append(method.cosine_logits(images[:, i : i + 1], text)[:, 0])
    torch.testing.assert_close(together, torch.stack(singly, 1), atol=1e-5, rtol=0)


def test_pieces_change_no_number(clip, images, monkeypatch):
    method = make_method("FedCoCoOp", clip)
    p = {name: x[None].expand(2, *x.shape) for name, x in start(method).items()}
    images = images[..., : clip.embed_dim].expand(2, -1, -1)
    with torch.no_grad():
        whole = method.logits(p, images, NAMES)
        seen, scores = [], method.scores
        monkeypatch.setattr(method, "scores", lambda p, x, *a: seen.append(x.shape[1]) or scores(p, x, *a))
        monkeypatch.setattr(fedcocoop, "TOKENS_AT_ONCE", 3 * 2 * method.tree(NAMES).ids.numel())
        assert torch.equal(method.logits(p, images, NAMES), whole)
        assert seen == [3, 3, 1]
        monkeypatch.setattr(fedcocoop, "TOKENS_AT_ONCE", 1)  # never less than one image
        assert torch.equal(method.logits(p, images, NAMES), whole)


def test_a_silent_net_on_the_phrase_is_zero_shot_clip(clip, images):
    method = make_method("FedCoCoOp", clip, hyper={"phrase": "a photo of a"})
    zero_shot = make_method("CLIP", clip)
    p = {name: x[None] for name, x in start(method).items()}
    images = images[..., : clip.embed_dim]
    silent = p | {"w2": torch.zeros_like(p["w2"]), "b2": torch.zeros_like(p["b2"])}
    with torch.no_grad():
        expected = zero_shot.logits({}, images, NAMES)
        torch.testing.assert_close(method.logits(silent, images, NAMES), expected, atol=5e-6, rtol=0)
        assert not torch.allclose(method.logits(p, images, NAMES), expected, atol=1e-3)


def test_the_net_hears_the_direction_of_the_image_only(clip, images):
    method = make_method("FedCoCoOp", clip)
    p = {name: x[None] for name, x in start(method).items()}
    images = images[..., : clip.embed_dim]
    torch.testing.assert_close(method.shift(p, 5 * images), method.shift(p, images))
    assert not torch.allclose(method.shift(p, images)[:, 0], method.shift(p, images)[:, 1], atol=1e-5)


def test_initial_spread_is_that_of_linear_layers():
    net = start(make_method("FedCoCoOp", golden_clip()))
    for name, fan_in in {"w1": 64, "b1": 64, "w2": 4, "b2": 4}.items():
        assert net[name].abs().max() <= fan_in**-0.5
    assert net["w1"].std() == pytest.approx(64**-0.5 / 3**0.5, rel=0.15)


def test_everything_is_shared():
    fed, rounds = run(make_method("FedCoCoOp", golden_clip("federated")), rounds=1)
    assert set(fed.server) == set(rounds[0].uploads) == {"context", *NET}
    assert fed.personal == {}


def test_context_only_average_lets_the_net_pass_from_client_to_client():
    clip = golden_clip("federated")
    method = make_method("FedCoCoOp", clip, quirks=["context-only-average"])
    leaking, rounds = run(method, rounds=1)
    assert set(leaking.server) == set(rounds[0].uploads) == {"context"}
    first = leaking.train([0], 1).tensors
    second = leaking.model([1])  # client 1 is about to begin: its context is the server's, its net client 0's
    assert all(torch.equal(second[name], first[name]) for name in NET)
    assert torch.equal(second["context"][0], leaking.server["context"])
    leaking, averaging = run(method)[0], run(make_method("FedCoCoOp", clip))[0]
    assert all(torch.equal(x[0], x[2]) for x in leaking.personal.values())  # the last net is everyone's
    assert (logits(leaking) - logits(averaging)).abs().max() > 1e-3


def test_a_phrase_needs_words():
    with pytest.raises(FedbenchError, match="no word"):
        make_method("FedCoCoOp", golden_clip(), hyper={"phrase": "   "})
