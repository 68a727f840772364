"""Evaluation of personalised models on a task's pools."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedbench.engine.contract import check_logits
from fedbench.engine.features import FeatureCache
from fedbench.engine.federation import Federation
from fedbench.engine.transforms import TEST_VIEW
from fedbench.task import Metric, Pool, Task

LOGITS_AT_ONCE = 2**26
"""Scores in one pass: bounds memory."""

TOWER_CLIENTS, TOWER_IMAGES = 4, 32
"""Clients and images of each in one pass of methods that work inside the image tower. Fixed, so that no number
depends on how many clients train at once."""

OUTSIDE_THE_TOWER = ("embedding", "tokens")
"""Image inputs behind the image tower: a pool is scored as a whole. With the others each image costs a pass."""

HELD_BYTES = 2**31
"""Test images of a task that are held on the device; if there are more, all go there piece by piece."""

PIECE_BYTES = 2**28
"""Test images in such a piece."""


class Evaluator:
    """Computes the task's metrics for a federation. Holds few test images on the device, and walks many in pieces."""

    def __init__(self, task: Task, cache: FeatureCache, *, device: torch.device | str):
        self.task, self.cache, self.device = task, cache, device
        self.labels = {
            name: torch.tensor([i.label for i in pool.items]).to(device) for name, pool in task.pools.items()
        }
        for pool in task.pools.values():
            cache.ensure(pool.items, [TEST_VIEW])
        self.one = {name: cache.rows(pool.items[:1], TEST_VIEW)[0] for name, pool in task.pools.items()}
        size = sum(x.nbytes * len(self.labels[name]) for name, x in self.one.items())
        self.held = {
            name: cache.rows(pool.items, TEST_VIEW).to(device)
            for name, pool in task.pools.items()
            if size <= HELD_BYTES
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
            return self._through_the_tower(federation, name, models, zeros)
        tokens = self.one[name].numel() // self.one[name].shape[-1]
        size = max(1, LOGITS_AT_ONCE // (everyone * len(pool.classnames) * tokens))
        return self._all(federation, name, federation.chunks(models), zeros, size=size)

    def _all(
        self, federation: Federation, name: str, groups: list[list[int]], zeros: Sequence[str], *, size: int
    ) -> np.ndarray:
        """The same for all images of a pool: each piece of it is shown to all models, group by group."""
        correct = [
            torch.cat([self._right(federation, group, name, *piece, zeros, size=size) for group in groups])
            for piece in self._pieces(name, size=size)
        ]
        everyone = len(federation.counts), len(self.labels[name])
        return np.broadcast_to(torch.cat(correct, dim=1).cpu().numpy(), everyone)

    def _pieces(
        self, name: str, rows: Sequence[int] | None = None, *, size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of a pool (of some rows), on the device, in as many pieces as memory asks for.

        A piece holds a multiple of `size` images, so that passes of `size` images are the same ones in any case.
        """
        items = self.task.pools[name].items
        labels = self.labels[name]
        if rows is not None:
            items, labels = tuple(items[row] for row in rows), labels[list(rows)]
        if name in self.held:
            yield self.held[name] if rows is None else self.held[name][list(rows)], labels
            return
        most = max(PIECE_BYTES // self.one[name].nbytes, 1)
        at_once = most - most % size if most >= size else most
        pieces = self.cache.pieces(items, TEST_VIEW, size=at_once)
        for images, own in zip(pieces, labels.split(at_once), strict=True):
            yield images.to(self.device), own

    def _through_the_tower(
        self, federation: Federation, name: str, models: list[int], zeros: Sequence[str]
    ) -> np.ndarray:
        """The same for methods inside the image tower: only rows that some metric counts for the client."""
        asked = [metric.rows for metric in self.task.metrics.values() if metric.pool == name]
        if len(models) == 1 or any(rows is None for rows in asked):
            groups = [models[k : k + TOWER_CLIENTS] for k in range(0, len(models), TOWER_CLIENTS)]
            return self._all(federation, name, groups, zeros, size=TOWER_IMAGES)
        correct = np.zeros((len(federation.counts), len(self.labels[name])), dtype=bool)
        for k in models:
            rows = sorted({row for each in asked if each is not None for row in each[k]})
            if rows:
                pieces = self._pieces(name, rows, size=TOWER_IMAGES)
                right = [self._right(federation, [k], name, *p, zeros, size=TOWER_IMAGES)[0] for p in pieces]
                correct[k, rows] = torch.cat(right).cpu().numpy()
        return correct

    def _right(
        self,
        federation: Federation,
        group: list[int],
        name: str,
        images: Tensor,
        labels: Tensor,
        zeros: Sequence[str],
        *,
        size: int,
    ) -> Tensor:
        """Which of these images of a pool the group's models get right. (clients of the group, images) bool"""
        model, parts, classnames = federation.model(group), [], self.task.pools[name].classnames
        model |= {tensor: torch.zeros_like(model[tensor]) for tensor in zeros}
        for x, y in zip(images.split(size), labels.split(size), strict=True):
            logits = federation.method.logits(model, x.expand(len(group), *x.shape), classnames)
            check_logits(federation.method, logits, shape=(len(group), len(x), len(classnames)))
            parts.append(logits.argmax(-1) == y)  # ties go to the first class
        return torch.cat(parts, dim=1)


def _accuracies(metric: Metric, correct: np.ndarray, tested: list[int]) -> np.ndarray:
    found = np.full(len(correct), np.nan)
    for k in tested:
        found[k] = 100 * (correct[k] if metric.rows is None else correct[k, list(metric.rows[k])]).mean()
    return found


def summary(accuracies: Mapping[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """Means over clients, and the clients' own, as the store keeps them; None for what does not exist."""
    return {
        name: {
            "mean": float(x[~np.isnan(x)].mean()) if not np.isnan(x).all() else None,
            "clients": [None if np.isnan(v) else float(v) for v in x],
        }
        for name, x in accuracies.items()
    }
