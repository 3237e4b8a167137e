"""Twelve ways in which measures of neural collapse go wrong; each test says what goes wrong elsewhere."""

import math

import pytest
import torch

from nclib import metrics
from nclib.statistics import ClassStatistics, StatisticsAccumulator

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
double = torch.float64


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=double)


def labels(N, K, seed=0):
    return torch.randint(0, K, (N,), generator=torch.Generator().manual_seed(seed))


def plain(means, spread=None):
    K = len(means)
    return ClassStatistics(
        torch.ones(K, dtype=torch.int64), means, torch.ones(K, dtype=double) if spread is None else spread
    )


@pytest.mark.parametrize("shape", [(1,), (1, 1), (), (3, 7), (2, 3, 4)], ids=str)
def test_law_b1_batch_of_one_and_sequences(shape):
    """Labels that are squeezed lose the batch dimension: a batch of one, or (B, T, d), is then an error."""
    H, y = randn(*shape, 5), labels(math.prod(shape), 4).reshape(shape)
    accumulator = StatisticsAccumulator(4, 5)
    for _ in range(2):
        accumulator.update(H, y)
    stats = accumulator.compute()
    assert stats.counts.sum() == 2 * math.prod(shape)
    k = int(y.flatten()[0])
    torch.testing.assert_close(stats.means[k], H.reshape(-1, 5)[y.flatten() == k].mean(0), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("K", [2, 512, 513, 1025])
def test_oracle_b2_classes_one_more_than_a_multiple_of_the_block(K):
    """A last tile of one class loses a dimension, and the grid does not fit."""
    means = randn(K, 3)
    squared = (means[:, None] - means).square().sum(2)[*torch.triu_indices(K, K, 1)]
    assert metrics.cdnv_summary(plain(means)).mean == pytest.approx(float((1 / squared).mean()), rel=1e-9)
    U = means / means.norm(dim=1, keepdim=True)
    kernel = -0.5 * (U[:, None] - U).square().sum(2)[*torch.triu_indices(K, K, 1)].log()
    assert metrics.hyperspherical_uniformity(means).mean == pytest.approx(float(kernel.mean()), rel=1e-9)
    W, H = randn(K, 3, seed=1), randn(40, 3, seed=2)
    same = ((H @ W.T).argmax(1) == torch.cdist(H, means).argmin(1)).double().mean()
    assert metrics.ncc_agreement(H, W, None, means) == pytest.approx(float(same))


def test_oracle_b3_covariance_of_some_classes():
    """Class ids that index a feature covariance give a matrix of the wrong shape; a mask keeps it (d, d)."""
    H, y = randn(60, 6), labels(60, 5)
    some = torch.isin(y, torch.tensor([1, 4]))
    stats = ClassStatistics.from_features(H, y, 5, mask=some, scatter=True)
    x = torch.cat([H[y == k] - H[y == k].mean(0) for k in (1, 4)])
    torch.testing.assert_close(stats.within, x.T @ x / len(x), rtol=1e-12, atol=1e-14)
    assert stats.present.nonzero().flatten().tolist() == [1, 4]


@pytest.mark.parametrize(("K", "d"), [(10, 64), (40, 32), (50, 8)])
@pytest.mark.parametrize("decades", [3, 5])
def test_value_b4_nc1_of_class_means_whose_scales_spread(K, d, decades):
    """The pseudo-inverse of a Gram matrix cuts small singular values: collapse that is 25 times too good.

    Means U diag(s) V^T orthogonal to 1, white noise of variance a: nc1 = a sum 1/s^2 (the classes weigh the same).
    """
    R = min(K - 1, d)
    s = torch.logspace(0, decades, R, dtype=double)
    U = torch.linalg.qr(torch.cat([torch.ones(K, 1, dtype=double), randn(K, R)], 1)).Q[:, 1:]
    means = (U * s) @ torch.linalg.qr(randn(d, R, seed=1)).Q.T
    noise = 0.1 * math.sqrt(d) * torch.eye(d, dtype=double)
    H = torch.cat([means[:, None] + noise, means[:, None] - noise], 1)
    stats = ClassStatistics.from_features(H + 100, torch.arange(K)[:, None].expand(K, 2 * d), K, scatter=True)
    assert metrics.nc1(stats) == pytest.approx(0.01 * float((1 / s.square()).sum()), rel=1e-7)


def test_value_b5_absent_classes_take_no_part():
    """Zero rows of classes never seen pull the global mean to the origin and make pairs of distance zero."""
    means, counts = torch.zeros(50, 3, dtype=double), torch.zeros(50, dtype=torch.int64)
    means[[3, 20, 41]] = torch.tensor([[9.0, 0, 0], [9, 3, 0], [9, 0, 6]], dtype=double)
    counts[[3, 20, 41]] = torch.tensor([1, 2, 4])
    stats = ClassStatistics(counts, means, counts.double())
    assert stats.global_mean.tolist() == [9, 1, 2]
    assert stats.centered_means.tolist() == [[0, -1, -2], [0, 2, -2], [0, -1, 4]]
    assert metrics.cdnv_summary(stats).mean == pytest.approx((1 / 9 + 1 / 36 + 1 / 45) / 3, rel=1e-14)
    assert metrics.nc1_trace_ratio(stats) == pytest.approx(1 / 10)


def test_value_b6_absent_classes_never_win_the_nearest_center_vote():
    """A mean of zero is the nearest one of features near the origin, though the class was never seen."""
    means = torch.tensor([[3.0, 0], [0, 3], [0, 0]], dtype=double)
    H = torch.tensor([[0.2, 0.1], [0.1, 0.2], [2, 0], [0, 2]], dtype=double)
    assert metrics.ncc_agreement(H, means, None, means) == 0.5
    assert metrics.ncc_agreement(H, means, None, means, torch.tensor([True, True, False])) == 1


@pytest.mark.parametrize("offset", [0, 1000, 30_000])
def test_oracle_b7_nearest_center_at_a_common_offset(offset):
    """|h|^2 + |m|^2 - 2 h m in float32 cancels at an offset of 1,000 and picks another class for near ties."""
    means = (randn(50, 64) + offset).float()
    H = (means[labels(4000, 50)].double() + 4 * randn(4000, 64, seed=1)).float()
    distance = torch.stack([(h - means.double()).square().sum(1) for h in H.double()])
    short = (H.square().sum(1)[:, None] + means.square().sum(1) - 2 * H @ means.T).argmin(1)
    assert offset == 0 or (short != distance.argmin(1)).any()
    onehot = 20 * torch.eye(50)[distance.argmin(1)]
    joined = torch.cat([H, onehot], 1)  # a classifier that reads off the true answer
    W = torch.cat([torch.zeros(50, 64), torch.eye(50)], 1)
    assert metrics.ncc_agreement(joined, W, None, torch.cat([means, torch.zeros(50, 50)], 1)) == 1


def test_value_b8_counts_beyond_2_to_31():
    """int32 counts turn negative; counts that go through float32 move the means of frequent tokens by 6e-8."""
    n = 2**31 - 1
    many = ClassStatistics(
        torch.tensor([n, 2**24 + 1]), torch.tensor([[1.0], [0]]).double(), torch.tensor([3.0, 0]).double()
    )
    one = ClassStatistics(torch.tensor([n, 1]), torch.tensor([[2.0], [1]]).double(), torch.tensor([4.0, 0]).double())
    accumulator = StatisticsAccumulator(2, 1, scatter=False)
    for stats in (many, one):
        accumulator.merge(stats)
    for stats in (many + one, accumulator.compute()):
        assert stats.counts.tolist() == [2**32 - 2, 2**24 + 2]
        assert stats.means[0].item() == 1.5 and stats.spread[0].item() == 7 + n / 2
        assert stats.means[1].item() == pytest.approx(1 / (2**24 + 2), rel=1e-15)
        assert stats.spread[1].item() == pytest.approx((2**24 + 1) / (2**24 + 2), rel=1e-15)
    accumulator.update(torch.tensor([[1 + 2.0**31]], dtype=double), torch.tensor([0]))
    expected = 1.5 + (2.0**31 - 0.5) / (2**32 - 1)
    assert accumulator.compute().means[0].item() == pytest.approx(expected, rel=1e-15)


def test_value_b9_pair_values_keep_float64_in_many_dimensions():
    """Grids in float32 whatever the input stop at 1e-7, and kernels of a high power underflow to zero."""
    frame = torch.eye(512, dtype=double)[:400] * torch.logspace(-8, 8, 400, dtype=double)[:, None]
    summary = metrics.hyperspherical_uniformity(frame)
    assert abs(summary.mean + math.log(2) / 2) < 1e-14 and summary.std < 1e-14
    tilted = torch.eye(3, dtype=double)
    tilted[1, 0] = 1e-9  # cosines of 1e-9 move the kernel by 5e-10
    assert metrics.hyperspherical_uniformity(tilted).max + math.log(2) / 2 == pytest.approx(5e-10, rel=1e-5)
    assert metrics.hyperspherical_uniformity(tilted).std > 1e-10


def test_value_b10_cosines_are_normalized_and_powers_named():
    """Inner products are reported as cosines; a "power of the distance" of 2 is one of 4."""
    M = torch.tensor([[30.0, 0], [1, 1], [0, 0.2]])
    assert metrics.interference(M).mean == pytest.approx(math.sqrt(2) / 3, rel=1e-14)
    assert metrics.interference(M, extremes=True).max == pytest.approx(math.sqrt(0.5), rel=1e-14)
    stats = plain(torch.tensor([[0.0], [3]], dtype=double), torch.tensor([1.0, 3], dtype=double))
    assert metrics.cdnv_summary(stats, power=1).mean == pytest.approx(2 / 9, rel=1e-15)
    assert metrics.cdnv_summary(stats, power=2).mean == pytest.approx(2 / 81, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_law_b11_label_minus_100_leaves_every_statistic(dtype):
    """Dropped by one accumulator and an index error in the next; and results that are sometimes tensors."""
    H, y = randn(30, 4), labels(30, 3)
    kept = y != 1
    ignored = torch.where(kept, y, -100).to(dtype)
    stats, expected = (
        ClassStatistics.from_features(a, b, 3, scatter=True) for a, b in ((H, ignored), (H[kept], y[kept]))
    )
    assert stats.counts.tolist() == expected.counts.tolist() and stats.counts[1] == 0
    for name in ("means", "spread", "scatter"):
        torch.testing.assert_close(getattr(stats, name), getattr(expected, name), rtol=1e-13, atol=1e-14)
    for value in (metrics.nc1(stats), metrics.nc2(H), metrics.self_duality(H, H), *metrics.cdnv_summary(stats)):
        assert type(value) is float


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_law_b12_short_float32_products_change_nothing(precision, device):
    """With TF32 or bfloat16 products switched on for speed, features are rounded to 10 or 7 bits as they are summed."""
    H, y = randn(600, 32).float().to(device) + 7, labels(600, 70).to(device)
    W, b = randn(70, 32, seed=3).float().to(device), randn(70, seed=4).float().to(device)

    def measure():
        stats = ClassStatistics.from_features(H, y, 70, scatter=True)
        M = stats.centered_means.float()
        return [
            *metrics.cdnv_summary(stats), *metrics.hyperspherical_uniformity(M), metrics.nc1(stats), metrics.nc2(M),
            *metrics.interference(M)[:2], metrics.equiangularity(M), metrics.dual_error(W, M),
            metrics.ncc_agreement(H, W, b, stats.means), metrics.cdnv_rows(stats).sum().item(),
            stats.scatter.sum().item(), stats.spread.sum().item(),
        ]  # fmt: skip

    before = torch.get_float32_matmul_precision()
    expected = measure()
    try:
        torch.set_float32_matmul_precision(precision)
        found = measure()
    finally:
        torch.set_float32_matmul_precision(before)
    assert found == pytest.approx(expected, rel=0 if device == "cpu" else 1e-12, nan_ok=True)
