"""pFedPT: a personal visual prompt on the border of every image, before a shared model.

Paper: Li et al., "Visual Prompt Based Personalized Federated Learning", TMLR 2024.
Official code: pFedPT (cebec63), `system/flcore/clients/clientpt.py`. There the shared model is a small
network that is trained from scratch; with a frozen CLIP nothing of it is left to share, so that, by choice, the
shared part is a text context as PromptFL's. Its place can be taken by others (`shared`):

    ctx      [SOS] [v_1] … [v_16] {name} . [EOT], averaged: 8,192 floats on ViT-B/16
    none     nothing: "a photo of a {name}." and the prompt alone; no federation, a lower bound
    visual   low-rank updates (rank 2) of queries, keys and values of the image tower, both factors averaged,
             AdamW as in pLoRA, "a photo of a {name}.": a shared image model that learns to read the prompts

A fourth choice, the whole image tower, is left out: it is not parameter-efficient (86 million
floats).

The prompt is added to the normalised pixels after all augmentation, zero in the interior, S / 16 pixels wide
(14 at 224): the share of the area that it has in the paper. All clients start from one draw of N(0, 1);
`start="zero"` is PromptFL in round 0. In each round a client first trains its prompt with the shared part
frozen (SGD with learning rate 20 and momentum 0.5, whose momentum stays with the client), then the shared
part with its prompt frozen, each over `local_epochs` epochs of its images: twice PromptFL's passes.
`prompt_epochs` changes the first number.

The image tower runs at every step, in the first phase also backward (a shared context then takes no
gradient); in the second phase `ctx` has no gradient to send through it. Nothing of an image can be cached.

Undetermined: widths, learning rates and starts on CLIP; `pad=30` is the width of visual
prompting on CLIP. As in the released code, the shared model is also scored without prompts, in the metrics
that end in `/no-prompt`. Its `one-channel-prompt` is a quirk; `momentum-leak` is one of the family's drivers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from fedbench.clip.blocks import UNCHANGED, Hooks
from fedbench.clip.lora import LoRA
from fedbench.clip.prompts import Prompt
from fedbench.errors import FedbenchError
from fedbench.learned import Learned, Optimizer, normal, uniform, zeros
from fedbench.method import MOMENTUM_LEAK, Method, Tensors
from fedbench.registry import METHODS

BORDER = ("up", "down", "left", "right")


@METHODS.register("pFedPT")
class PFedPT(Method):
    """A personal border of pixels and a shared context."""

    paper = "Li et al., Visual Prompt Based Personalized Federated Learning, TMLR 2024"
    bibtex = """@article{li2024visual,
        author = {Li, Guanghao and Wu, Wansen and Sun, Yan and Shen, Li and Wu, Baoyuan and Tao, Dacheng},
        title = {Visual Prompt Based Personalized Federated Learning},
        journal = {Transactions on Machine Learning Research},
        year = {2024},
    }"""
    code = "pFedPT cebec63, system/flcore/clients/clientpt.py"
    quirks = {
        **MOMENTUM_LEAK,
        "one-channel-prompt": "one channel for red, green and blue, as released for Tiny-ImageNet",
    }
    image_input = "pixels"

    class Hyper(Method.Hyper):
        """Of the shared part and its SGD, and of the prompt."""

        n_ctx: PositiveInt = Field(16, description="learned tokens of `shared = ctx`")
        shared: Literal["ctx", "none", "visual"] = Field(
            "ctx",
            description="what is averaged: a text context, nothing, or low-rank updates of the image tower",
        )
        pad: PositiveInt | None = Field(None, description="pixels of the border; none: a 16th of the side")
        start: Literal["normal", "zero"] = Field("normal", description="of the prompt: N(0, 1) or nothing")
        prompt_lr: NonNegativeFloat = Field(20.0, description="learning rate of the prompt's SGD")
        prompt_momentum: NonNegativeFloat = Field(0.5, description="of the prompt's SGD")
        prompt_epochs: NonNegativeInt | None = Field(
            None, description="epochs of the prompt in a round; none: as many as `local_epochs`"
        )
        rank: PositiveInt = Field(2, description="rank of the updates of `shared = visual`")
        visual_lr: PositiveFloat = Field(2e-4, description="learning rate of those updates' AdamW")
        visual_weight_decay: NonNegativeFloat = Field(1e-2, description="of that AdamW")

    hyper: Hyper

    def __init__(self, *args: Any, **kwargs: Any):
        """As `Method`; the border must leave an interior, and something must be trained."""
        super().__init__(*args, **kwargs)
        h, side = self.hyper, self.clip.preprocess.size
        self.side, self.pad = side, h.pad or max(round(side / 16), 1)
        if 2 * self.pad >= side:
            raise FedbenchError(f"{self.name}: pad = {self.pad}: twice that must be below the side, {side}")
        if h.shared == "none" and h.prompt_epochs == 0:
            raise FedbenchError(f"{self.name}: prompt_epochs = 0 with shared = none leaves nothing to train")

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] context, class name, full stop, [EOT]; or a photo of each class."""
        if self.hyper.shared != "ctx":
            return self.sentences(classnames)
        return self.contexts(classnames, n_ctx=self.hyper.n_ctx)

    def tensors(self) -> dict[str, Learned]:
        """context: (n_ctx, width), or a: (blocks, 3, rank, width), b: (blocks, 3, width, rank);
        up, down: (channels, pad, side), left, right: (channels, side - 2 pad, pad)

        The prompt's SGD stays with the client, the shared part's is fresh for each client and round.
        """
        h, found = self.hyper, {}
        if h.shared == "ctx":
            found["context"] = Learned((h.n_ctx, self.clip.text.width), normal(), shared=True)
        elif h.shared == "visual":
            blocks, width = len(self.image_tower.blocks), self.image_tower.width
            adamw = Optimizer(
                kind="adamw",
                lr=h.visual_lr,
                weight_decay=h.visual_weight_decay,
                state=self.optimizer_state(),
            )
            found["a"] = Learned((blocks, 3, h.rank, width), uniform(width), shared=True, optimizer=adamw)
            found["b"] = Learned((blocks, 3, width, h.rank), zeros(), shared=True, optimizer=adamw)
        channels, start = 1 if self.quirk("one-channel-prompt") else 3, normal(float(h.start == "normal"))
        sgd = Optimizer(
            lr=h.prompt_lr, momentum=h.prompt_momentum, weight_decay=0.0, state=self.optimizer_state("kept")
        )
        for name in BORDER:
            shape = (self.pad, self.side) if name in ("up", "down") else (self.side - 2 * self.pad, self.pad)
            found[name] = Learned((channels, *shape), start, optimizer=sgd)
        return found

    def phases(self, local_epochs: int) -> list[Sequence[str]]:
        """First the prompt, then the shared part."""
        first = local_epochs if self.hyper.prompt_epochs is None else self.hyper.prompt_epochs
        return [BORDER] * first + [self.shared] * (local_epochs if self.shared else 0)

    @property
    def ablations(self) -> Mapping[str, Sequence[str]]:
        """The shared part on clean images."""
        return {"no-prompt": BORDER}

    def border(self, p: Tensors) -> Tensor:
        """What is added to an image: the prompt around zeros. (clients, channels, side, side)"""
        inner = p["left"].new_zeros(*p["left"].shape[:-1], self.side - 2 * self.pad)
        middle = torch.cat([p["left"], inner, p["right"]], dim=-1)
        return torch.cat([p["up"], middle, p["down"]], dim=-2)

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of images that carry the prompt."""
        context = p["context"][:, None] if "context" in p else None
        text = self.encode(self.tree(classnames), context)[:, 0]  # (clients or 1, classes, embed)
        hooks: Hooks = UNCHANGED
        if "a" in p:
            hooks = LoRA(p["a"], p["b"], scale=self.hyper.rank**-0.5)
        features = self.encode_pixels(images + self.border(p)[:, None], hooks)
        return self.cosine_logits(features, text.expand(len(features), -1, -1))
