"""pFedMMA: adapters in the upper blocks of both towers, whose shared middle is all that the server averages.

Paper: "pFedMMA: Personalized Federated Fine-Tuning with Multi-Modal Adapter for Vision-Language Models", 2025.
Official code: pFedMMA (84197bb), `trainers/pFedMMA.py`, `clip/model.py`, `clip/gsl.py`.

Beside each block of a tower from `start` to `end` (5 to 12, counted from 1) stands an adapter, fed by the block's own
normalised input and added once to its output, at every token; the prompt is "a photo of a {name}.":

    block(x) + α A(LN1(x)),    A(z) = W_up ReLU(W_sh ReLU(W_dn z + b_dn) + b_sh) + b_up

W_dn and W_up are each tower's own and stay with the client; W_sh, b_sh serve both towers and are averaged. A client
is tested with its own W_dn, W_up and the averaged W_sh. W_up does not start at zero, so the start is not CLIP. The
loss is cross-entropy. With `gradient_scaling`, A's parameters get the gradients that they would have with α = 1.

Images start from cached inputs of block `start`; the text's frozen lower blocks run once for all clients. The tensors
are stacks over blocks. Where the towers have other depths, adapters stand beside the blocks of the same number in
both, since they share their middle: unless given, those above the lower third of the shallower tower.

Not determined: batch size; whether the tables are of 50 x 2 or 100 x 1 rounds and epochs; how many steps the released
half precision skipped, whose loss scaler all clients share.
Deviations from the released code, each a quirk or left out:
- text features are those of the model under test (`stale-text-cache`);
- a fresh SGD for each client and round (`momentum-leak`);
- float32, or bfloat16 towers, and no loss scaler.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.adapters import Adapters, adapter_layers
from fedbench.clip.prompts import Prompt, as_words
from fedbench.errors import FedbenchError
from fedbench.learned import Learned
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS


@METHODS.register("pFedMMA")
class PFedMMA(Method):
    """Personal adapters around a shared projection."""

    paper = "pFedMMA: Personalized Federated Fine-Tuning with Multi-Modal Adapter for Vision-Language Models, 2025"
    bibtex = """@misc{ghiasvand2025pfedmma,
        author = {Ghiasvand, Sajjad and Alizadeh, Mahnoosh and Pedarsani, Ramtin},
        title = {{pFedMMA}: Personalized Federated Fine-Tuning with Multi-Modal Adapter for Vision-Language Models},
        eprint = {2507.05394}, archiveprefix = {arXiv}, year = {2025},
    }"""
    code = "pFedMMA 84197bb, trainers/pFedMMA.py, clip/model.py, clip/gsl.py"
    quirks = MOMENTUM_LEAK | {
        "stale-text-cache": "every test uses the text features of the first: client 0's after its first local training",
    }
    official = Official(
        files=("pfedmma",),
        tensors={
            f"{side}_{part}_{kind}": f"adapter_learner.{theirs}_adapter.{{}}.{layer}.{kind}"
            for side, theirs in (("text", "text"), ("image", "visual"))
            for part, layer in (("down", "down.0"), ("up", "up"))
            for kind in ("weight", "bias")
        }
        | {f"shared_{kind}": f"adapter_learner.shared_adapter.{{}}.0.{kind}" for kind in ("weight", "bias")},
        hyper={
            "adapter_start": "start",
            "adapter_end": "end",
            "adapter_dim": "rank",
            "adapter_scale": "scale",
            "text_ctx_init": "phrase",
        },
        variants={
            "": Variant(),
            "logits_eval_after3_official_stale_text_cache": Variant(
                quirks=("stale-text-cache",), shows="logits_eval_after3"
            ),
        },
        gradients={"grad_plain_autograd": Variant(hyper={"gradient_scaling": False})},
    )

    class Hyper(Method.Hyper):
        """Of the adapters, and of SGD."""

        rank: PositiveInt = Field(32, description="width of the adapters' middle")
        scale: PositiveFloat = Field(1e-3, description="α, the adapters' weight")
        start: PositiveInt | None = Field(None, description="first adapted block; none: as the towers allow")
        end: PositiveInt | None = Field(None, description="last adapted block; none: as the towers allow")
        gradient_scaling: bool = Field(True, description="whether adapters get gradients as with α = 1")
        phrase: str = Field("a photo of a", description="words before the class name")

    hyper: Hyper

    def __init__(self, *args: Any, **kwargs: Any):
        """As `Method`; both towers must have the blocks `start` to `end`."""
        super().__init__(*args, **kwargs)
        depth, h = min(self.tower_depths), self.hyper
        end = depth if h.end is None else h.end
        start = min(depth // 3 + 1, end) if h.start is None else h.start
        if not start <= end <= depth:
            raise FedbenchError(f"{self.name}: start = {start}, end = {end}: both towers have 1 to {depth}")
        self.first, self.layers = start - 1, end - start + 1
        self.image_input = f"block:{self.first}"

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] phrase, class name, full stop, [EOT]."""
        return self.sentences(classnames, as_words(self.hyper.phrase) + " {}.")

    def tensors(self) -> dict[str, Learned]:
        """down: (layers, rank, width), up: (layers, width, rank), shared: (layers, rank, rank); biases"""
        rank, text = self.hyper.rank, self.clip.text.width
        image = self.clip.image.width if self.clip.image else 1
        return {
            **adapter_layers("text_down", blocks=self.layers, out=rank, into=text),
            **adapter_layers("image_down", blocks=self.layers, out=rank, into=image),
            **adapter_layers("shared", blocks=self.layers, out=rank, into=rank, shared=True),
            **adapter_layers("text_up", blocks=self.layers, out=text, into=rank),
            **adapter_layers("image_up", blocks=self.layers, out=image, into=rank),
        }

    def adapters(self, p: Tensors, side: str) -> Adapters:
        """The adapters of one tower."""
        names, h = (f"{side}_down", "shared", f"{side}_up"), self.hyper
        return Adapters.stacked(p, names, first=self.first, scale=h.scale, rescale=h.gradient_scaling)

    def text(self, p: Tensors, classnames: Sequence[str]) -> Tensor:
        """Class features. (clients, classes, embed)"""
        return self.encode(self.tree(classnames), hooks=self.adapters(p, "text"))[:, 0]

    def images(self, p: Tensors, x: Tensor) -> Tensor:
        """Image features, not normalised. (clients, n, embed)"""
        return self.encode_from_block(x, self.adapters(p, "image"), first=self.first)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy."""
        logits = self.cosine_logits(self.images(p, batch.images), self.text(p, self.classnames))
        return {"ce": self.cross_entropy(logits, batch)}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the personal adapters around the shared projection."""
        tested = self.first_tested(p) if self.quirk("stale-text-cache") else p
        return self.cosine_logits(self.images(p, images), self.text(tested, classnames))

    def first_tested(self, p: Tensors) -> Tensors:
        """The text tower's adapters in the first test: of the first client, one for all. (1, ...)"""
        for name, x in p.items():
            if not name.startswith("image"):
                self.remembered.setdefault(name, x[:1].detach().clone())
        return self.remembered

    def aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors, *, round_: int) -> Tensors:
        """FedAvg. The released driver does not test the start: its first test follows client 0's training."""
        if round_ == 0 and self.quirk("stale-text-cache"):
            self.remembered = {name: x[:1].clone() for name, x in uploads.items()}
        return super().aggregate(uploads, counts, previous, round_=round_)

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features, as the golden files record them."""
        images = F.normalize(self.images(p, batch.images), dim=-1)
        return {"text_features": self.text(p, self.classnames), "image_features": images}
