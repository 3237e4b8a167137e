"""Matrices and statistics as the metrics take them: float64, finite, of at least two classes."""

from __future__ import annotations

import torch
from torch import Tensor

from nclib.statistics import ClassStatistics


def matrix(name: str, A: Tensor) -> Tensor:
    A = torch.as_tensor(A).detach()
    A = (A.cpu() if A.device.type == "mps" else A).double()  # MPS has no float64
    if A.ndim != 2 or A.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(A.shape)}, must be a matrix that is not empty")
    if not A.sum().isfinite() and not A.isfinite().all():  # a sum may overflow
        raise ValueError(f"{name} holds NaN or inf, must be finite")
    return A


def rows(name: str, M: Tensor) -> Tensor:
    M = matrix(name, M)
    if len(M) < 2:
        raise ValueError(f"{name} has shape {tuple(M.shape)}, must be (K, d) with K >= 2")
    return M


def matching(W, M, name: str = "M") -> tuple[Tensor, Tensor]:
    W, M = rows("W", W), rows(name, M)
    if W.shape != M.shape:
        raise ValueError(f"{name} has shape {tuple(M.shape)}, must be that of W, {tuple(W.shape)}")
    return W, M


def present_classes(stats: ClassStatistics) -> Tensor:
    present = stats.present.nonzero()[:, 0]
    if len(present) < 2:
        raise ValueError(f"stats has {len(present)} present classes (count > 0), at least 2 are needed")
    largest = stats.means[present].abs().max()
    if not (largest.square() * stats.means.shape[1]).isfinite() or not stats.spread.isfinite().all():
        raise ValueError(f"stats holds means up to {float(largest):.3g}, whose squares are not finite in float64")
    return present


def unit_rows(M: Tensor) -> Tensor:
    return M / torch.linalg.vector_norm(M, dim=1, keepdim=True)
