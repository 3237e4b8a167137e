"""Time the measures against the least that they must do.

    pytest -p benchmark benchmarks/bench_measure.py --benchmark-json=FILE

Each entry of the JSON holds, in extra_info, the ratio to its reference (median and quartiles of paired rounds), the
goal for that ratio where there is one, K, d, N and the threads; entries of the group "growth" hold seconds against one
of K, d, N, the others fixed. Pairs of classes are timed at K = 8,192: cost and reference grow alike, by K^2 d.
"""

import math

import pytest
import torch
from conftest import alone, paired

from nclib import metrics
from nclib._blocks import BLOCK, blocks
from nclib.statistics import ClassStatistics, StatisticsAccumulator

VOCABULARY, WIDTH, BATCH, PAIRS = 29_233, 768, 2048, 8192
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def batch(N, K, d, labels="uniform", device="cpu"):
    """Gaussian features; labels uniform, or Zipf's 1/k as the tokens of a text."""
    g = torch.Generator().manual_seed(0)
    p = torch.ones(K) if labels == "uniform" else 1 / torch.arange(1.0, K + 1)
    return torch.randn(N, d, generator=g).to(device), torch.multinomial(p, N, True, generator=g).to(device)


def class_means(K, d, device="cpu"):
    g = torch.Generator().manual_seed(1)
    counts, spread = torch.randint(1, 999, (K,), generator=g), 100 * torch.rand(K, generator=g, dtype=torch.float64)
    means = torch.randn(K, d, generator=g, dtype=torch.float64)
    return ClassStatistics(counts.to(device), means.to(device), spread.to(device))


def half_product(A):
    """The upper half of A A^T in blocks, thrown away."""
    out = A.new_empty(BLOCK**2)
    for j, k in blocks(len(A)):
        n, m = len(A[j]), len(A[k])
        torch.mm(A[j], A[k].mT, out=out[: n * m].view(n, m))


def two_products(H, W, M):
    """H W^T and H M^T in blocks of both, thrown away."""
    out = H.new_empty(BLOCK**2)
    for h in H.split(BLOCK):
        for A in (W, M):
            for a in A.split(BLOCK):
                torch.mm(h, a.mT, out=out[: len(h) * len(a)].view(len(h), len(a)))


@pytest.mark.parametrize("labels", ["uniform", "zipf"])
def test_update_against_index_add(benchmark, labels):
    H, y = batch(BATCH, VOCABULARY, WIDTH, labels)
    accumulator = StatisticsAccumulator(VOCABULARY, WIDTH)
    sums = torch.zeros(VOCABULARY, WIDTH, dtype=torch.float64)
    paired(benchmark, lambda: accumulator.update(H, y), lambda: sums.index_add_(0, y, H.double()), 40,
           name=f"update, {labels} labels", against="index_add_ in float64", goal=5.0,
           K=VOCABULARY, d=WIDTH, N=BATCH)  # fmt: skip


def test_update_against_one_hot(benchmark):
    H, y = batch(BATCH, VOCABULARY, WIDTH, "zipf")
    accumulator = StatisticsAccumulator(VOCABULARY, WIDTH)
    sums, classes = torch.zeros(VOCABULARY, WIDTH), torch.arange(VOCABULARY)
    paired(benchmark, lambda: accumulator.update(H, y), lambda: sums.add_((y[:, None] == classes).float().mT @ H), 3,
           name="update, zipf labels", against="one-hot product in float32", goal=0.01,
           K=VOCABULARY, d=WIDTH, N=BATCH)  # fmt: skip


SUMMARIES = {
    "cdnv_summary": lambda stats: metrics.cdnv_summary(stats),
    "cdnv_summary, power 2": lambda stats: metrics.cdnv_summary(stats, 2),
    "hyperspherical_uniformity": lambda stats: metrics.hyperspherical_uniformity(stats.means),
}


@pytest.mark.parametrize(("dtype", "goal"), [(torch.float64, 1.5), (torch.float32, 2.5)], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SUMMARIES)
def test_pairs_against_half_product(benchmark, name, dtype, goal):
    stats = class_means(PAIRS, WIDTH)
    A = stats.means.to(dtype)
    paired(benchmark, lambda: SUMMARIES[name](stats), lambda: half_product(A), 3,
           name=name, against=f"half matrix product in {str(dtype)[6:]}", goal=goal, K=PAIRS, d=WIDTH)  # fmt: skip


