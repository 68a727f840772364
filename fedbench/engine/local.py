"""Local training: several clients in one forward and one backward pass."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedbench.engine.sgd import ClientSGD
from fedbench.method import Batch, Method, Tensors


@dataclass(frozen=True)
class Step:
    """One local step of several clients.

    Attributes:
        images, labels, valid: as in `Batch`.
        active: False for clients that have run out of batches; their images are then only fillers. (clients,) bool
    """

    images: Tensor
    labels: Tensor
    valid: Tensor
    active: Tensor


@dataclass(frozen=True)
class Trained:
    """What local training leaves.

    Attributes:
        tensors: the clients' tensors. (clients, ...)
        buffers: their momentum. (clients, ...)
        losses: terms of the loss before each step; 0 where the client was not active. (clients, steps)
        active: which entries of `losses` are real. (clients, steps) bool
    """

    tensors: Tensors
    buffers: Tensors
    losses: Tensors
    active: Tensor


def train_locally(
    method: Method, start: Tensors, steps: Iterable[Step], *, received: Tensors, buffers: Tensors | None = None
) -> Trained:
    """Train clients from `start` (clients, ...) through `steps`. Nothing here waits for the device."""
    p = {name: x.detach().clone().requires_grad_() for name, x in start.items()}
    h = method.hyper
    optimizer = ClientSGD(p, lr=h.lr, momentum=h.momentum, weight_decay=h.weight_decay, buffers=buffers)
    history: list[Tensors] = []
    activity: list[Tensor] = []
    for step in steps:
        losses, gradients = losses_and_gradients(method, p, step, received=received)
        optimizer.step(gradients, step.active)
        history.append({name: (x.detach() * step.active) for name, x in losses.items()})
        activity.append(step.active)
    return Trained(
        tensors={name: x.detach() for name, x in p.items()},
        buffers=optimizer.buffers,
        losses={name: torch.stack([h[name] for h in history], dim=1) for name in history[0]},
        active=torch.stack(activity, dim=1),
    )


def losses_and_gradients(method: Method, p: Tensors, step: Step, *, received: Tensors) -> tuple[Tensors, Tensors]:
    """Terms of the loss (clients,), and each client's own gradients (clients, ...), for leaves `p`."""
    losses = method.losses(p, Batch(step.images, step.labels, step.valid, received))
    total = torch.stack(list(losses.values())).sum(0)  # (clients,)
    gradients = torch.autograd.grad((total * step.active).sum(), list(p.values()), materialize_grads=True)
    return losses, dict(zip(p, gradients, strict=True))
