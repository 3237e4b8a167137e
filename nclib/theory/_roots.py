"""Scalar roots behind the closed forms: bracketed first, then polished by Newton steps."""

import math
from typing import NamedTuple

from scipy.optimize import brentq
from scipy.special import expit, xlogy


def log_beta_at(y, M) -> float:
    """log of M x^(M-1)/(1+x^M)^2 at y = log x^M: concave in y, so neither depth nor beta can overflow."""
    return math.log(M) + (1 - 1 / M) * y - 2 * (max(y, 0) + math.log1p(math.exp(-abs(y))))


def above(log_beta, M) -> float:
    """A y to the right of the largest root, because (1+x^M)^2 > x^(2M)."""
    return (math.log(M) - log_beta) * M / (M + 1) + 1


def root(log_beta, M, low, high) -> float:
    """The root y in a bracket with a sign change, polished by Newton steps for as long as they reduce the residual."""
    residual = lambda y: log_beta_at(y, M) - log_beta  # noqa: E731
    y = brentq(residual, low, high, xtol=1e-14)
    while slope := 1 - 1 / M - 2 * float(expit(y)):
        step = y - residual(y) / slope
        if not abs(residual(step)) < abs(residual(y)):
            break
        y = step
    return y


class Candidate(NamedTuple):
    """loss: objective of a family of logits at its best scale alpha (0 if the zero solution is better)."""

    loss: float
    alpha: float


def best_scale(margins, sizes, cost, p) -> Candidate:
    """argmin over alpha >= 0 of log(1 + sum_i m_i e^(-a_i alpha)) + cost alpha^p, with 0 < p <= 1 and K = 1 + sum m_i.

    Positive stationary points solve log w + (1-p) log alpha = log(cost p), w = minus the slope of the first term.
    The left side rises up to alpha h(alpha) = 1-p, h = -(log w)' >= 1/K, and falls after it: at most two, and the
    larger one is the minimum. Its bracket ends where w alpha^(1-p) <= K e^(-alpha/2). (Margins 1, or 1 and 2 with m
    = (K-2, 1), K even.)
    """
    terms, least = list(zip(margins, sizes, strict=True)), min(margins)
    K = 1 + sum(sizes)

    def slope(alpha):
        scaled = [(a, m * math.exp((least - a) * alpha)) for a, m in terms]  # far out e^(-alpha) itself is 0
        first = sum(a * v for a, v in scaled)
        log_w = math.log(first) - least * alpha - math.log1p(math.exp(-least * alpha) * sum(v for _, v in scaled))
        return log_w, sum(a * a * v for a, v in scaled) / first - math.exp(log_w)

    def excess(alpha):
        return slope(alpha)[0] + float(xlogy(1 - p, alpha)) - math.log(cost * p)

    def loss(alpha):
        return math.log1p(sum(m * math.exp(-a * alpha) for a, m in terms)) + cost * alpha**p

    peak = brentq(lambda v: v * slope(v)[1] - (1 - p), 0, K * (1 - p) + 1) if p < 1 else 0.0
    if excess(peak) <= 0:
        return Candidate(loss(0.0), 0.0)
    alpha = brentq(excess, peak, max(peak, 2 * math.log(K / (cost * p))) + 1, xtol=1e-14)
    alpha -= excess(alpha) / ((1 - p) / alpha - slope(alpha)[1])
    return min(Candidate(loss(alpha), alpha), Candidate(loss(0.0), 0.0))
