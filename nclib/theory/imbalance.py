"""Cross-entropy on imbalanced classes, one linear layer on free features: SELI, minority collapse, ReLU features.

Without a bias and without a sign constraint the problem is convex in the class logits Zbar: with D = diag(sqrt n_k),

    min over Zbar of  1/N sum_k n_k CE(Zbar e_k, k) + sqrt(lam_W lam_H) |Zbar D|_*,

and W W^T = sqrt(lam_H/lam_W) (T T^T)^(1/2), D Hbar^T Hbar D = sqrt(lam_W/lam_H) (T^T T)^(1/2) with T = Zbar D (Hong
& Ling 2023; derived, and verified against an independent optimizer in tests/test_theory_imbalance.py).
"""

import math

import numpy as np
import torch
from scipy.optimize import brentq

from nclib.theory._inputs import class_counts, integer, positive
from nclib.theory.deep_linear import ROUNDING, Minimizer


def seli(counts) -> tuple[torch.Tensor, torch.Tensor]:
    """(V S V^T, U S U^T), both (K, K), of (I - 11^T/K) diag(sqrt n) = V S U^T: the geometry as both decays -> 0.

    W W^T is proportional to the first, and the Gram matrix of sqrt(n_k) hbar_k (not of hbar_k) to the second; the
    logits are proportional to I - 11^T/K whatever the counts. Source: Thrampoulidis et al. 2022,
    simplex-encoded-labels interpolation.

    >>> V, U = seli([1, 7])  # 2 v v^T and 2 u u^T of v = (1, -1)/sqrt 2, u = (1, -sqrt 7)/sqrt 8
    >>> V.round(decimals=6).tolist(), U.round(decimals=6).tolist()
    ([[1.0, -1.0], [-1.0, 1.0]], [[0.25, -0.661438], [-0.661438, 1.75]])
    """
    n = class_counts(counts, 2)
    D = n.sqrt().diag()
    V, S, UT = torch.linalg.svd(D - D.mean(0))
    S[-1] = 0
    return (V * S) @ V.T, (UT.T * S) @ UT


def ce_collapse_size(num_samples, lam_W, lam_H) -> float:
    """N^2 lam_W lam_H: classes of at most this size share one feature (Hong & Ling 2023; derived).

    >>> ce_collapse_size(4, 0.25, 0.5)
    2.0
    """
    return integer("num_samples", num_samples) ** 2 * positive("lam_W", lam_W) * positive("lam_H", lam_H)


def relu_ce_collapse_size(num_samples, num_classes, lam_W, lam_H) -> float:
    """N^2 lam_W lam_H K/(K-1): with features >= 0, classes of at most this size are at 0 (Dang et al. 2024).

    >>> relu_ce_collapse_size(4, 3, 0.25, 0.5)
    3.0
    """
    K = integer("num_classes", num_classes, 2)
    return ce_collapse_size(num_samples, lam_W, lam_H) * K / (K - 1)


def relu_ce_minimizer(counts, lam_W, lam_H) -> Minimizer:
    """Global minimizer of 1/N sum CE(W h, y) + lam_W/2 |W|^2 + lam_H/2 |H|^2 with H >= 0, feature dimension >= K.

    With q_k = N sqrt(lam_W lam_H (K-1)/(K n_k)): alpha_k = max(0, log((K-1)(1/q_k - 1))), logits alpha_k (e_k - 1/K),
    orthogonal features |hbar_k|^2 = alpha_k sqrt((K-1)/K) sqrt(lam_W/(lam_H n_k)), and
    W = (I - 11^T/K) diag(sqrt(n_k lam_H/lam_W) sqrt(K/(K-1))) Hbar^T. Source: Dang, Tran, Nguyen & Ho 2024.

    >>> m = relu_ce_minimizer([4, 4], 1 / 8, 1 / 16)  # q = 1/4, alpha = log 3, |hbar|^2 = (log 3)/2
    >>> m.logits[0].round(decimals=6).tolist(), round(float(m.gram_H[0, 0]), 6)
    ([0.549306, -0.549306], 0.549306)
    """
    n, lam_W, lam_H = class_counts(counts, 2), positive("lam_W", lam_W), positive("lam_H", lam_H)
    K, N = len(n), n.sum()
    r = math.sqrt((K - 1) / K)
    q = N * (lam_W * lam_H / n).sqrt() * r
    survives = n > relu_ce_collapse_size(int(N), K, lam_W, lam_H) * (1 + ROUNDING)
    alpha = torch.where(survives, ((K - 1) * (1 / q - 1)).clamp(min=1).log(), 0.0)
    C = torch.eye(K, dtype=torch.float64) - 1 / K
    h2 = alpha * r * (lam_W / (lam_H * n)).sqrt()
    gram_W = C @ torch.diag(n * lam_H / lam_W / r**2 * h2) @ C
    penalty = ((lam_W * lam_H * n).sqrt() * r * alpha).sum()
    loss = float((n / N * ((K - 1) * (-alpha).exp()).log1p()).sum() + penalty)
    return Minimizer(loss, gram_W, h2.diag(), C * alpha, torch.zeros_like(n), h2 > 0, True)


