"""FedMaPLe: learned tokens in both towers, coupled from text to image, under FedAvg.

Paper: Khattak et al., "MaPLe: Multi-modal Prompt Learning", CVPR 2023; as a federated baseline, Cui et al.,
"Harmonizing Generalization and Personalization in Federated Prompt Learning", ICML 2024.
Official code: muzairkhattak/multimodal-prompt-learning (69bce21), `trainers/maple.py`, `clip/model.py`. Nobody
released the federated one. FedPGP's run script, in its history (ba16025, `maple_base.sh`), fixes learning rate 1e-3
and 25 x 2 epochs; in other people's FedMaPLe (FedMGP, flip) all tensors are averaged, as here.

With n = 2 tokens in J = 9 blocks: tokens P_0 … P_8 (n, text width), linear layers F_0 … F_8 to the image's width:

    text     [SOS] P_0 of a {name} . [EOT]       P_0 starts from "a photo"; P_i takes its place before block i
    image    [CLS] patches F_0(P_0)              F_i(P_i) takes the last n places before block i = 1 … 8

F_0(P_0) has no position and goes through the image tower's first layer norm; blocks from J on pass on what they get.
All of it is trained and averaged, tensor by tensor: the mean of F is applied to the mean of P. The F_i of i > 0 start
as copies of one layer. The loss is cross-entropy. With `phrase=""`, or more tokens than words, P_0 is drawn from
N(0, 0.02²) and stands alone before the name, as in the official code.

Images start from cached inputs of block 0 (patches with positions, normalised); the words around the learned tokens
are encoded once for all classes. P_1 … and F_1 … are stacks: 6 tensors here are 27 in the official code. In towers of
other depths J is three quarters of the shallower one, unless given.

Not determined: n, J, precision, shots and seeds behind the published row. MaPLe's own training (learning rate 0.0035
with warm-up and cosine, batch 4) is hyper-parameters away, save the schedule.
Deviations from released code, each a quirk:
- a fresh SGD for each client and round (`momentum-leak`);
- learned tokens keep their precision (`half-casts`);
- all tensors are averaged; FedPGP's driver averages and restores only the context (`context-only-average`).
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from fedbench.clip.deep import DeepTokens, coupled, couplings
from fedbench.clip.prompts import EOT, SOS, Prompt, as_words, slot
from fedbench.errors import FedbenchError
from fedbench.learned import Learned, from_words, normal, uniform
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS

REST = ("proj_weight", "proj_bias", "deep", "deep_weight", "deep_bias")


@METHODS.register("FedMaPLe")
class FedMaPLe(Method):
    """Deep prompts in both towers, averaged."""

    paper = "Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023"
    bibtex = """@inproceedings{khattak2023maple,
        author = {Khattak, Muhammad Uzair and Rasheed, Hanoona and Maaz, Muhammad and Khan, Salman and
                  Khan, Fahad Shahbaz},
        title = {{MaPLe}: Multi-modal Prompt Learning},
        booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
        year = {2023},
    }"""
    code = "multimodal-prompt-learning 69bce21, trainers/maple.py, clip/model.py"
    quirks = {
        **MOMENTUM_LEAK,
        "half-casts": "learned tokens, save the text's first, are rounded to half precision at use",
        "context-only-average": "only the context is averaged; all else passes from each client to the next",
    }
    image_input = "block:0"
    official = Official(
        files=("maple", "fedmaple"),
        tensors={
            "context": "prompt_learner.ctx",
            "proj_weight": "prompt_learner.proj.weight",
            "proj_bias": "prompt_learner.proj.bias",
            "deep": "prompt_learner.compound_prompts_text.{}",
            "deep_weight": "prompt_learner.compound_prompt_projections.{}.weight",
            "deep_bias": "prompt_learner.compound_prompt_projections.{}.bias",
            "idle_weight": "prompt_learner.compound_prompt_projections.{}.weight",
            "idle_bias": "prompt_learner.compound_prompt_projections.{}.bias",
        },
        hyper={"prompt_depth": "depth", "ctx_init": "phrase"},
        variants={"": Variant(), "fp16cast/": Variant(quirks=("half-casts",))},
    )

    class Hyper(Method.Hyper):
        """Of the learned tokens, and of SGD."""

        n_ctx: PositiveInt = Field(2, description="learned tokens")
        depth: PositiveInt | None = Field(
            None, description="blocks that get them, J; none: as the towers allow"
        )
        phrase: str = Field("a photo of a", description="words that the first block's tokens start from")

    hyper: Hyper

    def __init__(self, *args: Any, **kwargs: Any):
        """As `Method`; one of the towers must have `depth` blocks."""
        super().__init__(*args, **kwargs)
        depths = self.tower_depths
        self.depth: int = self.hyper.depth or max(1, round(0.75 * min(depths)))
        if self.depth > max(depths):
            raise FedbenchError(f"{self.name}: depth = {self.depth}: a tower has {max(depths)} blocks")
        words = self.clip.text.tokenize(as_words(self.hyper.phrase))
        self.words = words if len(words) >= self.hyper.n_ctx else []
        self.phrase = self.hyper.phrase if self.words else ""
        blocks = len(self.clip.image.blocks) if self.clip.image else self.depth
        self.coupled = min(self.depth, blocks) - 1  # beyond the image tower nothing takes what F_i makes

    def phases(self, local_epochs: int) -> list[Sequence[str]]:
        """Everything but layers without a use, which no optimiser touches."""
        return [("context", *REST)] * local_epochs

    @property
    def leaked(self) -> tuple[str, ...]:
        """All but the context, where nobody takes care of it."""
        return REST if self.quirk("context-only-average") else ()

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] learned tokens, the phrase's other words, class name, full stop, [EOT]."""
        n, tokenize = self.hyper.n_ctx, self.clip.text.tokenize
        start = [SOS, *(slot(i) for i in range(n)), *self.words[n:]]
        return [[*start, *tokenize(f"{as_words(name)}."), EOT] for name in classnames]

    def tensors(self) -> dict[str, Learned]:
        """context: (n, width), proj: (image width, width), deep: (J - 1, n, width), deep_weight; biases"""
        n, more, width = self.hyper.n_ctx, self.depth - 1, self.clip.text.width
        out, rest = self.clip.image.width if self.clip.image else 1, not self.quirk("context-only-average")
        layer, unused = uniform(width), more - self.coupled
        found = {
            "context": from_words(self.clip.text, self.words[:n], n_ctx=n, shared=True),
            "proj_weight": Learned((out, width), layer, shared=rest),
            "proj_bias": Learned((out,), layer, shared=rest),
            "deep": Learned((more, n, width), normal(), shared=rest),
            **couplings("deep", blocks=self.coupled, out=out, into=width, shared=rest),
        }
        return found | couplings("idle", blocks=unused, out=out, into=width, shared=rest) if unused else found

    def at_use(self, tokens: Tensor) -> Tensor:
        """Learned tokens as they enter a tower."""
        return tokens.half().float() if self.quirk("half-casts") else tokens

    def text(self, p: Tensors, classnames: Sequence[str]) -> Tensor:
        """Class features. (clients, classes, embed)"""
        tree = self.tree(classnames)
        deep = DeepTokens(self.at_use(p["deep"]), tree.context_rows)
        return self.encode(tree, p["context"][:, None], deep)[:, 0]

    def images(self, p: Tensors, x: Tensor) -> Tensor:
        """Image features, not normalised. x (clients, n, 1 + patches, width) → (clients, n, embed)"""
        first = coupled(p["context"][:, None], p["proj_weight"][:, None], p["proj_bias"][:, None])[:, 0]
        deep = coupled(p["deep"][:, : self.coupled], p["deep_weight"], p["deep_bias"])
        return self.encode_with_tokens(x, self.at_use(first), self.at_use(deep))

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores with the learned tokens in both towers, before the given class names."""
        return self.cosine_logits(self.images(p, images), self.text(p, classnames))

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Features, as the golden files record them."""
        images = F.normalize(self.images(p, batch.images), dim=-1)
        return {"text_features": self.text(p, self.classnames), "image_features": images}
