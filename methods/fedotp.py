"""FedOTP: a global and a local prompt, matched to the image's patches by optimal transport.

Paper: Li et al., "Global and Local Prompts Cooperation via Optimal Transport for Federated Learning",
CVPR 2024 (arXiv 2403.00041).
Official code: FedOTP (9948611), `trainers/GLP_OT.py`.

Class c has a feature t_0c of the shared prompt and t_1c of the client's own. With patches F_m of an image,
S_mn = ⟨F_m, t_nc⟩ and K = e^{−(1 − S)/ε}, each image and class have a plan T over (patches, prompts), and

    logit = exp(s) · Σ_mn T_mn S_mn,   T = diag(u) K diag(v)
    COT:       u ← min(a / (K v), 1),  v ← b / (Kᵀ u),   a_m = 1 / patches, b_n = γ / 2, until v rests
    Sinkhorn:  u ← a / (K v),          v ← b / (Kᵀ u),   b_n = 1 / 2,                    until u rests

so under COT each prompt gets the mass γ / 2 and may leave patches aside. No gradient goes through T. The
image's own token is not used. The loss is cross-entropy. The solver is `fedbench.clip.transport`.

Undetermined: settings for base-to-novel, Office and DomainNet; γ is 0.8 in the released scripts
and 1 in the driver. Not reproduced: half precision in the towers and the solver (NaN where K underflows: at
ε = 0.01). Deviations that are quirks:
- prompts and momentum in float32 (`half-prompts`: small updates are lost);
- round 0 samples clients as any other (`round-zero-all`, of the engine);
- each image and class stops by itself, so no score depends on the rest of the batch (`batch-stop`);
- a fresh SGD for each client and round (`momentum-leak`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.prompts import Prompt
from fedbench.clip.transport import Transport, patch_similarity
from fedbench.learned import Learned, normal
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS


@METHODS.register("FedOTP")
class FedOTP(Method):
    """A shared and a personal context that divide the image's patches between them."""

    paper = "Li et al., Global and Local Prompts Cooperation via Optimal Transport for Federated Learning, CVPR 2024"
    bibtex = """@inproceedings{li2024global,
        author = {Li, Hongxia and Huang, Wei and Wang, Jingya and Shi, Ye},
        title = {Global and Local Prompts Cooperation via Optimal Transport for Federated Learning},
        booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
        year = {2024},
    }"""
    code = "FedOTP 9948611, trainers/GLP_OT.py"
    quirks = {
        **MOMENTUM_LEAK,
        "batch-stop": "the solver stops all images and classes of a batch at once, by their mean change",
        "half-prompts": "prompts, their momentum and average are in half precision: small updates are lost",
    }
    image_input = "tokens"
    official = Official(
        files=("fedotp",),
        tensors={"context": "prompt_learner.ctx[0]", "local": "prompt_learner.ctx[1]"},
        hyper={"OT": "ot"},
        variants={"": Variant(quirks=("batch-stop",))},
        prompt_sets=2,
    )

    class Hyper(Method.Hyper):
        """Of the two contexts, of the transport, and of SGD."""

        n_ctx: PositiveInt = Field(16, description="learned tokens of each context")
        ot: Literal["COT", "Sinkhorn"] = Field("COT", description="capped or balanced transport")
        top_percent: float = Field(0.8, gt=0, le=1, description="γ, the mass that COT moves")
        eps: PositiveFloat = Field(0.1, description="ε, the strength of the entropy")
        thresh: NonNegativeFloat = Field(1e-3, description="mean change below which a plan rests; 0: never")
        max_iter: PositiveInt = Field(100, description="most sweeps of the solver")

    hyper: Hyper

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] context, class name, full stop, [EOT]."""
        return self.contexts(classnames, n_ctx=self.hyper.n_ctx)

    def tensors(self) -> dict[str, Learned]:
        """context, local: (n_ctx, width); in half precision under the quirk"""
        shape = (self.hyper.n_ctx, self.clip.text.width)
        sgd = replace(self.sgd(), half=self.quirk("half-prompts"))
        return {
            "context": Learned(shape, normal(), shared=True, optimizer=sgd),
            "local": Learned(shape, normal(), optimizer=sgd),
        }

    def init(self, rng: torch.Generator) -> Tensors:
        """As declared."""
        return self._kept(super().init(rng))

    def aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors, *, round_: int) -> Tensors:
        """FedAvg."""
        return self._kept(super().aggregate(uploads, counts, previous, round_=round_))

    def _kept(self, tensors: Tensors) -> Tensors:
        """What the released code has left of them."""
        return {n: x.half().float() for n, x in tensors.items()} if self.quirk("half-prompts") else tensors

    def text(self, p: Tensors, classnames: Sequence[str]) -> Tensor:
        """Class features of the shared and the local prompt. (clients, 2, classes, embed)"""
        return self.encode(self.tree(classnames), torch.stack([p["context"], p["local"]], dim=1))

    def transport(self) -> Transport:
        """The problem that prompts and patches pose."""
        h, capped = self.hyper, self.hyper.ot == "COT"
        return Transport(
            capped=capped,
            mass=h.top_percent if capped else 1.0,
            eps=h.eps,
            threshold=h.thresh,
            max_iter=h.max_iter,
            stop_together=self.quirk("batch-stop"),
        )

    def scores(self, text: Tensor, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """(clients, images, classes)"""
        sim = patch_similarity(text, tokens)  # (clients, 2, classes, images, patches)
        plan, _ = self.transport().plan(sim.detach(), valid)
        return self.clip.logit_scale * (plan * sim).sum(-1).sum(1).transpose(1, 2)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy."""
        scores = self.scores(self.text(p, self.classnames), batch.images, batch.valid)
        return {"ce": self.cross_entropy(scores, batch)}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of both prompts."""
        return self.scores(self.text(p, classnames), images)

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features, plans and sweeps, as the golden files record them: a row for each image and class."""
        with torch.no_grad():
            text = self.text(p, self.classnames)[:1]
            sim = patch_similarity(text, batch.images)
            plan, sweeps = self.transport().plan(sim, batch.valid)
        features = F.normalize(batch.images[0], dim=-1)

        def rows(x: Tensor) -> Tensor:  # (1, 2, classes, images, patches) → (images * classes, patches, 2)
            return x[0].permute(2, 1, 3, 0).flatten(0, 1)

        return {
            "text_features": text[0],
            "image_features": features[:, 1:].transpose(0, 1),
            "image_feature_pool_unused": features[:, 0],
            "sim": rows(sim),
            "ot_K": rows(((sim - 1) / self.hyper.eps).exp()),
            "ot_a": torch.full_like(rows(sim)[..., 0], 1 / sim.shape[-1]),
            "ot_b": torch.full_like(rows(sim)[:, 0], self.transport().mass / 2),
            "T": rows(plan),
            "pair_similarity": (plan * sim).sum(-1).sum(1)[0].T,
            "logits_eval_first2_alone": self.logits(p, batch.images[:, :2], self.classnames)[0].detach(),
            "ot_iterations_per_step": sweeps.max(),
        }
