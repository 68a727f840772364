"""Domain and label skew together: the clients of a domain share its images out by a Dirichlet distribution."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from fedbench.data.dataset import Dataset, Item
from fedbench.registry import SPLITS
from fedbench.seeds import stream
from fedbench.splits.domains import DomainSplit
from fedbench.splits.pools import add_val, joined
from fedbench.splits.skew import DEALT, LabelDir
from fedbench.task import Client, Metric, Split, Task

USERS = 8
"""pFedMMA's number of clients on Office-Caltech10, whose loader makes twelve."""


@SPLITS.register("domain-label-skew")
class DomainLabelSkew(DomainSplit):
    """Feature and label shift of pFedMMA and FedOTP: a few clients for each domain, each with its own classes.

    `labeldir` of the protocol `dirichlet`, domain by domain. Clients are called `amazon 0`, `amazon 1`, ...;
    all clients of a domain come before those of the next. See docs/protocols.md.
    """

    class Options(Split.Options):
        """The papers have 3 clients a domain on Office-Caltech10 and 5 on DomainNet."""

        clients_per_domain: int = Field(default=3, ge=1, description="they share its images out")
        beta: float = Field(default=0.3, gt=0, description="concentration; small is skewed")
        min_size: int = Field(
            default=2, ge=1, description="fewest training and fewest test images of a client"
        )
        max_tries: int = Field(default=10_000, ge=1, description="draws before a domain gives up")

    quirks = {
        **DomainSplit.quirks,
        "reseeded-classes": "the generator is set to 0 before each class: all seeds have the same partition, and "
        "classes of one size are shared out alike",
        "eight-users": "only the first eight clients are kept: on Office-Caltech10 three of amazon, three of caltech, "
        "two of dslr, and webcam is never used",
        "tests-on-training": "the second domain's test images are its training images (FedTV's caltech)",
        "mismatched-labels": "a client's labels belong to its own images, but its images are the first of the "
        "domain's list: nearly the same for all its clients, in training and in tests",
    }
    options: "DomainLabelSkew.Options"
    columns: ClassVar[tuple[str, ...]] = ("local",)

    def make(self, dataset: Dataset, *, seed: int) -> Task:
        """The task for one seed.

        Raises:
            FedbenchError: fewer than two domains; no draw gives every client of a domain `min_size` images.
        """
        classnames = self.classnames(dataset, seed=seed)
        names, dealt = self._clients(dataset, seed=seed)
        pool, rows = joined(classnames, dealt["test"])
        pools, metrics = {"test": pool}, {"local": Metric("test", rows)}
        notes = self.order_notes()
        add_val(*joined(classnames, dealt["val"]), pools=pools, metrics=metrics, notes=notes)
        return Task(
            protocol=self.name,
            dataset=dataset,
            classnames=classnames,
            clients=tuple(
                Client(name, tuple(train)) for name, train in zip(names, dealt["train"], strict=True)
            ),
            pools=pools,
            metrics=metrics,
            columns=self.columns,
            notes=tuple(notes),
        )

    def _clients(self, dataset: Dataset, *, seed: int) -> tuple[list[str], dict[str, list[list[Item]]]]:
        """All clients' names, and their images by part."""
        names: list[str] = []
        dealt: dict[str, list[list[Item]]] = {part: [] for part in DEALT}
        for place, domain in enumerate(self.domains(dataset)):
            names += [f"{domain} {k}" for k in range(self.options.clients_per_domain)]
            parts = dict(dataset.domain_parts(domain))
            if place == 1 and self.quirk("tests-on-training"):
                parts["test"] = parts["train"]
            for part, lists in self._deal(parts, domain, of=dataset.name, seed=seed).items():
                dealt[part] += lists
        kept = USERS if self.quirk("eight-users") else len(names)
        return names[:kept], {part: lists[:kept] for part, lists in dealt.items()}

    def _deal(
        self, parts: Mapping[str, tuple[Item, ...]], domain: str, *, of: str, seed: int
    ) -> Mapping[str, list[list[Item]]]:
        """The images of each client of a domain, by part."""
        options = self.options
        rule = LabelDir(options.beta, options.clients_per_domain, options.min_size, options.max_tries)
        if self.quirk("reseeded-classes"):
            rule = replace(rule, reset=0, max_tries=1)  # the papers' code would draw the same for ever
        dealt = rule.deal(
            [np.array([item.label for item in parts[part]], dtype=int) for part in DEALT],
            draws=lambda attempt: stream(seed, "label-skew", domain=domain, attempt=attempt),
            what=f"{self.name} on domain {domain} of {of}",
        )
        return {
            part: [self._items(parts[part], own) for own in lists]
            for part, lists in zip(DEALT, dealt, strict=True)
        }

    def _items(self, items: tuple[Item, ...], own: np.ndarray) -> list[Item]:
        if not self.quirk("mismatched-labels"):
            return [items[i] for i in own]
        return [Item(items[k].key, items[i].label, items[k].domain) for k, i in enumerate(own)]
