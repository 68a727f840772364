"""Prompt+Prox: PromptFL with FedProx's proximal term.

Papers: Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020; as a baseline of Cui et al.,
"Harmonizing Generalization and Personalization in Federated Prompt Learning", ICML 2024.
Official code: FedPGP (d43045b), `trainers/promptfl.py`, `forward_backward(fedprox=True)`.

The local loss is CE + μ/2 · ‖context − context of the server at the round's start‖².

Deviation: the released term is computed from `state_dict()`, which returns detached tensors; it shows in the
reported loss and has no gradient, so the released method is PromptFL. That is the quirk `detached-prox`.
"""

from pydantic import Field, NonNegativeFloat

from fedbench.method import MOMENTUM_LEAK, Batch, Tensors
from fedbench.official import Official, Variant
from fedbench.registry import METHODS

from .promptfl import PromptFL


@METHODS.register("Prox")
class Prox(PromptFL):
    """PromptFL whose clients stay near the server's context."""

    paper = "Li et al., Federated Optimization in Heterogeneous Networks, MLSys 2020"
    bibtex = """@inproceedings{li2020federated,
        author = {Li, Tian and Sahu, Anit Kumar and Zaheer, Manzil and Sanjabi, Maziar and Talwalkar, Ameet and
                  Smith, Virginia},
        title = {Federated Optimization in Heterogeneous Networks},
        booktitle = {Proceedings of Machine Learning and Systems},
        year = {2020},
    }"""
    code = "FedPGP d43045b, trainers/promptfl.py (fedprox=True)"
    quirks = {
        **MOMENTUM_LEAK,
        "detached-prox": "the proximal term is detached: it is reported and has no gradient",
    }
    official = Official(
        files=("prox",),
        tensors={"context": "prompt_learner.ctx"},
        variants={"": Variant(), "true/": Variant(), "official/": Variant(quirks=("detached-prox",))},
    )

    class Hyper(PromptFL.Hyper):
        """Of PromptFL, and of the proximal term. FedOTP's driver passes mu = 0.5; the published value is unknown."""

        mu: NonNegativeFloat = Field(0.5, description="weight μ of the proximal term")

    hyper: Hyper

    def losses(self, p: Tensors, batch: Batch) -> Tensors:
        """Cross-entropy and the proximal term."""
        context = p["context"].detach() if self.quirk("detached-prox") else p["context"]
        away = (context - batch.received["context"]).square().sum(dim=(1, 2))  # (clients,)
        return {**super().losses(p, batch), "prox": self.hyper.mu / 2 * away}
