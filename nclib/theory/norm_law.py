"""How the norm of a classifier's row follows the size of its class, where the features have collapsed and stay fixed.

Features h_k, one a class, orthogonal and of length a; cross-entropy 1/N sum_k n_k CE(W h_k, k); W from 0. The classes
decouple: W h_k = m_k (e_k - 1/K), and the margins m_k follow from tau_k = a^2 (n_k/N) K/(K-1) t alone. Derived, to
explain the norms in the logs of Xiao et al. 2024; it is in no paper that we know.
"""

import math

import numpy as np
import torch
from scipy.special import wrightomega
from torch import Tensor

from nclib.theory._inputs import class_counts, integer, positive
from nclib.theory.mixup import same_class


def flow_margin(tau, K) -> np.ndarray:
    """m of gradient flow at scaled time tau: m + (e^m - 1)/(K-1) = tau, by Wright's omega (Lambert's W of e^x).

    Broadcasts over tau >= 0; numpy float64.

    >>> m = flow_margin(3.0, 10)
    >>> round(float(m + (np.exp(m) - 1) / 9), 12)
    3.0
    """
    c, tau = 1 / (integer("K", K, 2) - 1), np.asarray(tau, dtype=float)
    if not ((tau >= 0) & (tau < np.inf)).all():
        raise ValueError(f"tau must be finite and >= 0, got {tau.tolist()}")
    return np.log(wrightomega(tau + c + math.log(c)) / c)


def decay_margin(tau, K) -> np.ndarray:
    """m at the minimum with weight decay lambda on W alone, tau as at t = 1/lambda: m (1 + e^m/(K-1)) = tau.

    The equation of `mixup.same_class`, at its a = tau (K-1)/K. Broadcasts over tau > 0; numpy float64.

    >>> round(float(decay_margin(1 + np.e, 2)), 12)
    1.0
    """
    return same_class(K, np.asarray(tau, dtype=float) * (K - 1) / K).numpy()


def row_norms(margins, a=1.0) -> Tensor:
    """|w_k| of W with W h_j = m_j (e_j - 1/K) for orthogonal features of length a: (K,) of (K,), float64.

    |w_k|^2 = (m_k^2 (1 - 2/K) + sum_j m_j^2 / K^2) / a^2.

    >>> row_norms([2.0, 0.0, 0.0, 0.0], a=0.5).tolist()  # sqrt(2 + 1/4) and sqrt(1/4), over 1/2
    [3.0, 1.0, 1.0, 1.0]
    """
    m = torch.as_tensor(np.asarray(margins), dtype=torch.float64)
    K = len(m)
    return (m.square() * (1 - 2 / K) + m.square().sum() / K**2).sqrt() / a


def scaled_time(counts, t, a=1.0) -> np.ndarray:
    """tau_k = a^2 (n_k/N) K/(K-1) t, numpy float64 (K,).

    >>> scaled_time([1, 3], t=2, a=3).tolist()
    [9.0, 27.0]
    """
    n = class_counts(counts, 2).numpy()
    return positive("a", a) ** 2 * n / n.sum() * len(n) / (len(n) - 1) * positive("t", t)


def flow_norms(counts, t, a=1.0) -> Tensor:
    """|w_k| (K,), a float64 tensor, after gradient flow from 0 for a time t: counts (K,).

    >>> flow_norms([1, 1], math.e).numpy().round(6).tolist()  # m = 1, so 1/sqrt 2
    [0.707107, 0.707107]
    """
    return row_norms(flow_margin(scaled_time(counts, t, a), len(counts)), a)


def decay_norms(counts, lam, a=1.0) -> Tensor:
    """|w_k| (K,), a float64 tensor, at the minimum with lam/2 |W|^2 added: counts (K,).

    >>> decay_norms([1, 1], 1 / (1 + math.e), a=1.0).numpy().round(6).tolist()  # m = 1, so 1/sqrt 2
    [0.707107, 0.707107]
    """
    return row_norms(decay_margin(scaled_time(counts, 1 / positive("lam", lam), a), len(counts)), a)


def exponent(counts, norms) -> float:
    """Slope of log |w_k| on log n_k, least squares over classes: the exponent of the profile as a whole.

    counts, norms (K,) -> float.

    >>> round(exponent([1, 4, 16], [1.0, 2.0, 4.0]), 12)
    0.5
    """
    n, w = class_counts(counts, 2).numpy(), np.asarray(norms, dtype=float)
    if w.shape != n.shape or not (w > 0).all():
        raise ValueError(f"norms must be (K,) = {n.shape} numbers > 0, got {w.tolist()}")
    if n.min() == n.max():
        raise ValueError(f"counts are all {n[0]:.0f}: an exponent needs classes of unequal size")
    return float(np.polyfit(np.log(n), np.log(w), 1)[0])


def local_exponent(tau, K) -> np.ndarray:
    """d ln m / d ln n of the flow at scaled time tau: tau / (m (1 + e^m/(K-1))), 1 early and about 1/m late.

    Broadcasts over tau > 0; numpy float64.

    >>> round(float(local_exponent(math.e, 2)), 6)  # m = 1: e/(1 + e)
    0.731059
    """
    m = flow_margin(tau, K)
    return np.asarray(tau) / (m * (1 + np.exp(m) / (K - 1)))
