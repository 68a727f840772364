"""SGD for many clients at once."""

import torch
from torch import Tensor

from fedbench.method import Tensors


class ClientSGD:
    """SGD with momentum and weight decay on tensors with a clients axis, as `torch.optim.SGD` for each client.

    Clients that have run out of batches are masked: neither their tensors nor their momentum move.
    """

    def __init__(self, tensors: Tensors, *, lr: float, momentum: float, weight_decay: float, buffers: Tensors | None = None):
        """
        Args:
            tensors: leaves that require gradients, changed in place. (clients, ...)
            lr, momentum, weight_decay: as in `torch.optim.SGD`; no dampening, no Nesterov.
            buffers: momentum to go on with; zeros if None, which is how torch starts.
        """
        self.tensors = tensors
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.buffers = {n: buffers[n].clone() if buffers else torch.zeros_like(x) for n, x in tensors.items()}

    @torch.no_grad()
    def step(self, gradients: Tensors, active: Tensor) -> None:
        """One step with `gradients` (clients, ...) for the clients where `active` (clients,) is true."""
        # Products and sums are separate kernels on purpose: a fused multiply-add rounds vector lanes and
        # remainders differently, and a client's bits would depend on how many clients stand beside it.
        for name, x in self.tensors.items():
            moves = active.view(-1, *[1] * (x.dim() - 1))
            buffer = self.buffers[name] * self.momentum + (gradients[name] + x * self.weight_decay)
            self.buffers[name] = torch.where(moves, buffer, self.buffers[name])
            x.copy_(torch.where(moves, x - buffer * self.lr, x))
