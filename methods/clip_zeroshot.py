"""CLIP: zero-shot classification with a fixed sentence. Trains nothing.

Paper: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
Official code: as the federated baseline, FedPGP (d43045b), `trainers/clip_0.py`: "a photo of a {name}." for every
dataset, without ensembling. CoOp's sentence for each dataset is a hyper-parameter away (`template`).
"""

from collections.abc import Sequence

import torch
from pydantic import Field, field_validator
from torch import Tensor

from fedbench.clip.prompts import Prompt
from fedbench.config import Frozen
from fedbench.learned import Learned
from fedbench.method import Batch, Method, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS


@METHODS.register("CLIP")
class CLIP(Method):
    """The frozen model and a sentence."""

    paper = "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021"
    bibtex = """@inproceedings{radford2021learning,
        author = {Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh, Gabriel and
                  Agarwal, Sandhini and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and Clark, Jack and
                  Krueger, Gretchen and Sutskever, Ilya},
        title = {Learning Transferable Visual Models From Natural Language Supervision},
        booktitle = {International Conference on Machine Learning},
        year = {2021},
    }"""
    code = "FedPGP d43045b, trainers/clip_0.py"
    official = Official(
        files=("clip_zeroshot",),
        variants={"": Variant(), "custom/": Variant(read={"template": "custom/template"})},
    )

    class Hyper(Frozen):
        """A sentence and nothing to train."""

        template: str = Field("a photo of a {}.", description="the sentence; {} stands for the class name")

        @field_validator("template")
        @classmethod
        def _has_place(cls, value: str) -> str:
            if value.count("{}") != 1:
                raise ValueError("the template needs one {} for the class name")
            return value

    hyper: Hyper

    def prompts(self, classnames: Sequence[str]) -> list[Prompt]:
        """The sentence with each class name."""
        return self.sentences(classnames, self.hyper.template)

    def tensors(self) -> dict[str, Learned]:
        """Nothing is learned."""
        return {}

    def logits(self, p: Tensors, images: Tensor, classnames: Sequence[str]) -> Tensor:
        """Scores of the sentences."""
        with torch.no_grad():
            text = self.encode(self.tree(classnames))[:, 0]  # (1, classes, embed)
        return self.cosine_logits(images, text)

    def probe(self, p: Tensors, batch: Batch) -> Tensors:
        """Class features, as the golden files record them."""
        return {"text_features": self.encode(self.tree(self.classnames))[:, 0]}
