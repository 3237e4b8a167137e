import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nclib import metrics, pairs
from nclib.statistics import ClassStatistics

nan, inf = float("nan"), float("inf")
double = torch.float64


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=double)


def hard(K, d, offset=1000.0, absent=True, seed=0):
    """Means whose scales spread 1,000 times about a far offset, two near duplicates and two absent classes."""
    u = torch.rand(2, K, 1, generator=torch.Generator().manual_seed(seed), dtype=double)
    scale = 10 ** (3 * u[0] - 1.5)
    means = scale * randn(K, d, seed=seed)
    means[K - 1] = means[0]
    means[K - 1, 0] += 1e-3 * scale[0, 0]
    counts = torch.arange(K) % 5 + 1
    if absent:
        counts[[1, K // 2]] = 0
    means[counts > 0] += offset
    means[counts == 0] = 0
    return ClassStatistics(counts, means, counts * (scale * (1 + 0.3 * u[1])).squeeze(1) ** 2)


def loop_distances(X):
    """|x_j - x_k|^2 by subtraction, row by row."""
    return torch.stack([(x - X).square().sum(1) for x in X])


def loop_cdnv(stats, power=1):
    X, v = stats.means[stats.present], (stats.spread / stats.counts)[stats.present]
    return (v[:, None] + v) / (2 * loop_distances(X) ** power)


def loop_log_distance(M):
    return -0.5 * loop_distances(M / M.norm(dim=1, keepdim=True)).log()


def above(A):
    j, k = torch.triu_indices(len(A), len(A), 1)
    return A[j, k]


def off_diagonal_means(A):
    return (A.fill_diagonal_(0).sum(1) / (len(A) - 1)).tolist()


def agree(summary, values):
    logs = values.log().mean() if values.min() > 0 else nan
    expected = [values.mean(), values.std(correction=0), values.min(), values.max(), logs]
    assert [*summary] == pytest.approx([float(x) for x in expected], rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("K", [3, 40, 513, 1100], ids=lambda K: f"K={K}")
@pytest.mark.parametrize("power", [1, 2])
def test_oracle_cdnv(K, power):
    stats = hard(K, 9, absent=K > 3)
    expected = loop_cdnv(stats, power)
    agree(metrics.cdnv_summary(stats, power), above(expected))
    present = stats.present
    torch.testing.assert_close(
        metrics.cdnv(stats, power)[present][:, present].fill_diagonal_(0), expected.fill_diagonal_(0), rtol=1e-7, atol=0
    )
    rows = metrics.cdnv_rows(stats, power)
    assert rows[present].tolist() == pytest.approx(off_diagonal_means(expected), rel=1e-8)
    assert rows[~present].isnan().all() and len(rows) == K
    assert rows[present].mean().item() == pytest.approx(metrics.cdnv_summary(stats, power).mean, rel=1e-13)


@pytest.mark.parametrize("K", [3, 40, 513, 1100], ids=lambda K: f"K={K}")
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_oracle_log_distance_and_cosines(K, offset):
    M = randn(K, 6) * 10 ** randn(K, 1, seed=1).sigmoid() + offset
    M[K - 1] = 3 * M[0]
    M[K - 1, 0] += 1e-6
    kernel, U = loop_log_distance(M), M / M.norm(dim=1, keepdim=True)
    agree(metrics.hyperspherical_uniformity(M), above(kernel))
    assert metrics.log_distance_rows(M).tolist() == pytest.approx(off_diagonal_means(kernel), rel=1e-8)
    cosines = off_diagonal_means(U @ U.T)
    assert metrics.interference_rows(M).tolist() == pytest.approx(cosines, rel=1e-10, abs=1e-12)
    assert metrics.interference_rows(M).mean().item() == pytest.approx(metrics.interference(M).mean, abs=1e-13)


def test_value_rows_by_hand():
    """Means at 0, 1 and 3 on a line with variances 1, 2 and 4; rows of M at 0, 60 and 180 degrees."""
    x = torch.tensor([[0.0], [1], [0], [3]], dtype=double)
    stats = ClassStatistics(torch.tensor([1, 2, 0, 3]), x, torch.tensor([1.0, 4, 0, 12], dtype=double))
    pair = {"01": 3 / 2, "03": 5 / 18, "13": 6 / 8}
    rows = [(pair["01"] + pair["03"]) / 2, (pair["01"] + pair["13"]) / 2, nan, (pair["03"] + pair["13"]) / 2]
    assert metrics.cdnv_rows(stats).tolist() == pytest.approx(rows, rel=1e-14, nan_ok=True)
    squared = (3 / 2 + 5 / 162) / 2
    assert metrics.cdnv_rows(stats, 2)[0].item() == pytest.approx(squared, rel=1e-14)
    M = torch.tensor([[2.0, 0], [0.5, math.sqrt(3) / 2], [-7, 0]], dtype=double)
    assert metrics.interference_rows(M).tolist() == pytest.approx([-0.25, 0, -0.75], abs=1e-15)
    far, near = -math.log(2), -math.log(3) / 2
    assert metrics.log_distance_rows(M).tolist() == pytest.approx([far / 2, near / 2, (far + near) / 2], abs=1e-14)


def test_value_rows_of_duplicates_and_zero_rows():
    M = torch.tensor([[1.0, 0], [2, 0], [0, 1]])
    assert metrics.log_distance_rows(M).tolist() == [inf, inf, pytest.approx(-math.log(2) / 2)]
    stats = ClassStatistics(torch.ones(3, dtype=torch.int64), torch.eye(3, 2, dtype=double), torch.ones(3).double())
    same = ClassStatistics(stats.counts, stats.means[[0, 0, 1]], stats.spread)
    assert metrics.cdnv_rows(same).tolist() == [inf, inf, pytest.approx(0.5)]
    assert metrics.interference_rows(torch.zeros(2, 3)).isnan().all()
    assert pairs.pair_quantiles("cosine", torch.eye(3, 2), [0.5]).isnan().all()


@pytest.mark.parametrize("K", [4, 520])
@pytest.mark.parametrize("kind", ["cdnv", "log_distance", "cosine"])
def test_oracle_quantiles_sorted_and_counted(monkeypatch, kind, K):
    """The same answer by sorting and, as for many classes, by counting bits."""
    stats = hard(K, 5, absent=False)
    M = stats.centered_means
    U = M / M.norm(dim=1, keepdim=True)
    direct = {"cdnv": loop_cdnv(stats), "log_distance": loop_log_distance(M), "cosine": U @ U.T}[kind]
    ordered = above(direct).sort().values
    q = [0.0, 0.25, 0.25, 0.975, 1.0]
    expected = [float(ordered[max(math.ceil(share * len(ordered)), 1) - 1]) for share in q]
    x = stats if kind == "cdnv" else M
    assert pairs.pair_quantiles(kind, x, q).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-15)
    exact = pairs.pair_quantiles(kind, x, q)
    monkeypatch.setattr("nclib._blocks._FEW", 0)
    counted = pairs.pair_quantiles(kind, x, q)
    assert ((exact - counted).abs() <= 2.0**-32 * exact.abs()).all()
    assert kind == "cosine" or exact.unique().numel() >= 4 or K == 4


def test_value_quantiles_by_hand(monkeypatch):
    """Six cosines of directions at 0, 60, 90 and 180 degrees: -1, -1/2, 0, 0, 1/2, sqrt(3)/2."""
    angles = torch.tensor([0.0, 60, 90, 180], dtype=double).deg2rad()
    M = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([[1.0], [2], [3], [4]])
    q, expected = [0.0, 1 / 6, 0.3, 0.8, 1.0], [-1, -1, -0.5, 0.5, math.sqrt(3) / 2]
    for few in (2048, 0):
        monkeypatch.setattr("nclib._blocks._FEW", few)
        assert pairs.pair_quantiles("cosine", M, q).tolist() == pytest.approx(expected, rel=1e-9)
        twins = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
        assert pairs.pair_quantiles("log_distance", twins, [0.5, 1]).tolist() == [pytest.approx(-math.log(2) / 2), inf]


@given(st.integers(2, 30), st.integers(1, 6), st.sampled_from([0.0, 1000.0]), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_law_classes_in_any_order(K, d, offset, seed):
    stats = ClassStatistics(torch.full((K,), 3), randn(K, d, seed=seed) + offset, 1 + randn(K, seed=seed).square())
    order = torch.randperm(K, generator=torch.Generator().manual_seed(seed))
    other = ClassStatistics(stats.counts, stats.means[order], stats.spread[order])
    assert [*metrics.cdnv_summary(other)] == pytest.approx([*metrics.cdnv_summary(stats)], rel=1e-6)
    torch.testing.assert_close(metrics.cdnv_rows(other), metrics.cdnv_rows(stats)[order], rtol=1e-6, atol=0)
    A, B = stats.centered_means, other.centered_means
    torch.testing.assert_close(metrics.interference_rows(B), metrics.interference_rows(A)[order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e3, 1e30])
def test_law_scale(scale):
    stats = hard(50, 4, offset=0.0)
    scaled = ClassStatistics(stats.counts, scale * stats.means, scale**2 * stats.spread)
    assert [*metrics.cdnv_summary(scaled)] == pytest.approx([*metrics.cdnv_summary(stats)], rel=1e-8)
    assert metrics.cdnv_summary(scaled, 2).mean == pytest.approx(metrics.cdnv_summary(stats, 2).mean / scale**2)
    M = stats.means[stats.present]
    assert metrics.hyperspherical_uniformity(scale * M).mean == pytest.approx(
        metrics.hyperspherical_uniformity(M).mean, rel=1e-10
    )


def test_law_inputs_are_left_as_they_were():
    """Blocks are worked on in place; the caller's statistics and matrices are not."""
    stats, M = hard(40, 5, absent=False), randn(40, 5)
    kept, matrix = stats.means.clone(), M.clone()
    for call in (metrics.cdnv_summary, metrics.cdnv_rows, metrics.cdnv, lambda s: s.centered_means):
        call(stats)
    for call in (metrics.hyperspherical_uniformity, metrics.log_distance_rows, metrics.interference_rows,
                 metrics.interference, metrics.equiangularity):  # fmt: skip
        call(M)
    metrics.ncc_agreement(M, M, None, M)
    assert torch.equal(stats.means, kept) and torch.equal(M, matrix)


GOOD = ClassStatistics(torch.ones(3, dtype=torch.int64), torch.eye(3, dtype=double), torch.ones(3, dtype=double))
LONE = ClassStatistics(torch.tensor([1, 0, 0]), GOOD.means, GOOD.spread)
I3 = torch.eye(3)
BAD = {
    "cdnv_rows lone": (lambda: metrics.cdnv_rows(LONE), "stats has 1 present classes .*, at least 2 are needed"),
    "cdnv_rows power": (lambda: metrics.cdnv_rows(GOOD, -1), "power=-1, must be positive"),
    "log rows vector": (lambda: metrics.log_distance_rows(torch.ones(3)), r"M has shape \(3,\), must be a matrix"),
    "log rows one": (lambda: metrics.log_distance_rows(I3[:1]), "K >= 2"),
    "log rows nan": (lambda: metrics.log_distance_rows(I3 * nan), "M holds NaN or inf"),
    "cosine rows one": (lambda: metrics.interference_rows(I3[:1]), "K >= 2"),
    "cosine rows inf": (lambda: metrics.interference_rows(I3.where(I3 > 0, inf)), "M holds NaN or inf"),
    "kind": (lambda: pairs.pair_quantiles("dot", I3, [0.5]), "kind='dot', must be 'cdnv', 'log_distance' or 'cosine'"),
    "matrix for cdnv": (lambda: pairs.pair_quantiles("cdnv", I3, [0.5]), "x is a Tensor, must be statistics"),
    "statistics for cosine": (lambda: pairs.pair_quantiles("cosine", GOOD, [0.5]), "x is a ClassStatistics, must be"),
    "no q": (lambda: pairs.pair_quantiles("cosine", I3, []), r"q=\[\], must be one or more numbers in \[0, 1\]"),
    "large q": (lambda: pairs.pair_quantiles("cosine", I3, [0.5, 1.5]), r"q=\[0.5, 1.5\], must be"),
    "nan q": (lambda: pairs.pair_quantiles("cosine", I3, [nan]), r"q=\[nan\], must be"),
    "q lone": (lambda: pairs.pair_quantiles("cdnv", LONE, [0.5]), "stats has 1 present classes"),
    "q power": (lambda: pairs.pair_quantiles("cdnv", GOOD, [0.5], power=0), "power=0, must be positive"),
    "q one row": (lambda: pairs.pair_quantiles("log_distance", I3[:1], [0.5]), r"x has shape \(1, 3\), must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_value_bad_input_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()


def sample_problem(K=60, d=5):
    """Statistics of K classes of which each 7th is absent."""
    y = torch.randint(K, (12 * K,), generator=torch.Generator().manual_seed(0))
    y = y[y % 7 > 0]
    H = randn(K, d, seed=1)[y] + 0.3 * randn(len(y), d, seed=2)
    return ClassStatistics.from_features(H, y, K)


@pytest.mark.parametrize("kind", ["cdnv", "cdnv of power 2", "log_distance", "cosine"])
def test_oracle_sampled_pairs_estimate_all_pairs(kind):
    """The standard error is that of the estimates of 300 seeds, which scatter around the value of all pairs."""
    stats = sample_problem()
    power, M = 2 if kind.endswith("2") else 1, stats.centered_means
    exact = {
        "cdnv": lambda: metrics.cdnv_summary(stats, power),
        "log_distance": lambda: metrics.hyperspherical_uniformity(M),
        "cosine": lambda: metrics.interference(M, extremes=True),
    }[kind.split()[0]]()
    x = stats if kind.startswith("cdnv") else M
    found = [metrics.pair_sample(kind.split()[0], x, pairs=500, seed=seed, power=power) for seed in range(300)]
    means = torch.tensor([one.mean for one in found], dtype=torch.float64)
    error = exact.std / 500**0.5
    assert abs(means.mean() - exact.mean) < 4 * error / 300**0.5
    assert 0.85 < means.std() / error < 1.15
    assert torch.tensor([one.error for one in found]).mean() == pytest.approx(error, rel=0.1)
    assert all(exact.min * (1 - 1e-9) <= one.min or one.min < 0 for one in found)
    assert all(one.max <= exact.max + 1e-9 for one in found)


def test_value_sampled_pairs_by_hand():
    """Three classes in a line, 0, 1 and 3, with variances 2, 0, 4: CDNV of pairs 1, 1/3 and 1/2, each for itself."""
    stats = ClassStatistics(
        torch.tensor([1, 2, 0, 4]),
        torch.tensor([[0.0], [1.0], [9.0], [3.0]]).double(),
        torch.tensor([2.0, 0.0, 5.0, 16.0]).double(),
    )
    found = metrics.pair_sample("cdnv", stats, pairs=3000)
    assert found.pairs == 3000 and found.max == 1 and found.min == pytest.approx(1 / 3)
    assert found.mean == pytest.approx((1 + 1 / 3 + 1 / 2) / 3, abs=5 * found.error)
    assert found.error == pytest.approx(found.std / 2999**0.5)
    again, other = (
        metrics.pair_sample("cdnv", stats, pairs=3000),
        metrics.pair_sample("cdnv", stats, pairs=3000, seed=1),
    )
    assert again == found != other


def test_law_sampled_pairs_keep_close_means_and_find_equal_ones():
    """Values are of differences: an offset of 1e6 costs six of sixteen digits, and equal means are infinite."""
    M = torch.tensor([[0.0, 0.0], [1e-6, 0.0]]).double() + 1e6
    stats = ClassStatistics(torch.tensor([1, 1]), M, torch.tensor([1.0, 1.0]).double())
    assert metrics.pair_sample("cdnv", stats, pairs=2).mean == pytest.approx(1e12, rel=1e-3)
    same = ClassStatistics(stats.counts, M[[0, 0]], stats.spread)
    assert metrics.pair_sample("cdnv", same, pairs=2).mean == math.inf
    assert metrics.pair_sample("log_distance", M[[0, 0]], pairs=2).max == math.inf


@pytest.mark.parametrize("pairs", [1, 2.5, True])
def test_value_bad_samples_are_refused(pairs):
    with pytest.raises(ValueError, match=f"pairs={pairs}, must be an integer of at least 2"):
        metrics.pair_sample("cosine", torch.eye(3), pairs=pairs)
    with pytest.raises(ValueError, match="kind='angle'"):
        metrics.pair_sample("angle", torch.eye(3))
