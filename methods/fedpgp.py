"""FedPGP: a shared prompt plus a personal low-rank one, held together and apart by a contrastive term.

Paper: Cui et al., "Harmonizing Generalization and Personalization in Federated Prompt Learning", ICML 2024.
Official code: CuiTianyu961030/FedPGP (d43045b), `trainers/fedpgp.py`.

Client i's context is p_i = p_G + U_i V_i (Eq. 7, 9). With class features z_G of p_G, z_i of p_i and z_C of the
frozen CLIP's sentence, the local loss is (Eq. 12, 13)

    CE(z_i) + μ · mean over classes of −log( e^{cos(z_C, z_G)/τ} / (e^{cos(z_C, z_G)/τ} + e^{cos(z_G, z_i)/τ}) )

so the shared prompt stays near CLIP's knowledge and the personal one leaves the shared one. p_G is sent and
averaged, U_i and V_i stay; a client is tested with the averaged p_G and its own U_i V_i.

Ablations (Tables 6 and 7) are hyper-parameters: `positive=False`, `negative=False`, `adaptation="full-rank"`. How
a one-sided term is written is not determined: the poster prints 1 − sim(z_G, z_i) and sim(z_G, z_C)
beside them. Here the remaining side keeps the direction it has in the full loss: without the positive side
cos(z_G, z_i) / τ is minimised, without the negative side −cos(z_C, z_G) / τ.

Deviations from the released code, each a quirk:
- z_C is "a photo of a {name}." as in the paper's figure; the code's anchor is the embedding of "X X … X {name}."
  (`placeholder-anchor`);
- a fresh SGD for each client and round (`momentum-leak`).
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.anchored import PLACEHOLDER_ANCHOR, Anchored
from fedbench.learned import Learned, normal
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS


@METHODS.register("FedPGP")
class FedPGP(Anchored, Method):
    """A shared context and a personal low-rank addition."""

    paper = (
        "Cui et al., Harmonizing Generalization and Personalization in Federated Prompt Learning, ICML 2024"
    )
    bibtex = """@inproceedings{cui2024harmonizing,
        author = {Cui, Tianyu and Li, Hongxia and Wang, Jingya and Shi, Ye},
        title = {Harmonizing Generalization and Personalization in Federated Prompt Learning},
        booktitle = {International Conference on Machine Learning},
        year = {2024},
    }"""
    code = "FedPGP d43045b, trainers/fedpgp.py"
    quirks = {**MOMENTUM_LEAK, **PLACEHOLDER_ANCHOR}
    official = Official(
        files=("fedpgp",),
        tensors={"context": "prompt_learner.sigma", "u": "prompt_learner.U", "v": "prompt_learner.V"},
        hyper={"temp": "temperature"},
        variants={"": Variant(quirks=("placeholder-anchor",))},
        excluded={
            "fedpgp_n2": "two prompts (N=2) are a leftover of a released script: half of the classes are distractors"
        },
    )

    class Hyper(Method.Hyper):
        """Of the contexts, of the contrastive term, and of SGD."""

        n_ctx: PositiveInt = Field(16, description="learned tokens")
        bottleneck: PositiveInt = Field(8, description="rank of the personal part U V")
        mu: NonNegativeFloat = Field(0.5, description="weight μ of the contrastive term")
        temperature: PositiveFloat = Field(0.5, description="τ of the contrastive term")
        adaptation: Literal["low-rank", "full-rank"] = Field(
            "low-rank", description="form of the personal part"
        )
        positive: bool = Field(True, description="whether z_G is drawn to the anchor")
        negative: bool = Field(True, description="whether z_i is driven from z_G")

    hyper: Hyper

    def tensors(self) -> dict[str, Learned]:
        """u: (n_ctx, bottleneck), v: (bottleneck, width), context: (n_ctx, width); or delta: (n_ctx, width)"""
        h, width = self.hyper, self.clip.text.width
        full = {"delta": Learned((h.n_ctx, width), normal())}
        low_rank = {
            "u": Learned((h.n_ctx, h.bottleneck), normal()),
            "v": Learned((h.bottleneck, width), normal()),
        }
        personal = full if h.adaptation == "full-rank" else low_rank
        return {**personal, "context": Learned((h.n_ctx, width), normal(), shared=True)}

    def personal(self, p: Tensors) -> Tensor:
        """The client's own context p_i. (clients, n_ctx, width)"""
        return p["context"] + (p["delta"] if "delta" in p else p["u"] @ p["v"])

    def cosines(self, p: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z_G, z_i (clients, classes, embed), cos(z_C, z_G) and cos(z_G, z_i) (clients, classes)"""
        z_global, z_own = self.both(p)
        return z_global, z_own, (self.anchor * z_global).sum(-1), (z_global * z_own).sum(-1)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy of the personal prompt and the contrastive term over all classes."""
        _, z_own, near, far = self.cosines(p)
        ce = self.cross_entropy(self.cosine_logits(batch.images, z_own), batch)
        if not (self.hyper.positive or self.hyper.negative):
            return {"ce": ce}
        return {"ce": ce, "contrastive": self.hyper.mu * self.contrastive(near, far)}

    def contrastive(self, near: Tensor, far: Tensor) -> Tensor:
        """The contrastive term before its weight, of cosines (clients, classes). (clients,)"""
        near, far = near / self.hyper.temperature, far / self.hyper.temperature
        match self.hyper.positive, self.hyper.negative:
            case True, True:
                each = -F.log_softmax(torch.stack([near, far], dim=-1), dim=-1)[..., 0]
            case True, False:
                each = -near
            case _:
                each = far
        return each.mean(1)

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the personal prompt."""
        return self.cosine_logits(images, self.own(p, classnames))

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features, cosines and the contrastive term, as the golden files record them."""
        found = super().probe(p, batch)
        return {**found, "loss_contrastive": self.contrastive(found["cos_pos"], found["cos_neg"])}
