"""Matrices and statistics as the metrics take them: float64, finite, of at least two classes.

For a million classes a copy of a matrix is much: functions of rows take it as it is, and go over `row_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nclib.statistics import ClassStatistics

_ENTRIES = 2**20  # of a matrix in float64 at a time, 8 MB
_SMALL = 1e-140  # the squares of differences 1e-14 as large are still normal numbers


def matrix(name: str, A: Tensor, double: bool = True) -> Tensor:
    """A as a matrix (K, d), detached; float64, or as it is where `double` is False. Else ValueError."""
    A = torch.as_tensor(A).detach()
    A = A.cpu() if A.device.type == "mps" else A  # MPS has no float64
    A = A.double() if double or not A.is_floating_point() else A
    if A.ndim != 2 or A.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(A.shape)}, must be a matrix that is not empty")
    if not A.sum().isfinite() and not A.isfinite().all():  # a sum may overflow
        raise ValueError(f"{name} holds NaN or inf, must be finite")
    return A


def rows(name: str, M: Tensor, double: bool = True) -> Tensor:
    """The same for (K, d) with K >= 2."""
    M = matrix(name, M, double)
    if len(M) < 2:
        raise ValueError(f"{name} has shape {tuple(M.shape)}, must be (K, d) with K >= 2")
    return M


def matching(W, M, name: str = "M", double: bool = True) -> tuple[Tensor, Tensor]:
    """The same for two of one shape (K, d)."""
    W, M = rows("W", W, double), rows(name, M, double)
    if W.shape != M.shape:
        raise ValueError(f"{name} has shape {tuple(M.shape)}, must be that of W, {tuple(W.shape)}")
    return W, M


def present_classes(stats: ClassStatistics) -> Tensor:
    """Labels (K',) int64 of the present classes, at least two, whose squares float64 holds. Else ValueError."""
    present = stats.present.nonzero()[:, 0]
    if len(present) < 2:
        raise ValueError(f"stats has {len(present)} present classes (count > 0), at least 2 are needed")
    largest = torch.maximum(stats.means.max(), -stats.means.min())  # absent means are 0
    if not (largest.square() * stats.means.shape[1]).isfinite() or not stats.spread.isfinite().all():
        raise ValueError(f"stats holds means up to {float(largest):.3g}, whose squares are not finite in float64")
    if 0 < largest < _SMALL:
        raise ValueError(f"stats holds means below {_SMALL:g}, whose squares lose digits: multiply the features first")
    return present


def row_blocks(*matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of each matrix in float64, some at a time."""
    step = max(1, _ENTRIES // matrices[0].shape[1])
    for i in range(0, len(matrices[0]), step):
        yield tuple(A[i : i + step].double() for A in matrices)


def row_cosines(W: Tensor, M: Tensor) -> Tensor:
    """(K,) cos(w_k, m_k), float64."""
    return torch.cat([(unit_rows(w) * unit_rows(m)).sum(1) for w, m in row_blocks(W, M)])


def unit_rows(M: Tensor) -> Tensor:
    """M (K, d) with each row divided by its norm."""
    return M / torch.linalg.vector_norm(M, dim=1, keepdim=True)
