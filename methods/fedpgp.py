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
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.prompts import Prompt
from fedbench.learned import Learned, normal
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS


@METHODS.register("FedPGP")
class FedPGP(Method):
    """A shared context and a personal low-rank addition."""

    paper = (
        "Cui et al., Harmonizing Generalization and Personalization in Federated Prompt Learning, ICML 2024"
    )
    code = "FedPGP d43045b, trainers/fedpgp.py"
    quirks = {
        **MOMENTUM_LEAK,
        "placeholder-anchor": "the anchor is 'X X … X {name}.' as in the code, not 'a photo of a {name}.'",
    }
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
        """n_ctx: learned tokens; bottleneck: rank of the personal part; mu: weight of the contrastive term;
        temperature: its τ; adaptation, positive, negative: the ablations above."""

        n_ctx: PositiveInt = 16
        bottleneck: PositiveInt = 8
        mu: NonNegativeFloat = 0.5
        temperature: PositiveFloat = 0.5
        adaptation: Literal["low-rank", "full-rank"] = "low-rank"
        positive: bool = True
        negative: bool = True

    hyper: Hyper

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] context, class name, full stop, [EOT]."""
        return self.contexts(classnames, n_ctx=self.hyper.n_ctx)

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

    @cached_property
    def anchor(self) -> Tensor:
        """z_C. (1, classes, embed)"""
        words = "X " * self.hyper.n_ctx if self.quirk("placeholder-anchor") else "a photo of a "
        return self.encode_words(self.sentences(self.classnames, words + "{}."))

    def cosines(self, p: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z_G, z_i (clients, classes, embed), cos(z_C, z_G) and cos(z_G, z_i) (clients, classes)"""
        contexts = torch.stack([p["context"], self.personal(p)], dim=1)  # (clients, 2, n_ctx, width)
        z_global, z_own = self.encode(self.tree(self.classnames), contexts).unbind(1)
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
        return self.cosine_logits(images, self.encode(self.tree(classnames), self.personal(p)[:, None])[:, 0])

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features and cosines, as the golden files record them."""
        z_global, z_own, near, far = self.cosines(p)
        return {
            "text_features": z_own,
            "text_features_sigma": z_global,
            "text_features_0": self.anchor,
            "cos_pos": near,
            "cos_neg": far,
            "loss_contrastive": self.contrastive(near, far),
        }
