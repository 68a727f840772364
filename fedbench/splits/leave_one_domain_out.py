"""Leave one domain out: a client for each other domain, all of them tested on the domain that nobody saw."""

from typing import ClassVar, Literal

from pydantic import Field

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.splits.domains import DomainSplit
from fedbench.splits.pools import add_val, joined
from fedbench.splits.shots import VAL_SHOTS, balanced_shots
from fedbench.task import Client, Metric, Pool, Split, Task


@SPLITS.register("leave-one-domain-out")
class LeaveOneDomainOut(DomainSplit):
    """FedPGP's domain generalisation: every source client's personalised model on the held-out domain.

    A client is called after its domain. Nothing of the target is in training or validation. The metric's
    clients are a row of the target x source matrix. See docs/protocols.md.
    """

    class Options(Split.Options):
        """`target_eval`: "all" tests on the target's training and test images, "test" on its test images."""

        target: str = Field(description="the held-out domain", examples=["sketch"])
        shots: int | None = Field(default=None, ge=1, description="training images per class; None: all")
        target_eval: Literal["all", "test"] = Field(
            default="all", description="which of the target's images are tested on"
        )

    options: "LeaveOneDomainOut.Options"
    columns: ClassVar[tuple[str, ...]] = ("target",)

    def make(self, dataset: Dataset, *, seed: int) -> Task:
        """The task for one seed.

        Raises:
            FedbenchError: fewer than two domains; no such domain; a source domain without a training image,
                or a target without a test image.
        """
        target = self.options.target
        domains = self.domains(dataset)
        held_out = dataset.domain_parts(target)
        sources = [domain for domain in domains if domain != target]
        classnames = self.classnames(dataset, seed=seed)
        tested = [*(held_out["train"] if self.options.target_eval == "all" else ()), *held_out["test"]]
        if not tested:
            raise FedbenchError(f"{self.name}: the target {target} of {dataset.name} has no image to test on")
        pools = {"target": Pool(classnames, tuple(tested))}
        metrics = {"target": Metric("target")}
        notes = self.order_notes()
        val = [self._draw(dataset, domain, "val", seed=seed) for domain in sources]
        add_val(*joined(classnames, val), pools=pools, metrics=metrics, notes=notes)
        return Task(
            protocol=self.name,
            dataset=dataset,
            classnames=classnames,
            clients=tuple(self._client(dataset, domain, seed=seed) for domain in sources),
            pools=pools,
            metrics=metrics,
            columns=self.columns,
            notes=tuple(notes),
        )

    def _client(self, dataset: Dataset, domain: str, *, seed: int) -> Client:
        train = self._draw(dataset, domain, "train", seed=seed)
        if not train:
            raise FedbenchError(
                f"{self.name}: domain {domain} of {dataset.name} has no training image; complete the images"
            )
        return Client(domain, tuple(train))

    def _draw(self, dataset: Dataset, domain: str, part: str, *, seed: int) -> list[Item]:
        """The images of a source domain: all, or a few of each class."""
        items, shots = list(dataset.domain_parts(domain)[part]), self.options.shots
        if shots is None:
            return items
        if part == "val":
            shots = min(shots, VAL_SHOTS)
        return balanced_shots(items, shots=shots, seed=seed, purpose=f"{part}-shots/{domain}")
