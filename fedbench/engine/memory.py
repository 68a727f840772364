"""How many clients train at once: measured bytes of one client's step against the budget."""

import platform
import resource

import psutil
import torch
from torch import Tensor

from fedbench.engine.local import Step
from fedbench.errors import FedbenchError
from fedbench.method import Batch, Method, Tensors

GIB = 2**30
CPU_ENOUGH_GIB = 4.0
"""All clients' passes stay below this on a CPU, where two pFedMMA clients at once were slower than one after the other
(11.7 and 8.7 s each on ViT-B/16); a single client may take more."""

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
    """What a step may take: what the user says, else 60 % of the card's free memory, or 80 % of the machine's."""
    if gib is not None:
        return int(gib * GIB)
    if device.type == "cuda":
        return int(0.6 * torch.cuda.mem_get_info(device)[0])
    return int(0.8 * psutil.virtual_memory().available)


def clients_that_fit(one_client: int, *, device: torch.device, gib: float | None = None) -> int:
    """Clients in one pass, given the bytes that one keeps for the backward pass.

    Raises:
        FedbenchError: not even one fits.
    """
    need, budget = max(one_client * BACKWARD, 1), budget_bytes(device, gib)
    if need > budget:
        raise FedbenchError(
            f"one client's step needs about {need / GIB:.2f} GiB, the budget is {budget / GIB:.2f} GiB; "
            "raise --memory-gib or lower the batch size"
        )
    if gib is None and device.type == "cpu":
        budget = min(budget, int(CPU_ENOUGH_GIB * GIB))
    return max(1, int(budget // need))


def peak_bytes(device: torch.device) -> int:
    """Peak memory so far: of the card, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
