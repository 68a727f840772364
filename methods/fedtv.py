"""FedTV: a low-rank personal prompt, adapters on the image feature, and aggregation by similarity.

Paper: not found; this is the method as its code has it.
Official code: FedTV (c764c3e), `trainers/fedtv.py`, `fed_utils.py`.

Text: the personal context is σ + B diag(S) A; T and T_σ are the class features of the personal and the shared
context, T_0 the anchor's. Image: with x the CLIP feature, not normalised, an adapter g(x) = softmax(G2 ReLU(G1 x))
over the channels, and l(x) alike, x is fused with g(x) ⊙ x and l(x) ⊙ x (`fedbench.clip.fusion` has the formulas).
With near = cos(T_0, T_σ) / τ and far = cos(T_0, T) / τ of each class, the local loss is

    CE(cos(fused, T)) + mean of −log( e^near / (e^near + e^far) ) + 0.1 · (‖BᵀB − I‖_F + ‖AAᵀ − I‖_F)

σ, G1 and G2 are sent. The server averages in round 0; later, for each of them by itself, with weights proportional to
n_i · softmax_i( cos(W_i, W of the server) / τ_s ). The adapters have the size of the joint space; in the released
code that must be the text tower's width.

Undetermined, for want of the paper: the anchor (here that of FedPGP's paper, from which the term comes), the weight
of the contrastive term (the released `mu` is read and not used), all settings but the released defaults. Deviations
from the released code, each a quirk:
- T_0 is "a photo of a {name}.", there it is "X X … X {name}." (`placeholder-anchor`);
- the fusion's biases stay with their client, there they pass to the next (`bias-leak`);
- a fresh SGD for each client and round (`momentum-leak`).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.aggregation import similarity_mean, similarity_weights
from fedbench.clip.anchored import PLACEHOLDER_ANCHOR, Anchored
from fedbench.clip.fusion import channel_adapter, channel_attention, fused, fusion_layers
from fedbench.clip.low_rank import diagonal_factors, low_rank, orthogonality
from fedbench.learned import Learned, normal
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS

ADAPTERS = ("global", "local")
BIASES = ("query_bias", "key_bias")
NOISE = r"(grad|step|buf)/prompt_learner\.[BA]|(step2|step3|buf3)/prompt_learner\..*|loss_per_step|logits_eval_after3"

THEIR_NAMES = {
    "context": "prompt_learner.sigma",
    "b": "prompt_learner.B", "s": "prompt_learner.S", "a": "prompt_learner.A",
    "global_1": "glo_adapter.layer.0.weight", "global_2": "glo_adapter.layer.2.weight",
    "local_1": "loc_adapter.layer.0.weight", "local_2": "loc_adapter.layer.2.weight",
    "query": "visual_fusion.w_query.weight", "query_bias": "visual_fusion.w_query.bias",
    "key": "visual_fusion.w_key.weight", "key_bias": "visual_fusion.w_key.bias",
}  # fmt: skip


@METHODS.register("FedTV")
class FedTV(Anchored, Method):
    """A shared context with a personal low-rank addition, and adapters of the image feature."""

    paper = "FedTV, known from its released code only (no paper found)"
    bibtex = "@misc{fedtv, title = {{FedTV}}, note = {Released code, commit c764c3e}}"
    code = "FedTV c764c3e, trainers/fedtv.py"
    quirks = {
        **MOMENTUM_LEAK,
        "bias-leak": "the biases of the visual fusion pass from each client to the next one",
        **PLACEHOLDER_ANCHOR,
    }
    official = Official(
        files=("fedtv",),
        tensors=THEIR_NAMES,
        hyper={"temp": "temperature", "visual_fusion_hidden": "fusion_hidden"},
        variants={"": Variant(quirks=("placeholder-anchor",))},
        gradients={"grad_noortho": Variant(hyper={"ortho_weight": 0.0}, quirks=("placeholder-anchor",))},
        noise={"fedtv_orthoinit": (NOISE, "B and A are orthonormal: the term's direction is noise")},
        aggregation={"similarity_t{similarity_temperature}": Variant()},
        round_tolerance=1e-6,
    )

    class Hyper(Method.Hyper):
        """Of the contexts, of the terms of the loss, of the fusion, of the aggregation, and of SGD."""

        lr: PositiveFloat = Field(5e-3, description="learning rate of SGD")
        n_ctx: PositiveInt = Field(16, description="learned tokens")
        bottleneck: PositiveInt = Field(8, description="rank of B diag(S) A")
        temperature: PositiveFloat = Field(0.5, description="τ of the contrastive term")
        contrastive_weight: NonNegativeFloat = Field(1.0, description="weight of the contrastive term")
        ortho_weight: NonNegativeFloat = Field(0.1, description="weight of the orthogonality of B and A")
        fusion_hidden: PositiveInt = Field(64, description="size of the fusion's queries and keys")
        similarity_temperature: PositiveFloat = Field(1.0, description="τ_s of the aggregation")

    hyper: Hyper

    def tensors(self) -> dict[str, Learned]:
        """context: (n_ctx, width), factors of the personal part; adapters and fusion of the image feature"""
        h, width, embed = self.hyper, self.clip.text.width, self.clip.embed_dim
        return {
            "context": Learned((h.n_ctx, width), normal(), shared=True),
            **diagonal_factors(rows=h.n_ctx, rank=h.bottleneck, columns=width),
            **channel_adapter("global", embed=embed, shared=True),
            **channel_adapter("local", embed=embed, shared=False),
            **fusion_layers(embed=embed, hidden=h.fusion_hidden),
        }

    @property
    def leaked(self) -> tuple[str, ...]:
        """The fusion's biases, under `bias-leak`."""
        return BIASES if self.quirk("bias-leak") else ()

    def personal(self, p: Tensors) -> Tensor:
        """σ + B diag(S) A. (clients, n_ctx, width)"""
        return p["context"] + low_rank(p)

    def cosines(self, p: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """T_σ, T (clients, classes, embed), cos(T_0, T_σ) and cos(T_0, T) (clients, classes)"""
        shared, own = self.both(p)
        return shared, own, (self.anchor * shared).sum(-1), (self.anchor * own).sum(-1)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy, the contrastive term over all classes, and the orthogonality of B and A."""
        _, own, near, far = self.cosines(p)
        contrastive = F.softplus((far - near) / self.hyper.temperature).mean(1)  # -log softmax
        return {
            "ce": self.cross_entropy(self.cosine_logits(fused(p, batch.images, ADAPTERS), own), batch),
            "contrastive": self.hyper.contrastive_weight * contrastive,
            "orthogonality": self.hyper.ortho_weight * orthogonality(p),
        }

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the personal prompt on the fused feature."""
        return self.cosine_logits(fused(p, images, ADAPTERS), self.own(p, classnames))

    def aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors, *, round_: int) -> Tensors:
        """FedAvg in round 0, then similarity-aware: who stayed near the server's tensor counts for more."""
        if round_ == 0:
            return super().aggregate(uploads, counts, previous, round_=round_)
        temperature = self.hyper.similarity_temperature
        return similarity_mean(uploads, counts, previous, temperature=temperature)

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features, attentions and cosines, as the golden files record them."""
        x, terms = batch.images, self.losses(p, batch)
        return {
            **super().probe(p, batch),
            "image_features_raw": x,
            "glo_attention": channel_attention(p, x, "global"),
            "loc_attention": channel_attention(p, x, "local"),
            "fused_raw": fused(p, x, ADAPTERS),
            "image_features": F.normalize(fused(p, x, ADAPTERS), dim=-1),
            "logits_train_nofusion": self.cosine_logits(x, self.own(p, self.classnames)),
            "loss_ortho_weighted": terms["orthogonality"],
        }

    def probe_aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors) -> dict[str, Tensors]:
        """Cosines and weights of the similarity-aware step."""
        temperature = self.hyper.similarity_temperature
        cosines, weights = similarity_weights(uploads, counts, previous, temperature=temperature)
        return {"cos_to_prev": cosines, f"similarity_t{temperature}_weights": weights}