def test_interference_against_its_product(benchmark):
    stats = class_means(VOCABULARY, WIDTH)
    paired(benchmark, lambda: metrics.interference(stats.means), lambda: stats.means.mT @ stats.means, 3,
           name="interference", against="U^T U in float64", K=VOCABULARY, d=WIDTH)  # fmt: skip


def test_ncc_agreement_against_two_products(benchmark):
    K, N = 4096, 4096
    H, _ = batch(N, K, WIDTH)
    stats = class_means(K, WIDTH)
    W = stats.means.float()
    b = torch.zeros(K)
    H64, W64 = H.double(), W.double()
    paired(benchmark, lambda: metrics.ncc_agreement(H, W, b, stats.means), lambda: two_products(H64, W64, stats.means),
           3, name="ncc_agreement", against="its two products in float64", goal=1.3, K=K, d=WIDTH, N=N)  # fmt: skip


GROWTH = [(f, key, value) for f, sweeps in {
    "update": {"N": [512, 2048, 8192], "K": [100, 1000, 10_000, 50_000], "d": [64, 256, 1024]},
    "cdnv_summary": {"K": [1024, 2048, 4096], "d": [64, 256, 768]},
    "hyperspherical_uniformity": {"K": [1024, 2048, 4096], "d": [64, 256, 768]},
    "interference": {"K": [4096, 8192, 16_384], "d": [64, 256, 768]},
    "ncc_agreement": {"N": [512, 1024, 2048], "K": [1024, 2048, 4096], "d": [64, 256, 768]},
}.items() for key, values in sweeps.items() for value in values]  # fmt: skip


@pytest.mark.benchmark(group="growth")
@pytest.mark.parametrize(("name", "key", "value"), GROWTH)
def test_growth(benchmark, name, key, value):
    size = {"update": {"N": 2048, "K": 10_000, "d": 256}, "interference": {"K": 8192, "d": 256}}
    size = size.get(name, {"K": 2048, "d": 256}) | ({"N": 1024} if name == "ncc_agreement" else {}) | {key: value}
    K, d = size["K"], size["d"]
    stats = class_means(K, d)
    if name == "update":
        H, y = batch(size["N"], K, d, "zipf")
        accumulator = StatisticsAccumulator(K, d, scatter=False)
        call = lambda: accumulator.update(H, y)  # noqa: E731
    elif name == "ncc_agreement":
        H, _ = batch(size["N"], K, d)
        call = lambda: metrics.ncc_agreement(H, stats.means, None, stats.means)  # noqa: E731
    else:
        call = lambda: getattr(metrics, name)(stats if name == "cdnv_summary" else stats.means)  # noqa: E731
    alone(benchmark, call, 10 if name == "update" else 3, name=name, sweep=key, **size)


@cuda
def test_cuda_update_against_copy(benchmark):
    """A copy reads and writes the bytes of H once; the goal is 60 % of its bandwidth for the bytes read."""
    H, y = batch(1 << 16, VOCABULARY, WIDTH, "zipf", "cuda")
    accumulator, other = StatisticsAccumulator(VOCABULARY, WIDTH, device="cuda"), torch.empty_like(H)
    paired(benchmark, lambda: accumulator.update(H, y), lambda: other.copy_(H), 20, device="cuda",
           name="update", against="copy of H", goal=1 / 0.6, K=VOCABULARY, d=WIDTH, N=len(y))  # fmt: skip


@cuda
def test_cuda_whole_suite(benchmark):
    """Goal: half a second."""
    stats = class_means(VOCABULARY, WIDTH, "cuda")
    W = torch.randn_like(stats.means)

    def suite():
        M = stats.centered_means
        values = [*metrics.cdnv_summary(stats), *metrics.hyperspherical_uniformity(M), *metrics.interference(M)]
        pair = [f(W, M) for f in (metrics.self_duality, metrics.uniform_duality, metrics.nc3, metrics.dual_error)]
        values += [metrics.nc1_trace_ratio(stats), metrics.nc2(M), metrics.equinorm_cv(M), *pair]
        assert (
            sum(math.isnan(value) for value in values) <= 4
        )  # logarithms of values of both signs, extremes of cosines

    paired(benchmark, suite, lambda: half_product(stats.means), 5, device="cuda", name="whole suite",
           against="half matrix product in float64", goal_seconds=0.5, K=VOCABULARY, d=WIDTH)  # fmt: skip
