"""Dirichlet label skew: many clients, each with its own mixture of all classes, tested on the same mixture."""

import random
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError
from fedbench.registry import SPLITS
from fedbench.seeds import stream
from fedbench.splits.pools import add_val, joined
from fedbench.splits.skew import DEALT, Generator, LabelDir, pachinko
from fedbench.task import Client, Metric, Split, Task

LABELDIR100_SEED = 12345
"""Hard-coded in the papers' `labeldir100`: its clients are the same for every run seed, but for their order."""


@SPLITS.register("dirichlet")
class Dirichlet(Split):
    """Label skew on all images, as FedPGP, FedOTP and pFedMMA have it on CIFAR.

    `labeldir` cuts each class over the clients, test images in the same proportions; `labeldir100` gives all
    clients equally many images, drawn by superclass and class (Pachinko allocation). See docs/protocols.md.
    """

    class Options(Split.Options):
        """`published` draws as the papers' code does for that run seed; `independent` from its own streams."""

        scheme: Literal["labeldir", "labeldir100"] = Field(
            default="labeldir", description="labeldir100 needs superclasses"
        )
        beta: float = Field(default=0.3, gt=0, description="concentration; small is skewed")
        clients: int = Field(
            default=100, ge=1, examples=[5], description="all images are shared out among them"
        )
        min_size: int = Field(
            default=10, ge=1, description="fewest training and fewest test images of a client"
        )
        max_tries: int = Field(default=10_000, ge=1, description="draws before labeldir gives up")
        compat: Literal["independent", "published"] = Field(
            default="independent", description="whose random draws"
        )

    options: "Dirichlet.Options"
    columns: ClassVar[tuple[str, ...]] = ("local",)

    def make(self, dataset: Dataset, *, seed: int) -> Task:
        """The task for one seed.

        Raises:
            FedbenchError: no draw gives every client `min_size` images; `labeldir100` without superclasses.
        """
        if self.options.scheme == "labeldir":
            dealt = self._labeldir(dataset, seed=seed)
        else:
            dealt = self._labeldir100(dataset, seed=seed)
        clients = range(self.options.clients)
        pool, rows = joined(dataset.classnames, dealt["test"])
        pools, metrics = {"test": pool}, {"local": Metric("test", rows)}
        notes = []
        there = len(dataset.parts["train"]) + len(dataset.parts["test"])
        if left := there - _count(dealt["train"], dealt["test"]):
            notes.append(f"{left} images are left over: clients get equally many")
        add_val(*joined(dataset.classnames, dealt["val"]), pools=pools, metrics=metrics, notes=notes)
        return Task(
            protocol=self.name,
            dataset=dataset,
            classnames=tuple(dataset.classnames),
            clients=tuple(Client(f"client {k}", tuple(dealt["train"][k])) for k in clients),
            pools=pools,
            metrics=metrics,
            columns=self.columns,
            notes=tuple(notes),
        )

    def _labeldir(self, dataset: Dataset, *, seed: int) -> dict[str, list[list[Item]]]:
        options = self.options
        legacy = np.random.RandomState(seed) if options.compat == "published" else None

        def draws(attempt: int) -> Generator:
            return legacy or stream(seed, "dirichlet", attempt=attempt)  # the papers' stream goes on

        rule = LabelDir(options.beta, options.clients, options.min_size, options.max_tries)
        items = [dataset.parts[part] for part in DEALT]
        dealt = rule.deal([_labels(part) for part in items], draws=draws, what=f"dirichlet on {dataset.name}")
        return {
            name: [[part[i] for i in own] for own in lists]
            for name, part, lists in zip(DEALT, items, dealt, strict=True)
        }

    def _labeldir100(self, dataset: Dataset, *, seed: int) -> dict[str, list[list[Item]]]:
        """Training and test images are dealt together; then each goes back to its part."""
        options = self.options
        if not dataset.superclasses:
            raise FedbenchError(
                f"dirichlet: scheme=labeldir100 needs superclasses, as CIFAR-100 has them; {dataset.name} has none: "
                "use scheme=labeldir"
            )
        train, test = dataset.parts["train"], dataset.parts["test"]
        both = [*train, *test]
        rng, order, pick = self._pachinko_draws(len(both), seed=seed)
        dealt = pachinko(
            _labels(both),
            dataset.superclasses,
            clients=options.clients,
            beta=options.beta,
            rng=rng,
            order=order,
            pick=pick,
        )
        if options.compat == "published":
            random.Random(seed).shuffle(dealt)
        lists: dict[str, list[list[Item]]] = {
            "train": [[both[i] for i in own if i < len(train)] for own in dealt],
            "test": [[both[i] for i in own if i >= len(train)] for own in dealt],
            "val": [[] for _ in dealt],
        }
        smallest = min(len(own) for part in ("train", "test") for own in lists[part])
        if smallest < options.min_size:
            raise FedbenchError(
                f"dirichlet on {dataset.name}: scheme=labeldir100 with beta={options.beta:g} over "
                f"clients={options.clients} gives a client {smallest} training or test images, fewer than "
                f"min_size={options.min_size}; use fewer clients"
                + (f" or min_size={smallest}" if smallest else "")
            )
        return lists

    def _pachinko_draws(self, images: int, *, seed: int) -> tuple[Generator, list[int], Callable[[int], int]]:
        """The generator of weights, the order of all images, and what picks one of n."""
        if self.options.compat == "published":
            private = random.Random(LABELDIR100_SEED)
            return (
                np.random.RandomState(LABELDIR100_SEED),
                private.sample(range(images), images),
                private.randrange,
            )
        rng = stream(seed, "pachinko")
        return rng, rng.permutation(images).tolist(), lambda n: int(rng.integers(n))


def _count(*parts: list[list[Item]]) -> int:
    return sum(len(own) for part in parts for own in part)


def _labels(items: Sequence[Item]) -> np.ndarray:
    return np.array([item.label for item in items], dtype=int)
