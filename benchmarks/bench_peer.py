"""Time all numbers of a model beside the way that rhubarbwu/neural-collapse takes, written here from its formulas.

    pytest -p benchmark benchmarks/bench_peer.py --benchmark-json=FILE

Both get the same float32 features in batches of 2,048, and a classifier. The other way goes over them four times, in
float32: class sums by a product with one-hot labels, class variances likewise of squared deviations, the within-class
covariance, and the decisions of classifier and nearest mean from all scores; then CDNV by subtracting all pairs of
means (in tiles that fit in cache) and the inner products of all pairs of unit means. Ours is one pass for the
statistics, one for NC4, and the two summaries over pairs. No features are computed: further passes are free for both.
The classifier is near the means, as at collapse, which spares NC4 the distances; with one that has nothing to do with
them the ratio at K = 1,000 was 0.68 where it was 0.39 (one call each).
"""

import pytest
import torch
from conftest import paired

from nclib import metrics
from nclib.statistics import StatisticsAccumulator

BATCH, TILE = 2048, 2**20
SIZES = [  # K, d, N, rounds, goal
    (10, 512, 50_000, 5, 1.0),
    (100, 512, 50_000, 5, 1.0),
    (1000, 2048, 50_000, 2, 0.5),
    (16_384, 64, 32_768, 2, 0.5),
]


def problem(K, d, N):
    """Features of class means with noise of their size, labels of every class, a classifier near the means."""
    g = torch.Generator().manual_seed(0)
    M, y = torch.randn(K, d, generator=g), torch.randperm(N, generator=g) % K
    return M[y] + torch.randn(N, d, generator=g), y, M + 0.1 * torch.randn(K, d, generator=g)


def batches(H, y):
    return zip(H.split(BATCH), y.split(BATCH), strict=True)


def one_hot(y, K):
    return (y[:, None] == torch.arange(K)).mT.float()


def class_means(H, y, K):
    sums, counts = torch.zeros(K, H.shape[1]), torch.zeros(K)
    for h, label in batches(H, y):
        members = one_hot(label, K)
        sums += members @ h
        counts += members.sum(1)
    return sums / counts[:, None], counts


def class_variances(H, y, M, counts):
    sums = torch.zeros(len(M))
    for h, label in batches(H, y):
        sums += (one_hot(label, len(M)) @ (h - M[label]).square()).sum(1)
    return sums / counts


def covariance(H, y, M):
    total = torch.zeros(H.shape[1], H.shape[1])
    for h, label in batches(H, y):
        x = h - M[label]
        total += x.mT @ x
    return total / len(H)


def decisions(H, y, W, M):
    agree = 0
    for h, _ in batches(H, y):
        D2 = h.norm(dim=1).square()[:, None] + M.norm(dim=1).square() - 2 * h @ M.mT
        agree += int((D2.argmin(1) == (h @ W.mT).argmax(1)).sum())
    return agree / len(H)


def mean_cdnv(v, M):
    """Mean over all ordered pairs j != k of (v_j + v_k) / (2 |m_j - m_k|^2)."""
    size, total = max(1, int((TILE / M.shape[1]) ** 0.5)), 0.0
    for j in range(0, len(M), size):
        for k in range(0, len(M), size):
            D2 = (M[j : j + size, None] - M[k : k + size]).square().sum(-1)
            values = (v[j : j + size, None] + v[k : k + size]) / 2 / D2
            total += float(values.masked_fill_(D2 == 0, 0).sum())
    return total / (len(M) * (len(M) - 1))


def mean_interference(M):
    U = torch.nn.functional.normalize(M - M.mean(0))
    return sum(float((u @ U.mT).sum()) for u in U.split(BATCH)) / (len(M) * (len(M) - 1)) - 1 / (len(M) - 1)


def peer(H, y, W):
    M, counts = class_means(H, y, len(W))
    values = {"cdnv": mean_cdnv(class_variances(H, y, M, counts), M), "interference": mean_interference(M)}
    return values | {"trace": float(covariance(H, y, M).trace()), "nc4": decisions(H, y, W, M)}


def ours(H, y, W):
    accumulator = StatisticsAccumulator(len(W), H.shape[1], scatter=True)
    for h, label in batches(H, y):
        accumulator.update(h, label)
    stats = accumulator.compute()
    values = {"cdnv": metrics.cdnv_summary(stats).mean, "interference": metrics.interference(stats.centered_means).mean}
    return values | {
        "trace": float(stats.within.trace()),
        "nc4": metrics.ncc_agreement(H, W, None, stats.means, stats.present),
    }


@pytest.mark.parametrize(("K", "d", "N", "rounds", "goal"), SIZES)
def test_all_numbers_of_a_model(benchmark, K, d, N, rounds, goal):
    H, y, W = problem(K, d, N)
    found = {}
    paired(
        benchmark, lambda: found.update(ours=ours(H, y, W)), lambda: found.update(peer=peer(H, y, W)), rounds,
        name="statistics, CDNV, interference and NC4", against="as rhubarbwu/neural-collapse, float32",
        goal=goal, K=K, d=d, N=N)  # fmt: skip
    assert found["ours"] == pytest.approx(found["peer"], rel=1e-3, abs=1e-4)
