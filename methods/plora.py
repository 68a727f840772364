"""pLoRA: low-rank updates of both towers, one factor shared, the other personal.

Paper: Mitra et al., "FedVLM: Scalable Personalized Vision-Language Models through Federated Learning", ECAI
2025.
Official code: none was released. The factor that is shared, B, stands in the paper's Figure 1; what is
adapted, and how, is CLIP-LoRA's (Zanella and Ben Ayed, CVPR Workshops 2024; code 358f0d7), the published
setting for CLIP.

In every block of both towers, with h the block's normalised input, for m in queries, keys and values:

    m(h) = W_m h + b_m + α/√r · B_m A_m drop(h)        A: (r, width), random; B: (width, r), zero

Classes are "a photo of a {name}.", the loss is cross-entropy, the optimiser AdamW. Clients train A and B
together, send B, keep A. All start from the same A. Before training this is zero-shot CLIP, to the bit.

`shared_factor` A is FedSA-LoRA's split, `both` is LoRA under FedAvg, `none` is local LoRA. Tensors are
stacked: one of ours is (blocks, 3, …) of a tower, 36 of the specification's on ViT-B/16; a client sends 2 of
ours, 92,160 floats.

Each step goes forward and backward through both towers; pixels are the input. Prompts share their prefix also
here, since the updates act token by token, and the first block's own queries, keys and values of the text are
computed once for all clients. Therefore the dropout mask of the text is one for each position in the prompt,
the same in all classes; of the images it is one for each token. Masks are hashes of the step's seed
(`fedbench.clip.dropout`).

Undetermined (spec 5.1): rank, α, layers, dropout, optimiser, weights of the average, whether A starts equal
or is trained in turns. One mask serves queries, keys and values. Quirk of the family's drivers:
`momentum-leak`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.dropout import dropped, probability
from fedbench.clip.lora import LoRA
from fedbench.clip.prompts import Prompt
from fedbench.method import Batch, Method, Optimizer, Settings, Tensors
from fedbench.registry import METHODS

SHARED: dict[str, tuple[str, ...]] = {
    "B": ("text_b", "image_b"),
    "A": ("text_a", "image_a"),
    "both": ("text_a", "text_b", "image_a", "image_b"),
    "none": (),
}


@METHODS.register("pLoRA")
class PLoRA(Method):
    """Low-rank updates of both towers, one factor averaged."""

    paper = (
        "Mitra et al., FedVLM: Scalable Personalized Vision-Language Models through Federated Learning, "
        "ECAI 2025"
    )
    shared = SHARED["B"]
    quirks = {
        "momentum-leak": "one AdamW serves all clients: its moments go from client to client, round to round"
    }
    image_input = "pixels"

    class Hyper(Settings):
        """rank: r; alpha: α; dropout: of the updates' input, in 256ths; shared_factor: what is averaged."""

        lr: PositiveFloat = 2e-4
        weight_decay: NonNegativeFloat = 1e-2
        rank: PositiveInt = 2
        alpha: PositiveFloat = 1.0
        dropout: float = Field(default=0.25, ge=0, lt=1)
        shared_factor: Literal["B", "A", "both", "none"] = "B"

    def __init__(self, *args: Any, **kwargs: Any):
        """As `Method`; what is shared depends on `shared_factor`."""
        super().__init__(*args, **kwargs)
        self.shared = SHARED[self.hyper.shared_factor]

    def optimizer(self, name: str) -> Optimizer:
        """AdamW, fresh for each client and round."""
        return Optimizer(kind="adamw", lr=self.hyper.lr, weight_decay=self.hyper.weight_decay)

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """A photo of each class."""
        return self.sentences(classnames)

    def init(self, rng: torch.Generator) -> Tensors:
        """text_a, image_a: (blocks, 3, rank, width), text_b, image_b: (blocks, 3, width, rank)"""
        assert self.clip.image is not None, "pLoRA is skipped without an image tower"
        tensors = {}
        for name, tower in (("text", self.clip.text), ("image", self.clip.image)):
            blocks, rank, width = len(tower.blocks), self.hyper.rank, tower.width
            tensors[f"{name}_a"] = self.uniform(blocks, 3, rank, width, rng=rng, fan_in=width)
            tensors[f"{name}_b"] = torch.zeros(blocks, 3, width, rank)
        return tensors

    def lora(self, p: Tensors, tower: str, *, seeds: Tensor | None, positions: Tensor | None = None) -> LoRA:
        """A tower's updates; dropout where there are seeds. positions: of the text's tokens, (tokens,)"""
        scale, drop = self.hyper.alpha / self.hyper.rank**0.5, None
        if seeds is not None and probability(self.hyper.dropout):
            scale /= 1 - probability(self.hyper.dropout)
            drop = partial(self._drop, seeds=seeds, positions=positions)
        return LoRA(p[f"{tower}_a"], p[f"{tower}_b"], scale=scale, drop=drop)

    def _drop(self, block: int, h: Tensor, *, seeds: Tensor, positions: Tensor | None) -> Tensor:
        """h (clients or 1, sequences, tokens, width) with entries set to 0; the scale makes up for them."""
        if positions is None:
            mask = dropped(seeds, 2 * block, tuple(h.shape[1:]), self.hyper.dropout)
        else:
            places = (self.clip.text.length, h.shape[-1])
            mask = dropped(seeds, 2 * block + 1, places, self.hyper.dropout)[:, None, positions]
        return h.masked_fill(mask, 0)

    def scores(
        self, p: Tensors, images: Tensor, classnames: Sequence[str], seeds: Tensor | None = None
    ) -> Tensor:
        """Scores with dropout where there are seeds. (clients, n, classes)"""
        tree = self.tree(classnames)
        text = self.encode(tree, hooks=self.lora(p, "text", seeds=seeds, positions=tree.positions))[:, 0]
        return self.cosine_logits(self.see(images, self.lora(p, "image", seeds=seeds)), text)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy."""
        return {"ce": self.cross_entropy(self.scores(p, batch.images, self.classnames, batch.seeds), batch)}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the updated towers."""
        return self.scores(p, images, classnames)
