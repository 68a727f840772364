"""The transformer block of CLIP with a leading clients axis, over open_clip's own weights.

Hidden states are (clients, sequences, tokens, width): a sequence is an image in the image tower, a prompt set in
the text tower. The weights are frozen and shared by all clients; what differs between clients enters as tokens
or through `Hooks`.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_ROWS = 64
"""Smallest matrix product on a CPU, see `linear`: more than four rows a thread on up to 16 threads."""

MIN_QUERIES = 4
"""Fewest queries of a sequence on a CPU, see `attention`."""


class Hooks:
    """What a method may change inside a tower. The default changes nothing. All tensors carry the clients axis."""

    def tokens(self, block: int, x: Tensor) -> Tensor:
        """Input of a block, for deep prompts. (clients, sequences, tokens, width)"""
        return x

    def qkv(self, block: int, h: Tensor) -> Tensor | None:
        """Added to the queries, keys and values, for low-rank updates. h = ln_1(x) → (..., tokens, 3 * width)"""
        return None

    def branch(self, block: int, h: Tensor) -> Tensor | None:
        """Added to the block's output, for adapters parallel to the block. h = ln_1(x) → (..., tokens, width)"""
        return None


UNCHANGED = Hooks()

Attention = Callable[[Tensor], Tensor]
"""Queries, keys and values (clients, sequences, tokens, 3 * width) → attended values (..., rows, width)."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` whose rows do not depend on how many rows there are.

    CPU libraries switch to other kernels, with another order of summation, for products of a few rows. Padding
    those keeps the promise that a client's bits are the same whoever is trained beside it.
    """
    rows = x.shape[:-1].numel()
    least = max(MIN_ROWS, 4 * torch.get_num_threads())
    if x.device.type != "cpu" or rows >= least:
        return F.linear(x, weight, bias)
    padded = F.pad(x.reshape(rows, x.shape[-1]), (0, 0, 0, least - rows))
    return F.linear(padded, weight, bias)[:rows].reshape(*x.shape[:-1], weight.shape[0])


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, visible: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention whose sequences do not depend on how many there are.

    Args:
        q, k, v: (sequences, heads, tokens, head width)
        visible: which keys each query sees, True where it does; broadcast over sequences and heads.
        causal: each query sees the keys up to its own.
    """
    rows = q.shape[-2]
    if q.device.type == "cpu" and rows < MIN_QUERIES and not causal:
        # products of so few rows are summed in an order that depends on where in memory a thread's work space lies
        q = F.pad(q, (0, 0, 0, MIN_QUERIES - rows))
        visible = visible if visible is None else F.pad(visible, (0, 0, 0, MIN_QUERIES - rows), value=True)
        return attention(q, k, v, visible=visible)[..., :rows, :]
    if q.device.type == "cpu" and len(q) * q.shape[1] == 1:
        # torch splits the work by sequences and heads; a single pair is computed outside of its parallel region,
        # where the small products inside use more threads and another order of summation
        q, k, v = (x.expand(2, -1, -1, -1) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=causal)[:1]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=causal)


def product(x: Tensor, y: Tensor) -> Tensor:
    """`x @ y` for each client by itself, (clients, rows, n) and (clients, n, columns), not dependent on their number.

    A single pair goes through another kernel than several, and its gradients through another order of summation.
    """
    if x.device.type == "cpu" and len(x) == len(y) == 1:
        return (x.expand(2, -1, -1) @ y.expand(2, -1, -1))[:1]
    return x @ y


def layer_norm(x: Tensor, norm: nn.Module) -> Tensor:
    """The module's layer norm in its own (float32) precision; `nn.Identity` where the model has none."""
    if isinstance(norm, nn.Identity):
        return x
    assert isinstance(norm, nn.LayerNorm)
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


class Block:
    """One frozen residual attention block of open_clip (`open_clip.transformer.ResidualAttentionBlock`)."""

    def __init__(self, index: int, module: Any):  # open_clip's modules are untyped
        self.index = index
        self.ln_1, self.ln_2 = module.ln_1, module.ln_2
        self.attn, self.mlp = module.attn, module.mlp
        self.ls_1, self.ls_2 = module.ls_1, module.ls_2
        self.heads: int = module.attn.num_heads

    def __call__(self, x: Tensor, attend: Attention, hooks: Hooks, *, keep: Tensor | None = None) -> Tensor:
        """x (clients, sequences, tokens, width) → the same, or only the rows `keep` (rows,) of the tokens axis.

        With `keep`, `attend` returns just those rows: nothing after a tower's last block reads the others.
        """
        x = hooks.tokens(self.index, x)
        h = layer_norm(x, self.ln_1)
        qkv = linear(h, self.attn.in_proj_weight, self.attn.in_proj_bias)
        delta = hooks.qkv(self.index, h)
        if delta is not None:
            qkv = qkv + delta
        attended = linear(attend(qkv), self.attn.out_proj.weight, self.attn.out_proj.bias)
        if keep is not None:
            x, h = x.index_select(-2, keep), h.index_select(-2, keep)
        x = x + self.ls_1(attended)
        x = x + self.ls_2(self._mlp(layer_norm(x, self.ln_2)))
        side = hooks.branch(self.index, h)
        return x if side is None else x + side

    def _mlp(self, x: Tensor) -> Tensor:
        hidden = self.mlp.gelu(linear(x, self.mlp.c_fc.weight, self.mlp.c_fc.bias))
        return linear(hidden, self.mlp.c_proj.weight, self.mlp.c_proj.bias)


class FusedQuickGELU(nn.Module):
    """x * sigmoid(1.702 x), as one fused kernel forward and backward: silu(1.702 x) / 1.702."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.silu(1.702 * x) / 1.702


def heads_first(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(sequences, tokens, 3 * width) → queries, keys, values, each (sequences, heads, tokens, head width)"""
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return q, k, v


def heads_last(x: Tensor) -> Tensor:
    """(sequences, heads, tokens, head width) → (sequences, tokens, width)"""
    return x.transpose(1, 2).flatten(-2)


def full_attention(heads: int, *, first_only: bool = False) -> Attention:
    """Every token sees every token of its sequence; with `first_only`, only the first token's row is returned."""

    def attend(qkv: Tensor) -> Tensor:
        q, k, v = heads_first(qkv.flatten(0, -3), heads)
        out = attention(q[:, :, :1] if first_only else q, k, v)
        return heads_last(out).unflatten(0, qkv.shape[:-2])

    return attend


def freeze(model: nn.Module) -> nn.Module:
    """Evaluation mode, no gradients, and the fused activation in place of open_clip's QuickGELU."""
    import open_clip.transformer

    model = model.eval().requires_grad_(False)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, open_clip.transformer.QuickGELU):
                setattr(module, name, FusedQuickGELU())
    return model
