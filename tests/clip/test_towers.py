"""Our towers against open_clip's own forward pass, and hooks against the plain path."""

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbench.clip import Hooks, slot
from fedbench.clip.blocks import MIN_ROWS, linear
from fedbench.clip.prompts import EOT, SOS, build_tree, context_prompt, text_prompt
from fedbench.errors import FedbenchError
from fedbench.reference import PlainCLIP
from tests.helpers.tinyclip import golden_clip, random_clip

CLIPS = {
    "golden": golden_clip,
    "golden, unequal depth": lambda: golden_clip("federated"),
    "random GELU": random_clip,
    "random QuickGELU": lambda: random_clip(quick=True),
    "embed = widths": lambda: random_clip(embed=64, text_width=64),
}
NAMES = ["star", "striped red star", "striped red ring", "a very long class name, with commas", "star fish"]


@pytest.fixture(params=CLIPS)
def clip(request):
    return CLIPS[request.param]()


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=0)


def test_image_features_equal_open_clip(clip):
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        close(clip.encode_image(pixels), clip.model.encode_image(pixels))


@pytest.mark.parametrize("template", ["a photo of a {}.", "{}", "{} texture."])
def test_text_features_equal_open_clip(clip, template):
    sentences = [template.format(name) for name in NAMES]
    tree = clip.text.pack([text_prompt(clip.text.tokenize, s) for s in sentences])
    with torch.no_grad():
        close(clip.text.encode(tree)[0, 0], clip.model.encode_text(open_clip.tokenize(sentences)))


def test_one_class_and_equal_classes(clip):
    for sentences in (["a star."], ["a star.", "a star."]):
        tree = clip.text.pack([text_prompt(clip.text.tokenize, s) for s in sentences])
        with torch.no_grad():
            close(clip.text.encode(tree)[0, 0], clip.model.encode_text(open_clip.tokenize(sentences)))


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_learned_contexts_and_their_gradients_equal_the_plain_path(clip, position):
    prompts = [context_prompt(clip.text.tokenize, name, n_ctx=5, position=position) for name in NAMES]
    rng = torch.Generator().manual_seed(1)
    context = torch.randn(3, 2, 5, clip.text.width, generator=rng) * 0.1
    weight = torch.randn(3, 2, len(NAMES), clip.embed_dim, generator=rng)
    plain = PlainCLIP(clip).text
    ours, theirs = context.clone().requires_grad_(), context.clone().requires_grad_()
    fast = clip.text.encode(clip.text.pack(prompts), ours)
    slow = torch.cat([plain.encode(plain.pack(prompts), theirs[k : k + 1]) for k in range(3)])
    close(fast, slow)
    (fast * weight).sum().backward()
    (slow * weight).sum().backward()
    close(ours.grad, theirs.grad, 1e-5 * theirs.grad.abs().max().item())


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("name", ["crane (bird)", "yes!", "star"])
def test_a_context_prompt_has_the_tokens_of_the_whole_sentence(clip, name, position):
    # ")." and "!." are one token each, which the name alone does not have
    prompt = context_prompt(clip.text.tokenize, name, n_ctx=3, position=position)
    assert [token for token in prompt if token >= 0] == [SOS, *clip.text.tokenize(f"{name}."), EOT]


words = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@settings(deadline=None, max_examples=40)
@given(st.lists(words, min_size=1, max_size=40), st.integers(0, 3))
def test_any_set_of_prompts_is_encoded_as_open_clip_does(branches, learned):
    clip = random_clip()
    prompts = [[SOS, *[slot(i) for i in range(learned)], *branch, EOT] for branch in branches]
    plain = PlainCLIP(clip).text
    context = torch.linspace(-1, 1, learned * clip.text.width).view(1, 1, learned, -1) if learned else None
    with torch.no_grad():
        close(clip.text.encode(clip.text.pack(prompts), context), plain.encode(plain.pack(prompts), context))


def test_the_tree_encodes_shared_tokens_once_and_stops_at_the_end():
    clip = random_clip()
    prompts = [context_prompt(clip.text.tokenize, name, n_ctx=16) for name in NAMES]
    tree = clip.text.pack(prompts)
    nodes = {tuple(p[: i + 1]) for p in prompts for i in range(len(p))}
    padding = tree.visible.shape[0] * tree.visible.shape[1] - (len(nodes) - tree.trunk)
    assert tree.trunk == 17
    assert len(tree.ids) == len(nodes) + padding
    assert len(tree.context_rows) == 16
    assert tree.context_rows.tolist() == list(range(1, 17))


