"""Nine ways in which a measurement of collapse goes wrong: a way that is in use, nclib's, and a loop in float64.

Metrics "naive", "ours" and "truth" are one number of a `trap` computed in three ways; TRAPS of `views` says which. The
truth is computed from the definition, class by class and pair by pair.
"""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics, nulls
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics, StatisticsAccumulator

double = torch.float64


@dataclass(frozen=True)
class Traps(Experiment):
    """seed: of everything that is drawn."""

    NAME: ClassVar[str] = "measure.traps"

    seed: int

    def run(self, device="cpu"):
        """The three values of every trap, on the CPU."""
        found = []
        for trap in TRAPS:
            values = trap(torch.Generator().manual_seed(self.seed))
            found.append(rows(dict(zip(("naive", "ours", "truth"), values, strict=True)), trap=trap.__name__))
        return pd.concat(found, ignore_index=True)


def one_pass(generator):
    """tr Sigma_W / tr Sigma_B of features late in training (spread 0.0003 about means near 10), in batches of 100.

    Naive: E[h^2] - E[h]^2 for each class, from sums of h and h^2 in float32.
    """
    K, d = 10, 64
    M, y = 10 + _randn(generator, K, d), torch.arange(2000) % K
    H = (M[y] + 3e-4 * _randn(generator, len(y), d)).float()
    accumulator, counts = StatisticsAccumulator(K, d), y.bincount()[:, None]
    S, Q = torch.zeros(K, d), torch.zeros(K, d)
    for h, labels in zip(H.split(100), y.split(100), strict=True):
        accumulator.update(h, labels)
        S.index_add_(0, labels, h)
        Q.index_add_(0, labels, h.square())
    mean = S / counts
    within = ((Q / counts - mean.square()).sum(1) * counts[:, 0]).sum() / len(y)
    naive = within / (mean - mean.mean(0)).square().sum(1).mean()
    means, variances = _loop(H, y, K)
    center = sum(means) / K
    between = sum(float((m - center).square().sum()) for m in means) / K
    truth = sum(len(H[y == k]) * v for k, v in enumerate(variances)) / len(y) / between
    return naive, metrics.nc1_trace_ratio(accumulator.compute()), truth


def absent_center(generator):
    """Mean distance of class means from their center; of a vocabulary of 1,000 classes 400 occur.

    Naive: the center is the mean of all 1,000 rows, which are zero for the classes that do not occur.
    """
    K, seen, d = 1000, 400, 32
    M, y = 1 + _randn(generator, K, d), torch.arange(4000) % seen
    H = M[y] + 0.1 * _randn(generator, len(y), d)
    stats = ClassStatistics.from_features(H, y, K)
    means, _ = _loop(H, y, seen)
    center = sum(means) / seen
    truth = sum(float((m - center).norm()) for m in means) / seen
    naive = (stats.means - stats.means.mean(0))[stats.present].norm(dim=1).mean()
    return naive, stats.centered_means.norm(dim=1).mean(), truth


def absent_vote(generator):
    """NC4, the share of new samples on which classifier and nearest class mean agree; 20 of 50 classes do not occur.

    Class means are of two samples, as those of rare tokens. Naive: the zero rows of absent classes take part.
    """
    K, seen, d = 50, 30, 128
    W, y = _randn(generator, K, d), torch.arange(60) % seen
    W[seen:] = 0
    train = W[y] + 1.6 * _randn(generator, len(y), d)
    stats, (means, _) = ClassStatistics.from_features(train, y, K), _loop(train, y, seen)
    H = (W[:seen] + 1.6 * _randn(generator, 8, seen, d)).flatten(0, 1)
    hits = 0
    for h in H:
        nearest = min(range(seen), key=lambda k: float((h - means[k]).square().sum()))
        hits += nearest == max(range(K), key=lambda k: float(W[k] @ h))
    naive = metrics.ncc_agreement(H, W, None, stats.means)
    return naive, metrics.ncc_agreement(H, W, None, stats.means, stats.present), hits / len(H)


def cutoff(generator):
    """NC1 = tr(Sigma_W Sigma_B^+)/K where the singular values of the class means spread over a factor of 1,000.

    Naive: torch.linalg.pinv of the covariance in float32 with its default tolerance. Truth: with C orthonormal
    contrasts of the classes and (C M)^T = Q R, x^T Sigma_B^+ x = K |R^-1 Q^T x|^2, summed sample by sample.
    """
    K, d = 10, 512
    C = torch.linalg.qr(torch.cat([torch.ones(K, 1, dtype=double), _randn(generator, K, K - 1)], 1)).Q[:, 1:]
    V = torch.linalg.qr(_randn(generator, d, K - 1)).Q
    M, y = (C * torch.logspace(0, 3, K - 1, dtype=double)) @ V.mT, torch.arange(1000) % K
    H = M[y] + 0.1 * _randn(generator, len(y), d)
    stats = ClassStatistics.from_features(H, y, K)
    naive = (stats.within.float() @ torch.linalg.pinv(stats.between.float())).trace() / K
    means, _ = _loop(H, y, K)
    Q, R = torch.linalg.qr((C.mT @ torch.stack(means)).mT)
    x = [
        torch.linalg.solve_triangular(R, Q.mT @ (h - means[k])[:, None], upper=True) for h, k in zip(H, y, strict=True)
    ]
    return naive, metrics.nc1(stats), sum(float(v.square().sum()) for v in x) / len(y)


