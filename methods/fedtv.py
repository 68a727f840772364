"""FedTV: a low-rank personal prompt, adapters on the image feature, and aggregation by similarity.

Paper: not found; this is the method as its code has it.
Official code: FedTV (c764c3e), `trainers/fedtv.py`, `fed_utils.py`.

Text: the personal context is σ + B diag(S) A; T and T_σ are the class features of the personal and the
shared context, T_0 the anchor's. Image: with x the CLIP feature, not normalised, an adapter
g(x) = softmax(G2 ReLU(G1 x)) over the channels, and l(x) alike,

    x_0 = x,  x_g = g(x) ⊙ x,  x_l = l(x) ⊙ x,   w = softmax_j ⟨Wq x + bq, Wk x_j + bk⟩,   fused = Σ_j w_j x_j

and with near = cos(T_0, T_σ) / τ and far = cos(T_0, T) / τ of each class, the local loss is

    CE(cos(fused, T)) + mean of −log( e^near / (e^near + e^far) ) + 0.1 · (‖BᵀB − I‖_F + ‖AAᵀ − I‖_F)

σ, G1 and G2 are sent. The server averages in round 0; later, for each of them by itself, with weights
proportional to n_i · softmax_i( cos(W_i, W of the server) / τ_s ). ⟨Wq x + bq, bk⟩ is the same for all j,
so bk is left out of the scores: its gradient is exactly 0, and only weight decay moves it. The adapters
have the size of the joint space; in the released code that must be the text tower's width.

Undetermined, for want of the paper: the anchor (here that of FedPGP's paper, from which the term comes),
the weight of the contrastive term (the released `mu` is read and not used), all settings but the released
defaults. Deviations from the released code, each a quirk:
- T_0 is "a photo of a {name}.", there it is "X X … X {name}." (`placeholder-anchor`);
- the fusion's biases stay with their client, there they pass to the next (`bias-leak`);
- a fresh SGD for each client and round (`momentum-leak`).
"""

from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.blocks import product
from fedbench.clip.prompts import Prompt
from fedbench.learned import Learned, normal, orthogonal, uniform
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS

BIASES = ("query_bias", "key_bias")
AS_CODE = ("placeholder-anchor",)
NOISE = r"(grad|step|buf)/prompt_learner\.[BA]|(step2|step3|buf3)/prompt_learner\..*|loss_per_step|logits_eval_after3"