def _two_group(k, w, s, mu):
    """argmin (a, d, e_A, e_B) of sum_g w_g CE_g + mu [(k_A-1) s_A a + (k_B-1) s_B d + sqrt(sum_g k_g s_g^2 e_g^2)].

    The logits of two groups of equal classes: a, d are the contrasts inside A and B, e_A and e_B the ones between
    the groups, so that the own class beats those of the other group by a(1-1/k_A) + e_A sqrt(K/(k_A k_B)). A
    contrast is 0 iff w_g/k_g <= mu s_g, at any value of the rest. The rest is smooth and strictly convex: damped
    Newton.
    """
    k, w, s = (np.asarray(v, dtype=float) for v in (k, w, s))
    kappa = math.sqrt(k.sum() / k.prod())
    margins = np.zeros((2, 2, 4))
    for g in range(2):
        margins[g, 0, g] = 1
        margins[g, 1, [g, 2 + g]] = 1 - 1 / k[g], kappa
    sizes = np.array([[k[0] - 1, k[1]], [k[1] - 1, k[0]]])
    linear = np.append(mu * (k - 1) * s, [0, 0])
    q = np.append([0, 0], k * s**2)

    def value(v):
        f = linear @ v + mu * math.sqrt(q @ v**2)
        with np.errstate(over="ignore"):
            return f + sum(w[g] * np.log1p(sizes[g] @ np.exp(-margins[g] @ v)) for g in range(2))

    def derivatives(v):
        g1, g2 = linear.copy(), np.zeros((4, 4))
        for g in range(2):
            e = sizes[g] * np.exp(-margins[g] @ v)
            p = e / (1 + e.sum())
            g1 -= w[g] * p @ margins[g]
            g2 += w[g] * margins[g].T @ (np.diag(p) - np.outer(p, p)) @ margins[g]
        if (r := math.sqrt(q @ v**2)) > 0:
            g1 += mu * q * v / r
            g2 += mu * (np.diag(q) / r - np.outer(q * v, q * v) / r**3)
        return g1, g2

    def capped(step):
        """No margin moves by more than 2: farther out, a quadratic model says nothing of an exponential."""
        return step * min(1, 2 / max(np.abs(margins @ step).max(), 1e-300))

    def newton(v, free):
        while True:
            g1, g2 = derivatives(v)
            step = np.zeros(4)
            step[free] = -np.linalg.solve(g2[np.ix_(free, free)], g1[free])
            step = capped(step)
            f, t = value(v), 1.0
            while not value(v + t * step) < f and t > 1e-12:
                t /= 2
            if t <= 1e-12:
                polished = v + step
                better = np.abs(derivatives(polished)[0][free]).max() < np.abs(g1[free]).max()
                return polished if better else v
            v = v + t * step

    inside = [g for g in range(2) if k[g] > 1 and w[g] / k[g] > mu * s[g] * (1 + ROUNDING)]
    v = newton(np.zeros(4), inside) if inside else np.zeros(4)
    between = derivatives(v)[0]
    if math.sqrt((between[2:] ** 2 / q[2:]).sum()) <= mu:
        return v, value(v)
    down, t = np.append([0, 0], -between[2:] / q[2:]), 1.0
    down /= np.abs(margins @ down).max()
    while not value(v + t * down) < value(v) and t > 1e-12:
        t /= 2
    v = newton(v + t * down, [*inside, 2, 3])
    return v, value(v)


