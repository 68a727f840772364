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
stacked: one of ours is (blocks, 3, …) of a tower, 36 of CLIP-LoRA's on ViT-B/16; a client sends 2 of
ours, 92,160 floats.

Each step goes forward and backward through both towers; pixels are the input. Prompts share their prefix also
here, since the updates act token by token, and the first block's own queries, keys and values of the text are
computed once for all clients. Therefore the dropout mask of the text is one for each position in the prompt,
the same in all classes; of the images it is one for each token. Masks are hashes of the step's seed
(`fedbench.clip.dropout`).

Undetermined: rank, α, layers, dropout, optimiser, weights of the average, whether A starts equal
or is trained in turns. One mask serves queries, keys and values. Quirk of the family's drivers:
`momentum-leak`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.dropout import dropped, probability
from fedbench.clip.lora import LoRA
from fedbench.clip.prompts import Prompt
from fedbench.config import Frozen
from fedbench.learned import Learned, Optimizer, uniform, zeros
from fedbench.method import Batch, Method, Tensors
from fedbench.registry import METHODS


@METHODS.register("pLoRA")
class PLoRA(Method):
    """Low-rank updates of both towers, one factor averaged."""

    paper = "Mitra et al., FedVLM: Scalable Personalized Vision-Language Models through Federated Learning, ECAI 2025"
    bibtex = r"""@inproceedings{mitra2025fedvlm,
        author = {Mitra, Arkajyoti and Anjum, Afia and Agbaje, Paul and Pes{\'e}, Mert and Olufowobi, Habeeb},
        title = {{FedVLM}: Scalable Personalized Vision-Language Models through Federated Learning},
        booktitle = {European Conference on Artificial Intelligence},
        year = {2025},
    }"""
    quirks = {
        "momentum-leak": "one AdamW serves all clients: its moments go from client to client, round to round"
    }
    image_input = "pixels"

    class Hyper(Frozen):
        """Of the low-rank updates, and of AdamW."""

        lr: PositiveFloat = Field(2e-4, description="learning rate of AdamW")
        weight_decay: NonNegativeFloat = Field(1e-2, description="of AdamW")
        rank: PositiveInt = Field(2, description="r of the updates")
        alpha: PositiveFloat = Field(1.0, description="α: updates are scaled by α/√r")
        dropout: float = Field(0.25, ge=0, lt=1, description="of the updates' input, in 256ths")
        shared_factor: Literal["B", "A", "both", "none"] = Field("B", description="which factor is averaged")

    hyper: Hyper

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """A photo of each class."""
        return self.sentences(classnames)

    def tensors(self) -> dict[str, Learned]:
        """text_a, image_a: (blocks, 3, rank, width), text_b, image_b: (blocks, 3, width, rank)"""
        h = self.hyper
        adamw = Optimizer(kind="adamw", lr=h.lr, weight_decay=h.weight_decay, state=self.optimizer_state())
        found = {}
        for name, tower in (("text", self.clip.text), ("image", self.image_tower)):
            blocks, width = len(tower.blocks), tower.width
            starts = {"a": ((h.rank, width), uniform(width)), "b": ((width, h.rank), zeros())}
            for factor, (shape, start) in starts.items():
                shared = h.shared_factor in (factor.upper(), "both")
                found[f"{name}_{factor}"] = Learned(
                    (blocks, 3, *shape), start, shared=shared, optimizer=adamw
                )
        return found

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
        return self.cosine_logits(self.encode_pixels(images, self.lora(p, "image", seeds=seeds)), text)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy."""
        return {"ce": self.cross_entropy(self.scores(p, batch.images, self.classnames, batch.seeds), batch)}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the updated towers."""
        return self.scores(p, images, classnames)
