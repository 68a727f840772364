"""General parts of methods, each against its definition written down for one client in double precision."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedbench.aggregation import similarity_mean, similarity_weights
from fedbench.clip.adapters import Adapters, adapter_layers
from fedbench.clip.deep import coupled, couplings
from fedbench.clip.fusion import channel_adapter, channel_attention, fused, fusion_layers
from fedbench.clip.low_rank import diagonal_factors, low_rank, orthogonality
from fedbench.clip.prompts import text_prompt
from fedbench.clip.transport import patch_similarity
from fedbench.learned import Learned
from fedbench.methods.fedpgp import FedPGP
from fedbench.methods.promptfl import PromptFL
from fedbench.seeds import torch_stream
from tests.helpers.tinyclip import random_clip
from tests.helpers.worlds import NAMES

CLIENTS = 3


def drawn(learned: dict[str, Learned], scale: float = 1.0) -> dict[str, torch.Tensor]:
    """Different tensors for each client."""
    starts = []
    for client in range(CLIENTS):
        rng = torch_stream(client, "init")
        starts.append({name: scale * one.start(one.shape, rng) for name, one in learned.items()})
    return {name: torch.stack([start[name] for start in starts]) for name in learned}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b.float(), atol=tolerance, rtol=tolerance)


# -- the image feature ---------------------------------------------------------------------------------------


def visual_branch(embed: int = 6, hidden: int = 4) -> dict[str, torch.Tensor]:
    learned = {
        **channel_adapter("common", embed=embed, shared=True),
        **channel_adapter("own", embed=embed, shared=False),
        **fusion_layers(embed=embed, hidden=hidden),
    }
    assert {name for name, one in learned.items() if one.shared} == {"common_1", "common_2"}
    return drawn(learned, scale=3.0)


def test_channel_attention_is_a_softmax_over_the_channels():
    p, x = visual_branch(), normal(CLIENTS, 5, 6)
    found = channel_attention(p, x, "own")
    close(found.sum(-1), torch.ones(CLIENTS, 5))
    for client in range(CLIENTS):
        w1, w2 = p["own_1"][client].double(), p["own_2"][client].double()
        close(found[client], ((x[client].double() @ w1.T).relu() @ w2.T).softmax(-1))


def test_the_fusion_weighs_views_by_their_likeness_to_the_feature():
    p, x = visual_branch(), normal(CLIENTS, 5, 6)
    found = fused(p, x, ["common", "own"])
    for client in range(CLIENTS):
        one = {name: value[client].double() for name, value in p.items()}
        feature = x[client].double()
        views = [
            feature,
            *(channel_attention(p, x, name)[client].double() * feature for name in ("common", "own")),
        ]
        query = feature @ one["query"].T + one["query_bias"]
        scores = torch.stack([(query * (view @ one["key"].T + one["key_bias"])).sum(-1) for view in views])
        expected = (scores.softmax(0)[..., None] * torch.stack(views)).sum(0)
        close(found[client], expected)
    close(fused(p, x, []), x)  # a feature alone is its own mean


# -- contexts ------------------------------------------------------------------------------------------------


def test_three_factors_make_a_low_rank_matrix():
    p = drawn(diagonal_factors(rows=5, rank=2, columns=7))
    found = low_rank(p)
    assert found.shape == (CLIENTS, 5, 7)
    for client in range(CLIENTS):
        b, s, a = (p[name][client].double() for name in "bsa")
        close(found[client], b @ torch.diag(s) @ a)
        assert torch.linalg.matrix_rank(found[client]) == 2


def test_orthogonality_is_zero_at_the_start_and_not_squared():
    p = drawn(diagonal_factors(rows=5, rank=2, columns=7))
    close(orthogonality(p), torch.zeros(CLIENTS), 1e-6)
    stretched = {**p, "b": 2 * p["b"], "a": 3 * p["a"]}  # BᵀB = 4 I, AAᵀ = 9 I
    close(orthogonality(stretched), torch.full((CLIENTS,), (3 + 8) * 2**0.5))


def test_several_contexts_are_encoded_as_each_alone():
    clip = random_clip()
    method = PromptFL(clip, NAMES, hyper={"n_ctx": 4})
    contexts = [normal(CLIENTS, 4, clip.text.width, seed=seed) for seed in (1, 2)]
    for context, found in zip(contexts, method.encode_contexts(contexts, NAMES), strict=True):
        close(found, method.text({"context": context}, NAMES))


def test_the_anchor_is_a_sentence_or_as_many_placeholders_as_there_are_learned_tokens():
    clip = random_clip()
    for quirks, words in (((), "a photo of a {}."), (("placeholder-anchor",), "X X X {}.")):
        method = FedPGP(clip, NAMES, hyper={"n_ctx": 3}, quirks=quirks)
        prompts = [text_prompt(clip.text.tokenize, words.format(name)) for name in NAMES]
        close(method.anchor, method.encode(clip.text.pack(prompts))[:, 0])
        assert not method.anchor.requires_grad


def test_shared_and_own_features_are_those_of_the_two_contexts():
    clip = random_clip()
    method = FedPGP(clip, NAMES, hyper={"n_ctx": 3})
    p = {name: x[None] * 5 for name, x in method.init(torch_stream(1, "init")).items()}
    shared, own, near, far = method.cosines(p)
    tree = method.tree(NAMES)
    close(shared, method.encode(tree, p["context"][:, None])[:, 0])
    close(own, method.encode(tree, method.personal(p)[:, None])[:, 0])
    close(own, method.own(p, NAMES))
    close(near, F.cosine_similarity(method.anchor, shared, dim=-1))
    close(far, F.cosine_similarity(shared, own, dim=-1))


# -- inside the towers ---------------------------------------------------------------------------------------


def test_couplings_begin_equal_and_are_applied_block_by_block():
    learned = couplings("to_image", blocks=3, out=5, into=4, shared=True)
    assert {name: one.shape for name, one in learned.items()} == {
        "to_image_weight": (3, 5, 4),
        "to_image_bias": (3, 5),
    }
    p, tokens = drawn(learned), normal(CLIENTS, 3, 2, 4)
    assert all(torch.equal(x[:, 0], x[:, block]) for x in p.values() for block in range(3))
    weight, bias = normal(CLIENTS, 3, 5, 4, seed=1), normal(CLIENTS, 3, 5, seed=2)
    found = coupled(tokens, weight, bias)
    for client in range(CLIENTS):
        for block in range(3):
            close(
                found[client, block],
                F.linear(tokens[client, block], weight[client, block], bias[client, block]),
            )


def test_tokens_behind_the_patches_go_through_the_first_norm_and_are_replaced_in_later_blocks(monkeypatch):
    clip = random_clip()
    method = PromptFL(clip, NAMES)
    x = normal(CLIENTS, 2, 5, clip.image.width)  # two images of four patches
    first, deep = (
        normal(CLIENTS, 2, clip.image.width, seed=1),
        normal(CLIENTS, 1, 2, clip.image.width, seed=2),
    )
    seen = []
    monkeypatch.setattr(clip.image, "encode", lambda x, hooks, first: seen.append((x, hooks)) or x[..., 0, :])
    assert method.encode_with_tokens(x, first, deep).shape == (CLIENTS, 2, clip.image.width)
    (given, hooks), norm = seen[0], clip.model.visual.ln_pre
    assert torch.equal(given[:, :, :5], x)
    for image in range(2):
        close(given[:, image, 5:], norm(first))
    assert torch.equal(hooks.tokens(0, given), given)
    replaced = hooks.tokens(1, given)
    assert torch.equal(replaced[:, :, :5], x)
    assert torch.equal(replaced[:, :, 5:], deep[:, 0][:, None].expand(-1, 2, -1, -1))
    assert torch.equal(hooks.tokens(2, given), given)


def test_depths_are_those_of_the_towers_that_are_there():
    clip = random_clip(layers=3, text_layers=2)
    assert PromptFL(clip, NAMES).tower_depths == [2, 3]
    image, clip.image = clip.image, None
    try:
        assert PromptFL(clip, NAMES).tower_depths == [2]
    finally:
        clip.image = image


def test_stacked_adapters_are_those_of_each_block():
    learned = {
        **adapter_layers("down", blocks=2, out=3, into=8),
        **adapter_layers("middle", blocks=2, out=3, into=3, shared=True),
        **adapter_layers("up", blocks=2, out=8, into=3),
    }
    assert {name for name, one in learned.items() if one.shared} == {"middle_weight", "middle_bias"}
    p = drawn(learned)
    assert not any(p[name].any() for name in p if name.endswith("bias"))
    p = {name: x + 0.1 for name, x in p.items()}
    names, h = ("down", "middle", "up"), normal(CLIENTS, 2, 4, 8)
    stacked = Adapters.stacked(p, names, first=1, scale=0.5, rescale=False)
    for block in (0, 1):
        layer = tuple(p[f"{name}_{kind}"][:, block] for name in names for kind in ("weight", "bias"))
        alone = Adapters([layer], first=1 + block, scale=0.5, rescale=False)
        assert torch.equal(stacked.branch(1 + block, h), alone.branch(1 + block, h))
    assert stacked.branch(0, h) is stacked.branch(3, h) is None


def test_adapters_start_kaiming_normal_with_fan_out():
    (weight, bias) = drawn(adapter_layers("up", blocks=4, out=200, into=50)).values()
    assert weight.std() == pytest.approx((2 / 200) ** 0.5, rel=0.02)
    assert not bias.any()


def test_patch_similarity_is_the_cosine_of_each_patch_with_each_feature():
    text, tokens = F.normalize(normal(CLIENTS, 2, 4, 6), dim=-1), normal(CLIENTS, 5, 1 + 3, 6, seed=1)
    found = patch_similarity(text, tokens)
    assert found.shape == (CLIENTS, 2, 4, 5, 3)
    expected = torch.einsum("kfce,kime->kfcim", text.double(), F.normalize(tokens[:, :, 1:].double(), dim=-1))
    close(found, expected)


# -- the server ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_similarity_weights_follow_their_formula_for_each_tensor_by_itself(temperature):
    server = {"a": normal(4, 3, seed=1), "b": normal(5, seed=2)}
    uploads = {name: x + normal(CLIENTS, *x.shape, seed=3) for name, x in server.items()}
    counts = torch.tensor([12, 4, 8])
    cosines, weights = similarity_weights(uploads, counts, server, temperature=temperature)
    mean = similarity_mean(uploads, counts, server, temperature=temperature)
    for name, x in uploads.items():
        flat, before = x.flatten(1).double().numpy(), server[name].flatten().double().numpy()
        near = flat @ before / np.linalg.norm(flat, axis=1) / np.linalg.norm(before)
        expected = counts.numpy() * np.exp(near / temperature)
        np.testing.assert_allclose(cosines[name], near, atol=1e-6)
        np.testing.assert_allclose(weights[name], expected / expected.sum(), atol=1e-6)
        np.testing.assert_allclose(mean[name].flatten(), expected / expected.sum() @ flat, atol=1e-6)
    assert not torch.allclose(weights["a"], weights["b"])