@METHODS.register("FedTV")
class FedTV(Method):
    """A shared context with a personal low-rank addition, and adapters of the image feature."""

    paper = "FedTV, known from its released code only (no paper found)"
    code = "FedTV c764c3e, trainers/fedtv.py"
    quirks = {
        **MOMENTUM_LEAK,
        "bias-leak": "the biases of the visual fusion pass from each client to the next one",
        "placeholder-anchor": "the anchor is 'X X … X {name}.' as in the code, not 'a photo of a {name}.'",
    }
    official = Official(
        files=("fedtv",),
        tensors={
            "context": "prompt_learner.sigma",
            "b": "prompt_learner.B",
            "s": "prompt_learner.S",
            "a": "prompt_learner.A",
            "global_1": "glo_adapter.layer.0.weight",
            "global_2": "glo_adapter.layer.2.weight",
            "local_1": "loc_adapter.layer.0.weight",
            "local_2": "loc_adapter.layer.2.weight",
            "query": "visual_fusion.w_query.weight",
            "query_bias": "visual_fusion.w_query.bias",
            "key": "visual_fusion.w_key.weight",
            "key_bias": "visual_fusion.w_key.bias",
        },
        hyper={"temp": "temperature", "visual_fusion_hidden": "fusion_hidden"},
        variants={"": Variant(quirks=AS_CODE)},
        gradients={"grad_noortho": Variant(hyper={"ortho_weight": 0.0}, quirks=AS_CODE)},
        noise={"fedtv_orthoinit": (NOISE, "B and A are orthonormal: the term's direction is noise")},
        aggregation={
            "similarity_t1.0": Variant(),
            "similarity_t0.1": Variant(hyper={"similarity_temperature": 0.1}),
        },
        round_tolerance=1e-6,
    )

    class Hyper(Method.Hyper):
        """n_ctx: learned tokens; bottleneck: rank of B diag(S) A; temperature: τ; fusion_hidden: size of the
        fusion's queries and keys; similarity_temperature: τ_s of the aggregation; contrastive_weight, ortho_weight:
        of the second and third term of the loss."""

        lr: PositiveFloat = 5e-3
        n_ctx: PositiveInt = 16
        bottleneck: PositiveInt = 8
        temperature: PositiveFloat = 0.5
        contrastive_weight: NonNegativeFloat = 1.0
        ortho_weight: NonNegativeFloat = 0.1
        fusion_hidden: PositiveInt = 64
        similarity_temperature: PositiveFloat = 1.0

    hyper: Hyper

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] context, class name, full stop, [EOT]."""
        return self.contexts(classnames, n_ctx=self.hyper.n_ctx)

    def tensors(self) -> dict[str, Learned]:
        """context, b, s, a: (n_ctx, width), (n_ctx, rank), (rank,), (rank, width); adapters: (embed, embed);
        query, key: (hidden, embed); their biases: (hidden,)"""
        h, width, embed = self.hyper, self.clip.text.width, self.clip.embed_dim
        found = {
            "context": Learned((h.n_ctx, width), normal(), shared=True),
            "b": Learned((h.n_ctx, h.bottleneck), orthogonal()),
            "s": Learned((h.bottleneck,), normal()),
            "a": Learned((h.bottleneck, width), orthogonal()),
        }
        for name in ("global_1", "global_2", "local_1", "local_2"):
            found[name] = Learned((embed, embed), uniform(embed), shared=name.startswith("global"))
        for name in ("query", "key"):
            found[name] = Learned((h.fusion_hidden, embed), uniform(embed))
            found[f"{name}_bias"] = Learned((h.fusion_hidden,), uniform(embed))
        return found

    @property
    def leaked(self) -> tuple[str, ...]:
        """The fusion's biases, under `bias-leak`."""
        return BIASES if self.quirk("bias-leak") else ()

    def personal(self, p: Tensors) -> Tensor:
        """σ + B diag(S) A. (clients, n_ctx, width)"""
        return p["context"] + product(p["b"] * p["s"][:, None], p["a"])

    @cached_property
    def anchor(self) -> Tensor:
        """T_0. (1, classes, embed)"""
        words = "X " * self.hyper.n_ctx if self.quirk("placeholder-anchor") else "a photo of a "
        return self.encode_words(self.sentences(self.classnames, words + "{}."))

    def cosines(self, p: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """T_σ, T (clients, classes, embed), cos(T_0, T_σ) and cos(T_0, T) (clients, classes)"""
        contexts = torch.stack([p["context"], self.personal(p)], dim=1)  # (clients, 2, n_ctx, width)
        shared, own = self.encode(self.tree(self.classnames), contexts).unbind(1)
        return shared, own, (self.anchor * shared).sum(-1), (self.anchor * own).sum(-1)

    def attention(self, p: Tensors, x: Tensor, adapter: str) -> Tensor:
        """What the adapter "global" or "local" keeps of each channel. (clients, images, embed) → the same"""
        hidden = product(x, p[f"{adapter}_1"].transpose(1, 2)).relu()
        return product(hidden, p[f"{adapter}_2"].transpose(1, 2)).softmax(-1)

    def fused(self, p: Tensors, x: Tensor) -> Tensor:
        """The dynamic fusion, not normalised. (clients, images, embed) → the same"""
        views = torch.stack([x, self.attention(p, x, "global") * x, self.attention(p, x, "local") * x], dim=1)
        query = product(x, p["query"].transpose(1, 2)) + p["query_bias"][:, None]  # (clients, images, hidden)
        keys = product(views.flatten(1, 2), p["key"].transpose(1, 2))  # (clients, 3 * images, hidden)
        scores = (query[:, None] * keys.unflatten(1, views.shape[1:3])).sum(-1)  # (clients, 3, images)
        return (scores.softmax(1)[..., None] * views).sum(1)

    def orthogonality(self, p: Tensors) -> Tensor:
        """‖BᵀB − I‖_F + ‖AAᵀ − I‖_F, not squared. (clients,)"""
        unit = torch.eye(self.hyper.bottleneck, device=p["b"].device)
        grams = product(p["b"].transpose(1, 2), p["b"]), product(p["a"], p["a"].transpose(1, 2))
        b, a = (torch.linalg.vector_norm(gram - unit, dim=(1, 2)) for gram in grams)
        return b + a

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy, the contrastive term over all classes, and the orthogonality of B and A."""
        _, own, near, far = self.cosines(p)
        contrastive = F.softplus((far - near) / self.hyper.temperature).mean(1)  # -log softmax
        return {
            "ce": self.cross_entropy(self.cosine_logits(self.fused(p, batch.images), own), batch),
            "contrastive": self.hyper.contrastive_weight * contrastive,
            "orthogonality": self.hyper.ortho_weight * self.orthogonality(p),
        }

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the personal prompt on the fused feature."""
        own = self.encode(self.tree(classnames), self.personal(p)[:, None])[:, 0]
        return self.cosine_logits(self.fused(p, images), own)

    def aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors, *, round_: int) -> Tensors:
        """FedAvg in round 0, then similarity-aware: who stayed near the server's tensor counts for more."""
        if round_ == 0:
            return super().aggregate(uploads, counts, previous, round_=round_)
        weights = self.similarity(uploads, counts, previous)[1]
        return {name: torch.tensordot(weights[name], x, dims=1) for name, x in uploads.items()}

    def similarity(self, uploads: Tensors, counts: Tensor, previous: Tensors) -> tuple[Tensors, Tensors]:
        """Each tensor's cosines with the server's, and the weights of the clients. (participants,)"""
        cosines, weights = {}, {}
        for name, x in uploads.items():
            cosines[name] = F.cosine_similarity(x.flatten(1), previous[name].flatten()[None])
            near = (cosines[name] / self.hyper.similarity_temperature).softmax(0)
            weighted = near * counts.to(near)
            weights[name] = weighted / weighted.sum()
        return cosines, weights

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features, attentions and cosines, as the golden files record them."""
        x, terms = batch.images, self.losses(p, batch)
        shared, own, near, far = self.cosines(p)
        return {
            "text_features": own,
            "text_features_sigma": shared,
            "text_features_0": self.anchor,
            "image_features_raw": x,
            "glo_attention": self.attention(p, x, "global"),
            "loc_attention": self.attention(p, x, "local"),
            "fused_raw": self.fused(p, x),
            "image_features": F.normalize(self.fused(p, x), dim=-1),
            "logits_train_nofusion": self.cosine_logits(x, own),
            "cos_pos": near,
            "cos_neg": far,
            "loss_ortho_weighted": terms["orthogonality"],
        }

    def probe_aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors) -> dict[str, Tensors]:
        """Cosines and weights of the similarity-aware step."""
        cosines, weights = self.similarity(uploads, counts, previous)
        return {"cos_to_prev": cosines, f"similarity_t{self.hyper.similarity_temperature}_weights": weights}
