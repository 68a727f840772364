"""Local training: several clients in one forward and one backward pass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedbench.engine.contract import check_losses
from fedbench.engine.optim import ClientOptimizer
from fedbench.method import Batch, Method, Tensors


@dataclass(frozen=True)
class Step:
    """One local step of several clients.

    Attributes:
        images, labels, valid: as in `Batch`.
        active: False for clients that have run out of batches; their images are then only fillers. (clients,) bool
        epoch: local epoch, from 0: decides which tensors are trained (see `Method.phases`).
    """

    images: Tensor
    labels: Tensor
    valid: Tensor
    active: Tensor
    epoch: int = 0


@dataclass(frozen=True)
class Trained:
    """What local training leaves.

    Attributes:
        tensors: the clients' tensors. (clients, ...)
        state: their optimiser state, `<tensor>/<what>`. (clients, ...)
        losses: terms of the loss before each step; 0 where the client was not active. (clients, steps)
        active: which entries of `losses` are real. (clients, steps) bool
    """

    tensors: Tensors
    state: Tensors
    losses: Tensors
    active: Tensor


def train_locally(
    method: Method,
    start: Tensors,
    steps: Iterable[Step],
    *,
    received: Tensors,
    state: Tensors | None = None,
    seeds: Tensor | None = None,
    local_epochs: int = 1,
) -> Trained:
    """Train clients from `start` (clients, ...) through `steps`. Nothing here waits for the device.

    Args:
        received: the server's tensors as the clients got them. (clients, ...)
        state: optimiser state to go on with.
        seeds: a number for each client and round, for what is random in training; None: nothing is. (clients,) int64
        local_epochs: the run's setting, from which the method makes its phases.
    """
    p = {name: x.detach().clone() for name, x in start.items()}
    phases = method.phases(local_epochs)
    optimizer = ClientOptimizer(p, {name: method.optimizer(name) for name in p}, state=state)
    history: list[Tensors] = []
    activity: list[Tensor] = []
    for step in steps:
        losses, gradients = losses_and_gradients(
            method, p, step, received=received, seeds=seeds, trained=phases[step.epoch]
        )
        optimizer.step(gradients, step.active)
        seeds = (
            None if seeds is None else seeds + step.active
        )  # a client's own steps count, not its neighbours'
        history.append({name: (x.detach() * step.active) for name, x in losses.items()})
        activity.append(step.active)
    return Trained(
        tensors={name: x.detach() for name, x in p.items()},
        state=optimizer.state,
        losses={name: torch.stack([h[name] for h in history], dim=1) for name in history[0]},
        active=torch.stack(activity, dim=1),
    )


def losses_and_gradients(
    method: Method,
    p: Tensors,
    step: Step,
    *,
    received: Tensors,
    seeds: Tensor | None = None,
    trained: Sequence[str] | None = None,
) -> tuple[Tensors, Tensors]:
    """Terms of the loss (clients,), and each client's own gradients (clients, ...) of the `trained` tensors, or all.

    Raises:
        FedbenchError: a term is not one number a client.
    """
    names = list(p) if trained is None else list(trained)
    for name, x in p.items():
        x.requires_grad_(name in names)
    losses = method.losses(p, Batch(step.images, step.labels, step.valid, received, seeds))
    check_losses(method, losses, clients=len(step.active))
    total = torch.stack(list(losses.values())).sum(0)  # (clients,)
    leaves = [p[name] for name in names]
    gradients = torch.autograd.grad((total * step.active).sum(), leaves, materialize_grads=True)
    for x in p.values():
        x.requires_grad_(False)
    return losses, dict(zip(names, gradients, strict=True))
