"""Parts for methods whose loss compares learned contexts with an anchor: a fixed sentence under the frozen CLIP."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from fedbench.clip.prompts import Prompt
from fedbench.clip.tools import ClipTools
from fedbench.quirks import Quirky

PLACEHOLDER_ANCHOR = {
    "placeholder-anchor": "the anchor is 'X X … X {name}.' as in the code, not 'a photo of a {name}.'"
}
"""A quirk of code that takes its anchor from the prompt learner's placeholders."""


class Anchored(Quirky, ClipTools):
    """A context that is shared, another that is the client's own, and an anchor. To be inherited beside `Method`.

    The method has `n_ctx` among its hyper-parameters, a tensor `context`, and the quirk `PLACEHOLDER_ANCHOR`.
    """

    classnames: tuple[str, ...]
    hyper: Any

    @abstractmethod
    def personal(self, p: dict[str, Tensor]) -> Tensor:
        """The client's own context, as its tensors make it. (clients, n_ctx, width)"""

    @abstractmethod
    def cosines(self, p: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Class features of the shared and the own context, and the pair of cosines that the loss compares.

        (clients, classes, embed) twice, (clients, classes) twice
        """

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """[SOS] context, class name, full stop, [EOT]."""
        return self.contexts(classnames, n_ctx=self.hyper.n_ctx)

    @cached_property
    def anchor(self) -> Tensor:
        """Features of "a photo of a {name}.", or of as many X as there are learned tokens. (1, classes, embed)"""
        words = "X " * self.hyper.n_ctx if self.quirk("placeholder-anchor") else "a photo of a "
        return self.encode_words(self.sentences(self.classnames, words + "{}."))

    def both(self, p: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Features of training's classes under the shared and the own context. (clients, classes, embed) each"""
        return self.encode_contexts([p["context"], self.personal(p)], self.classnames)

    def probe(self, p: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
        """Features and cosines, as golden files record them."""
        shared, own, near, far = self.cosines(p)
        return {
            "text_features": own,
            "text_features_sigma": shared,
            "text_features_0": self.anchor,
            "cos_pos": near,
            "cos_neg": far,
        }

    def own(self, p: dict[str, Tensor], classnames: Sequence[str]) -> Tensor:
        """Features of any classes under the client's own context. (clients, classes, embed)"""
        return self.encode_contexts([self.personal(p)], classnames)[0]
