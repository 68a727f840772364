"""CLIP's text tower over prompt trees, for many clients at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fedbench.clip.blocks import (
    UNCHANGED,
    Attention,
    Block,
    Hooks,
    attention,
    heads_first,
    heads_last,
    layer_norm,
    linear,
)
from fedbench.clip.prompts import Prompt, PromptTree, build_tree


class TextTower:
    """Frozen causal text transformer (open_clip's `CLIP` or `CustomTextCLIP.text`)."""

    def __init__(self, text: Any, tokenizer: Any):  # open_clip's modules and tokenizers are untyped
        """`text` holds open_clip's text modules; `tokenizer` is open_clip's tokenizer of the model."""
        self.token_embedding, self.positional_embedding = text.token_embedding, text.positional_embedding
        self.blocks = [Block(i, block) for i, block in enumerate(text.transformer.resblocks)]
        self.ln_final, self.projection = text.ln_final, text.text_projection
        self.tokenizer = tokenizer
        self.width: int = text.token_embedding.weight.shape[1]
        self.length: int = text.positional_embedding.shape[0]

    def tokenize(self, text: str) -> list[int]:
        """BPE ids of a text, without [SOS] and [EOT]."""
        return self.tokenizer.encode(text)

    def pack(self, prompts: Sequence[Prompt]) -> PromptTree:
        """The prompts of a label space, ready for `encode`, on the tower's device.

        Raises:
            FedbenchError: a prompt is longer than the tower's context.
        """
        return build_tree(prompts, length=self.length).to(self.positional_embedding.device)

    def embed(self, tokens: list[int]) -> Tensor:
        """Token embeddings, without positions. (tokens, width)"""
        ids = torch.tensor(tokens, device=self.positional_embedding.device)
        return self.token_embedding.weight[ids].float()

    def encode(self, prompts: PromptTree, context: Tensor | None = None, hooks: Hooks = UNCHANGED) -> Tensor:
        """Text features, not normalised. Gradients flow to `context` and into the hooks.

        Args:
            prompts: the label space's prompts.
            context: the learned tokens that stand in the prompts' slots. (clients, sets, learned tokens, width)

        Returns:
            (clients, sets, classes, embed); clients and sets are 1 without a context.
        """
        x = self._tokens(prompts, context)  # (clients, sets, tokens, width)
        for block in self.blocks[:-1]:
            x = block(x, tree_attention(prompts, block.heads), hooks)
        last = self.blocks[-1]
        x = last(x, tree_attention(prompts, last.heads, ends_only=True), hooks, keep=prompts.ends)
        x = layer_norm(x, self.ln_final)  # (clients, sets, classes, width)
        if isinstance(self.projection, nn.Linear):
            return linear(x, self.projection.weight, self.projection.bias)
        return x if self.projection is None else linear(x, self.projection.T)

    def _tokens(self, prompts: PromptTree, context: Tensor | None) -> Tensor:
        fixed = self.token_embedding.weight[prompts.ids] * (prompts.slots < 0)[:, None]
        fixed = (fixed + self.positional_embedding[prompts.positions]).float()  # (tokens, width)
        if context is None:
            return fixed[None, None]
        nothing = torch.zeros_like(context[:, :, :1])
        rows = torch.where(prompts.slots < 0, context.shape[2], prompts.slots)
        return fixed + torch.cat([context, nothing], dim=2).index_select(2, rows)


def tree_attention(prompts: PromptTree, heads: int, *, ends_only: bool = False) -> Attention:
    """Trunk tokens see the trunk causally; branch tokens see the trunk and their ancestors.

    With `ends_only`, only the rows of the classes' [EOT] are returned: (..., classes, width).
    """
    groups, size, _ = prompts.visible.shape

    def attend(qkv: Tensor) -> Tensor:
        sets = qkv.shape[:-2]
        stem, leaves = qkv.flatten(0, -3).split([prompts.trunk, groups * size], dim=-2)
        q, k, v = heads_first(stem, heads)  # (sets, heads, trunk, head width)
        branch_q, *branch_kv = heads_first(leaves.unflatten(1, (groups, size)).flatten(0, 1), heads)

        def after_trunk(shared: Tensor, own: Tensor) -> Tensor:
            # → (sets * groups, heads, trunk + size, head width)
            return torch.cat([shared[:, None].expand(-1, groups, -1, -1, -1).flatten(0, 1), own], dim=2)

        keys, values = (after_trunk(*pair) for pair in zip((k, v), branch_kv, strict=True))
        visible = prompts.visible[:, None]  # (groups, 1, size, trunk + size)
        if groups > 1:
            visible = visible.repeat(len(stem), 1, 1, 1)
        leaves = heads_last(attention(branch_q, keys, values, visible=visible))
        leaves = leaves.unflatten(0, (len(stem), groups)).flatten(1, 2)  # (sets, groups * size, width)
        if ends_only:
            return leaves.index_select(1, prompts.ends - prompts.trunk).unflatten(0, sets)
        stem = heads_last(attention(q, k, v, causal=True))
        return torch.cat([stem, leaves], dim=1).unflatten(0, sets)

    return attend
