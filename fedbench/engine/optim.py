"""Optimisers for many clients at once."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fedbench.method import Optimizer, Tensors


class ClientOptimizer:
    """SGD or AdamW on tensors with a clients axis, equal to `torch.optim` for each client by itself.

    Clients that have run out of batches are masked: neither their tensors nor their state move.

    Products and sums are separate kernels on purpose: a fused multiply-add rounds vector lanes and remainders
    differently, and a client's bits would depend on how many clients stand beside it.
    """

    def __init__(self, tensors: Tensors, settings: Mapping[str, Optimizer], *, state: Tensors | None = None):
        """
        Args:
            tensors: leaves, changed in place. (clients, ...)
            settings: how each of them is trained.
            state: `<tensor>/<what>` to go on with; what is not there starts as in torch, from zeros.
        """
        self.tensors, self.settings = tensors, settings
        self.state: Tensors = {key: x.clone() for key, x in (state or {}).items()}

    @torch.no_grad()
    def step(self, gradients: Tensors, active: Tensor) -> None:
        """One step of the tensors in `gradients` (clients, ...) for the clients where `active` (clients,) is true."""
        for name, gradient in gradients.items():
            rule = RULES[self.settings[name].kind]
            rule(self, name, gradient, active.view(-1, *[1] * (gradient.dim() - 1)))
            if self.settings[name].half:
                state = [x for key, x in self.state.items() if key.startswith(f"{name}/")]
                for x in (self.tensors[name], *state):
                    x.copy_(x.half())

    def buffer(self, key: str, like: Tensor) -> Tensor:
        """A piece of state, zeros at first."""
        return self.state.get(key, torch.zeros_like(like))


def _sgd(optimizer: ClientOptimizer, name: str, gradient: Tensor, moves: Tensor) -> None:
    """`torch.optim.SGD` with momentum and weight decay, no dampening, no Nesterov."""
    x, s, key = optimizer.tensors[name], optimizer.settings[name], f"{name}/momentum"
    old = optimizer.buffer(key, x)
    new = old * s.momentum + (gradient + x * s.weight_decay)
    optimizer.state[key] = torch.where(moves, new, old)
    x.copy_(torch.where(moves, x - new * s.lr, x))


def _adamw(optimizer: ClientOptimizer, name: str, gradient: Tensor, moves: Tensor) -> None:
    """`torch.optim.AdamW`: decoupled weight decay, bias correction, epsilon 1e-8."""
    x, s = optimizer.tensors[name], optimizer.settings[name]
    beta1, beta2 = s.betas
    keys = [f"{name}/{what}" for what in ("steps", "mean", "square")]
    steps = optimizer.state.get(keys[0], x.new_zeros(moves.shape)) + moves
    mean, square = (optimizer.buffer(key, x) for key in keys[1:])
    new_mean = mean * beta1 + gradient * (1 - beta1)
    new_square = square * beta2 + gradient * gradient * (1 - beta2)
    # in double, as torch has them: 1 - 0.999 in float32 is 5e-5 off
    correction1, correction2 = ((1 - beta ** steps.double()).to(x.dtype) for beta in (beta1, beta2))
    corrected = new_mean / correction1
    spread = (new_square / correction2).sqrt() + 1e-8
    new = x * (1 - s.lr * s.weight_decay) - corrected / spread * s.lr
    optimizer.state[keys[0]] = steps
    optimizer.state[keys[1]] = torch.where(moves, new_mean, mean)
    optimizer.state[keys[2]] = torch.where(moves, new_square, square)
    x.copy_(torch.where(moves, new, x))  # a client that has not begun divides by zero above, and is not moved


RULES: dict[str, Callable[[ClientOptimizer, str, Tensor, Tensor], None]] = {"sgd": _sgd, "adamw": _adamw}
