"""FedCoCoOp: CoCoOp's context, moved by each image, under FedAvg.

Paper: Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022; as the federated
baseline, Cui et al., "Harmonizing Generalization and Personalization in Federated Prompt Learning", ICML
2024.
Official code: KaiyangZhou/CoOp (ff61507), `trainers/cocoop.py`. Nobody released the federated one; FedPGP's
run script, in its history (ba16025, `cocoop_base.sh`), fixes 16 random tokens, learning rate 1e-3, 25 x 2
epochs.

With f the frozen image feature of length 1, a small net makes one vector that is added to all context tokens:

    π(f) = W2 ReLU(W1 f + b1) + b2        W1: (embed / 16, embed), W2: (width, embed / 16)
    prompt of class c for this image: [SOS] [v_1 + π] … [v_M + π] {name} . [EOT]

Everything is trained, sent and averaged; the loss is cross-entropy. Images stand on the `sets` axis of the
text tower: the prefix is encoded once for each image, and classes add their names only. Image features are
cached. Evaluation goes through the images in pieces of `TOKENS_AT_ONCE` text tokens; a training step is never
cut.

Undetermined: shots, seeds and what exactly was averaged behind the published row. CoCoOp's own
training (4 tokens from `phrase="a photo of a"`, batch 1, learning rate 2e-3) is hyper-parameters away, save
its schedule.
Deviations from released code, each a quirk:
- a fresh SGD for each client and round (`momentum-leak`);
- all tensors are averaged; FedPGP's driver averages and restores only the context, so that with this method
  in it the net passes from client to client (`context-only-average`).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from fedbench.clip.blocks import product
from fedbench.clip.prompts import Prompt
from fedbench.errors import FedbenchError
from fedbench.learned import Learned, from_words, uniform
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official
from fedbench.registry import METHODS

TOKENS_AT_ONCE = 2**14
"""Text tokens in one pass of an evaluation: bounds memory, changes no number."""

NET = ("w1", "b1", "w2", "b2")


@METHODS.register("FedCoCoOp")
class FedCoCoOp(Method):
    """A context and a net that moves it by the image, averaged."""

    paper = "Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022"
    bibtex = """@inproceedings{zhou2022conditional,
        author = {Zhou, Kaiyang and Yang, Jingkang and Loy, Chen Change and Liu, Ziwei},
        title = {Conditional Prompt Learning for Vision-Language Models},
        booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
        year = {2022},
    }"""
    code = "CoOp ff61507, trainers/cocoop.py"
    quirks = {
        **MOMENTUM_LEAK,
        "context-only-average": "only the context is averaged; the net passes from client to client",
    }
    official = Official(
        files=("cocoop", "fedcocoop"),
        tensors={
            "context": "prompt_learner.ctx",
            "w1": "prompt_learner.meta_net.linear1.weight",
            "b1": "prompt_learner.meta_net.linear1.bias",
            "w2": "prompt_learner.meta_net.linear2.weight",
            "b2": "prompt_learner.meta_net.linear2.bias",
        },
        hyper={"ctx_init": "phrase"},
    )

    class Hyper(Method.Hyper):
        """Of the context, and of SGD."""

        n_ctx: PositiveInt = Field(16, description="learned tokens, drawn at random where there is no phrase")
        phrase: str = Field("", description="words that the learned tokens start from, a token each")

    hyper: Hyper

    def __init__(self, *args: Any, **kwargs: Any):
        """As `Method`; a phrase must have words."""
        super().__init__(*args, **kwargs)
        self.phrase = self.hyper.phrase.replace("_", " ")
        self.words = self.clip.text.tokenize(self.phrase)
        if self.phrase and not self.words:
            raise FedbenchError(f"{self.name}: phrase = {self.phrase!r}: there is no word in it")

    @property
    def leaked(self) -> tuple[str, ...]:
        """The net, where nobody takes care of it."""
        return NET if self.quirk("context-only-average") else ()

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] context, class name, full stop, [EOT]."""
        return self.contexts(classnames, n_ctx=len(self.words) or self.hyper.n_ctx)

    def tensors(self) -> dict[str, Learned]:
        """context: (n_ctx, width), w1: (hidden, embed), b1: (hidden,), w2: (width, hidden), b2: (width,)"""
        embed, width = self.clip.embed_dim, self.clip.text.width
        hidden, shared = max(embed // 16, 1), not self.quirk("context-only-average")
        return {
            "context": from_words(self.clip.text, self.words, n_ctx=self.hyper.n_ctx, shared=True),
            "w1": Learned((hidden, embed), uniform(embed), shared=shared),
            "b1": Learned((hidden,), uniform(embed), shared=shared),
            "w2": Learned((width, hidden), uniform(hidden), shared=shared),
            "b2": Learned((width,), uniform(hidden), shared=shared),
        }

    def shift(self, p: Tensors, images: Tensor) -> Tensor:
        """π. images (clients, n, embed), of any length → (clients, n, width)"""
        hidden = F.relu(product(F.normalize(images, dim=-1), p["w1"].transpose(1, 2)) + p["b1"][:, None])
        return product(hidden, p["w2"].transpose(1, 2)) + p["b2"][:, None]

    def text(self, p: Tensors, shifts: Tensor, classnames: Sequence[str]) -> Tensor:
        """Class features for each image. shifts (clients, n, width) → (clients, n, classes, embed)"""
        return self.encode(self.tree(classnames), p["context"][:, None] + shifts[:, :, None])

    def scores(self, p: Tensors, images: Tensor, shifts: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of images in one pass. (clients, n, classes)"""
        text = self.text(p, shifts, classnames)
        return self.clip.logit_scale * (F.normalize(images, dim=-1)[:, :, None] * text).sum(-1)

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy."""
        shifts = self.shift(p, batch.images)
        return {"ce": self.cross_entropy(self.scores(p, batch.images, shifts, self.classnames), batch)}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores with each image's own context before the given class names, some images at a time."""
        tokens = self.tree(classnames).ids.numel() * len(images)  # of one image, with all clients' contexts
        size = max(TOKENS_AT_ONCE // tokens, 1)
        pieces = zip(images.split(size, 1), self.shift(p, images).split(size, 1), strict=True)
        return torch.cat([self.scores(p, *piece, classnames) for piece in pieces], dim=1)

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Class features and the net's output, as the golden files record them."""
        shifts = self.shift(p, batch.images)
        return {"text_features": self.text(p, shifts, self.classnames), "meta_bias": shifts}
