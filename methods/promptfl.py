"""PromptFL: one learned context, averaged by the server.

Paper: Guo et al., "PromptFL: Let federated participants cooperatively learn prompts instead of models", TMC 2023.
Official code: the PromptFL trainer in CuiTianyu961030/FedPGP (d43045b), `trainers/promptfl.py`, CoOp's prompt
learner (Zhou et al., IJCV 2022) under FedAvg.

A class's prompt is [SOS] [v_1] … [v_16] {name} . [EOT]; the context v is shared by all classes, and is all that
is trained and sent. The loss is cross-entropy over the label space's classes.

Deviations from the released code, each a quirk or left out:
- a fresh SGD for each client and round (`momentum-leak` is the released single one);
- all clients can take part (`drop-client-5`: a line left over from six domains);
- a round samples clients as it does for other methods (`full-participation`).
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from fedbench.clip.prompts import Prompt
from fedbench.learned import Learned, normal
from fedbench.method import MOMENTUM_LEAK, Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS

DRIVER = {
    "drop-client-5": "the sixth client is never trained, averaged or tested",
    "full-participation": "all clients train in every round, whatever the participation",
}
"""Of the released driver's branches `fedavg` and `local`."""


@METHODS.register("PromptFL")
class PromptFL(Method):
    """A shared context under FedAvg."""

    paper = "Guo et al., PromptFL: Let Federated Participants Cooperatively Learn Prompts Instead of Models, TMC 2023"
    bibtex = """@article{guo2023promptfl,
        author = {Guo, Tao and Guo, Song and Wang, Junxiao and Tang, Xueyang and Xu, Wenchao},
        title = {{PromptFL}: Let Federated Participants Cooperatively Learn Prompts Instead of Models --
                 Federated Learning in Age of Foundation Model},
        journal = {IEEE Transactions on Mobile Computing},
        year = {2023},
    }"""
    code = "FedPGP d43045b, trainers/promptfl.py"
    quirks = {**MOMENTUM_LEAK, **DRIVER}
    official = Official(
        files=("promptfl",),
        tensors={"context": "prompt_learner.ctx"},
        variants={
            "": Variant(),
            "position_middle/": Variant(hyper={"position": "middle"}),
            "position_front/": Variant(hyper={"position": "front"}),
        },
        aggregation={"average": Variant()},
    )

    class Hyper(Method.Hyper):
        """Of the context, and of SGD."""

        n_ctx: PositiveInt = Field(16, description="learned tokens")
        position: Literal["end", "middle", "front"] = Field("end", description="where the class name stands")

    hyper: Hyper

    @property
    def dropped(self) -> tuple[int, ...]:
        """Client 5, under its quirk."""
        return (5,) if self.quirk("drop-client-5") else ()

    @property
    def everyone_trains(self) -> bool:
        """Under `full-participation`."""
        return self.quirk("full-participation")

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] context, class name, full stop, [EOT]."""
        return self.contexts(classnames, n_ctx=self.hyper.n_ctx, position=self.hyper.position)

    def context(self) -> Learned:
        """(n_ctx, width)"""
        return Learned((self.hyper.n_ctx, self.clip.text.width), normal(), shared=True)

    def tensors(self) -> dict[str, Learned]:
        """context: (n_ctx, width)"""
        return {"context": self.context()}

    def text(self, p: Tensors, classnames: Sequence[str]) -> Tensor:
        """Class features. (clients, classes, embed)"""
        return self.encode(self.tree(classnames), p["context"][:, None])[:, 0]

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores with the learned context before the given class names."""
        return self.cosine_logits(images, self.text(p, classnames))

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Class features, as the golden files record them."""
        return {"text_features": self.text(p, self.classnames)}
