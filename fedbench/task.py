"""Tasks: what a split makes of a dataset, and what a federation trains and is tested on."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedbench.config import Frozen
from fedbench.data.dataset import Dataset, Item
from fedbench.quirks import Quirky


@dataclass(frozen=True)
class Pool:
    """A test set with its label space. Labels of `items` index `classnames`."""

    classnames: tuple[str, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Metric:
    """An accuracy in percent: the unweighted mean over clients of the client's accuracy on its rows of a pool.

    `rows[k]` are the rows of `pool` that count for client k; `None` means all rows, for every client.
    """

    pool: str
    rows: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True)
class Client:
    """One client. Labels of `train` index the task's `classnames`."""

    name: str
    train: tuple[Item, ...]


@dataclass(frozen=True)
class Task:
    """What a split makes of a dataset for one seed: a pure function of its arguments.

    Attributes:
        protocol: name of the split.
        dataset: where the images are.
        classnames: the label space of training (all base classes, though a client owns only a few).
        clients: training data, disjoint.
        pools: test sets by name.
        metrics: accuracies by name, in the order of the table's columns; `val` metrics serve selection only.
        columns: the metrics that the table shows.
        summary: "hm" if the table ends with the harmonic mean of the columns, else "".
        notes: what a reader of numbers must know: what the data set says of itself, and what the split did to it.
    """

    protocol: str
    dataset: Dataset
    classnames: tuple[str, ...]
    clients: tuple[Client, ...]
    pools: Mapping[str, Pool]
    metrics: Mapping[str, Metric]
    columns: tuple[str, ...]
    summary: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A split need not hand on what the data set says of itself."""
        notes = dict.fromkeys((*self.dataset.notes(), *self.notes))
        object.__setattr__(self, "notes", tuple(notes))

    def description(self) -> dict[str, object]:
        """Everything that decides a number, as JSON: the classes and images of every client and pool."""

        def rows(items: tuple[Item, ...]) -> list[list[object]]:
            return [[i.key, i.label] for i in items]

        return {
            "protocol": self.protocol,
            "dataset": self.dataset.name,
            "source": self.dataset.source,
            "classnames": list(self.classnames),
            "clients": {c.name: rows(c.train) for c in self.clients},
            "pools": {
                n: {"classnames": list(p.classnames), "items": rows(p.items)} for n, p in self.pools.items()
            },
            "metrics": {n: [m.pool, m.rows] for n, m in self.metrics.items()},
        }

    @cached_property
    def hash(self) -> str:
        """sha256 of `description()`, 16 hex digits: two cells with one hash saw the same split."""
        return hashlib.sha256(json.dumps(self.description(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def counts(self) -> np.ndarray:
        """Number of training images per client. (clients,)"""
        return np.array([len(c.train) for c in self.clients])


class Split(Quirky, ABC):
    """A protocol: turns a dataset into a task. One file each in `fedbench/splits/`, found through the registry."""

    class Options(Frozen):
        """The protocol's parameters; unknown keys are refused."""

    def __init__(self, options: "Split.Options", quirks: Collection[str] = ()):
        """
        Args:
            quirks: names of released behaviours to switch on.

        Raises:
            FedbenchError: unknown quirk.
        """
        self.options = options
        self._switch_on(quirks)

    @abstractmethod
    def make(self, dataset: Dataset, *, seed: int) -> Task:
        """The task for one seed; draws only from named streams.

        Raises:
            FedbenchError: the combination is impossible; the message gives the numbers that would work.
        """
