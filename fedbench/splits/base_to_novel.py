"""Base-to-novel: clients train on disjoint blocks of base classes, tests are on base and novel classes."""

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
from fedbench.splits.shots import VAL_SHOTS, balanced_shots, published_shots, sample
from fedbench.task import Client, Metric, Pool, Split, Task


@SPLITS.register("base-to-novel")
class BaseToNovel(Split):
    """The protocol of CoCoOp, made federated as in FedPGP, pFedMMA and FedTV.

    The first half of the classes (rounded up) is base, the rest novel. A client owns a block of the base
    classes and trains on a few images of each; no class has two owners. See docs/protocols.md.
    """

    class Options(Split.Options):
        """`published`: the papers' few-shot lists and class blocks; `balanced`: even ones, drawn per seed."""

        clients: int = Field(default=10, ge=1, description="the classes are dealt to them")
        shots: int = Field(default=16, ge=1, description="training images per class")
        partition: Partition = Field(default="published", description="how classes and images are drawn")

    options: "BaseToNovel.Options"
    columns: ClassVar[tuple[str, ...]] = ("local", "base", "novel")

    def make(self, dataset: Dataset, *, seed: int) -> Task:
        """The task for one seed.

        Raises:
            FedbenchError: fewer than two classes with training images; a partition that leaves clients
                without a class; a client, or the novel half, without a test image.
        """
        base, novel = _halves(dataset)
        check_possible(
            len(base),
            clients=self.options.clients,
            partition=self.options.partition,
            what=f"base classes of {dataset.name}",
        )
        blocks, lists, val = self._deal(dataset, base, seed=seed)
        pools = {
            "base": pool(dataset, base, dataset.parts["test"]),
            "novel": pool(dataset, novel, dataset.parts["test"]),
        }
        _check_tested(dataset, base_pool=pools["base"], novel_pool=pools["novel"], blocks=blocks)
        metrics = {
            "local": Metric("base", own_rows(pools["base"], blocks)),
            "base": Metric("base"),
            "novel": Metric("novel"),
        }
        notes = few_shot_notes(dataset, [*base, *novel], shots=self.options.shots, left_out_of="both halves")
        val_pool = Pool(pools["base"].classnames, tuple(val))
        add_val(val_pool, own_rows(val_pool, blocks), pools=pools, metrics=metrics, notes=notes)
        return Task(
            protocol=self.name,
            dataset=dataset,
            classnames=pools["base"].classnames,
            clients=tuple(Client(f"client {k}", tuple(items)) for k, items in enumerate(lists)),
            pools=pools,
            metrics=metrics,
            columns=self.columns,
            summary="hm",
            notes=tuple(notes),
        )

    def _deal(
        self, dataset: Dataset, base: Sequence[int], *, seed: int
    ) -> tuple[list[list[int]], list[list[Item]], list[Item]]:
        """Class blocks, the training images of each client, and the validation images of all base classes."""
        clients, shots = self.options.clients, self.options.shots
        train, val = dataset.parts["train"], dataset.parts["val"]
        if self.options.partition == "balanced":
            blocks = balanced_blocks(len(base), clients=clients, seed=seed)
            few = relabelled(balanced_shots(train, shots=shots, seed=seed, purpose="shots"), base)
            lists = [[item for item in few if item.label in block] for block in blocks]
            val_few = balanced_shots(val, shots=min(shots, VAL_SHOTS), seed=seed, purpose="val-shots")
            return blocks, lists, relabelled(val_few, base)
        few_shot, val_few = published_shots(train, val, shots=shots, seed=seed)
        few = relabelled(train if dataset.fixed_shots else few_shot, base)
        rng = random.Random(BLOCKS_SEED)
        blocks = published_blocks(len(base), clients=clients, rng=rng)
        # the published code draws once more here, all of what there is: the same images in another order; its
        # OxfordPets has drawn none before
        lists = [sample((i for i in few if i.label in block), shots=shots, rng=rng) for block in blocks]
        return blocks, lists, relabelled(val_few, base)


def _halves(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Labels of base and novel classes: the halves of those with training images, the first rounded up."""
    labels = sorted({item.label for item in dataset.parts["train"]})
    if len(labels) < 2:
        raise FedbenchError(
            f"base-to-novel needs at least 2 classes with training images; {dataset.name} has {len(labels)}"
        )
    cut = (len(labels) + 1) // 2
    return labels[:cut], labels[cut:]


def _check_tested(
    dataset: Dataset, *, base_pool: Pool, novel_pool: Pool, blocks: Sequence[Sequence[int]]
) -> None:
    """Refuse what would make an accuracy undefined: a client, or the novel half, without a test image."""
    if not novel_pool.items:
        count = len(novel_pool.classnames)
        raise FedbenchError(f"base-to-novel: {dataset.name} has no test image of its {count} novel classes")
    check_tested(BaseToNovel.name, base_pool, blocks)
