"""Evaluation of personalised models on a task's pools."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fedbench.engine.federation import Federation
from fedbench.engine.views import TEST_VIEW, ViewCache
from fedbench.method import Method
from fedbench.task import Metric, Pool, Task

LOGITS_AT_ONCE = 2**26
"""Scores in one pass: bounds memory, changes no number."""

TOWER_IMAGES_AT_ONCE = 128
"""Images of all clients in one pass of methods that work inside the image tower."""

HELD_BYTES = 2**31
"""Test images held on the device; larger pools go there piece by piece."""


class Evaluator:
    """Holds the test features on the device; computes the task's metrics for a federation."""

    def __init__(self, task: Task, cache: ViewCache, *, device: torch.device | str):
        self.task = task
        self.images = {name: cache.rows(pool.items, TEST_VIEW) for name, pool in task.pools.items()}
        if sum(x.nbytes for x in self.images.values()) <= HELD_BYTES:
            self.images = {name: x.to(device) for name, x in self.images.items()}
        self.labels = {name: torch.tensor([i.label for i in pool.items]).to(device) for name, pool in task.pools.items()}

    @torch.no_grad()
    def __call__(self, federation: Federation) -> dict[str, np.ndarray]:
        """Accuracy in percent of each client's model, by metric. (clients,)"""
        correct = {name: self._correct(federation, name, pool) for name, pool in self.task.pools.items()}
        return {name: _accuracies(metric, correct[metric.pool]) for name, metric in self.task.metrics.items()}

    def _correct(self, federation: Federation, name: str, pool: Pool) -> np.ndarray:
        """Which images each client's model gets right. (clients, images) bool"""
        clients = len(federation.counts)
        # without personal tensors all clients hold the same model
        different = range(clients) if federation.personal else range(1)
        images, labels = self.images[name], self.labels[name]
        parts = [
            torch.cat(
                [
                    self._right(federation, group, x.to(labels.device), y, pool)
                    for x, y in _pieces(images, labels, federation.method, pool, clients=len(group))
                ],
                dim=1,
            )
            for group in federation.chunks(list(different))
        ]
        return np.broadcast_to(torch.cat(parts).cpu().numpy(), (clients, len(labels)))

    def _right(self, federation: Federation, group: list[int], images: Tensor, labels: Tensor, pool: Pool) -> Tensor:
        shown = images.expand(len(group), *images.shape)
        logits = federation.method.logits(federation.model(group), shown, pool.classnames)
        return logits.argmax(-1) == labels  # ties go to the first class


def _pieces(
    images: Tensor, labels: Tensor, method: Method, pool: Pool, *, clients: int
) -> list[tuple[Tensor, Tensor]]:
    size = max(1, LOGITS_AT_ONCE // (clients * len(pool.classnames)))
    if method.image_input != "embedding":
        size = min(size, max(1, TOWER_IMAGES_AT_ONCE // clients))
    return list(zip(images.split(size), labels.split(size), strict=True))


def _accuracies(metric: Metric, correct: np.ndarray) -> np.ndarray:
    if metric.rows is None:
        return 100 * correct.mean(axis=1)
    return np.array([100 * correct[k, list(rows)].mean() for k, rows in enumerate(metric.rows)])


def summary(accuracies: Mapping[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """Means over clients, and the clients' own, as the store keeps them."""
    return {name: {"mean": float(x.mean()), "clients": [float(v) for v in x]} for name, x in accuracies.items()}
