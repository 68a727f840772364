"""Class-disjoint: clients own disjoint blocks of all classes and are tested on their own."""

import random
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.splits.blocks import (
    BLOCKS_SEED,
    Partition,
    balanced_blocks,
    check_possible,
    published_blocks,
)
from fedbench.splits.pools import add_val, check_tested, few_shot_notes, own_rows, pool, relabelled
from fedbench.splits.shots import VAL_SHOTS, balanced_shots, sample
from fedbench.task import Client, Metric, Split, Task


@SPLITS.register("class-disjoint")
class ClassDisjoint(Split):
    """The few-shot protocol of FedOTP and of FedPGP's ablations: base-to-novel without a novel half.

    Each client owns a block of the classes, trains on a few images of each, and is tested on all test images
    of its own classes, among all classes. See docs/protocols.md.
    """

    class Options(Split.Options):
        """`published`: the papers' blocks and draws, the same for every seed; `balanced`: drawn per seed."""

        clients: int = Field(default=10, ge=1, description="the classes are dealt to them")
        shots: int = Field(default=16, ge=1, description="training images per class")
        partition: Partition = Field(default="published", description="how classes and images are drawn")

    options: "ClassDisjoint.Options"
    columns: ClassVar[tuple[str, ...]] = ("local",)

    def make(self, dataset: Dataset, *, seed: int) -> Task:
        """The task for one seed.

        Raises:
            FedbenchError: no training image; a partition that leaves clients without a class; a client
                without a test image.
        """
        options = self.options
        labels = sorted({item.label for item in dataset.parts["train"]})
        if not labels:
            raise FedbenchError(f"{self.name}: {dataset.name} has no training image")
        check_possible(
            len(labels),
            clients=options.clients,
            partition=options.partition,
            what=f"classes of {dataset.name}",
        )
        blocks, lists = self._deal(dataset, labels, seed=seed)
        # no recording tells how the papers' code would draw these: it never used them
        val = balanced_shots(
            dataset.parts["val"], shots=min(options.shots, VAL_SHOTS), seed=seed, purpose="val-shots"
        )
        pools = {"test": pool(dataset, labels, dataset.parts["test"])}
        check_tested(self.name, pools["test"], blocks)
        metrics = {"local": Metric("test", own_rows(pools["test"], blocks))}
        notes = few_shot_notes(dataset, labels, shots=options.shots, left_out_of="the label space")
        val_pool = pool(dataset, labels, val)
        add_val(val_pool, own_rows(val_pool, blocks), pools=pools, metrics=metrics, notes=notes)
        return Task(
            protocol=self.name,
            dataset=dataset,
            classnames=pools["test"].classnames,
            clients=tuple(Client(f"client {k}", tuple(items)) for k, items in enumerate(lists)),
            pools=pools,
            metrics=metrics,
            columns=self.columns,
            notes=tuple(notes),
        )

    def _deal(
        self, dataset: Dataset, labels: Sequence[int], *, seed: int
    ) -> tuple[list[list[int]], list[list[Item]]]:
        """Class blocks, and the training images of each client."""
        clients, shots = self.options.clients, self.options.shots
        train = relabelled(dataset.parts["train"], labels)
        if self.options.partition == "balanced":
            blocks = balanced_blocks(len(labels), clients=clients, seed=seed)
            few = balanced_shots(train, shots=shots, seed=seed, purpose="shots")
            return blocks, [[item for item in few if item.label in block] for block in blocks]
        rng = random.Random(BLOCKS_SEED)
        blocks = published_blocks(len(labels), clients=clients, rng=rng)
        # drawn from the whole list after the reset, so the published images do not depend on the run's seed
        return blocks, [sample((i for i in train if i.label in b), shots=shots, rng=rng) for b in blocks]
