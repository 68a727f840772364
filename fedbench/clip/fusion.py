"""Parts for methods that work on the image feature: attention over its channels, a fusion of several views of it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedbench.clip.blocks import product
from fedbench.learned import Learned, uniform


def channel_adapter(name: str, *, embed: int, shared: bool) -> dict[str, Learned]:
    """The layers of `channel_attention`: `<name>_1` and `<name>_2`, (embed, embed) each."""
    layer = Learned((embed, embed), uniform(embed), shared=shared)
    return {f"{name}_1": layer, f"{name}_2": layer}


def channel_attention(p: Mapping[str, Tensor], x: Tensor, name: str) -> Tensor:
    """What the adapter `name` keeps of each channel: softmax(W2 ReLU(W1 x)), which sums to 1 over the channels.

    x (clients, images, embed) → the same
    """
    hidden = product(x, p[f"{name}_1"].transpose(1, 2)).relu()
    return product(hidden, p[f"{name}_2"].transpose(1, 2)).softmax(-1)


def fusion_layers(*, embed: int, hidden: int) -> dict[str, Learned]:
    """The layers of `fused`: `query` and `key` (hidden, embed), `query_bias` and `key_bias` (hidden,)."""
    weight, bias = Learned((hidden, embed), uniform(embed)), Learned((hidden,), uniform(embed))
    return {"query": weight, "query_bias": bias, "key": weight, "key_bias": bias}


def fused(p: Mapping[str, Tensor], x: Tensor, adapters: Sequence[str]) -> Tensor:
    """The weighted mean of views of a feature: itself, and what each adapter's channel attention leaves of it.

        x_0 = x,   x_j = attention_j(x) ⊙ x,   w = softmax_j ⟨Wq x + bq, Wk x_j + bk⟩,   fused = Σ_j w_j x_j

    ⟨Wq x + bq, bk⟩ is the same for all j, so bk is left out of the scores: its gradient is exactly 0, and only
    weight decay moves it.

    Args:
        p: tensors of `fusion_layers` and of each `channel_adapter`, with the clients axis.
        x: features, not normalised. (clients, images, embed)
        adapters: names of the adapters.

    Returns:
        (clients, images, embed), not normalised.
    """
    views = torch.stack([x, *(channel_attention(p, x, name) * x for name in adapters)], dim=1)
    query = product(x, p["query"].transpose(1, 2)) + p["query_bias"][:, None]  # (clients, images, hidden)
    keys = product(views.flatten(1, 2), p["key"].transpose(1, 2))  # (clients, views * images, hidden)
    scores = (query[:, None] * keys.unflatten(1, views.shape[1:3])).sum(-1)  # (clients, views, images)
    return (scores.softmax(1)[..., None] * views).sum(1)
