"""Evaluation of personalised models on a task's pools."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedbench.engine.contract import check_logits
from fedbench.engine.features import TEST_VIEW, ViewCache
from fedbench.engine.federation import Federation
from fedbench.task import Metric, Pool, Task

LOGITS_AT_ONCE = 2**26
"""Scores in one pass: bounds memory."""

TOWER_CLIENTS, TOWER_IMAGES = 4, 32
"""Clients and images of each in one pass of methods that work inside the image tower. Fixed, so that no number
depends on how many clients train at once."""

OUTSIDE_THE_TOWER = ("embedding", "tokens")
"""Image inputs behind the image tower: a pool is scored as a whole. With the others each image costs a pass."""

HELD_BYTES = 2**31
"""Test images held on the device; larger pools go there piece by piece."""


class Evaluator:
    """Holds the test features on the device; computes the task's metrics for a federation."""

    def __init__(self, task: Task, cache: ViewCache, *, device: torch.device | str):
        self.task = task
        self.images = {name: cache.rows(pool.items, TEST_VIEW) for name, pool in task.pools.items()}
        if sum(x.nbytes for x in self.images.values()) <= HELD_BYTES:
            self.images = {name: x.to(device) for name, x in self.images.items()}
        self.labels = {
            name: torch.tensor([i.label for i in pool.items]).to(device) for name, pool in task.pools.items()
        }

    @torch.no_grad()
    def __call__(self, federation: Federation) -> dict[str, np.ndarray]:
        """Accuracy in percent of each client's model, by metric; nan for dropped clients. (clients,)"""
        found = self._accuracies(federation, ())
        for name, zeros in federation.method.ablations.items():
            found |= {f"{metric}/{name}": x for metric, x in self._accuracies(federation, zeros).items()}
        return found

    def _accuracies(self, federation: Federation, zeros: Sequence[str]) -> dict[str, np.ndarray]:
        """By metric, with the tensors called `zeros` at zero."""
        correct = {
            name: self._correct(federation, name, pool, zeros) for name, pool in self.task.pools.items()
        }
        return {
            name: _accuracies(metric, correct[metric.pool], federation.clients)
            for name, metric in self.task.metrics.items()
        }

    def _correct(self, federation: Federation, name: str, pool: Pool, zeros: Sequence[str]) -> np.ndarray:
        """Which images each client's model gets right; False where no metric asks. (clients, images) bool"""
        everyone = len(federation.counts)
        # a model that all clients hold, as at the start, is tested once
        personal = (x for tensor, x in federation.personal.items() if tensor not in zeros)
        models = list(range(1 if all(bool((x == x[:1]).all()) for x in personal) else everyone))
        if federation.method.image_input not in OUTSIDE_THE_TOWER:
            return self._through_the_tower(federation, name, pool, models, zeros)
        images, labels, at_once = self.images[name], self.labels[name], federation.chunks(models)
        size = max(
            1, LOGITS_AT_ONCE // (everyone * len(pool.classnames) * images[0].numel() // images.shape[-1])
        )
        correct = [
            self._right(federation, group, images, labels, pool, zeros, size=size) for group in at_once
        ]
        return np.broadcast_to(torch.cat(correct).cpu().numpy(), (everyone, len(labels)))

    def _through_the_tower(
        self, federation: Federation, name: str, pool: Pool, models: list[int], zeros: Sequence[str]
    ) -> np.ndarray:
        """The same for methods inside the image tower: only rows that some metric counts for the client."""
        everyone, images, labels = len(federation.counts), self.images[name], self.labels[name]
        asked = [metric.rows for metric in self.task.metrics.values() if metric.pool == name]
        if len(models) == 1 or any(rows is None for rows in asked):
            groups = [models[k : k + TOWER_CLIENTS] for k in range(0, len(models), TOWER_CLIENTS)]
            parts = [
                self._right(federation, group, images, labels, pool, zeros, size=TOWER_IMAGES)
                for group in groups
            ]
            return np.broadcast_to(torch.cat(parts).cpu().numpy(), (everyone, len(labels)))
        correct = np.zeros((everyone, len(labels)), dtype=bool)
        for k in models:
            rows = sorted({row for each in asked if each is not None for row in each[k]})
            if rows:
                right = self._right(
                    federation, [k], images[rows], labels[rows], pool, zeros, size=TOWER_IMAGES
                )
                correct[k, rows] = right[0].cpu().numpy()
        return correct

    def _right(
        self,
        federation: Federation,
        group: list[int],
        images: Tensor,
        labels: Tensor,
        pool: Pool,
        zeros: Sequence[str],
        *,
        size: int,
    ) -> Tensor:
        """(clients of the group, images) bool, `size` images at a time"""
        model, parts = federation.model(group), []
        model |= {name: torch.zeros_like(model[name]) for name in zeros}
        for x, y in zip(images.split(size), labels.split(size), strict=True):
            shown = x.to(labels.device).expand(len(group), *x.shape)
            logits = federation.method.logits(model, shown, pool.classnames)
            check_logits(federation.method, logits, shape=(len(group), len(x), len(pool.classnames)))
            parts.append(logits.argmax(-1) == y)  # ties go to the first class
        return torch.cat(parts, dim=1)


def _accuracies(metric: Metric, correct: np.ndarray, tested: list[int]) -> np.ndarray:
    found = np.full(len(correct), np.nan)
    for k in tested:
        found[k] = 100 * (correct[k] if metric.rows is None else correct[k, list(metric.rows[k])]).mean()
    return found


def summary(accuracies: Mapping[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """Means over clients, and the clients' own, as the store keeps them."""
    return {
        name: {
            "mean": float(x[~np.isnan(x)].mean()),
            "clients": [None if np.isnan(v) else float(v) for v in x],
        }
        for name, x in accuracies.items()
    }