def two_group_ce_minimizer(k_A, n_A, k_B, n_B, lam_W, lam_H) -> Minimizer:
    """Global minimizer of 1/N sum CE(W h, y) + lam_W/2 |W|^2 + lam_H/2 |H|^2: k_A classes of size n_A, k_B of n_B.

    The convex problem of the module's docstring in four scalars (Hong & Ling 2023; derived). The contrast inside
    group B is logits[-1, -1] - logits[-2, -1]: 0 iff n_B <= ce_collapse_size(N, lam_W, lam_H), when all of B shares
    one feature; that feature is in general not 0, so survives can be True there.

    >>> z = two_group_ce_minimizer(2, 4, 2, 4, 1 / 36, 1 / 16).logits  # e^margin + K - 1 = 12
    >>> round(float((z[0, 0] - z[3, 0]).exp()), 9), round(float((z[3, 3] - z[2, 3]).exp()), 9)
    (9.0, 9.0)
    """
    names = ("k_A", "n_A", "k_B", "n_B")
    k_A, n_A, k_B, n_B = (integer(name, v) for name, v in zip(names, (k_A, n_A, k_B, n_B), strict=True))
    lam_W, lam_H = positive("lam_W", lam_W), positive("lam_H", lam_H)
    k, n, K, N = np.array([k_A, k_B]), np.array([n_A, n_B]), k_A + k_B, k_A * n_A + k_B * n_B
    (a, d, e_A, e_B), loss = _two_group(k, k * n / N, np.sqrt(n), math.sqrt(lam_W * lam_H))
    A = (torch.arange(K) < k_A).double()
    B = 1 - A
    inside_A, inside_B = A.diag() - torch.outer(A, A) / k_A, B.diag() - torch.outer(B, B) / k_B
    u = (A * k_B - B * k_A) / math.sqrt(K * k_A * k_B)
    r = A * math.sqrt(n_A) * e_A - B * math.sqrt(n_B) * e_B
    sizes = A * n_A + B * n_B
    logits = a * inside_A + d * inside_B + torch.outer(u, r / sizes.sqrt())
    contrasts = a * math.sqrt(n_A) * inside_A + d * math.sqrt(n_B) * inside_B
    TTt = contrasts + r.norm() * torch.outer(u, u)
    TtT = contrasts + torch.outer(r, r) / r.norm() if r.any() else contrasts
    gram_H = math.sqrt(lam_W / lam_H) * TtT / torch.outer(sizes, sizes).sqrt()
    gram_W = math.sqrt(lam_H / lam_W) * TTt
    return Minimizer(float(loss), gram_W, gram_H, logits, torch.zeros_like(sizes), gram_H.diagonal() > 0, True)


def layer_peeled_ratio(K_major, K_minor, E_W, E_H) -> float:
    """R0 = n_A/n_B at and above which the K_minor minority classes of the layer-peeled model share one classifier.

    Model: min sum_k (n_k/N) CE subject to mean_k |w_k|^2 <= E_W, mean_k |hbar_k|^2 <= E_H (Fang et al. 2021), that
    is |Zbar|_* <= K sqrt(E_W E_H). The contrast d inside the minority is 0 iff n_B/N <= mu, the multiplier; at
    equality R0 = 1/(1 - p_own + p_other), p the softmax of a majority sample, own class and another majority class
    (derived). So R0 is where the solution with mu = n_B/N uses up the budget: it uses 0 at ratio 1 and ever more as
    the ratio grows. R0 beyond e^512 is given as inf. Raises ValueError for K_major < 1, K_minor < 2, a budget <= 0.

    >>> r, E = math.sqrt(44 / 3), 10 / 9 * math.log(2)  # minority samples: softmax (2, 2, 1)/5
    >>> round(layer_peeled_ratio(1, 2, E, E) / (r * (2**r + 2) / 10), 9)
    1.0
    """
    k = np.array([integer("K_major", K_major), integer("K_minor", K_minor, 2)])
    budget = k.sum() * math.sqrt(positive("E_W", E_W) * positive("E_H", E_H))

    def excess(log_R):
        n = np.array([math.exp(log_R), 1.0])
        (a, _, e_A, e_B), _ = _two_group(k, k * n / (k @ n), np.ones(2), 1 / (k @ n))
        return (k[0] - 1) * a + math.sqrt(k @ [e_A**2, e_B**2]) - budget

    high = 1.0
    while excess(high) < 0:
        high *= 2
        if high > 512:
            return math.inf
    return math.exp(brentq(excess, 0, high, xtol=1e-14))
