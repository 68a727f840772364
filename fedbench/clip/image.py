"""CLIP's image tower with a clients axis."""

from typing import Any

import torch
from torch import Tensor

from fedbench.clip.blocks import UNCHANGED, Block, Hooks, full_attention, layer_norm, linear


class ImageTower:
    """Frozen vision transformer (`open_clip.transformer.VisionTransformer` with a class token)."""

    def __init__(self, visual: Any):  # open_clip's modules are untyped
        self.visual = visual
        self.blocks = [Block(i, block) for i, block in enumerate(visual.transformer.resblocks)]
        self.width: int = visual.class_embedding.shape[0]

    def tokens(self, images: Tensor) -> Tensor:
        """Pixels (clients, images, 3, height, width) → input of block 0 (clients, images, 1 + patches, width)."""
        visual = self.visual
        x = visual.conv1(images.flatten(0, 1))  # (clients * images, width, rows, columns)
        x = x.flatten(2).transpose(1, 2)  # (clients * images, patches, width)
        x = torch.cat([visual.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        x = layer_norm(x + visual.positional_embedding.to(x.dtype), visual.ln_pre)
        return x.unflatten(0, images.shape[:2])

    def blocks_between(self, x: Tensor, first: int, last: int, hooks: Hooks = UNCHANGED) -> Tensor:
        """Run blocks `first` to `last - 1`. (clients, images, tokens, width) → the same."""
        for block in self.blocks[first:last]:
            x = block(x, full_attention(block.heads), hooks)
        return x

    def encode(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int = 0) -> Tensor:
        """Input of block `first` → image features, not normalised. (clients, images, embed)

        Only the class token's row is computed in the last block.
        """
        x = self.blocks_between(x, first, len(self.blocks) - 1, hooks)
        last = self.blocks[-1]
        first_row = torch.zeros(1, dtype=torch.long, device=x.device)
        x = last(x, full_attention(last.heads, first_only=True), hooks, keep=first_row)
        return self._project(x)[..., 0, :]

    def encode_tokens(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int = 0) -> Tensor:
        """Like `encode`, for all tokens, the class token first. (clients, images, 1 + patches, embed)"""
        return self._project(self.blocks_between(x, first, len(self.blocks), hooks))

    def _project(self, x: Tensor) -> Tensor:
        x = layer_norm(x, self.visual.ln_post)
        return x if self.visual.proj is None else linear(x, self.visual.proj.T)
