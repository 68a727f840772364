"""CoOp, local: every client learns a context of its own and sends nothing.

Paper: Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022.
Official code: KaiyangZhou/CoOp (ff61507), `trainers/coop.py`; as the federated baseline, the `local` branch of
FedPGP (d43045b), `federated_main.py`.

Training is uninterrupted: rounds × local epochs epochs of one SGD per client, the compute of the federated
methods. The published learning rate and number of epochs of this baseline are not known.

Deviations from the released code: there every round starts again from the common initial context, so that only
the epochs of one round count; that is the quirk `restart-each-round`. Those of its driver are PromptFL's.
"""

from dataclasses import replace

from fedbench.learned import Learned
from fedbench.method import MOMENTUM_LEAK
from fedbench.official import Official
from fedbench.registry import METHODS

from .promptfl import DRIVER, PromptFL


@METHODS.register("CoOp")
class CoOp(PromptFL):
    """A context per client, never averaged."""

    paper = "Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022"
    bibtex = """@article{zhou2022learning,
        author = {Zhou, Kaiyang and Yang, Jingkang and Loy, Chen Change and Liu, Ziwei},
        title = {Learning to Prompt for Vision-Language Models},
        journal = {International Journal of Computer Vision},
        year = {2022},
    }"""
    code = "CoOp ff61507, trainers/coop.py; FedPGP d43045b, branch local"
    quirks = {
        **MOMENTUM_LEAK,
        **DRIVER,
        "restart-each-round": "every round starts again from the common initial context, so earlier rounds are lost",
    }
    official = Official(files=("coop",), tensors={"context": "prompt_learner.ctx"})

    @property
    def restarts(self) -> bool:
        """Under `restart-each-round`."""
        return self.quirk("restart-each-round")

    def tensors(self) -> dict[str, Learned]:
        """context: (n_ctx, width), with one SGD a client from the first round to the last"""
        return {"context": replace(self.context(), shared=False, optimizer=self.sgd(state="kept"))}
