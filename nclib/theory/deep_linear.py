"""Global minimizers of deep linear heads on free features: which frame, which lengths, which classes survive.

Notation: K classes, n_k samples, N = sum n_k, P = W_M ... W_1, Lam = lam_H prod_m lam_Wm, D = diag(sqrt n_k). For
fixed logits Z = P H the best factors cost (M+1)/2 Lam^(1/(M+1)) sum_i sigma_i(Z)^(2/(M+1)), so the MSE problem
decouples over the singular triples (u_i, s_i, v_i) of the target. With beta_i = M (N/s_i^2) (N Lam)^(1/M), the
positive stationary points of direction i solve

    beta_i = M x^(M-1) / (1 + x^M)^2,        q_i = sigma_i / s_i = x^M / (1 + x^M),

and the global minimizer is the largest root when beta_i < collapse_threshold(M), else 0. Source: Dang et al. 2023,
Theorems 3.1, 3.2, 4.1, 4.4; the reduction, the equality case and the case of imbalanced counts with a bias
(singular values of Liu 2024) are derived, and verified against an independent optimizer in
tests/test_theory_deep_linear.py.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from scipy.special import expit

from nclib.theory._inputs import class_counts, decays, integer, positive
from nclib.theory._roots import Candidate, above, best_scale, root
from nclib.theory._target import target_svd

# log beta is a sum of a handful of rounded logarithms: two values this close cannot be told apart from equal ones.
ROUNDING = 64 * torch.finfo(torch.float64).eps


@dataclass(frozen=True, eq=False)
class Minimizer:
    """A global minimizer up to rotation: everything float64, classes in label order.

    loss: the objective there. gram_W (K, K) = P P^T. gram_H (K, K) = Hbar^T Hbar, Hbar the class means (all
    features of a class agree). logits (K, K) = P Hbar + bias, column k for class k. bias (K,). survives (K,) bool:
    gram_H[k, k] > 0. unique: whether gram_W, gram_H and logits are the same at every global minimizer.

    >>> m = ce_minimizer(4, 4, 1 / 36, 1 / 16)  # e^margin + K - 1 = 12
    >>> round(float((m.logits[0, 0] - m.logits[1, 0]).exp()), 9), m.survives.tolist(), m.unique
    (9.0, [True, True, True, True], True)
    """

    loss: float
    gram_W: torch.Tensor
    gram_H: torch.Tensor
    logits: torch.Tensor
    bias: torch.Tensor
    survives: torch.Tensor
    unique: bool


def collapse_threshold(depth) -> float:
    """thr(M) = (M-1)^((M-1)/M) / M, thr(1) = 1: a direction survives iff beta < thr(M).

    At M = 1, q falls to 0 continuously; at M >= 2 it jumps there from (M-1)/M (derived from Dang et al. 2023,
    Theorem 4.4).

    >>> collapse_threshold(1), collapse_threshold(2)
    (1.0, 0.5)
    """
    M = integer("depth", depth)
    return (M - 1) ** ((M - 1) / M) / M


def spinodal(depth) -> float:
    """((M-1)/(M+1))^((M-1)/M) (M+1)^2 / (4M): the largest beta with a positive stationary point (derived).

    Between collapse_threshold(M) and this value that point is a local minimum, but 0 is the global one.

    >>> round(spinodal(2), 9) == round(3**1.5 / 8, 9)
    True
    """
    M = integer("depth", depth)
    return ((M - 1) / (M + 1)) ** ((M - 1) / M) * (M + 1) ** 2 / (4 * M)


def scalar_loss(q, beta, depth) -> torch.Tensor:
    """Loss of class k over n_k/N at q = sigma_k/sqrt(n_k) >= 0 (derived, from the reduction in the module's docstring).

    (1-q)^2/2 + (M+1)/2 (beta/M)^(M/(M+1)) q^(2/(M+1)).

    >>> float(scalar_loss(0.0, 0.3, 2)), round(float(scalar_loss(0.5, 0.25, 1)), 9)
    (0.5, 0.375)
    """
    M, beta = integer("depth", depth), positive("beta", beta)
    q = torch.as_tensor(q, dtype=torch.float64)
    return (1 - q) ** 2 / 2 + (M + 1) / 2 * (beta / M) ** (M / (M + 1)) * q ** (2 / (M + 1))


def stationary_points(beta, depth) -> tuple[float, ...]:
    """Positive stationary q of scalar_loss: (barrier, minimum) below the spinodal, () above; (minimum,) at M = 1.

    >>> stationary_points(0.25, 1), stationary_points(2.0, 2)
    ((0.5,), ())
    """
    M, log_beta = integer("depth", depth), math.log(positive("beta", beta))
    if log_beta >= math.log(spinodal(M)):
        return ()
    if M == 1:
        return (-math.expm1(log_beta / 2),)
    low, peak, high = (log_beta - math.log(M)) * M / (M - 1) - 1, math.log((M - 1) / (M + 1)), above(log_beta, M)
    return tuple(float(expit(root(log_beta, M, *bracket))) for bracket in ((low, peak), (peak, high)))


def overlap(beta, depth) -> torch.Tensor:
    """q = diag(P Hbar) at the global minimum, in the shape of beta (...): 0 at and above collapse_threshold(depth).

    >>> overlap([0.25, 4.0], 1).tolist()
    [0.5, 0.0]
    """
    M, beta = integer("depth", depth), torch.as_tensor(beta, dtype=torch.float64)
    y = [_global_root(math.log(positive("beta", b)), M)[0] for b in beta.reshape(-1).tolist()]
    return torch.tensor([float(expit(v)) for v in y], dtype=torch.float64).reshape(beta.shape)


@lru_cache(maxsize=4096)
def _global_root(log_beta, M):
    """(log x^M, tie): -inf if the direction collapses; tie if 0 and x^M = M - 1 are both optimal: 0 is taken then."""
    gap = log_beta - math.log(collapse_threshold(M))
    if gap >= -ROUNDING:
        return -math.inf, M > 1 and gap <= ROUNDING
    if M == 1:
        return math.log(math.expm1(-log_beta / 2)), False
    return root(log_beta, M, math.log((M - 1) / (M + 1)), above(log_beta, M)), False


@dataclass(frozen=True, eq=False)
class _Modes:
    """Singular directions of the target, largest first; y = log x^M, -inf for those at 0; rho = x (N Lam)^(1/M)."""

    n: torch.Tensor
    U: torch.Tensor
    s2: torch.Tensor
    V: torch.Tensor
    y: torch.Tensor
    rho: torch.Tensor
    log_b: float
    lam: list[float]
    lam_H: float
    unique: bool


def _modes(counts, weight_decays, lam_H, bias, width):
    n, lam, lam_H = class_counts(counts), decays(weight_decays), positive("lam_H", lam_H)
    R = len(n) if width is None else min(len(n), integer("width", width))
    M, log_N = len(lam), math.log(n.sum())
    log_NLam = log_N + sum(math.log(v) for v in (*lam, lam_H))
    log_b = math.log(M) + log_N + log_NLam / M
    U, s2, V = target_svd(n, bias)
    roots = [_global_root(log_b - math.log(s), M) if i < R else (-math.inf, False) for i, s in enumerate(s2.tolist())]
    y = torch.tensor([root for root, _ in roots], dtype=torch.float64)
    cut = R < len(s2) and bool(s2[R - 1] == s2[R] and y[R - 1] > -math.inf)
    unique = not (cut or any(tie for _, tie in roots))
    return _Modes(n, U, s2, V, y, ((y + log_NLam) / M).exp(), log_b, lam, lam_H, unique)


def _grams(t, layer):
    """(P_j P_j^T, Hbar_j^T Hbar_j) with P_j = W_M ... W_j, Hbar_j = W_(j-1) ... W_1 Hbar."""
    powers = [t.rho / lam for lam in t.lam]
    P = math.prod(powers[layer - 1 :], start=torch.ones_like(t.rho))
    H = math.prod(powers[: layer - 1], start=t.rho / t.lam_H)
    V = t.V / t.n.sqrt()[:, None]
    return (t.U * P) @ t.U.T, (V * H) @ V.T


def mse_minimizer(counts, weight_decays, lam_H, *, bias=False, width=None) -> Minimizer:
    """Global minimizer of 1/(2N) |W_M ... W_1 H + b 1^T - Y|^2 + sum_m lam_Wm/2 |W_m|^2 + lam_H/2 |H|^2, b free.

    counts: K positive integers, any order. weight_decays = (lam_W1, ..., lam_WM); lam_H multiplies the sum over all N
    features. bias=False drops b. width = min(d_1, ..., d_M), at least K if None; below K only the top `width` singular
    directions of the target are kept, the first ones in a tie, and then unique is False. At exact equality with
    collapse_threshold(M), M >= 2, a direction has two optimal values: 0 is returned and unique is False.

    Bias-free: gram_W = N lam_H diag(x_k^M), logits = diag(q_k). With bias: bias = n/N, and the grams are diagonal
    in the singular bases of (I - n 1^T/N) D, so a simplex ETF when balanced and in general not diagonal. Loss:
    sum_i s_i^2/(2N) [1/(1+x_i^M) + beta_i x_i]. Source: the module's docstring. Raises ValueError for bad
    arguments.

    >>> found = mse_minimizer([1, 1], (0.25,), 0.25)  # beta = 1/4, so q = 1/2 and |w|^2 = N lam_H = 1/2
    >>> [one.diagonal().round(decimals=9).tolist() for one in (found.logits, found.gram_W)]
    [[0.5, 0.5], [0.5, 0.5]]
    """
    t = _modes(counts, weight_decays, lam_H, bias, width)
    M, N, s = len(t.lam), t.n.sum(), t.s2.sqrt()
    gram_W, gram_H = _grams(t, 1)
    b = t.n / N if bias else torch.zeros_like(t.n)
    logits = (t.U * (s * t.y.sigmoid())) @ t.V.T / t.n.sqrt() + b[:, None]
    loss = float((t.s2 * (-t.y).sigmoid() + (t.log_b + t.y / M).exp()).sum() / (2 * N))
    return Minimizer(loss, gram_W, gram_H, logits, b, gram_H.diagonal() > 0, t.unique)


def layer_singular_values(counts, weight_decays, lam_H, *, bias=False, width=None) -> torch.Tensor:
    """(M, R): row m holds the singular values sqrt(rho_i/lam_Wm) of W_m there, descending, R = min(K, width).

    With a bias one direction is always 0. Arguments as in mse_minimizer (derived from balancedness).

    >>> (layer_singular_values([1, 1], (0.25,), 0.25) ** 2).round(decimals=9).tolist()
    [[0.5, 0.5]]
    """
    t = _modes(counts, weight_decays, lam_H, bias, width)
    R = len(t.n) if width is None else min(len(t.n), width)
    rho = torch.nn.functional.pad(t.rho, (0, len(t.n) - len(t.rho)))[:R]
    return torch.stack([(rho / lam).sqrt() for lam in t.lam])


def partial_grams(counts, weight_decays, lam_H, layer, *, bias=False, width=None) -> tuple[torch.Tensor, torch.Tensor]:
    """(P_j P_j^T, Hbar_j^T Hbar_j), both (K, K), j = layer in 1..M, P_j = W_M ... W_j, Hbar_j = W_(j-1) ... W_1 Hbar.

    Every inner layer collapses to the same frame (Dang et al. 2023, Theorems 3.1 and 4.4; lengths derived).

    >>> [gram.diagonal().round(decimals=9).tolist() for gram in partial_grams([1, 1], (0.25,), 0.25, 1)]
    [[0.5, 0.5], [0.5, 0.5]]
    """
    t = _modes(counts, weight_decays, lam_H, bias, width)
    if integer("layer", layer) > len(t.lam):
        raise ValueError(f"layer must be at most the depth {len(t.lam)}, got {layer}")
    return _grams(t, layer)


def decay_rates(lam) -> dict[str, float]:
    """Rates r of the decays e^(-r t) under gradient flow when every decay equals lam, feature dimension above K.

    W^T W - H H^T decays exactly as e^(-2 lam t), for any loss and any two adjacent factors: so do nc2, nc3 and the
    loss gap. The product P Hbar feels it to second order (nc3_product, 4 lam). Within-class noise outside the row
    space of P decays as e^(-lam t) and leaks into the span of the means through a tilt e^(-2 lam t); squared, nc1
    has 6 lam (derived, measured).

    >>> decay_rates(0.5)["nc1"], decay_rates(0.5)["nc2"]
    (3.0, 1.0)
    """
    lam = positive("lam", lam)
    return {"nc1": 6 * lam, "nc2": 2 * lam, "nc3": 2 * lam, "nc3_product": 4 * lam, "loss": 2 * lam}


def _schatten(num_classes, samples_per_class, weight_decays, lam_H):
    """(K, sqrt n, p, c), p = 2/(M+1), c = (M+1)/2 Lam^(1/(M+1)): the regularizer is c sum_i sigma_i(Zbar sqrt n)^p."""
    K, n = integer("num_classes", num_classes, 2), integer("samples_per_class", samples_per_class)
    lam, p = [*decays(weight_decays), positive("lam_H", lam_H)], 2 / (len(weight_decays) + 1)
    return K, math.sqrt(n), p, math.exp(p / 2 * sum(math.log(v) for v in lam)) / p


def ce_etf_candidate(num_classes, samples_per_class, weight_decays, lam_H) -> Candidate:
    """Best simplex ETF, logits alpha (I - 11^T/K), for balanced bias-free cross-entropy at any depth M.

    Objective 1/N sum CE + sum_m lam_Wm/2 |W_m|^2 + lam_H/2 |H|^2, here log(1 + (K-1) e^(-alpha)) + (M+1)/2
    Lam^(1/(M+1)) (K-1) (alpha sqrt n)^(2/(M+1)). Global minimizer at M = 1; at M >= 2 in general only a local one
    (derived; compare ce_cross_polytope_candidate, and Garrod & Keating 2024). alpha is the best of all alpha >= 0.

    >>> math.isclose(ce_etf_candidate(2, 1, (0.25,), 0.25).alpha, math.log(3))
    True
    """
    K, root_n, p, c = _schatten(num_classes, samples_per_class, weight_decays, lam_H)
    return best_scale([1], [K - 1], c * (K - 1) * root_n**p, p)


def ce_cross_polytope_candidate(num_classes, samples_per_class, weight_decays, lam_H) -> Candidate:
    """Best cross-polytope for the objective of ce_etf_candidate, K even: classes in opposite pairs, rank K/2.

    Logits alpha I_(K/2) (x) [[1, -1], [-1, 1]]: loss log(1 + e^(-2 alpha) + (K-2) e^(-alpha))
    + (M+1)/2 Lam^(1/(M+1)) (K/2) (2 alpha sqrt n)^(2/(M+1)) (derived).

    >>> problem = 6, 1, (1e-3, 1e-3), 1e-3
    >>> ce_cross_polytope_candidate(*problem).loss < ce_etf_candidate(*problem).loss
    True
    """
    K, root_n, p, c = _schatten(num_classes, samples_per_class, weight_decays, lam_H)
    if K % 2:
        raise ValueError(f"num_classes must be even for a cross-polytope, got {num_classes}")
    margins, sizes = ([1, 2], [K - 2, 1]) if K > 2 else ([2], [1])
    return best_scale(margins, sizes, c * K / 2 * (2 * root_n) ** p, p)


def cross_polytope_wins(num_classes, depth) -> bool:
    """(K/2) 2^(2/(M+1)) < K - 1: whether the cross-polytope (K even) beats the simplex ETF as decays -> 0 (derived).

    Where it does it beats it at every decay at which the best ETF is not 0: at the same alpha both its fit and its
    penalty are lower. Where it does not it may still do so at larger decays, as for K = 4, M = 2 from 0.0118 on.

    >>> cross_polytope_wins(6, 1), cross_polytope_wins(4, 2), cross_polytope_wins(6, 2)
    (False, False, True)
    """
    K, M = integer("num_classes", num_classes, 2), integer("depth", depth)
    if K % 2:
        raise ValueError(f"num_classes must be even for a cross-polytope, got {num_classes}")
    return (K / 2) ** (M + 1) * 4 < (K - 1) ** (M + 1)


def ce_minimizer(num_classes, samples_per_class, lam_W, lam_H) -> Minimizer:
    """Global minimizer of 1/N sum CE(W h + b, y) + lam_W/2 |W|^2 + lam_H/2 |H|^2 + lam_b/2 |b|^2, n samples a class.

    logits = alpha (I - 11^T/K), alpha = max(0, log(1/sqrt(n lam_W lam_H) - K + 1)), b = 0 for any lam_b > 0; gram_W
    and gram_H are alpha (I - 11^T/K) times sqrt(n lam_H/lam_W) and its inverse (derived).

    >>> math.isclose(ce_minimizer(2, 1, 0.25, 0.25).logits[0, 0], math.log(3) / 2)
    True
    """
    K, n = integer("num_classes", num_classes, 2), integer("samples_per_class", samples_per_class)
    lam_W, lam_H = positive("lam_W", lam_W), positive("lam_H", lam_H)
    lam = math.sqrt(n * lam_W * lam_H)
    alpha = max(0.0, math.log(1 / lam - K + 1)) if lam * K < 1 else 0.0
    logits = alpha * (torch.eye(K, dtype=torch.float64) - 1 / K)
    gram_W, gram_H = logits * math.sqrt(n * lam_H / lam_W), logits * math.sqrt(lam_W / (n * lam_H))
    loss = math.log1p((K - 1) * math.exp(-alpha)) + lam * (K - 1) * alpha
    return Minimizer(loss, gram_W, gram_H, logits, torch.zeros(K, dtype=torch.float64), gram_H.diagonal() > 0, True)
