"""Checks of arguments: a failure is one line with the argument, its value and what is allowed."""

import math
import operator

import numpy as np
import torch


def _array(value):
    try:
        a = np.asarray(value.tolist() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError):
        a = np.empty(0)
    return a if a.ndim == 1 and a.dtype.kind in "iuf" else np.empty(0)


def class_counts(counts, minimum=1) -> torch.Tensor:
    """(K,) float64 with K >= minimum, every entry a positive whole number."""
    n = _array(counts)
    if len(n) < minimum or not all(v > 0 and float(v).is_integer() for v in n):
        raise ValueError(f"counts must be a sequence of at least {minimum} positive integers, got {_short(counts)}")
    return torch.tensor(n.tolist(), dtype=torch.float64)


def decays(weight_decays) -> list[float]:
    """(lam_W1, ..., lam_WM), M >= 1, every entry finite and > 0."""
    lam = _array(weight_decays)
    if len(lam) == 0 or not all(0 < v < math.inf for v in lam):
        raise ValueError(
            f"weight_decays must be a non-empty sequence of finite numbers > 0, got {_short(weight_decays)}"
        )
    return [float(v) for v in lam]


def positive(name, value) -> float:
    """A finite number > 0: at exactly 0 no minimizer exists or it is not unique, so 0 is refused."""
    try:
        v = float(value)
    except (TypeError, ValueError):
        v = math.nan
    if not 0 < v < math.inf:
        raise ValueError(f"{name} must be a finite number > 0, got {_short(value)}")
    return v


def integer(name, value, minimum=1) -> int:
    """A whole number >= minimum."""
    try:
        v = operator.index(value)
    except TypeError:
        v = minimum - 1
    if v < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {_short(value)}")
    return v


def _short(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else text[:117] + "..."
