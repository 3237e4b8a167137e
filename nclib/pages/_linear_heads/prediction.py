"""A deep linear head P = W_M ... W_1 on features, held against the closed form in the metrics of Dang et al. 2023.

`target` is the Minimizer of nclib.theory.deep_linear. Means are centered where the head has an unregularized bias (the
target is then a simplex ETF) and as they are where it has none (an orthogonal frame, general if imbalanced).
"""

import torch
from torch.linalg import norm

from nclib import metrics


def product(weights):
    """P = W_M ... W_1 of (W_1, ..., W_M)."""
    P = weights[-1]
    for W in reversed(weights[:-1]):
        P = P @ W
    return P


def overlap(target):
    """P Hbar at the minimizer, (K, K): its logits without the bias."""
    return target.logits - target.bias[:, None]


def row_ratio(target):
    """kappa (K,) with w_k = kappa_k hbar_k at the minimizer: c s_k^(2M) + N lam_H, and 0 for a collapsed class.

    Dang et al. 2023, Theorems 4.1 and 4.4 (NC3); at M = 1 it is sqrt(n_k lam_H / lam_W).
    """
    kappa = target.gram_W.diagonal() / overlap(target).diagonal()
    return torch.where(target.survives, kappa, 0.0)


def distance(A, B):
    """|A/|A| - B/|B||, Frobenius norms."""
    return float(norm(A / norm(A) - B / norm(B)))


def errors(stats, P, target):
    """The five curves of Dang et al. 2023 as {name: value}, for class statistics of H and P (K, d).

    nc1: centered at the sample mean, as the authors' code does. nc2_W, nc2_H, nc3_WH: distances, after division by the
    Frobenius norm, of P P^T, Hbar^T Hbar and P Hbar to those of the target. nc3: that of P to diag(kappa) Hbar^T. In a
    balanced problem the targets are multiples of I or I - 11^T/K, so these are NC1, NC2 and NC3 of Theorems 3.1, 3.2.
    """
    M = class_vectors(stats, target)
    P = P.double()
    return {
        "nc1": metrics.nc1(stats, center="sample"),
        "nc2_W": distance(P @ P.T, target.gram_W.to(P)),
        "nc2_H": distance(M @ M.T, target.gram_H.to(P)),
        "nc3_WH": distance(P @ M.T, overlap(target).to(P)),
        "nc3": metrics.nc3(P, row_ratio(target).to(P)[:, None] * M),
    }


def class_vectors(stats, target):
    """Hbar^T (K, d): the class means, minus their mean where the target has a bias."""
    return stats.centered_means if target.bias.any() else stats.means


def floors(authors, target):
    """`errors` of the exact minimizer `target` against another one, `authors`: what no training can go below."""
    kappa, wrong = row_ratio(target), row_ratio(authors)
    rows = torch.diag(target.gram_H.diagonal().sqrt())
    return {
        "nc2_W": distance(target.gram_W, authors.gram_W),
        "nc2_H": distance(target.gram_H, authors.gram_H),
        "nc3_WH": distance(overlap(target), overlap(authors)),
        "nc3": distance(kappa[:, None] * rows, wrong[:, None] * rows),
    }


def geometry(gram_W, gram_H, WH):
    """Lengths, cosines and factors of the rows w_k of P and of hbar_k, from the (K, K) P P^T, Hbar^T Hbar, P Hbar."""
    w, h = gram_W.diagonal().sqrt(), gram_H.diagonal().sqrt()
    return {
        "gram_W": gram_W,
        "gram_H": gram_H,
        "gram_WH": WH,
        "length_w": w,
        "length_h": h,
        "cos_w": gram_W / torch.outer(w, w),
        "cos_h": gram_H / torch.outer(h, h),
        "cos_wh": WH.diagonal() / (w * h),
        "ratio": w / h,
    }


def measured_geometry(stats, P, target):
    """`geometry` of a head and features."""
    M, P = class_vectors(stats, target), P.double()
    return geometry(P @ P.T, M @ M.T, P @ M.T)


def predicted_geometry(target):
    """`geometry` of the minimizer."""
    return geometry(target.gram_W, target.gram_H, overlap(target))
