"""What the numbers of `conventions.measure` are where there is nothing to find: the null that a result is held against.

Two nulls. Directions without structure in the same dimension, whose numbers are known in closed form; and the same
features with their labels shuffled, which keeps every property of the features but the classes.
"""

from __future__ import annotations

import math
import operator

import torch
from scipy.integrate import quad
from scipy.special import gammaln, hyp2f1, polygamma
from torch import Tensor

from nclib.statistics import ClassStatistics


def uniform_directions(K: int, d: int, *, centered: bool = False) -> dict[str, float]:
    """Expected numbers of K class vectors without structure in d dimensions, under the names of `measure`.

    centered=False: K independent uniform unit vectors m_k, used as they are, and K more for w_k. With P = K(K-1)/2
    pairs, c the cosine of two of them (E c = 0, E c^2 = 1/d, E c^4 = 3/(d(d+2))) and f = -log |u_j - u_k|,
    (1+c)/2 ~ Beta(a, a) for a = (d-1)/2, and psi the polygamma functions:

        interference_mean, self_duality   0                                              exact
        gnc2_mean                         -log 2 - (psi_0(a) - psi_0(2a)) / 2            exact, near -(log 2) / 2
        interference_std, gnc2_std        1/sqrt(d), sqrt(psi_1(a) - psi_1(2a)) / 2      to a relative O(1/P)
        duality_std                       sqrt((1 - 1/K) / d)                            to a relative O(1/K)
        gnc2_cv (d > 2), etf_error, of_error                                             to a relative O(1/K)
        nc3, dual_error                   sqrt(2) (1 - 1/(8 K d)), sqrt(2) (1 - 1/(8 K^2))   to O(1/K^2)

    and under <name>_sd the standard deviation of each over draws. Cosines of different pairs are pairwise independent,
    so that of a mean over pairs is exactly (standard deviation of one pair) / sqrt(P); the others follow from it to
    first order in 1/sqrt(P), or 1/sqrt(K) for the duality.

    centered=True: K independent isotropic Gaussian vectors minus their mean, which is what `measure` makes of class
    means without structure. Two of them have correlation rho = -1/(K-1), whatever d is. interference_* follow from the
    law of a sample correlation (Hotelling 1953) with d degrees of freedom in closed form, gnc2_* by quadrature over it
    (means exact, standard deviations to a relative O(1/P)), and etf_error = sqrt(2 - 2q) by E q^-2 = n(d+n+1)/(nd+2),
    n = K-1, from the moments of the Wishart matrix. No <name>_sd is given; of_error and what needs W are left out.

    Centering moves interference_mean by 1/(K-1), which is sqrt(d/2) times its standard deviation however many classes
    there are, and for K well below d it makes etf_error small: hold a centered measurement against a centered null.

    Norms, variabilities and ratios to a mean of 0 (interference_cv, uniform_duality) have no such null. "classes" and
    "dimension" give K and d. Derived; checked by sampling in tests/test_nulls.py.

    Raises ValueError unless K >= 2 and d >= 2 are integers.
    """
    for name, value in {"K": K, "d": d}.items():
        if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < 2:
            raise ValueError(f"{name}={value!r}, must be an integer of at least 2")
    return {"classes": float(K), "dimension": float(d)} | (_centered(K, d) if centered else _independent(K, d))


def permuted_labels(
    H: Tensor, y: Tensor, num_classes: int, seed: int, *, ignore_index: int = -100, scatter: bool | None = None
) -> ClassStatistics:
    """Statistics of features H (..., d) under a random permutation of their labels y (...), in one pass.

    Classes keep their counts; samples labelled `ignore_index` stay left out. The permutation is that of torch's CPU
    generator with `seed`, on any device. Raises what `ClassStatistics.from_features` does.
    """
    shuffled = shuffle(y, seed, ignore_index=ignore_index)
    return ClassStatistics.from_features(H, shuffled, num_classes, ignore_index=ignore_index, scatter=scatter)


def shuffle(y: Tensor, seed: int, *, ignore_index: int = -100) -> Tensor:
    """Labels (...), those of y (...) in random order, `ignore_index` where it was; the same on every device."""
    used = y != ignore_index
    order = torch.randperm(int(used.sum()), generator=torch.Generator().manual_seed(seed)).to(y.device)
    shuffled = y.clone()
    shuffled[used] = y[used][order]
    return shuffled


