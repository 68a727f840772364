"""Base-to-novel: clients train on disjoint blocks of base classes, tests are on base and novel classes."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.splits.blocks import Partition, balanced_blocks, check_possible, published_blocks
from fedbench.splits.shots import VAL_SHOTS, balanced_shots, by_label, published_shots, sample
from fedbench.task import Client, Dataset, Item, Metric, Pool, Split, Task

PUBLISHED_SEED = 2023
"""Hard-coded in the papers' code: the published class blocks are the same for every run seed."""


@SPLITS.register("base-to-novel")
class BaseToNovel(Split):
    """The protocol of CoCoOp, made federated as in FedPGP, pFedMMA and FedTV.

    The first half of the classes (rounded up) is base, the rest novel. A client owns a block of the base
    classes and trains on a few images of each; no class has two owners. See docs/protocols.md.
    """

    class Options(Split.Options):
        """`published`: the papers' few-shot lists and class blocks; `balanced`: even ones, drawn per seed."""

        clients: int = Field(default=10, ge=1)
        shots: int = Field(default=16, ge=1, description="training images per class")
        partition: Partition = "published"

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
            "base": _pool(dataset, base, dataset.parts["test"]),
            "novel": _pool(dataset, novel, dataset.parts["test"]),
            "val": Pool(_names(dataset, base), tuple(val)),
        }
        _check_tested(dataset, base_pool=pools["base"], novel_pool=pools["novel"], blocks=blocks)
        metrics = {
            "local": _own_rows("base", pools["base"], blocks),
            "base": Metric("base"),
            "novel": Metric("novel"),
        }
        notes = self._notes(dataset, [*base, *novel])
        if problem := _without_val(pools["val"], blocks):
            notes.append(problem)
            del pools["val"]
        else:
            metrics["val"] = _own_rows("val", pools["val"], blocks)
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
            few = _relabelled(balanced_shots(train, shots=shots, seed=seed, purpose="shots"), base)
            lists = [[item for item in few if item.label in block] for block in blocks]
            val_few = balanced_shots(val, shots=min(shots, VAL_SHOTS), seed=seed, purpose="val-shots")
            return blocks, lists, _relabelled(val_few, base)
        few_shot, val_few = published_shots(train, val, shots=shots, seed=seed)
        few = _relabelled(few_shot, base)
        rng = random.Random(PUBLISHED_SEED)
        blocks = published_blocks(len(base), clients=clients, rng=rng)
        # the published code draws once more here, all of what there is: the same images in another order
        lists = [sample((i for i in few if i.label in block), shots=shots, rng=rng) for block in blocks]
        return blocks, lists, _relabelled(val_few, base)

    def _notes(self, dataset: Dataset, used: Sequence[int]) -> list[str]:
        """What a reader of the numbers must know; `used` are the labels of both halves."""
        notes = dataset.notes()
        counts = Counter(item.label for item in dataset.parts["train"])
        tested = {item.label for item in dataset.parts["test"]}
        unused = [label for label in range(len(dataset.classnames)) if label not in counts]
        if unused:
            notes.append(f"{_listed(dataset, unused)} without a training image, left out of both halves")
        untested = [label for label in used if label not in tested]
        if untested:
            notes.append(f"{_listed(dataset, untested)} without a test image, kept in the label space")
        few = [label for label in used if counts[label] < self.options.shots]
        if few:
            lowest = min(few, key=lambda label: counts[label])
            notes.append(
                f"{len(few)} of {len(used)} classes have fewer than {self.options.shots} training images and "
                f"give all they have (fewest: {counts[lowest]}, {dataset.classnames[lowest]})"
            )
        return notes


def _halves(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Labels of base and novel classes: the halves of those with training images, the first rounded up."""
    labels = sorted({item.label for item in dataset.parts["train"]})
    if len(labels) < 2:
        raise FedbenchError(
            f"base-to-novel needs at least 2 classes with training images; {dataset.name} has {len(labels)}"
        )
    cut = (len(labels) + 1) // 2
    return labels[:cut], labels[cut:]


def _relabelled(items: Iterable[Item], labels: Sequence[int]) -> list[Item]:
    """The items of `labels`, labelled by their position there."""
    new: Mapping[int, int] = {label: position for position, label in enumerate(labels)}
    return [Item(i.key, new[i.label], i.domain) for i in items if i.label in new]


def _names(dataset: Dataset, labels: Sequence[int]) -> tuple[str, ...]:
    return tuple(dataset.classnames[label] for label in labels)


def _pool(dataset: Dataset, labels: Sequence[int], items: Iterable[Item]) -> Pool:
    return Pool(_names(dataset, labels), tuple(_relabelled(items, labels)))


def _own_rows(name: str, pool: Pool, blocks: Sequence[Sequence[int]]) -> Metric:
    """Each client on the rows of its own classes, among all classes of the pool."""
    rows = (tuple(row for row, item in enumerate(pool.items) if item.label in block) for block in blocks)
    return Metric(name, tuple(rows))


def _check_tested(
    dataset: Dataset, *, base_pool: Pool, novel_pool: Pool, blocks: Sequence[Sequence[int]]
) -> None:
    """Refuse what would make an accuracy undefined: a client, or the novel half, without a test image."""
    if not novel_pool.items:
        count = len(novel_pool.classnames)
        raise FedbenchError(f"base-to-novel: {dataset.name} has no test image of its {count} novel classes")
    tested = {item.label for item in base_pool.items}
    for client, block in enumerate(blocks):
        if not tested.intersection(block):
            own = ", ".join(base_pool.classnames[label] for label in block)
            raise FedbenchError(
                f"base-to-novel: client {client} of {len(blocks)} has no test image of its classes ({own}), "
                "so its Local accuracy is undefined; complete the images or use fewer clients"
            )


def _without_val(val: Pool, blocks: Sequence[Sequence[int]]) -> str:
    """Why there is no `val` metric; empty if there is one."""
    if not val.items:
        return "no validation images, so no val metric and no best-val selection"
    there = set(by_label(val.items))
    lacking = [str(client) for client, block in enumerate(blocks) if not there.intersection(block)]
    if not lacking:
        return ""
    clients = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
    return f"no validation image for client {clients}, so no val metric and no best-val selection"


def _listed(dataset: Dataset, labels: Sequence[int]) -> str:
    """`2 classes (bonsai, umbrella)`, at most five named."""
    named = ", ".join(_names(dataset, labels[:5])) + (", ..." if len(labels) > 5 else "")
    return f"{len(labels)} class{'' if len(labels) == 1 else 'es'} ({named})"