def offset(generator):
    """Mean CDNV of 100 classes whose features share an offset of 1,000 in every coordinate.

    Naive: distances of means by torch.cdist in float32, which expands |a - b|^2 into |a|^2 + |b|^2 - 2 a b.
    """
    K, d = 100, 64
    M, y = 1000 + 0.3 * _randn(generator, K, d), torch.arange(2000) % K
    H = (M[y] + 0.03 * _randn(generator, len(y), d)).float()
    stats = ClassStatistics.from_features(H, y, K)
    v, means = (stats.spread / stats.counts).float(), stats.means.float()
    pairs = torch.triu_indices(K, K, 1)
    naive = ((v[:, None] + v) / (2 * torch.cdist(means, means).square()))[*pairs].mean()
    means, variances = _loop(H, y, K)
    return naive, metrics.cdnv_summary(stats).mean, _mean(_cdnv(means, variances))


def origin(generator):
    """GNC2, the mean of -log |u_j - u_k| over class directions: features with a common part as long as the rest.

    Naive: directions of the means as they are, so that the number depends on where the origin is.
    """
    K, d = 100, 64
    M = 1 + _randn(generator, K, d)
    stats = ClassStatistics.from_features(M, torch.arange(K), K)
    center = sum(M) / K
    u = [(m - center) / (m - center).norm() for m in M]
    truth = _mean([-math.log((a - b).norm()) for a, b in itertools.combinations(u, 2)])
    naive = metrics.hyperspherical_uniformity(stats.means).mean
    return naive, metrics.hyperspherical_uniformity(stats.centered_means).mean, truth


def scale(generator):
    """Mean CDNV of features times 2 over that of the features. A measure that is free of scale gives 1.

    Naive: variance over distance^4, as in the published numbers. Truth: variance over distance^2 pair by pair.
    """
    K, d = 50, 32
    M, y = _randn(generator, K, d), torch.arange(500) % K
    H = M[y] + 0.1 * _randn(generator, len(y), d)
    once, twice = (ClassStatistics.from_features(features, y, K) for features in (H, 2 * H))
    loops = [_mean(_cdnv(*_loop(features, y, K))) for features in (2 * H, H)]
    naive, ours = (metrics.cdnv_summary(twice, power).mean / metrics.cdnv_summary(once, power).mean for power in (2, 1))
    return naive, ours, loops[0] / loops[1]


def width(generator):
    """Spread of the cosines of 60 random class means, in 1,024 dimensions over 64: there is no structure in either.

    Naive: the ratio of the two, which looks like collapse with width. Ours: each over the null of centered random
    directions; truth: the same from cosines pair by pair.
    """
    K, naive, ours, truth = 60, [], [], []
    for d in (1024, 64):
        M = _randn(generator, K, d)
        M -= M.mean(0)
        null = nulls.uniform_directions(K, d, centered=True)["interference_std"]
        u = [m / m.norm() for m in M]
        cosines = [float(a @ b) for a, b in itertools.combinations(u, 2)]
        mean = _mean(cosines)
        naive.append(metrics.interference(M).std)
        ours.append(naive[-1] / null)
        truth.append(math.sqrt(_mean([(c - mean) ** 2 for c in cosines])) / null)
    return naive[0] / naive[1], ours[0] / ours[1], truth[0] / truth[1]


def duplicates(generator):
    """The CDNV of a typical pair among 100 classes, two of which have means 1,000 times closer than the rest.

    Naive: the mean over pairs, which that one pair decides. Ours: exp of the mean logarithm.
    """
    K, d = 100, 32
    M, y = _randn(generator, K, d), torch.arange(2000) % K
    M[1] = M[0] + 1e-3 * (M[1] - M[0])
    X = 0.1 * _randn(generator, len(y), d)
    noise_means, _ = _loop(X, y, K)
    H = M[y] + X - torch.stack(noise_means)[y]
    summary = metrics.cdnv_summary(ClassStatistics.from_features(H, y, K))
    truth = math.exp(_mean([math.log(value) for value in _cdnv(*_loop(H, y, K))]))
    return summary.mean, math.exp(summary.log_mean), truth


TRAPS = (one_pass, absent_center, absent_vote, cutoff, offset, origin, scale, width, duplicates)


def _randn(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=double)


def _loop(H, y, K):
    """Class means and variances E |h - mean|^2 in float64, in two passes, class by class."""
    means = [H[y == k].double().mean(0) for k in range(K)]
    variances = [float((H[y == k].double() - means[k]).square().sum(1).mean()) for k in range(K)]
    return means, variances


def _cdnv(means, variances):
    """(v_j + v_k) / (2 |mean_j - mean_k|^2), pair by pair."""
    return [
        (variances[j] + variances[k]) / (2 * float((means[j] - means[k]).square().sum()))
        for j, k in itertools.combinations(range(len(means)), 2)
    ]


def _mean(values):
    return math.fsum(values) / len(values)
