"""What methods do with a CLIP: prompts, features and scores for several clients at once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fedbench.clip.blocks import UNCHANGED, Hooks, layer_norm, product
from fedbench.clip.deep import DeepTokens
from fedbench.clip.prompts import Prompt, PromptTree, as_words, context_prompt, text_prompt
from fedbench.clip.protocol import Backbone, ImageEncoder


class ClipTools:
    """Helpers of methods, beside their contract. Nothing here is for the engine."""

    name: str
    clip: Backbone

    def __init__(self, clip: Backbone):
        self.clip = clip
        self._trees: dict[tuple[str, ...], PromptTree] = {}

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """The prompts of a label space: a method's own."""
        raise NotImplementedError

    def contexts(self, classnames: Sequence[str], *, n_ctx: int, position: str = "end") -> list[Prompt]:
        """CoOp's prompts: [SOS] learned tokens, class name, full stop, [EOT]."""
        names = map(as_words, classnames)
        return [
            context_prompt(self.clip.text.tokenize, name, n_ctx=n_ctx, position=position) for name in names
        ]

    def sentences(self, classnames: Sequence[str], template: str = "a photo of a {}.") -> list[Prompt]:
        """Prompts of plain words, by default CLIP's; {} stands for the class name."""
        texts = (template.replace("{}", as_words(name)) for name in classnames)
        return [text_prompt(self.clip.text.tokenize, text) for text in texts]

    def tree(self, classnames: Sequence[str]) -> PromptTree:
        """`prompts(classnames)` packed for the text tower, on the backbone's device; made once per label space."""
        key = tuple(classnames)
        if key not in self._trees:
            self._trees[key] = self.clip.text.pack(self.prompts(key))
        return self._trees[key]

    def encode(self, tree: PromptTree, context: Tensor | None = None, hooks: Hooks = UNCHANGED) -> Tensor:
        """Text features of length 1.

        `sets` counts the contexts that a client has at once: 1, or one for each of several prompts or images.

        context (clients, sets, n_ctx, width) → (clients, sets, classes, embed)
        """
        with self.clip.autocast():
            features = self.clip.text.encode(tree, context, hooks)
        return F.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def encode_words(self, prompts: Sequence[Prompt]) -> Tensor:
        """Text features of prompts without learned tokens, which are constant in training. (1, classes, embed)"""
        return self.encode(self.clip.text.pack(prompts))[:, 0]

    def encode_contexts(self, contexts: Sequence[Tensor], classnames: Sequence[str]) -> tuple[Tensor, ...]:
        """Text features under several contexts of each client, encoded in one pass.

        contexts: each (clients, n_ctx, width) → for each (clients, classes, embed)
        """
        return self.encode(self.tree(classnames), torch.stack(list(contexts), dim=1)).unbind(1)

    def encode_pixels(self, pixels: Tensor, hooks: Hooks = UNCHANGED) -> Tensor:
        """Image features, not normalised. Pixels (clients, n, 3, side, side) → (clients, n, embed)"""
        with self.clip.autocast():
            x = self.image_tower.tokens(pixels)
        return self.encode_from_block(x, hooks, first=0)

    def encode_from_block(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int) -> Tensor:
        """Image features, not normalised. Input of block `first` (clients, n, tokens, width) → (clients, n, embed)"""
        with self.clip.autocast():
            return self.image_tower.encode(x, hooks, first=first).float()

    def encode_with_tokens(self, x: Tensor, first: Tensor, deep: Tensor) -> Tensor:
        """Image features, not normalised, of images with n learned tokens behind their patches.

        Args:
            x: input of block 0. (clients, images, 1 + patches, width)
            first: goes in with the patches, without positions, through the tower's first norm. (clients, n, width)
            deep: takes the place of those tokens before block 1, 2, …. (clients, blocks, n, width)

        Returns:
            (clients, images, embed)
        """
        first = layer_norm(first, self.image_tower.visual.ln_pre)[:, None].expand(-1, x.shape[1], -1, -1)
        places = torch.arange(x.shape[2], x.shape[2] + first.shape[2], device=x.device)
        return self.encode_from_block(torch.cat([x, first], dim=2), DeepTokens(deep, places), first=0)

    @property
    def tower_depths(self) -> list[int]:
        """Numbers of blocks of the text tower and, where there is one, of the image tower."""
        towers = [self.clip.text.blocks] + ([self.clip.image.blocks] if self.clip.image else [])
        return [len(blocks) for blocks in towers]

    @property
    def image_tower(self) -> ImageEncoder:
        """The image tower, for methods that are skipped without one."""
        assert self.clip.image is not None, f"{self.name} is skipped without an image tower"
        return self.clip.image

    def cosine_logits(self, images: Tensor, text: Tensor) -> Tensor:
        """CLIP's scores. (clients, n, embed), (clients, classes, embed) → (clients, n, classes)"""
        return product(self.clip.logit_scale * F.normalize(images, dim=-1), text.transpose(1, 2))
