"""Arguments of the model with features tied to H0, checked; and what `solve` needs of them."""

import math

import numpy as np
import torch

from nclib.theory._inputs import _short
from nclib.theory._proximal import Batch


def nonnegative(name, value) -> float:
    """A finite number >= 0."""
    try:
        v = float(value)
    except (TypeError, ValueError):
        v = math.nan
    if not 0 <= v < math.inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {_short(value)}")
    return v


def _tensor(name, value):
    """Through NumPy: torch reads a python float as float32."""
    try:
        return value.detach() if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers, got {_short(value)}") from None


def matrix(name, X) -> torch.Tensor:
    """(rows, columns) float64, finite, not empty."""
    X = _tensor(name, X)
    if X.ndim != 2 or not X.numel() or X.is_complex():
        raise ValueError(f"{name} must be a real matrix with at least one entry, got shape {tuple(X.shape)}")
    X = X.to(torch.float64)
    if not X.isfinite().all():
        raise ValueError(f"{name} must be finite, got {int((~X.isfinite()).sum())} entries that are NaN or infinite")
    return X


def data(H0, y) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(H0 (N, d) float64, y (N,) int64, counts (K,) int64), all K classes present."""
    H0, y = matrix("H0", H0), _tensor("y", y)
    if y.shape != H0.shape[:1] or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"y must hold one integer for each of {len(H0)} samples, got {y.dtype} of {tuple(y.shape)}")
    y = y.to(H0.device, torch.int64)
    if y.min() < 0 or y.max() >= len(y) or (torch.bincount(y) == 0).any():
        raise ValueError(f"y must hold every label of 0..K-1, got {_short(y.unique().tolist())}")
    return H0, y, torch.bincount(y)


def numbers(name, value, zero, device) -> torch.Tensor:
    """() or (B,) float64, > 0 or, if zero, >= 0."""
    v = _tensor(name, value)
    v = v.to(device, torch.float64) if not v.is_complex() else torch.tensor(torch.nan)
    if v.ndim > 1 or not v.numel() or not ((v > 0) | (zero & (v == 0))).all() or not v.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers {'>=' if zero else '>'} 0, () or (B,), got {_short(value)}")
    return v


def problems(H0, y, lam_W, lam_H, beta) -> tuple[Batch, torch.Tensor, bool]:
    """(moments in eigenvectors of H0's second moment, those vectors (d, r), whether all three numbers are scalars)."""
    H0, y, counts = data(H0, y)
    given = [numbers(*a, H0.device) for a in (("lam_W", lam_W, False), ("lam_H", lam_H, True), ("beta", beta, True))]
    sizes = {len(v) for v in given if v.ndim}
    if len(sizes) > 1:
        raise ValueError(f"lam_W, lam_H and beta must have one length, got {sorted(sizes)}")
    lam_W, lam_H, beta = (v.expand(max(sizes, default=1))[:, None, None] for v in given)
    if not (lam_H + beta > 0).all():
        raise ValueError("lam_H + beta must be > 0, got a problem with 0")
    (N, d), K = H0.shape, len(counts)
    n, Q = N / K, None
    if d > N + K:  # nothing is lost in the row space of H0 and K dimensions more: W has rank K
        Q = torch.linalg.qr(torch.nn.functional.pad(H0.mT, (0, K))).Q
        H0 = H0 @ Q
    s, V = torch.linalg.eigh(H0.mT @ H0 / n)
    M = H0.new_zeros(K, H0.shape[1]).index_add_(0, y, H0) @ V / n
    moments = Batch(s.clamp(min=0), M, torch.diag(counts.double() / n), lam_W, beta / (lam_H + beta), lam_H + beta)
    return moments, V if Q is None else Q @ V, not sizes
