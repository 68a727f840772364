"""FedTV: against the plain path, what the specification asks for, its aggregation and its quirks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedbench.clip.fusion import fused
from fedbench.clip.prompts import text_prompt
from fedbench.methods.fedtv import ADAPTERS, BIASES, FedTV
from fedbench.seeds import torch_stream
from tests.helpers.checks import (
    against_plain,
    distance,
    gradients,
    logits,
    run,
    same,
    sizes,
    start,
    vit_b_16,
)
from tests.helpers.tinyclip import golden_clip
from tests.helpers.worlds import COUNTS, NAMES, make_method, start_of


def make(*quirks, clip=None, **hyper):
    return make_method("FedTV", clip or golden_clip(), quirks=quirks, hyper=hyper)


def one(method, begin=start_of):
    """The start of a single client. (1, ...)"""
    return {name: x[None] for name, x in begin(method).items()}


# from the own, small context steps of 5e-3 amplify float32 noise: a start moved by 2e-8 ends 8e-6 away
@pytest.mark.parametrize(("begin", "lr"), [(start_of, 5e-3), (start, 1e-3)])
def test_two_rounds_equal_the_plain_path(clip, begin, lr):
    tensors, scores = against_plain("FedTV", clip, begin=begin, local_epochs=1, lr=lr)
    assert tensors < 1e-6
    assert scores < 1e-4


def test_any_number_of_clients_at_once_gives_the_same_bits(clip):
    reference, rounds = run(make(clip=clip))
    for size in (1, 2):
        other, again = run(make(clip=clip), clients_at_once=size)
        assert same(reference.state(), other.state())
        assert all(same(a.losses, b.losses) for a, b in zip(rounds, again, strict=True))


def test_payload_is_the_specifications():
    assert sizes("FedTV") == {"trainable": 1126664, "shared": 532480, "personal": 594056 + 128}


def test_factors_start_orthonormal_and_the_personal_part_small():
    p = one(FedTV(vit_b_16(), NAMES), start)
    b, a = p["b"][0], p["a"][0]
    torch.testing.assert_close(b.T @ b, torch.eye(8), atol=2e-6, rtol=0)
    torch.testing.assert_close(a @ a.T, torch.eye(8), atol=2e-6, rtol=0)
    assert (b * p["s"][0]).matmul(a).norm() < 0.1 * p["context"].norm()
    again, other = (FedTV(vit_b_16(), NAMES).init(torch_stream(seed, "init")) for seed in (1, 2))
    assert same({n: x[0] for n, x in p.items()}, again)
    assert not torch.equal(again["b"], other["b"])


def test_the_visual_branch_is_nearly_the_identity_at_the_start():
    method = FedTV(vit_b_16(), NAMES)
    x = torch.randn(1, 20, 512, generator=torch.Generator().manual_seed(0))
    x = 10 * F.normalize(x, dim=-1)
    cosines = F.cosine_similarity(fused(one(method, start), x, ADAPTERS), x, dim=-1)
    assert cosines.min() > 0.99999
    p = one(method, start)
    p["global_2"] = p["global_2"] * 1000  # one channel takes all the attention
    assert F.cosine_similarity(fused(p, x, ADAPTERS), x, dim=-1).min() < 0.9999


def test_the_fusion_is_a_softmax_over_three_views():
    method = make()
    p = {name: x[0].double() for name, x in one(method).items()}
    x = torch.randn(6, method.clip.embed_dim, generator=torch.Generator().manual_seed(0)).double()
    views = [x]
    for side in ("global", "local"):
        views.append(x * torch.softmax((x @ p[f"{side}_1"].T).relu() @ p[f"{side}_2"].T, -1))
    query = x @ p["query"].T + p["query_bias"]
    scores = torch.stack([(query * (v @ p["key"].T + p["key_bias"])).sum(-1) for v in views])
    expected = sum(w[:, None] * v for w, v in zip(scores.softmax(0), views, strict=True))
    found = fused({n: v.float()[None] for n, v in p.items()}, x.float()[None], ADAPTERS)[0]
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)


def test_the_keys_bias_has_no_gradient_and_only_decays():
    method = make(weight_decay=0.0)
    _, found = gradients(method, one(method))
    assert all((x.abs().max() == 0) == (name == "key_bias") for name, x in found.items())
    fed, _ = run(method)
    assert all(torch.equal(x, start(method)["key_bias"]) for x in fed.personal["key_bias"])
    decayed, _ = run(make(weight_decay=0.1))
    assert all((x.norm() < start(method)["key_bias"].norm()) for x in decayed.personal["key_bias"])


def test_the_contrastive_term_is_a_choice_between_the_two_prompts():
    method = make()
    p = one(method)
    photos = [text_prompt(method.clip.text.tokenize, f"a photo of a {name}.") for name in NAMES]
    anchor = method.encode(method.clip.text.pack(photos))[0, 0].double()
    personal = p["context"] + p["b"] @ torch.diag_embed(p["s"]) @ p["a"]
    contexts = (p["context"], personal)  # the shared prompt is drawn to the anchor, the personal one away
    features = (method.encode(method.tree(NAMES), x[:, None])[0, 0].double() for x in contexts)
    near, far = ((anchor * x).sum(-1) / 0.5 for x in features)
    assert (near - far).abs().max() > 1e-3
    expected = F.cross_entropy(torch.stack([near, far], dim=1), torch.zeros(len(NAMES), dtype=torch.long))
    losses, _ = gradients(method, p)
    torch.testing.assert_close(losses["contrastive"][0].double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("weight", "term"), [("contrastive_weight", "contrastive"), ("ortho_weight", "orthogonality")]
)
def test_weights_scale_their_terms(weight, term):
    whole, half, none = (gradients(make(**{weight: w}), one(make()))[0][term] for w in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half, whole / 2)
    assert none.item() == 0 < whole.item()


def test_orthogonality_is_not_squared():
    method = make(ortho_weight=1.0)
    p = one(method, start)
    p["b"], p["a"] = 2 * p["b"], 3 * p["a"]  # here n_ctx 4 < 8: B has orthonormal rows
    expected = (4 * 9 + 4) ** 0.5 + (8 * 64) ** 0.5
    assert gradients(method, p)[0]["orthogonality"].item() == pytest.approx(expected, rel=1e-5)


def uploads(seed=0, *, spread=0.5):
    """Three clients' shared tensors, and the server's before."""
    rng = torch.Generator().manual_seed(seed)
    server = {"context": torch.randn(4, 8, generator=rng), "global_1": torch.randn(6, 6, generator=rng)}
    clients = {n: x + spread * torch.randn(3, *x.shape, generator=rng) for n, x in server.items()}
    return clients, server


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_the_server_weighs_by_similarity_from_the_second_round_on(temperature):
    method = make(similarity_temperature=temperature)
    (sent, server), counts = uploads(), torch.tensor(COUNTS)
    first = method.aggregate(sent, counts, server, round_=0)
    later = method.aggregate(sent, counts, server, round_=1)
    for name, x in sent.items():
        flat, before = x.flatten(1).double().numpy(), server[name].flatten().double().numpy()
        share = np.array(COUNTS) / sum(COUNTS)
        np.testing.assert_allclose(first[name].flatten(), share @ flat, atol=1e-6)
        cosines = flat @ before / np.linalg.norm(flat, axis=1) / np.linalg.norm(before)
        weights = share * np.exp(cosines / temperature)
        np.testing.assert_allclose(later[name].flatten(), weights / weights.sum() @ flat, atol=1e-6)
        assert not torch.allclose(first[name], later[name], atol=1e-4)


def test_equal_cosines_give_the_plain_average():
    method, (_, server) = make(), uploads()
    sent = {n: torch.stack([x, 2 * x, 3 * x]) for n, x in server.items()}
    counts = torch.tensor(COUNTS)
    plain, similar = (method.aggregate(sent, counts, server, round_=r) for r in (0, 5))
    assert distance(plain, similar) < 1e-6


def test_the_engine_hands_the_server_its_former_tensors():
    method = make()
    fed, (first, second) = run(method)
    after_first = method.aggregate(first.uploads, fed.counts, {}, round_=0)
    expected = method.aggregate(second.uploads, fed.counts, after_first, round_=1)
    assert same(fed.server, expected)
    assert distance(expected, method.aggregate(second.uploads, fed.counts, {}, round_=0)) > 1e-7


def test_biases_leak_to_whoever_trains_next_and_nothing_else_does():
    clean, (before, _) = run(make())
    leaky, (after, _) = run(make("bias-leak"))
    for name, x in leaky.personal.items():
        leaked = name in BIASES
        assert torch.equal(x[0], x[2]) == leaked, name
        if name != "key_bias":  # without a gradient it decays alike for clients with as many batches
            assert not torch.equal(clean.personal[name][0], clean.personal[name][1]), name
    assert same(before.uploads, after.uploads)  # in round 0 every client starts with its own
    assert distance(clean.server, leaky.server) > 0


def test_the_anchor_is_a_sentence_or_placeholders_under_the_quirk():
    method, quirky = make(), make("placeholder-anchor")
    for one_, words in ((method, "a photo of a {}."), (quirky, "X X X X {}.")):
        prompts = [text_prompt(one_.clip.text.tokenize, words.format(name)) for name in NAMES]
        torch.testing.assert_close(one_.anchor, one_.encode(one_.clip.text.pack(prompts))[:, 0])
    terms, others = (gradients(m, one(method))[0] for m in (method, quirky))
    assert [name for name in terms if not torch.equal(terms[name], others[name])] == ["contrastive"]
    ends = [run(make(*q, contrastive_weight=0.0), rounds=1)[0] for q in ((), ("placeholder-anchor",))]
    assert same(ends[0].state(), ends[1].state())


def test_momentum_leaks_to_the_next_client():
    clean, (first, _) = run(make())
    leaky, (also, _) = run(make("momentum-leak"))
    assert torch.equal(first.uploads["context"][0], also.uploads["context"][0])
    assert not torch.equal(first.uploads["context"][1], also.uploads["context"][1])
    assert distance(clean.server, leaky.server) > 1e-4


def test_only_the_declared_tensors_are_sent(clip):
    fed, rounds = run(make(clip=clip), rounds=1)
    assert set(rounds[0].uploads) == {"context", "global_1", "global_2"} == set(fed.server)
    assert set(fed.server) | set(fed.personal) == set(start(make(clip=clip)))


def test_new_classes_need_no_new_tensors(clip):
    fed, _ = run(make(clip=clip), rounds=1)
    names = ["spotted green ring", "tiny star"]
    assert logits(fed, names=names).shape == (4, 2)
    assert not torch.equal(logits(fed, 0, names), logits(fed, 1, names))
