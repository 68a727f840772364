"""A low-rank addition to a context, as a product of three factors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedbench.clip.blocks import product
from fedbench.learned import Learned, normal, orthogonal


def diagonal_factors(*, rows: int, rank: int, columns: int) -> dict[str, Learned]:
    """Factors of B diag(S) A: `b` (rows, rank), `s` (rank,) and `a` (rank, columns).

    B and A start orthonormal, S from N(0, 0.02²), so that the product starts small.
    """
    return {
        "b": Learned((rows, rank), orthogonal()),
        "s": Learned((rank,), normal()),
        "a": Learned((rank, columns), orthogonal()),
    }


def low_rank(p: Mapping[str, Tensor]) -> Tensor:
    """B diag(S) A. (clients, rows, columns)"""
    return product(p["b"] * p["s"][:, None], p["a"])


def orthogonality(p: Mapping[str, Tensor]) -> Tensor:
    """How far B and A are from orthonormal: ‖BᵀB − I‖_F + ‖AAᵀ − I‖_F, not squared. (clients,)"""
    b, a = p["b"], p["a"]
    unit = torch.eye(a.shape[1], device=a.device)
    grams = product(b.transpose(1, 2), b), product(a, a.transpose(1, 2))  # (clients, rank, rank) each
    off_b, off_a = (torch.linalg.vector_norm(gram - unit, dim=(1, 2)) for gram in grams)
    return off_b + off_a
