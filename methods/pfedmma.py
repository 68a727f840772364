"""pFedMMA: adapters in the upper blocks of both towers, whose shared middle is all that the server averages.

Paper: "pFedMMA: Personalized Federated Fine-Tuning with Multi-Modal Adapter for Vision-Language Models", 2025.
Official code: pFedMMA (84197bb), `trainers/pFedMMA.py`, `clip/model.py`, `clip/gsl.py`.

Beside each block i of `start` to `end` (5 to 12, counted from 1) stands an adapter, fed by the block's own normalised
input and added once to its output, at every token of either tower; the prompt is "a photo of a {name}.":

    block_i(x) + α A_i(LN1(x)),    A_i(z) = W_up ReLU(W_sh ReLU(W_dn z + b_dn) + b_sh) + b_up

W_dn and W_up are each tower's own and stay with the client; W_sh, b_sh are common to the towers, and are averaged. A
client is tested with its own W_dn, W_up and the averaged W_sh. W_up does not start at zero: the start is not CLIP. The
loss is cross-entropy. Gradient-scaling layers around the adapter give its parameters the gradient that they would have
with α = 1, without changing the one that flows through the block (`gradient_scaling=False`: plain autograd, whose
gradients of the adapters are α times as large).

In the engine images start at block `start`, the text's frozen lower blocks run once for all clients. Tensors of all
adapted blocks are stacks. In towers of other depths the adapters stand beside the blocks of the same number in both,
since they share their middle: from above the lower third of the shallower tower up to its last block, unless given.

Not determined (spec 6): batch size, whether the tables are of 50 x 2 or 100 x 1 rounds and epochs; and how many steps
the released half precision skipped, as its loss scaler met gradients that are 1 / α times as large. Deviations from
the released code, each a quirk or left out:
- text features are those of the model that is tested (`stale-text-cache`);
- a fresh SGD for each client and round (`momentum-leak`);
- float32, or bfloat16 towers, without a loss scaler that all clients share.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.blocks import Hooks
from fedbench.clip.prompts import Prompt, photo_prompt
from fedbench.errors import FedbenchError
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Official, Tensors, Variant
from fedbench.registry import METHODS

PARTS = {"down": "{}.down.0", "up": "{}.up"}
SHARED = ("shared_weight", "shared_bias")


@METHODS.register("pFedMMA")
class PFedMMA(Method):
    """Personal adapters around a shared projection."""

    paper = "pFedMMA: Personalized Federated Fine-Tuning with Multi-Modal Adapter for Vision-Language Models, 2025"
    code = "pFedMMA 84197bb, trainers/pFedMMA.py, clip/model.py, clip/gsl.py"
    shared = SHARED
    quirks = {
        **MOMENTUM_LEAK,
        "stale-text-cache": "text features are kept from the first test, that of client 0 after its first local "
        "training; all clients are tested with them in all rounds",
    }
    official = Official(
        files=("pfedmma",),
        tensors={
            f"{side}_{part}_{kind}": f"adapter_learner.{tower}_adapter.{theirs}.{kind}"
            for side, tower in (("text", "text"), ("image", "visual"))
            for part, theirs in PARTS.items()
            for kind in ("weight", "bias")
        }
        | {f"shared_{kind}": f"adapter_learner.shared_adapter.{{}}.0.{kind}" for kind in ("weight", "bias")},
        hyper={"adapter_start": "start", "adapter_end": "end", "adapter_dim": "rank", "adapter_scale": "scale"},
        variants={
            "": Variant(),
            "logits_eval_after3_official_stale_text_cache": Variant(
                quirks=("stale-text-cache",), shows="logits_eval_after3"
            ),
        },
        gradients={"grad_plain_autograd": Variant(hyper={"gradient_scaling": False})},
    )

    class Hyper(Method.Hyper):
        """rank: width of the middle; scale: α; start, end: first and last adapted block, from 1, None as above."""

        rank: PositiveInt = 32
        scale: PositiveFloat = 1e-3
        start: PositiveInt | None = None
        end: PositiveInt | None = None
        gradient_scaling: bool = True

    def __init__(self, *args: Any, **kwargs: Any):
        """As `Method`; both towers must have the blocks `start` to `end`."""
        super().__init__(*args, **kwargs)
        towers = [self.clip.text] + ([self.clip.image] if self.clip.image else [])
        depth, h = min(len(tower.blocks) for tower in towers), self.hyper
        end = depth if h.end is None else h.end
        start = min(depth // 3 + 1, end) if h.start is None else h.start
        if not start <= end <= depth:
            raise FedbenchError(f"{self.name}: blocks {start} to {end}, the towers have 1 to {depth} in common")
        self.first, self.layers = start - 1, end - start + 1
        self.image_input = f"block:{self.first}"

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] a photo of a, class name, full stop, [EOT]."""
        return [photo_prompt(self.clip.text.tokenize, name) for name in classnames]

    def init(self, rng: torch.Generator) -> Tensors:
        """<side>_down: (layers, rank, width), <side>_up: (layers, width, rank), shared: (layers, rank, rank); biases"""
        rank, width = self.hyper.rank, {"text": self.clip.text.width, "image": getattr(self.clip.image, "width", 1)}
        sizes = {f"{side}_down": (rank, width[side]) for side in width}
        sizes |= {f"{side}_up": (width[side], rank) for side in width} | {"shared": (rank, rank)}
        p = {}
        for name, (out, into) in sizes.items():  # Kaiming normal, fan out
            p[f"{name}_weight"] = self.normal(self.layers, out, into, rng=rng, std=(2 / out) ** 0.5)
            p[f"{name}_bias"] = torch.zeros(self.layers, out)
        return p

    def adapters(self, p: Tensors, side: str) -> "Adapters":
        """The adapters of one tower."""
        names = (f"{side}_down", "shared", f"{side}_up")
        weights = [list(zip(p[f"{n}_weight"].unbind(1), p[f"{n}_bias"].unbind(1), strict=True)) for n in names]
        return Adapters(list(zip(*weights, strict=True)), self.first, self.hyper.scale, self.hyper.gradient_scaling)

    def text(self, p: Tensors, classnames: Sequence[str]) -> Tensor:
        """Class features. (clients, classes, embed)"""
        return self.encode(self.tree(classnames), hooks=self.adapters(p, "text"))[:, 0]

    def images(self, p: Tensors, x: Tensor) -> Tensor:
        """Image features, not normalised. (clients, n, embed)"""
        return self.encode_images(x, self.adapters(p, "image"), first=self.first)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy."""
        logits = self.cosine_logits(self.images(p, batch.images), self.text(p, self.classnames))
        return {"ce": self.cross_entropy(logits, batch)}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the personal adapters around the shared projection."""
        text = self.text(self.first_tested(p) if self.quirk("stale-text-cache") else p, classnames)
        return self.cosine_logits(self.images(p, images), text)

    def first_tested(self, p: Tensors) -> Tensors:
        """The text tower's adapters as the first test of this method saw them. (1, ...)"""
        for name, x in p.items():
            if name.startswith(("text", "shared")):
                self.memory.setdefault(name, x[:1].detach().clone())
        return self.memory

    def aggregate(self, uploads: Tensors, counts: Tensor, previous: Tensors, *, round_: int) -> Tensors:
        """FedAvg. The released driver first tests the first client between its training and this, not the start."""
        if round_ == 0 and self.quirk("stale-text-cache"):
            self.memory.clear()
            self.memory |= {name: x[:1].clone() for name, x in uploads.items()}
        return super().aggregate(uploads, counts, previous, round_=round_)

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features, as the golden files record them."""
        return {
            "text_features": self.text(p, self.classnames),
            "image_features": F.normalize(self.images(p, batch.images), dim=-1),
        }


class Adapters(Hooks):
    """Adapters beside consecutive blocks: for each block (weight, bias) of down, shared and up."""

    def __init__(self, layers: list[tuple[tuple[Tensor, Tensor], ...]], first: int, scale: float, rescale: bool):
        self.layers, self.first, self.scale, self.rescale = layers, first, scale, rescale

    def branch(self, block: int, h: Tensor) -> Tensor | None:
        """α A(h). (clients or 1, sequences, tokens, width) → (clients, sequences, tokens, width)"""
        if not 0 <= block - self.first < len(self.layers):
            return None
        down, shared, up = self.layers[block - self.first]
        if self.rescale:
            h = Scaled.apply(h, 1.0, self.scale)
        x = h.flatten(1, 2)
        y = affine(F.relu(affine(F.relu(affine(x, *down)), *shared)), *up).unflatten(1, h.shape[1:3])
        return Scaled.apply(y, self.scale, 1.0) if self.rescale else self.scale * y


class Scaled(torch.autograd.Function):
    """Multiplication by one factor on the way forward and by another on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: float, backward: float) -> Tensor:
        ctx.backward_factor = backward
        return x * forward

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.backward_factor, None, None


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each client's own linear layer. x (clients or 1, rows, in), weight (clients, out, in) → (clients, rows, out)"""
    return torch.baddbmm(bias[:, None], x.expand(len(weight), -1, -1), weight.transpose(1, 2))
