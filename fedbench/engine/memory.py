"""How many clients train at once: measured bytes of one client's step against the budget."""

import os

import torch
from torch import Tensor

from fedbench.engine.local import Step
from fedbench.errors import FedbenchError
from fedbench.method import Batch, Method, Tensors

GIB = 2**30
CPU_DEFAULT_GIB = 4.0
BACKWARD = 2.5
"""Peak of a step over what the forward pass keeps: gradients, work space and the allocator's slack. Measured 2.3 to
2.4 on a CPU (FedPGP on ViT-B/16, 1 to 10 clients, 13 to 100 classes)."""


def step_bytes(method: Method, model: Tensors, step: Step) -> int:
    """Bytes that the forward pass of one step keeps for the backward pass, weights not counted."""
    weights = {x.untyped_storage().data_ptr() for x in method.clip.model.state_dict().values()}
    kept: dict[int, int] = {}

    def count(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    p = {name: x.detach().clone().requires_grad_() for name, x in model.items()}
    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        received = {n: model[n] for n in method.shared}
        seeds = torch.zeros(len(step.labels), dtype=torch.int64, device=step.labels.device)
        method.losses(p, Batch(step.images, step.labels, step.valid, received, seeds))
    return sum(kept.values())


def budget_bytes(device: torch.device, gib: float | None) -> int:
    """The budget: what the user says, else 60 % of the card's free memory, else up to 4 GiB of half the machine's."""
    if gib is not None:
        return int(gib * GIB)
    if device.type == "cuda":
        return int(0.6 * torch.cuda.mem_get_info(device)[0])
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(CPU_DEFAULT_GIB * GIB, free / 2))


def clients_that_fit(one_client: int, budget: int) -> int:
    """Clients in one pass.

    Raises:
        FedbenchError: not even one fits.
    """
    fit = int(budget // max(one_client * BACKWARD, 1))
    if fit < 1:
        raise FedbenchError(
            f"one client's step needs about {one_client * BACKWARD / GIB:.2f} GiB, "
            f"the budget is {budget / GIB:.2f} GiB; raise --memory-gib or lower the batch size"
        )
    return fit
