"""What methods do with a CLIP: prompts, features and scores for several clients at once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fedbench.clip.blocks import UNCHANGED, Hooks, product
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

    def encode_pixels(self, pixels: Tensor, hooks: Hooks = UNCHANGED) -> Tensor:
        """Image features, not normalised. Pixels (clients, n, 3, side, side) → (clients, n, embed)"""
        with self.clip.autocast():
            x = self.image_tower.tokens(pixels)
        return self.encode_from_block(x, hooks, first=0)

    def encode_from_block(self, x: Tensor, hooks: Hooks = UNCHANGED, *, first: int) -> Tensor:
        """Image features, not normalised. Input of block `first` (clients, n, tokens, width) → (clients, n, embed)"""
        with self.clip.autocast():
            return self.image_tower.encode(x, hooks, first=first).float()

    @property
    def image_tower(self) -> ImageEncoder:
        """The image tower, for methods that are skipped without one."""
        assert self.clip.image is not None, f"{self.name} is skipped without an image tower"
        return self.clip.image

    def cosine_logits(self, images: Tensor, text: Tensor) -> Tensor:
        """CLIP's scores. (clients, n, embed), (clients, classes, embed) → (clients, n, classes)"""
        return product(self.clip.logit_scale * F.normalize(images, dim=-1), text.transpose(1, 2))