def _independent(K, d):
    P, a = K * (K - 1) / 2, (d - 1) / 2
    V = 2 * (d - 1) / (d**2 * (d + 2))  # variance of c^2
    mean = -math.log(2) - _log_beta_cumulant(1, a) / 2
    std = math.sqrt(_log_beta_cumulant(2, a)) / 2
    third, fourth = -_log_beta_cumulant(3, a) / 8, _log_beta_cumulant(4, a) / 16 + 3 * std**4
    std_sd = math.sqrt((fourth - std**4) / P) / (2 * std)
    b2 = K + K * (K - 1) / d  # E |M M^T|_F^2
    q_etf, q_of = math.sqrt((K - 1) / b2), math.sqrt(K / b2)
    etf, of = math.sqrt(2 - 2 * q_etf), math.sqrt(2 - 2 * q_of)
    found = {
        "interference_mean": (0.0, 1 / math.sqrt(d * P)),
        "interference_std": (1 / math.sqrt(d), math.sqrt(d * V / P) / 2),
        "gnc2_mean": (mean, std / math.sqrt(P)),
        "gnc2_std": (std, std_sd),
        "etf_error": (etf, q_etf / etf * math.sqrt(1 / (d * P) + P * V / b2**2)),
        "of_error": (of, q_of / of * math.sqrt(P * V / b2**2)),
        "self_duality": (0.0, 1 / math.sqrt(d * K)),
        "duality_std": (math.sqrt((1 - 1 / K) / d), math.sqrt(d * V / K) / 2),
        "nc3": (math.sqrt(2) * (1 - 1 / (8 * d * K)), 1 / math.sqrt(2 * d * K)),
        "dual_error": (math.sqrt(2) * (1 - 1 / (8 * K**2)), 1 / (math.sqrt(2) * K)),
    }
    if d > 2:  # on a circle gnc2_mean is 0
        relative = (std_sd / std) ** 2 + (std / mean) ** 2 / P - third / (P * std**2 * mean)
        found["gnc2_cv"] = (std / mean, abs(std / mean) * math.sqrt(relative))
    return {name: value for key, pair in found.items() for name, value in zip((key, f"{key}_sd"), pair, strict=True)}


def _log_beta_cumulant(order, a):
    """Cumulant of log B for B ~ Beta(a, a)."""
    return float(polygamma(order - 1, a) - polygamma(order - 1, 2 * a))


def _centered(K, d):
    n, rho = K - 1, -1 / (K - 1)
    cosine, cosine2, gnc2, gnc2_square = -1.0, 1.0, -math.log(2), math.log(2) ** 2
    if K > 2:
        gamma = math.exp(2 * (gammaln((d + 1) / 2) - gammaln(d / 2)))
        cosine = rho * 2 / d * gamma * hyp2f1(0.5, 0.5, d / 2 + 1, rho**2)
        cosine2 = 1 - (1 - rho**2) * (d - 1) / d * hyp2f1(1, 1, d / 2 + 1, rho**2)
        gnc2, gnc2_square = (
            _mean_over_angle(lambda t, p=p: (-math.log(2 * math.sin(t / 2))) ** p, d, rho) for p in (1, 2)
        )
    std = math.sqrt(max(gnc2_square - gnc2**2, 0))
    return {
        "interference_mean": float(cosine),
        "interference_std": math.sqrt(max(cosine2 - cosine**2, 0)),
        "gnc2_mean": gnc2,
        "gnc2_std": std,
        **({"gnc2_cv": std / gnc2} if d > 2 else {}),
        "etf_error": math.sqrt(max(2 - 2 * math.sqrt((n * d + 2) / (n * (d + n + 1))), 0)),
    }


def _mean_over_angle(f, d, rho):
    """E f(t) for the angle t between two Gaussian vectors in d dimensions with correlation rho between entries."""
    log_scale = (
        math.log(d - 1) + gammaln(d) - gammaln(d + 0.5) - math.log(2 * math.pi) / 2 + d / 2 * math.log1p(-(rho**2))
    )

    def integrand(t):
        c = math.cos(t)
        log_density = log_scale + (d - 2) * math.log(math.sin(t)) - (d - 0.5) * math.log1p(-rho * c)
        return f(t) * math.exp(log_density) * hyp2f1(0.5, 0.5, d + 0.5, (1 + rho * c) / 2)

    center, width = math.acos(rho), 12 / math.sqrt(d)
    low, high = max(center - width, 0), min(center + width, math.pi)
    return quad(integrand, low, high, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
