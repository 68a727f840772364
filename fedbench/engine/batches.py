"""Batches of cached image features for local training."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fedbench.config import RunConfig
from fedbench.data.dataset import Item
from fedbench.engine.features import FeatureCache
from fedbench.engine.local import Step
from fedbench.engine.transforms import TEST_VIEW
from fedbench.seeds import stream
from fedbench.task import Task

HELD_BYTES = 2**30
"""Features of an epoch that are held on the device; if there are more, each batch fetches its own."""


class FeatureBatches:
    """Local batches of a task. Epoch e of a run reads view e of every image (modulo the number of views)."""

    def __init__(
        self, task: Task, cache: FeatureCache, config: RunConfig, *, epochs: int, device: torch.device | str
    ):
        """`epochs` is the number of local epochs of a round, over all phases of the method."""
        self.task, self.cache, self.config, self.device = task, cache, config, device
        self.epochs = epochs
        epochs = config.rounds * epochs
        plain = config.views == 0 or task.dataset.preparation is not None  # which augments nothing
        self.views = [TEST_VIEW] if plain else list(range(min(epochs, config.views or epochs)))

    def prepare(self) -> None:
        """Compute the features of all views of all training images that are not in the cache."""
        self.cache.ensure([item for client in self.task.clients for item in client.train], self.views)

    def steps(self, round_: int, clients: Sequence[int]) -> Iterator[Step]:
        """All local steps of these clients in this round. Features and the plan go to the device once an epoch."""
        items = [item for c in clients for item in self.task.clients[c].train]
        counts = [len(self.task.clients[c].train) for c in clients]
        labels = torch.tensor([item.label for item in items]).to(self.device)
        for epoch in range(self.epochs):
            number = round_ * self.epochs + epoch
            view = self.views[number % len(self.views)]
            features = self._held(items, view)
            plan = self._plan(clients, counts, number)
            rows, valid, active = (x.to(self.device) for x in plan)
            for s in range(rows.shape[0]):
                flat = rows[s].flatten()
                if features is not None:
                    images = features.index_select(0, flat)
                else:
                    chosen = [items[place] for place in plan[0][s].flatten().tolist()]
                    images = self.cache.rows(chosen, view).to(self.device)
                images = images.unflatten(0, rows[s].shape)  # (clients, batch, ...)
                yield Step(images, labels[flat].view_as(rows[s]), valid[s], active[s], epoch)

    def _held(self, items: Sequence[Item], view: int) -> Tensor | None:
        """The features of all items on the device; None if they are too many."""
        self.cache.ensure(items, [view])
        if self.cache.rows(items[:1], view).nbytes * len(items) > HELD_BYTES:
            return None
        return self.cache.rows(items, view).to(self.device)

    def _plan(
        self, clients: Sequence[int], counts: Sequence[int], epoch: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, validity and activity of one epoch's batches: (steps, clients, batch) twice, (steps, clients)."""
        size = self.config.batch_size
        offsets = np.concatenate([[0], np.cumsum(counts)])
        orders = [
            stream(self.config.seed, "batches", client=c, epoch=epoch).permutation(n)
            for c, n in zip(clients, counts, strict=True)
        ]
        # the last batch is dropped unless it is the only one, as in the papers' loaders
        batches = [max(n // size, 1) for n in counts]
        rows = np.zeros((max(batches), len(clients), size), dtype=np.int64)
        valid = np.zeros(rows.shape, dtype=bool)
        for k, order in enumerate(orders):
            for s in range(max(batches)):
                # a client without a batch left repeats its first one, which is masked by `active`
                chosen = order[s * size : (s + 1) * size] if s < batches[k] else order[:size]
                rows[s, k, : len(chosen)] = offsets[k] + chosen
                rows[s, k, len(chosen) :] = offsets[k]
                valid[s, k, : len(chosen)] = True
        active = np.arange(max(batches))[:, None] < np.array(batches)[None]
        return torch.from_numpy(rows), torch.from_numpy(valid), torch.from_numpy(active)
