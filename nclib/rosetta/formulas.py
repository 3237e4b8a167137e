"""The formulas of public codebases for collapse metrics that class statistics and a classifier allow, by name.

M are the rows mu_k - mu_C of the K' present classes, mu_C the mean of class means, mu_S the mean of samples, v_k the
mean squared distance of a class to its mean, Sw the within-class covariance pooled over samples, D distances of class
means; a simplex is T = (I - 11^T/K') / sqrt(K'-1). Every formula is what a code computes, in float64 and at the exact
rank of the class means, so without what single precision or a pseudo-inverse with a tolerance adds to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from nclib import metrics
from nclib._inputs import present_classes
from nclib.statistics import ClassStatistics


@dataclass(frozen=True)
class Measured:
    """Statistics and a classifier as the formulas read them; W, b of all classes or None."""

    stats: ClassStatistics
    W_all: Tensor | None = None
    b_all: Tensor | None = None

    @cached_property
    def means(self) -> Tensor:
        """Means (K', d) of the present classes."""
        return self.stats.means[present_classes(self.stats)]

    @cached_property
    def M(self) -> Tensor:
        """Means (K', d) minus their own mean."""
        return self.stats.centered_means

    @cached_property
    def S(self) -> Tensor:
        """Means (K', d) minus the mean of samples, through the centered means, which an offset does not round."""
        return self.M - self.weights @ self.M

    @cached_property
    def weights(self) -> Tensor:
        """Shares (K',) of the samples, n_k/N."""
        return self.stats.counts[self.stats.present].double() / self.stats.counts.sum()

    @cached_property
    def v(self) -> Tensor:
        """Within-class variances (K',), spread over count."""
        return (self.stats.spread / self.stats.counts.clamp(min=1))[self.stats.present]

    @cached_property
    def K(self) -> int:
        """K', how many classes are present."""
        return len(self.means)

    @cached_property
    def W(self) -> Tensor:
        """Rows (K', d) of the classifier, those of the present classes."""
        return self.W_all[self.stats.present.to(self.W_all.device)].double().to(self.M.device)

    @cached_property
    def W_centered(self) -> Tensor:
        """Rows (K', d) of the present classes, minus the mean over all classes."""
        W = self.W_all.double().to(self.M.device)
        return (W - W.mean(0))[self.stats.present]

    @property
    def trace_within(self) -> Tensor:
        """tr Sigma_W, a scalar: the mean squared distance of a sample to its class mean."""
        return self.stats.spread.sum() / self.stats.counts.sum()

    @property
    def sample_mean(self) -> Tensor:
        """Mean (d,) over samples."""
        return self.stats.sample_mean


class Formula(NamedTuple):
    """text: the formula; needs: "" | "scatter" | "W" | "W, b"; value: Measured -> number."""

    text: str
    needs: str
    value: Callable[[Measured], float]


def _unit(A):
    return A / torch.linalg.vector_norm(A, dim=1, keepdim=True)


def _cosines(A, B=None):
    """Cosines of pairs j < k of rows, or of rows j of A and k of B."""
    j, k = torch.triu_indices(len(A), len(A), 1, device=A.device)
    return (_unit(A) @ _unit(A if B is None else B).mT)[j, k]


def _cv(x, correction=0):
    return x.std(correction=correction) / x.mean()


def _gram(A, B=None, target="etf"):
    """| A B^T / |.| - T |, T a simplex's Gram matrix, or the identity's."""
    K = len(A)
    G = A @ (A if B is None else B).mT
    eye = torch.eye(K, dtype=G.dtype, device=G.device)
    T = eye / math.sqrt(K) if target == "of" else (eye - 1 / K) / math.sqrt(K - 1)
    return (G / G.norm() - T).norm()


def _inverse_trace(within, D):
    """tr(within (D^T D / K')^+) / K' at the exact rank min(K' - 1, d) of centered rows D."""
    R = min(len(D) - 1, D.shape[1])
    _, s, Vt = torch.linalg.svd(D, full_matrices=False)
    return (((Vt[:R] @ within) * Vt[:R]).sum(1) / s[:R].square()).sum()


def _weighted(m):
    """Sb = sum_k n_k/N (mu_k - mu_S)(mu_k - mu_S)^T, divided by K'."""
    return _inverse_trace(m.stats.within, m.weights.sqrt()[:, None] * m.S) / m.K


def _absent_zero(m, center):
    """Absent classes are rows of zeros, which count in the center, in Sb and in K."""
    means = m.stats.means
    mean = means.mean(0) if center == "class" else m.sample_mean
    D = means - mean
    G = D.mT @ D / len(D)
    values, V = torch.linalg.eigh(G)
    R = min(len(means) - 1, D.shape[1])
    top, V = values[-R:], V[:, -R:]
    return ((V.mT @ m.stats.within * V.mT).sum(1) / top).sum() / len(means)


def _vci(m):
    """1 - tr((Sw + Sb)^+ Sb) / R with R = min(d, K'-1), as the mean of the within-class share of R directions: none of
    the digits of a small value cancels."""
    R = min(m.stats.means.shape[1], m.K - 1)
    _, s, Vt = torch.linalg.svd(m.S, full_matrices=False)
    V, s = Vt[:R], s[:R] / math.sqrt(m.K)
    values, U = torch.linalg.eigh(m.stats.within)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    A = (V @ U[:, kept]) * s[:, None]
    # What reaches out of the span of Sw has no variance within: it counts as fully between, by a divisor of 0.
    outside = (V - V @ U[:, kept] @ U[:, kept].mT) * s[:, None]
    B = (A / values[kept]) @ A.mT  # tr((Sw + Sb)^-1 Sb) = tr(B (1 + B)^-1) where Sw spans the directions of Sb
    reach = torch.linalg.eigvalsh(B)
    if outside.norm() <= 1e-8 * s.norm():
        return (1 / (1 + reach)).sum() / R
    between = m.S.mT @ m.S / m.K
    return 1 - torch.trace(torch.linalg.pinv(m.stats.within + between, hermitian=True) @ between) / R


def _distances(m):
    return torch.pdist(m.M)


def _pairs(m, v, power=1):
    j, k = torch.triu_indices(m.K, m.K, 1, device=m.M.device)
    return (v[j] + v[k]) / (2 * _distances(m) ** (2 * power))


def _v1(m):
    n = m.stats.counts[m.stats.present]
    return m.stats.spread[m.stats.present] / (n - 1)


def _both_orders(x):
    return torch.cat([x, x])


def _aligned(W, M):
    return (_unit(W) * _unit(M)).sum(1)


def _root(W, M):
    return (W / W.norm() - M / M.norm()).norm()


def _signed_log(m):
    r = m.S.norm(dim=1).log()
    j, k = torch.triu_indices(m.K, m.K, 1, device=r.device)
    return (r[j] - r[k]).mean()


def _log_distances(M):
    return -torch.pdist(_unit(M)).log()


def _square_all(m):
    K, U = m.K, _unit(m.M)
    E = (torch.eye(K, dtype=U.dtype, device=U.device) - 1 / K) * K / (K - 1)
    return (U @ U.mT - E).square().sum() / K**2


def _absent_minus_mean(m):
    """Absent classes enter with the mean 0, so as -mu_S, and with their row of W."""
    W = m.W_all.double().to(m.M.device)
    return _root(W, m.stats.means - m.sample_mean) ** 2


def _coordinate_sums(m):
    return _unit(_unit(m.W) - _unit(m.M)).sum(1).mean()


def _subspace(m):
    Q = [torch.linalg.qr(A.mT)[0] for A in (m.W, m.means)]
    return torch.linalg.svdvals(Q[0].mT @ Q[1]).mean()


def _squares(x):
    return x.square().mean()


F = Formula
FORMULAS = {
    "nc1.colab": F("tr(Sw Sb^+), center mu_C", "scatter", lambda m: metrics.nc1(m.stats) * m.K),
    "nc1.paper": F("tr(Sw Sb^+) / K', center mu_C", "scatter", lambda m: metrics.nc1(m.stats)),
    "nc1.sample_center": F("tr(Sw Sb^+) / K', center mu_S", "scatter", lambda m: metrics.nc1(m.stats, center="sample")),
    "nc1.sample_center_no_K": F(
        "tr(Sw Sb^+), center mu_S", "scatter", lambda m: metrics.nc1(m.stats, center="sample") * m.K
    ),
    "nc1.weighted": F("tr(Sw Sb^+) / K', center mu_S, classes weigh n_k/N in Sb", "scatter", _weighted),
    "nc1.absent_zero_class": F(
        "tr(Sw Sb^+) / K, absent classes are rows of zeros", "scatter", lambda m: _absent_zero(m, "class")
    ),
    "nc1.absent_zero_sample": F(
        "tr(Sw Sb^+) / K, center mu_S, absent classes are rows of zeros", "scatter", lambda m: _absent_zero(m, "sample")
    ),
    "nc1.vci": F("1 - tr((Sw + Sb)^+ Sb) / min(d, K'-1), center mu_S", "scatter", _vci),
    "nc1t.ratio": F("tr Sw / mean_k |mu_k - mu_C|^2", "", lambda m: m.trace_within / (m.M.square().sum() / m.K)),
    "nc1t.sample_center": F(
        "tr Sw / mean_k |mu_k - mu_S|^2", "", lambda m: m.trace_within / (m.S.square().sum() / m.K)
    ),
    "nc1t.weighted": F(
        "tr Sw / sum_k n_k/N |mu_k - mu_S|^2, + 1e-8 below",
        "",
        lambda m: m.trace_within / ((m.weights * m.S.square().sum(1)).sum() + 1e-8),
    ),
    "nc1t.class_within": F(
        "mean_k v_k / mean_k |mu_k - mu_S|^2", "", lambda m: m.v.mean() / (m.S.square().sum() / m.K)
    ),
    "nc1t.share": F(
        "t / (1 + t), t = tr Sw / mean_k |mu_k - mu_S|^2",
        "",
        lambda m: m.trace_within / (m.trace_within + m.S.square().sum() / m.K),
    ),
    "cdnv.mean": F("mean of (v_j + v_k) / (2 D^2)", "", lambda m: _pairs(m, m.v).mean()),
    "cdnv.power2": F("mean of (v_j + v_k) / (2 D^4)", "", lambda m: _pairs(m, m.v, 2).mean()),
    "cdnv.ddof1": F("mean of (v_j + v_k) / (2 D^2), v_k with n_k - 1", "", lambda m: _pairs(m, _v1(m)).mean()),
    "cdnv.all_pairs": F(
        "sum over present pairs / (K(K-1)/2), K with absent classes",
        "",
        lambda m: _pairs(m, m.v).sum() / math.comb(len(m.stats.means), 2),
    ),
    "norm.cv": F("cv of |m_k|", "", lambda m: _cv(m.M.norm(dim=1))),
    "norm.cv_ddof1": F("cv of |m_k|, ddof 1", "", lambda m: _cv(m.M.norm(dim=1), 1)),
    "norm.cv_sample": F("cv of |mu_k - mu_S|", "", lambda m: _cv(m.S.norm(dim=1))),
    "norm.cv_sample_ddof1": F("cv of |mu_k - mu_S|, ddof 1", "", lambda m: _cv(m.S.norm(dim=1), 1)),
    "norm.log_cv": F("cv of log |m_k|", "", lambda m: _cv(m.M.norm(dim=1).log())),
    "norm.log_cv_ddof1": F("cv of log |m_k|, ddof 1", "", lambda m: _cv(m.M.norm(dim=1).log(), 1)),
    "norm.squared_cv_ddof1": F("cv of |m_k|^2, ddof 1", "", lambda m: _cv(m.M.square().sum(1), 1)),
    "norm.signed_log_diff": F("mean over j < k of log r_j - log r_k, r_k = |mu_k - mu_S|", "", _signed_log),
    "norm.W_cv_ddof1": F("cv of |w_k|, ddof 1", "W", lambda m: _cv(m.W_all.double().norm(dim=1), 1)),
    "angle.abs_dev": F("mean |cos(m_j, m_k) + 1/(K'-1)|", "", lambda m: (_cosines(m.M) + 1 / (m.K - 1)).abs().mean()),
    "angle.abs_dev_sample": F(
        "mean |cos + 1/(K'-1)|, center mu_S", "", lambda m: (_cosines(m.S) + 1 / (m.K - 1)).abs().mean()
    ),
    "angle.abs_dev_W": F(
        "mean |cos(w_j, w_k) + 1/(K-1)|, W as it is",
        "W",
        lambda m: (_cosines(m.W_all.double()) + 1 / (len(m.W_all) - 1)).abs().mean(),
    ),
    "angle.std": F("std of cosines", "", lambda m: _cosines(m.M).std(correction=0)),
    "angle.std_pairs_ddof1": F("std of cosines over P - 1", "", lambda m: _cosines(m.M).std()),
    "angle.std_pairs_ddof1_sample": F("std of cosines over P - 1, center mu_S", "", lambda m: _cosines(m.S).std()),
    "angle.std_ordered_ddof1": F(
        "std of cosines over ordered pairs, 2P - 1, center mu_S", "", lambda m: _both_orders(_cosines(m.S)).std()
    ),
    "angle.signed_dev": F(
        "mean of cos + 1/(K'-1), signed, center mu_S", "", lambda m: (_cosines(m.S) + 1 / (m.K - 1)).mean()
    ),
    "angle.square_all": F("|U U^T - E|^2 / K'^2, E the unit simplex's Gram matrix", "", _square_all),
    "angle.square_off": F(
        "mean over pairs of (cos + 1/(K'-1))^2", "", lambda m: _squares(_cosines(m.M) + 1 / (m.K - 1))
    ),
    "angle.inner_mean": F("mean of <m_j, m_k>, not normalized", "", lambda m: -m.M.square().sum() / (m.K * (m.K - 1))),
    "angle.centroid_similarity": F(
        "(mean cos(mu_j, mu_k) + 1) / 2, means as they are", "", lambda m: (_cosines(m.means).mean() + 1) / 2
    ),
    "angle.condition": F("condition number of the means as they are", "", lambda m: torch.linalg.cond(m.means)),
    "gnc2.log_mean": F("mean of -log |u_j - u_k|, centered", "", lambda m: _log_distances(m.M).mean()),
    "gnc2.log_var": F("variance of it", "", lambda m: _log_distances(m.M).var(correction=0)),
    "gnc2.log_cv": F("std / mean of it", "", lambda m: _cv(_log_distances(m.M))),
    "gnc2.uncentered_mean": F(
        "mean of -log |u_j - u_k|, means as they are", "", lambda m: _log_distances(m.means).mean()
    ),
    "gnc2.uncentered_cv_ddof1": F("std (P - 1) / mean of it", "", lambda m: _cv(_log_distances(m.means), 1)),
    "gnc2.dist_var": F("variance of |u_j - u_k|", "", lambda m: torch.pdist(_unit(m.M)).var(correction=0)),
    "etf.W": F("|W W^T / |.| - simplex|, W as it is", "W", lambda m: _gram(m.W_all.double())),
    "etf.W_centered": F(
        "the same after W minus its mean row", "W", lambda m: _gram(m.W_all.double() - m.W_all.double().mean(0))
    ),
    "etf.M": F("|M M^T / |.| - simplex|, center mu_C", "", lambda m: _gram(m.M)),
    "etf.M_sample": F("the same, center mu_S", "", lambda m: _gram(m.S)),
    "etf.repx": F("|U U^T - E| / |E|", "", lambda m: ((m.K - 1) * _square_all(m)).sqrt()),
    "of.W": F("|W W^T / |.| - I/sqrt K|", "W", lambda m: _gram(m.W_all.double(), target="of")),
    "of.M": F("the same for the means as they are", "", lambda m: _gram(m.means, target="of")),
    "nc3.squared": F("|W/|W| - M/|M||^2", "W", lambda m: _root(m.W, m.M) ** 2),
    "nc3.squared_sample": F("the same, center mu_S", "W", lambda m: _root(m.W, m.S) ** 2),
    "nc3.root": F("|W/|W| - M/|M||", "W", lambda m: _root(m.W, m.M)),
    "nc3.root_sample": F("the same, center mu_S", "W", lambda m: _root(m.W, m.S)),
    "nc3.root_uncentered": F("the same, means as they are", "W", lambda m: _root(m.W, m.means)),
    "nc3.absent_minus_mean": F("squared, center mu_S, an absent class enters as -mu_S", "W", _absent_minus_mean),
    "nc3.product": F("|W M^T / |.| - simplex|, center mu_S", "W", lambda m: _gram(m.W, m.S)),
    "nc3.product_class": F("the same, center mu_C", "W", lambda m: _gram(m.W, m.M)),
    "nc3.product_Wcentered": F("the same, W minus its mean row, center mu_S", "W", lambda m: _gram(m.W_centered, m.S)),
    "nc3.product_uncentered": F("the same, means as they are", "W", lambda m: _gram(m.W, m.means)),
    "nc3.cos": F("mean cos(w_k, m_k)", "W", lambda m: _aligned(m.W, m.M).mean()),
    "nc3.cos_sample": F("the same, center mu_S", "W", lambda m: _aligned(m.W, m.S).mean()),
    "nc3.cos_cv": F("std / mean of it", "W", lambda m: _cv(_aligned(m.W, m.M))),
    "nc3.cos_cv_ddof1": F("the same, ddof 1", "W", lambda m: _cv(_aligned(m.W, m.M), 1)),
    "nc3.unit_distance": F("mean |w_k/|w_k| - m_k/|m_k||", "W", lambda m: (_unit(m.W) - _unit(m.M)).norm(dim=1).mean()),
    "nc3.dot_var": F("variance (ddof 1) of <w_k, m_k>", "W", lambda m: (m.W * m.M).sum(1).var()),
    "nc3.off_diagonal": F("mean over j < k of cos(w_j, m_k), center mu_S", "W", lambda m: _cosines(m.W, m.S).mean()),
    "nc3.coordinate_sum": F("mean of the sum of coordinates of the unit vector along w - m", "W", _coordinate_sums),
    "nc3.subspace": F("mean cosine of principal angles of W and the means as they are", "W", _subspace),
    "nc4.bias_norm": F(
        "|W mu_S + b|",
        "W, b",
        lambda m: (m.W_all.double().to(m.M.device) @ m.sample_mean + m.b_all.double().to(m.M.device)).norm(),
    ),
}
