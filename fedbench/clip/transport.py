"""Entropic optimal transport between two or more features of a class and the patches of an image."""

from typing import NamedTuple

import torch
from torch import Tensor

from fedbench.clip.blocks import product

TINY = 1e-37
"""About the smallest number that float32 holds in full precision."""


def patch_similarity(text: Tensor, tokens: Tensor) -> Tensor:
    """S: cosines of the patches of images with the features of classes.

    Args:
        text: of length 1, several for each class. (clients, features, classes, embed)
        tokens: of any length, the image's own first, which is left out. (clients, images, 1 + patches, embed)

    Returns:
        (clients, features, classes, images, patches)
    """
    products = product(text.flatten(1, 2), tokens.flatten(1, 2).transpose(1, 2))  # one a client
    lengths = torch.linalg.vector_norm(tokens, dim=-1).clamp(min=1e-12)  # (clients, images, 1 + patches)
    products = products.unflatten(2, tokens.shape[1:3]) / lengths[:, None]
    return products.unflatten(1, text.shape[1:3])[..., 1:]


class Transport(NamedTuple):
    """A transport problem and when its solver stops.

    Attributes:
        capped: a patch gives at most its share, and may give less (COT); else exactly its share (Sinkhorn).
        mass: what all features get together; each gets the same part of it.
        eps: the strength of the entropy.
        threshold: mean change below which a plan rests; 0: never.
        max_iter: most sweeps.
        stop_together: all plans of a batch stop at once, by their mean change, instead of each by itself.
    """

    capped: bool
    mass: float
    eps: float
    threshold: float
    max_iter: int
    stop_together: bool = False

    @torch.no_grad()
    def plan(self, sim: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The plan T of similarities S, and the sweeps that each image and class took.

        With K = e^{-(1 - S)/ε}, T = diag(u) K diag(v), and from v = 1 in each sweep

            capped:    u ← min(a / (K v), 1),  v ← b / (Kᵀ u),  until v rests
            balanced:  u ← a / (K v),          v ← b / (Kᵀ u),  until u rests

        where a = 1 / patches and b = mass / features. Columns of K are scaled to a largest entry of 1, which scales v
        and nothing else, so that a small ε does not underflow. On CUDA all `max_iter` sweeps are launched, and plans
        that rest stay as they are: nothing waits for the device.

        Args:
            sim: (clients, features, classes, images, patches)
            valid: which images count for `stop_together`. (clients, images) bool

        Returns:
            T as `sim`, and sweeps (clients, classes, images).
        """
        # The largest entry of a column of K is e^{-(1 - max S)/ε}; `least` is what it lacks in the exponent.
        least = (1 - sim.amax(-1, keepdim=True)) / self.eps
        kernel = ((sim - 1) / self.eps + least).exp_()
        a, b = 1 / sim.shape[-1], self.mass / sim.shape[1]
        u = torch.ones_like(sim[:, 0])  # (clients, classes, images, patches)
        # v = 1 before the scaling is e^{-least} after it. Only the columns' ratio matters to the first u, so the
        # smallest `least` may go out of all of them; e^-30 of it stays, since less makes no difference in float32.
        low = least.amin(1, keepdim=True)
        v = (low - least - low.clamp(max=30)).exp()  # (clients, features, classes, images, 1)
        going = torch.ones(u.shape[:-1], dtype=torch.bool, device=u.device)
        sweeps = torch.zeros_like(going, dtype=torch.int64)
        for _ in range(self.max_iter):
            new_u = a / (kernel * v).sum(1).clamp(min=TINY)
            new_u = new_u.clamp(max=1) if self.capped else new_u
            new_v = b / (kernel * new_u[:, None]).sum(-1, keepdim=True)
            change = ((new_v - v).abs() * least.exp()).mean(1) if self.capped else (new_u - u).abs()
            change = change.mean(-1)  # (clients, classes, images)
            if self.stop_together:
                change = _mean(change, valid)
            u, v = torch.where(going[..., None], new_u, u), torch.where(going[:, None, ..., None], new_v, v)
            sweeps += going
            going &= ~(change < self.threshold)
            if going.device.type == "cpu" and not going.any():
                break
        return kernel * v * u[:, None], sweeps


def _mean(change: Tensor, valid: Tensor | None) -> Tensor:
    """Each client's mean over its images and all classes. (clients, classes, images) → (clients, 1, 1)"""
    counted = torch.ones_like(change) if valid is None else valid[:, None].expand_as(change)
    return ((change * counted).flatten(1).sum(1) / counted.flatten(1).sum(1))[:, None, None]