def test_cost_is_linear_in_classes():
    clip = random_clip()
    sizes = {}
    for classes in (50, 100, 200):
        tree = clip.text.pack([[SOS, slot(0), 1000 + c, 2000 + c, EOT] for c in range(classes)])
        sizes[classes] = (len(tree.ids), tree.visible.numel())
    for a, b in ((50, 100), (100, 200)):
        assert all(big < 2.2 * small for small, big in zip(sizes[a], sizes[b], strict=True))


def test_a_prompt_that_does_not_fit_is_refused():
    with pytest.raises(FedbenchError, match="80 tokens; the text tower takes 77"):
        build_tree([[SOS, *range(1, 79), EOT]], length=77)


class Everything(Hooks):
    """Deep tokens, q/k/v deltas and a branch, different for each client."""

    def __init__(self, clients, width, rows, rng):
        self.rows = rows
        self.deep = torch.randn(clients, 1, len(rows), width, generator=rng)
        self.down = torch.randn(clients, 1, width, 2, generator=rng) * 0.1
        self.up = torch.randn(clients, 1, 2, 3 * width, generator=rng) * 0.1

    def one(self, k):
        hooks = object.__new__(Everything)
        hooks.rows = self.rows
        hooks.deep, hooks.down, hooks.up = (x[k : k + 1] for x in (self.deep, self.down, self.up))
        return hooks

    def tokens(self, block, x):
        if block != 1:
            return x
        x = x.clone()
        x[..., self.rows, :] = self.deep.expand(*x.shape[:2], -1, -1)
        return x

    def qkv(self, block, h):
        return h @ self.down @ self.up if block != 0 else None

    def branch(self, block, h):
        return (h @ self.down @ self.up)[..., : h.shape[-1]]


def test_hooks_do_the_same_in_the_text_towers(clip):
    rng = torch.Generator().manual_seed(2)
    prompts = [context_prompt(clip.text.tokenize, name, n_ctx=3) for name in NAMES]
    context = torch.randn(2, 1, 3, clip.text.width, generator=rng)
    plain = PlainCLIP(clip).text
    tree, rows = clip.text.pack(prompts), plain.pack(prompts)
    hooks = Everything(2, clip.text.width, tree.context_rows.tolist(), rng)
    with torch.no_grad():
        fast = clip.text.encode(tree, context, hooks)
        for k in range(2):
            close(fast[k : k + 1], plain.encode(rows, context[k : k + 1], hooks.one(k)), 5e-5)


def test_hooks_do_the_same_in_the_image_towers(clip):
    rng = torch.Generator().manual_seed(3)
    pixels = torch.randn(2, 4, 3, 32, 32, generator=rng)
    hooks = Everything(2, clip.image.width, [0, 2], rng)
    plain = PlainCLIP(clip).image
    with torch.no_grad():
        x = clip.image.tokens(pixels)
        fast, tokens = clip.image.encode(x, hooks), clip.image.encode_tokens(x, hooks)
        close(tokens[:, :, 0], fast)
        for k in range(2):
            close(tokens[k : k + 1], plain.encode_tokens(plain.tokens(pixels[k : k + 1]), hooks.one(k)), 5e-5)


def test_starting_from_a_later_block_changes_nothing(clip):
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    cached = clip.image_input(pixels, "block:1")
    with torch.no_grad():
        assert torch.equal(clip.image.encode(cached[None], first=1)[0], clip.encode_image(pixels))


def test_clients_do_not_change_each_others_bits(clip):
    rng = torch.Generator().manual_seed(5)
    context = torch.randn(7, 1, 4, clip.text.width, generator=rng)
    tree = clip.text.pack([context_prompt(clip.text.tokenize, name, n_ctx=4) for name in NAMES[:2]])

    def run(x):
        x = x.clone().requires_grad_()
        features = clip.text.encode(tree, x)
        features.square().sum().backward()
        return features.detach(), x.grad

    together = run(context)
    for size in (1, 2, 3):
        apart = [run(part) for part in context.split(size)]
        for whole, parts in zip(together, zip(*apart, strict=True), strict=True):
            assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("rows", [1, 3, 9, MIN_ROWS - 1, MIN_ROWS, 100])
def test_linear_gives_a_row_the_same_bits_in_any_company(rows):
    rng = torch.Generator().manual_seed(6)
    x, w = torch.randn(200, 128, generator=rng), torch.randn(96, 128, generator=rng)
    assert torch.equal(linear(x, w)[:rows], linear(x[:rows], w))
