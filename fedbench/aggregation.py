"""Rules of a server beside the plain average, for `Method.aggregate`."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def similarity_weights(
    uploads: Mapping[str, Tensor], counts: Tensor, previous: Mapping[str, Tensor], *, temperature: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Who stayed near a tensor of the server counts for more in it: n_i · softmax_i( cos(W_i, W) / temperature ).

    Args:
        uploads: the participants' tensors W_i. (participants, ...)
        counts: their numbers of training images n_i. (participants,)
        previous: the server's tensors W before this round.
        temperature: of the softmax; large values give the plain average.

    Returns:
        For each tensor by itself the cosines, and the weights, which sum to 1. (participants,)
    """
    cosines, weights = {}, {}
    for name, x in uploads.items():
        cosines[name] = F.cosine_similarity(x.flatten(1), previous[name].flatten()[None])
        near = (cosines[name] / temperature).softmax(0)
        weighted = near * counts.to(near)
        weights[name] = weighted / weighted.sum()
    return cosines, weights


def similarity_mean(
    uploads: Mapping[str, Tensor], counts: Tensor, previous: Mapping[str, Tensor], *, temperature: float
) -> dict[str, Tensor]:
    """Each tensor's mean over the participants with its own `similarity_weights`. (participants, ...) → (...)"""
    _, weights = similarity_weights(uploads, counts, previous, temperature=temperature)
    return {name: torch.tensordot(weights[name], x, dims=1) for name, x in uploads.items()}
