"""The frames that neural collapse ends in: rows are class vectors, float64, and every frame is a fixed matrix.

A frame is known up to rotation and scale, so the distance of a matrix M to one is taken between Gram matrices:
`metrics.nc2(M, "etf")`, `metrics.nc2(M, "of")`, and for a general orthogonal frame F of unit Frobenius norm
`metrics.nc2(M, target=G / G.norm())` with G = F F^T.
"""

from __future__ import annotations

from operator import index

import torch
from torch import Tensor


def simplex_etf(K: int, d: int) -> Tensor:
    """Simplex equiangular tight frame, (K, d): unit rows with cosines -1/(K-1) that sum to zero.

    Gram matrix K/(K-1) (I - 11^T/K), of rank K-1: the target of a balanced problem with an unpenalized bias, and of
    cross-entropy. The rows are sqrt(K/(K-1)) times those of the Helmert basis of the complement of 1, then zeros.

    Raises ValueError unless K >= 2 and d >= K-1.

    >>> M = simplex_etf(3, 2)
    >>> torch.round(M @ M.T, decimals=6).tolist()
    [[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5], [-0.5, -0.5, 1.0]]
    """
    if K < 2:
        raise ValueError(f"K={K}, a simplex needs at least 2 classes")
    if d < K - 1:
        raise ValueError(f"d={d}, a simplex of K={K} classes needs d >= K-1 = {K - 1}")
    j = torch.arange(1, K, dtype=torch.float64)
    Q = torch.ones(K, K - 1, dtype=torch.float64).triu()
    Q[1:] -= torch.diag(j)
    M = torch.zeros(K, d, dtype=torch.float64)
    M[:, : K - 1] = (K / (K - 1)) ** 0.5 * Q / (j * (j + 1)).sqrt()
    return M


def orthogonal_frame(K: int, d: int) -> Tensor:
    """Orthogonal frame (OF), (K, d): orthonormal rows, Gram matrix I. The target of a balanced bias-free MSE problem.

    Raises ValueError unless K >= 1 and d >= K.

    >>> M = orthogonal_frame(2, 3)
    >>> (M @ M.T).round(decimals=9).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if K < 1:
        raise ValueError(f"K={K}, must be at least 1")
    if d < K:
        raise ValueError(f"d={d}, an orthogonal frame of K={K} classes needs d >= K")
    return torch.eye(K, d, dtype=torch.float64)


def general_orthogonal_frame(lengths, d: int) -> Tensor:
    """General orthogonal frame (GOF), (K, d): row k is a_k e_k / sqrt(sum_j a_j^2), so the Frobenius norm is 1.

    The target of an imbalanced bias-free MSE problem (Dang et al. 2023). `lengths` (K,) are the a_k >= 0; a zero is a
    class that has collapsed to the origin.

    Raises ValueError unless d >= K and the lengths are finite, not negative and not all zero.

    >>> M = general_orthogonal_frame([3.0, 4.0], 4)
    >>> (M @ M.T).round(decimals=9).tolist()
    [[0.36, 0.0], [0.0, 0.64]]
    """
    a = torch.as_tensor(lengths, dtype=torch.float64)
    if a.ndim != 1 or len(a) < 1:
        raise ValueError(f"lengths has shape {tuple(a.shape)}, must be (K,) with K >= 1")
    if not a.isfinite().all() or (a < 0).any() or not a.any():
        raise ValueError(f"lengths={a.tolist()}, must be finite, at least 0 and not all 0")
    return (a / torch.linalg.vector_norm(a))[:, None].cpu() * orthogonal_frame(len(a), d)


def sparse_etf(K: int, d: int, beta: float, *, norm: float = 0.1, seed: int = 0) -> Tensor:
    """Sparse simplex ETF, (K, d): rows of length `norm` with cosines -1/(K-1), exactly round(beta K d) entries 0.

    The classifier of Xiao et al. 2024 (FedLoGe, "SSE-C", norm 0.1 and beta 0.6), which they approach by Adam from a
    random mask; here V V^T is the simplex's to 1e-12 norm^2. Which entries are 0 is random, by `seed`, but for two
    conditions: no column has exactly one entry, since the columns of the frame sum to zero, and the mask allows a
    frame (no two rows without a common column, and what else it takes): of the masks drawn, the first that does.

    Raises ValueError unless K >= 2, d >= K-1, 0 <= beta < 1 and norm > 0, and where none of 20 masks allows a frame.

    >>> V = sparse_etf(10, 64, 0.6)
    >>> (V == 0).sum().item(), round((V[0] @ V[1] / (V[0] @ V[0])).item(), 9)
    (384, -0.111111111)
    """
    try:
        K, d, seed = index(K), index(d), index(seed)
    except TypeError:
        raise ValueError(f"K={K!r}, d={d!r}, seed={seed!r}: must be integers") from None
    if K < 2 or d < K - 1 or seed < 0:
        raise ValueError(f"K={K}, d={d}, seed={seed}: a simplex of K >= 2 classes needs d >= K-1, and seed >= 0")
    from nclib.theory import sparse_frame  # here, for the theory brings pandas and its second with it
    from nclib.theory._inputs import positive

    norm = positive("norm", norm)

    V = sparse_frame.first_simplex(K, d, beta, seed=seed)
    if V is None:
        raise ValueError(
            f"beta={beta}: no simplex of K={K} rows of d={d} entries was found on any of {sparse_frame.MASKS} "
            f"random masks; beta must be smaller or d larger"
        )
    return norm * V
