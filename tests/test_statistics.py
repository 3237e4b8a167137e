import contextlib
import functools
import json
import operator
from pathlib import Path

import naive
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nclib import statistics
from nclib._device import torch_device
from nclib.metrics import nc1
from nclib.statistics import ClassStatistics, StatisticsAccumulator

CONFORMANCE = json.loads(Path(__file__).with_name("conformance.json").read_text())
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
nan, inf = float("nan"), float("inf")


WAYS = ("by index", "by sorting")


@contextlib.contextmanager
def summed(way):
    """Sums by class as on a CPU, or as on a GPU in small blocks, on whatever device."""
    with pytest.MonkeyPatch.context() as patch:
        if way == "by sorting":
            patch.setattr(statistics, "_by_sorting", lambda device: True)
            patch.setattr(statistics, "_DEVICE_BLOCK", 3000)
        yield


@pytest.fixture(params=WAYS)
def way(request):
    with summed(request.param):
        yield request.param


def conformance(dtype=torch.float64, device="cpu"):
    H = torch.tensor(CONFORMANCE["features"], dtype=torch.float64).to(device, dtype)
    return H, torch.tensor(CONFORMANCE["labels"]).to(device), CONFORMANCE["num_classes"]


def random_problem(N=40, d=5, K=7, offset=0.0, seed=0, dtype=torch.float64):
    """Classes K-2 and up stay absent."""
    g = torch.Generator().manual_seed(seed)
    H = torch.randn(N, d, generator=g, dtype=torch.float64) + offset
    return H.to(dtype), torch.randint(0, K - 2, (N,), generator=g), K


def assert_same(a, b, rtol=1e-12, atol=1e-12):
    assert torch.equal(a.counts, b.counts)
    assert (a.scatter is None) == (b.scatter is None)
    for name in ["means", "spread"] + ["scatter"] * (a.scatter is not None):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=rtol, atol=atol)


def test_value_two_classes_by_hand(way):
    H = torch.tensor([[1.0, 2.0], [3.0, 6.0], [10.0, 0.0], [7.0, 7.0]])
    stats = ClassStatistics.from_features(H, torch.tensor([0, 0, 2, -100]), 3, scatter=True)
    assert stats.counts.tolist() == [2, 0, 1] and stats.counts.dtype == torch.int64
    assert stats.means.tolist() == [[2, 4], [0, 0], [10, 0]] and stats.means.dtype == torch.float64
    assert stats.spread.tolist() == pytest.approx([10, 0, 0], rel=1e-15, abs=0)
    assert stats.scatter.tolist() == [[2, 4], [4, 8]]
    assert stats.present.tolist() == [True, False, True]
    assert stats.global_mean.tolist() == [6, 2]
    torch.testing.assert_close(stats.sample_mean, torch.tensor([14 / 3, 8 / 3]).double())
    assert stats.centered_means.tolist() == [[-4, 2], [4, -2]]
    torch.testing.assert_close(stats.within, torch.tensor([[2, 4], [4, 8]]).double() / 3)
    assert stats.between.tolist() == [[16, -8], [-8, 4]]
    torch.testing.assert_close(stats.total, torch.cov(H[:3].double().T, correction=0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_oracle_conformance_fields(way, dtype, device):
    stats = ClassStatistics.from_features(*conformance(dtype, device), scatter=True)
    assert stats.means.device.type == device
    assert_fields(stats.to("cpu"))


def assert_fields(stats):
    for name, value in CONFORMANCE["statistics"].items():
        ours = stats.means if name == "all_means" else getattr(stats, name)
        expected = torch.tensor(value, dtype=ours.dtype)
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("label", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_oracle_dtypes(way, dtype, label):
    H, y, K = random_problem(dtype=dtype)
    stats, loop = ClassStatistics.from_features(H, y.to(label), K, scatter=True), naive.Statistics(naive.exact(H), y, K)
    assert stats.counts.tolist() == loop.counts
    for name in ("means", "spread", "scatter", "within", "between", "total", "sample_mean"):
        field = getattr(stats, name)
        assert field.dtype == torch.float64
        expected = torch.tensor(floats(getattr(loop, name)), dtype=torch.float64)
        torch.testing.assert_close(field, expected, rtol=1e-12, atol=1e-13)


def floats(A):
    return [floats(row) for row in A] if isinstance(A, list) else float(A)


def test_law_leading_dimensions_are_flattened():
    H, y, K = random_problem()
    flat = ClassStatistics.from_features(H, y, K)
    assert_same(flat, ClassStatistics.from_features(H.reshape(5, 2, 4, 5), y.reshape(5, 2, 4), K), atol=0, rtol=0)
    one = ClassStatistics.from_features(H[0], y[0], K)
    assert one.counts.sum() == 1 and torch.equal(one.means[y[0]], H[0])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_law_any_partition_in_any_order(data):
    """Statistics of parts, empty ones too, add to those of the whole, however split, ordered and bracketed."""
    N = data.draw(st.integers(1, 40))
    offset = data.draw(st.sampled_from([0.0, 1000.0, -3e4]))
    H, y, K = random_problem(N=N, offset=offset, seed=data.draw(st.integers(0, 99)))
    order = torch.tensor(data.draw(st.permutations(range(N))))
    cuts = sorted(data.draw(st.lists(st.integers(0, N), max_size=6)))
    with summed(data.draw(st.sampled_from(WAYS))):
        parts = [ClassStatistics.from_features(H[i], y[i], K) for i in order.tensor_split(cuts)]
    whole = ClassStatistics.from_features(H, y, K)
    scale = 1e-12 * (1 + abs(offset))
    assert_same(functools.reduce(operator.add, parts), whole, atol=scale)
    while len(parts) > 1:  # another bracketing
        i = data.draw(st.integers(0, len(parts) - 2))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    assert_same(parts[0], whole, atol=scale)


@pytest.mark.parametrize("scatter", [True, False])
def test_law_commutative_associative_identity(scatter):
    a, b, c = (ClassStatistics.from_features(*random_problem(N=20 * s, seed=s), scatter=scatter) for s in (1, 2, 3))
    assert_same(a + b, b + a)
    assert_same((a + b) + c, a + (b + c))
    zero = StatisticsAccumulator(7, 5, scatter=scatter).compute()
    assert_same(a + zero, a, rtol=0, atol=0)
    assert_same(zero + a, a, rtol=0, atol=0)
    assert_same(zero + zero, zero, rtol=0, atol=0)


@pytest.mark.parametrize("K", [7, 900], ids=["fewer classes than rows", "more classes than rows"])
@pytest.mark.parametrize("N", [1, 30, 512, 1300])
def test_law_accumulator_equals_two_pass(way, N, K):
    """Blocks and batches of either layout against centering each class by its mean in one piece."""
    g = torch.Generator().manual_seed(N)
    H = torch.randn(N, 6, generator=g, dtype=torch.float64) + 1000
    y = torch.randint(0, K, (N,), generator=g)
    y[::5] = -100
    accumulator = StatisticsAccumulator(K, 6, scatter=True)
    for h, label in zip(H.split(700), y.split(700), strict=True):
        accumulator.update(h, label)
    stats = accumulator.compute()
    residuals = torch.zeros(0, 6, dtype=torch.float64)
    for k in range(K):
        h = H[y == k]
        assert stats.counts[k] == len(h)
        if len(h):
            torch.testing.assert_close(stats.means[k], h.mean(0), rtol=1e-14, atol=0)
            torch.testing.assert_close(stats.spread[k], (h - h.mean(0)).square().sum(), rtol=1e-12, atol=1e-12)
            residuals = torch.cat([residuals, h - h.mean(0)])
    torch.testing.assert_close(stats.scatter, residuals.T @ residuals, rtol=1e-12, atol=1e-11)


def test_value_segments_and_pieces(monkeypatch):
    """Places 1 1 1 1 1 3 in pieces of two: 1 1, 1 1, 1, 3 and two that are empty."""
    monkeypatch.setattr(statistics, "_PIECE", 2)
    starts, firsts, pieces = statistics._segments(torch.tensor([1, 1, 1, 1, 1, 3]), 5)
    assert starts.tolist() == [0, 0, 5, 5, 6, 6]
    assert firsts.tolist() == [0, 0, 3, 3, 4, 4]
    assert pieces.tolist() == [0, 2, 4, 5, 6, 6, 6, 6, 6]
    x = 10.0 ** torch.arange(6)
    assert statistics._segment_sums(x, firsts, pieces).tolist() == [0, 11111, 0, 100000, 0]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 9))
def test_law_segment_sums_are_those_by_index(places, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_PIECE", piece)
        place = torch.tensor(places).sort().values
        starts, *pieces = statistics._segments(place, 7)
        x = torch.randn(len(place), 3, dtype=torch.float64)
        sums = statistics._segment_sums(x, *pieces)
    assert torch.equal(starts.diff(), torch.bincount(place, minlength=7))
    torch.testing.assert_close(sums, torch.zeros(7, 3).double().index_add_(0, place, x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("K", [40, 4000], ids=["fewer classes than rows", "more classes than rows"])
def test_law_sorted_sums_of_a_text_are_those_by_index(K, device):
    """Labels by Zipf's law: one class has more rows than a piece, most have one or none; several batches. In whatever
    order the rows come, and in the same order bit for bit."""
    g = torch.Generator().manual_seed(0)
    y = torch.multinomial(1 / torch.arange(1.0, K + 1), 3000, True, generator=g)
    H = torch.randn(3000, 6, generator=g) * (1 + y[:, None] % 7) + 100
    y[::9] = -100
    a = StatisticsAccumulator(K, 6, scatter=True)
    with summed("by sorting"):
        b, again, other = (StatisticsAccumulator(K, 6, scatter=True, device=device) for _ in range(3))
    for h, label in zip(H.split(800), y.split(800), strict=True):
        for accumulator in (a, b, again):
            accumulator.update(h, label)
        other.update(h.flip(0), label.flip(0))
    assert not a._sorts and b._sorts
    ours = b.compute().to("cpu")
    assert_same(ours, a.compute(), atol=1e-11)
    assert_same(ours, other.compute().to("cpu"), atol=1e-11)
    assert_same(ours, again.compute().to("cpu"), rtol=0, atol=0)
    assert not b._counts[K] and not b._means[K].any() and not b._spread[K]


def test_law_compute_does_not_alias():
    H, y, K = random_problem()
    accumulator = StatisticsAccumulator(K, 5, scatter=True)
    accumulator.update(H, y)
    first = accumulator.compute()
    kept = ClassStatistics(*(field.clone() for field in (first.counts, first.means, first.spread, first.scatter)))
    accumulator.update(H + 1, y)
    assert_same(first, kept, rtol=0, atol=0)
    assert accumulator.compute().counts.sum() == 2 * len(y)
    assert_same(accumulator.compute(), first + ClassStatistics.from_features(H + 1, y, K, scatter=True))


def test_law_ignored_samples_do_not_count_whatever_they_hold(way):
    H, y, K = random_problem(dtype=torch.float32)
    stats = ClassStatistics.from_features(H[y != 2], y[y != 2], K)
    dirty = torch.where((y == 2)[:, None], torch.full_like(H, nan), H)
    assert_same(ClassStatistics.from_features(dirty, y, K, ignore_index=2), stats, atol=1e-14)
    assert ClassStatistics.from_features(H, torch.full_like(y, -100), K).counts.sum() == 0


def test_law_masked_samples_do_not_count_whatever_they_hold(way):
    """Padding: any label and any feature, in any number of leading dimensions."""
    H, y, K = random_problem(dtype=torch.float32)
    mask = torch.arange(40) % 3 > 0
    stats = ClassStatistics.from_features(H[mask], y[mask], K)
    dirty, labels = torch.where(mask[:, None], H, nan), torch.where(mask, y, 10**6)
    shaped = ClassStatistics.from_features(dirty.reshape(4, 10, 5), labels.reshape(4, 10), K, mask=mask.reshape(4, 10))
    assert_same(shaped, stats, atol=1e-14)
    both = ClassStatistics.from_features(dirty, labels, K, mask=mask, ignore_index=1)
    assert both.counts.tolist() == [n * (k != 1) for k, n in enumerate(stats.counts.tolist())]
    assert ClassStatistics.from_features(dirty, labels, K, mask=torch.zeros(40, dtype=torch.bool)).counts.sum() == 0
    assert_same(ClassStatistics.from_features(H, y, K, mask=torch.ones(40, dtype=torch.bool)),
                ClassStatistics.from_features(H, y, K), rtol=0, atol=0)  # fmt: skip


@pytest.mark.parametrize("scatter", [True, False])
def test_law_merge_is_the_sum_in_place(scatter):
    a, b = (ClassStatistics.from_features(*random_problem(N=20 * s, seed=s), scatter=scatter) for s in (1, 2))
    accumulator = StatisticsAccumulator(7, 5, scatter=scatter)
    accumulator.merge(a)
    assert_same(accumulator.compute(), a, rtol=0, atol=0)
    accumulator.merge(b)
    assert_same(accumulator.compute(), a + b, rtol=0, atol=0)
    H, y, K = random_problem(N=9, seed=3)
    accumulator.update(H, y)
    assert_same(accumulator.compute(), a + b + ClassStatistics.from_features(H, y, K, scatter=scatter))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_law_updates_and_merges_in_any_order(data):
    """Batches given to accumulators and accumulators merged, at any cuts, equal one pass over everything."""
    N, scale = data.draw(st.integers(1, 300)), data.draw(st.sampled_from([1e-3, 1.0, 1e3]))
    offset = data.draw(st.sampled_from([0.0, 1000.0]))
    H, y, K = random_problem(N=N, seed=data.draw(st.integers(0, 99)))
    H = scale * (H + 3 * y[:, None].double()) + offset
    order = torch.tensor(data.draw(st.permutations(range(N))))
    with summed(data.draw(st.sampled_from(WAYS))):
        ranks = [StatisticsAccumulator(K, 5, scatter=True) for _ in range(data.draw(st.integers(1, 4)))]
    for i in order.tensor_split(sorted(data.draw(st.lists(st.integers(0, N), max_size=6)))):
        data.draw(st.sampled_from(ranks)).update(H[i], y[i])
    for other in ranks[1:]:
        ranks[0].merge(other.compute())
    stats, loop = ranks[0].compute(), two_pass(H, y, K)
    assert torch.equal(stats.counts, loop.counts)
    size = 1e-12 * (scale + offset)
    torch.testing.assert_close(stats.means, loop.means, rtol=1e-12, atol=size)
    torch.testing.assert_close(stats.spread, loop.spread, rtol=1e-12, atol=size * scale)
    torch.testing.assert_close(stats.scatter, loop.scatter, rtol=1e-12, atol=size * scale * N)


def two_pass(H, y, K):
    means = torch.stack([H[y == k].mean(0) if (y == k).any() else H.new_zeros(H.shape[1]) for k in range(K)])
    x = H - means[y]
    spread = torch.stack([x[y == k].square().sum() for k in range(K)])
    return ClassStatistics(torch.bincount(y, minlength=K), means, spread, x.T @ x)


def wide_problem(N=3000, K=10, d=256, noise=1.0, offset=0.0):
    """float32 features of unit class means with `noise`, which differs over directions by a factor of 10."""
    g = torch.Generator().manual_seed(0)
    y, M = torch.randint(0, K, (N,), generator=g), torch.randn(K, d, generator=g)
    return (M[y] + noise * torch.randn(N, d, generator=g) * torch.logspace(-1, 0, d) + offset).float(), y, K


def collected(H, y, K, size):
    accumulator = StatisticsAccumulator(K, H.shape[1], scatter=True)
    for h, label in zip(H.split(size), y.split(size), strict=True):
        accumulator.update(h, label)
    return accumulator.compute()


def apart(a, b):
    """The largest difference of two scatters, entry (i, j) over sqrt(s_ii s_jj)."""
    scale = b.scatter.diag().sqrt()
    return float(((a.scatter - b.scatter).abs() / (scale[:, None] * scale)).max())


def test_oracle_conformance_by_float32_products(monkeypatch):
    """NC1 of float32 features whose scatter is multiplied in float32, however few there are."""
    monkeypatch.setattr("nclib.statistics._WIDE", 1)
    monkeypatch.setattr("nclib.statistics._MANY", 1)
    stats = ClassStatistics.from_features(*conformance(torch.float32), scatter=True)
    expected = torch.tensor(CONFORMANCE["statistics"]["scatter"], dtype=torch.float64)
    assert not torch.equal(stats.scatter, expected)
    for center in ("class", "sample"):
        exact = nc1(ClassStatistics.from_features(*conformance(), scatter=True), center=center)
        assert nc1(stats, center=center) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("noise", "offset"), [(1.0, 0.0), (1.0, 1000.0), (3e-4, 1000.0)])
def test_oracle_wide_float32_features(noise, offset):
    H, y, K = wide_problem(noise=noise, offset=offset)
    exact = two_pass(H.double(), y, K)
    if noise < 1:
        assert nc1(exact) < 1e-8
    for size in (3000, 700, 100):
        stats = collected(H, y, K, size)
        assert nc1(stats) == pytest.approx(nc1(exact), rel=1e-6 if size > 100 else 1e-12)
        assert apart(stats, exact) < (3e-7 if size > 100 else 1e-9)
        assert torch.equal(stats.scatter, stats.scatter.mT)
        torch.testing.assert_close(stats.spread, exact.spread, rtol=1e-11, atol=0)
    assert apart(collected(H, y, K, 3000), exact) > 1e-9  # float32 was used, and not where features are float64
    assert apart(collected(H.double(), y, K, 3000), exact) < (1e-12 if noise == 1 else 1e-9)


def test_oracle_ratio_of_1e_9_at_an_offset_of_1000():
    """Noise of one unit in the last place: within-class deviations that float32 features barely hold."""
    H, y, K = wide_problem(noise=1e-4, offset=1000)
    exact = two_pass(H.double(), y, K)
    assert nc1(exact) < 1.2e-9
    assert nc1(collected(H, y, K, 1500)) == pytest.approx(nc1(exact), rel=1e-6)


def test_law_wide_halves_add_to_the_whole():
    H, y, K = wide_problem(offset=30.0)
    whole, exact = collected(H, y, K, 3000), two_pass(H.double(), y, K)
    parts = [collected(h, label, K, 3000) for h, label in ((H[:1111], y[:1111]), (H[1111:], y[1111:]))]
    merged = StatisticsAccumulator(K, 256, scatter=True)
    for part in parts:
        merged.merge(part)
    for stats in (parts[0] + parts[1], parts[1] + parts[0], merged.compute()):
        assert apart(stats, whole) < 5e-7 and apart(stats, exact) < 3e-7
        torch.testing.assert_close(stats.means, whole.means, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-40], ids=str)
def test_law_columns_that_float32_cannot_square_are_multiplied_in_float64(scale):
    H, y, K = wide_problem(N=600)
    H[:, 7:9] *= scale
    assert apart(collected(H, y, K, 600), two_pass(H.double(), y, K)) < 1e-12
    H[:, 7:9] = 5 * scale  # no deviation at all: float32 will do
    stats, exact = collected(H, y, K, 600), two_pass(H.double(), y, K)
    assert stats.scatter[7].abs().max() == 0
    keep = torch.ones(256, dtype=torch.bool)
    keep[7:9] = False
    torch.testing.assert_close(stats.scatter[keep][:, keep], exact.scatter[keep][:, keep], rtol=1e-3, atol=1e-3)


def test_law_a_far_first_sample_in_float32():
    """As below, of wide features: the outlier sets the scale to which the rest is right."""
    H, y, K = wide_problem(N=512, K=1)
    H[0] = -1000
    exact = two_pass(H.double(), y, K)
    for size in (1, 128, 512):
        assert apart(collected(H, y, K, size), exact) < 2e-6


def test_law_one_class_far_from_its_first_sample(way):
    """The class mean so far may be a poor shift: 511 samples at 1 +- 1e-3 after one at -1000."""
    noise = 1e-3 * torch.randn(511, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    H = torch.cat([torch.full((1, 3), -1000.0, dtype=torch.float64), 1 + noise])
    y = torch.zeros(512, dtype=torch.int64)
    accumulator = StatisticsAccumulator(2, 3, scatter=True)
    for h in (H[:1], H[1:]):
        accumulator.update(h, y[: len(h)])
    assert_same(accumulator.compute(), two_pass(H, y, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_law_large_finite_features_are_not_refused(dtype):
    """Their sum over the batch overflows, they do not; a NaN among them is still found."""
    big = torch.finfo(dtype).max / 4 if dtype != torch.float64 else 1e150
    H = torch.full((600, 3), big, dtype=dtype)
    H[0] /= 2
    stats = ClassStatistics.from_features(H, torch.zeros(600, dtype=torch.int64), 1)
    torch.testing.assert_close(stats.means[0], H.double().mean(0), rtol=1e-12, atol=0)
    H[599, 2] = nan
    with pytest.raises(ValueError, match=r"H\[599\] holds nan"):
        ClassStatistics.from_features(H, torch.zeros(600, dtype=torch.int64), 1)


def test_law_rotation_and_shift():
    H, y, K = random_problem()
    Q = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    a, b = (ClassStatistics.from_features(h, y, K, scatter=True) for h in (H, H @ Q.T + 3))
    torch.testing.assert_close(b.spread, a.spread)
    torch.testing.assert_close(b.scatter, Q @ a.scatter @ Q.T)
    torch.testing.assert_close(b.centered_means, a.centered_means @ Q.T)


def test_law_total_is_within_plus_between_when_balanced_only():
    H = random_problem()[0]
    balanced = ClassStatistics.from_features(H, torch.arange(40) % 4, 4, scatter=True)
    torch.testing.assert_close(balanced.total, balanced.within + balanced.between)
    uneven = ClassStatistics.from_features(H, torch.arange(40).clamp(max=3), 4, scatter=True)
    torch.testing.assert_close(uneven.total, torch.cov(H.T, correction=0))
    assert (uneven.total - uneven.within - uneven.between).abs().max() > 0.1


def test_value_float32_one_pass_trap(way):
    """Noise of 2^-10 on an offset of 1000: E[h^2] - E[h]^2 in float32 is off by more than half of the variance."""
    sign = torch.tensor([1.0, -1.0]).repeat(500)
    H = (1000 + sign / 1024)[:, None].repeat(1, 2)
    stats = ClassStatistics.from_features(H, torch.zeros(1000, dtype=torch.int64), 1, scatter=True)
    variance = 2.0**-20
    one_pass = H.square().mean(0) - H.mean(0).square()
    assert (one_pass - variance).abs().min() > variance / 2
    assert abs(stats.spread[0] / 1000 - 2 * variance) < 1e-12 * variance
    torch.testing.assert_close(stats.within, torch.full((2, 2), variance, dtype=torch.float64), rtol=1e-12, atol=0)


def test_value_equal_features_have_exactly_no_spread(way):
    H = torch.full((3000, 2), 1000 + 1 / 3)
    stats = ClassStatistics.from_features(H, torch.arange(3000) % 2, 2, scatter=True)
    assert stats.spread.max() < 1e-20 and stats.scatter.abs().max() < 1e-20
    assert torch.equal(stats.centered_means, torch.zeros(2, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("K", "d", "kept"), [(3, 4, True), (4, 4, True), (5, 4, False), (2, 1024, True), (2, 1025, False)]
)
def test_value_scatter_default(K, d, kept):
    y = torch.tensor([0, 1])
    assert (ClassStatistics.from_features(torch.ones(2, d), y, K).scatter is not None) == kept
    assert (StatisticsAccumulator(K, d).compute().scatter is not None) == kept
    assert ClassStatistics.from_features(torch.ones(2, d), y, K, scatter=False).scatter is None


def test_law_gradients_are_not_followed():
    H = torch.randn(4, 2, requires_grad=True)
    assert not ClassStatistics.from_features(H, torch.tensor([0, 1, 0, 1]), 2).means.requires_grad


@pytest.mark.parametrize("scatter", [True, False])
def test_law_save_load(tmp_path, scatter):
    stats = ClassStatistics.from_features(*random_problem(), scatter=scatter)
    path = tmp_path / "stats.safetensors"
    stats.save(path)
    stats.save(path)
    assert_same(ClassStatistics.load(path), stats, rtol=0, atol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["stats.safetensors"]


@pytest.mark.parametrize("step", ["os.fsync", "os.replace"])
def test_law_failed_save_leaves_the_old_file(tmp_path, monkeypatch, step):
    stats, path = ClassStatistics.from_features(*random_problem()), tmp_path / "stats.safetensors"
    stats.save(path)

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(step, full_disk)
    with pytest.raises(OSError, match="no space left"):
        (stats + stats).save(path)
    assert_same(ClassStatistics.load(path), stats, rtol=0, atol=0)
    assert len(list(tmp_path.iterdir())) == 1


def test_value_damaged_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "stats.safetensors"
    stats = ClassStatistics.from_features(*random_problem(), scatter=False)
    stats.save(path)
    whole = path.read_bytes()
    fields = {"counts": stats.counts, "means": stats.means, "spread": stats.spread}
    negative, holes, loud = stats.counts.clone(), stats.means.clone(), stats.means.clone()
    negative[0], holes[0, 0], loud[-1, 0] = -1, nan, 1
    for content, message in [
        (whole[:-8], "path=.*not a whole file"),
        (b"", "path=.*not a whole file"),
        (b"not safetensors at all", "path=.*not a whole file"),
        ({"means": stats.means}, "path=.*missing"),
        (fields | {"more": stats.means.clone()}, "path=.*more"),
        (fields | {"counts": stats.counts[:3]}, r"counts is torch.int64 \(3,\), must be torch.int64 \(7,\)"),
        (fields | {"means": stats.means.float()}, "means is torch.float32"),
        (fields | {"counts": negative}, "negative number"),
        (fields | {"means": holes}, "means holds NaN"),
        (fields | {"means": loud}, "count 0 are not 0"),
    ]:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(content, path)
        with pytest.raises(ValueError, match=message):
            ClassStatistics.load(path)
    with pytest.raises(FileNotFoundError):
        ClassStatistics.load(tmp_path / "absent")


X, Y = torch.ones(3, 2), torch.tensor([0, 1, 1])
BAD_FEATURES = [
    (X, torch.tensor([0, 1, 2]), 2, {}, r"y\[2\]=2, labels must be 0\.\.1 or ignore_index=-100"),
    (X, torch.tensor([0, -1, 1]), 2, {}, r"y\[1\]=-1, labels must be 0\.\.1"),
    (X, torch.tensor([0, -100, 1]), 2, {"ignore_index": 0}, r"y\[1\]=-100, .* ignore_index=0"),
    (torch.tensor([[1, 2], [1, nan], [0, 0]]), Y, 2, {}, r"H\[1\] holds nan, features must be finite"),
    (torch.tensor([[1, 2], [1, 2], [0, -inf]]), Y, 2, {}, r"H\[2\] holds -inf, features must be finite"),
    (torch.tensor([[1, 2], [1, 2], [inf, -inf]]), Y, 2, {}, r"H\[2\] holds inf"),
    (X, torch.tensor([0, 1]), 2, {}, r"y has shape \(2,\), must be \(3,\) for H of \(3, 2\)"),
    (X, Y[:, None], 2, {}, r"y has shape \(3, 1\), must be \(3,\)"),
    (X, Y.double(), 2, {}, "y is torch.float64, labels must have an integer dtype"),
    (X, Y.bool(), 2, {}, "y is torch.bool, labels must have an integer dtype"),
    (X.long(), Y, 2, {}, r"H is torch.int64 \(3, 2\), must be a floating tensor"),
    (X.to(torch.complex64), Y, 2, {}, "H is torch.complex64"),
    (torch.tensor(1.0), Y[0], 2, {}, r"H is torch.float32 \(\), must be a floating tensor"),
    (X, Y, 0, {}, "num_classes=0, must be at least 1"),
    (X, Y, -3, {}, "num_classes=-3, must be at least 1"),
    (X[:, :0], Y, 2, {}, "dim=0, must be at least 1"),
    (X, Y, 2, {"mask": Y}, r"mask is torch.int64 \(3,\), must be bool of the shape of y, \(3,\)"),
    (X, Y, 2, {"mask": Y[:2] > 0}, r"mask is torch.bool \(2,\), must be bool of the shape of y, \(3,\)"),
    (X, Y + 1, 2, {"mask": Y > 0}, r"y\[1\]=2, labels must be 0\.\.1"),
    (X * inf, Y, 2, {"mask": Y > 0}, r"H\[1\] holds inf"),
]


@pytest.mark.parametrize(
    ("H", "y", "K", "options", "message"), BAD_FEATURES, ids=[str(i) for i in range(len(BAD_FEATURES))]
)
def test_value_bad_features_are_refused(H, y, K, options, message):
    with pytest.raises(ValueError, match=message):
        ClassStatistics.from_features(H, y, K, **options)


def test_law_refused_batch_changes_nothing():
    H, y, K = random_problem(N=1500)
    accumulator = StatisticsAccumulator(K, 5)
    accumulator.update(H, y)
    before = accumulator.compute()
    H[-1, 0] = nan
    with pytest.raises(ValueError, match=r"H\[1499\] holds nan"):
        accumulator.update(H, y)
    assert_same(accumulator.compute(), before, rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bad", ["label", "feature"])
def test_value_cuda_flags_and_compute_raises(bad):
    H, y, K = (x.cuda() if isinstance(x, torch.Tensor) else x for x in random_problem())
    accumulator = StatisticsAccumulator(K, 5, device="cuda")
    if bad == "label":
        y[3] = K
    else:
        H[3, 1] = nan
    torch.cuda.set_sync_debug_mode("error")
    try:
        accumulator.update(H, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with pytest.raises(ValueError, match="flagged on the device"):
        accumulator.compute()


def test_value_bad_merges_and_arguments_are_refused():
    full, bare, wide, many = (
        ClassStatistics.from_features(torch.ones(2, d), torch.tensor([0, 1]), K, scatter=scatter)
        for d, K, scatter in [(2, 2, True), (2, 2, False), (3, 2, True), (2, 3, True)]
    )
    empty = StatisticsAccumulator(2, 2).compute()
    for call, message in [
        (lambda: full + bare, "scatter is None on one side only"),
        (lambda: full + wide, r"means have shapes \(2, 2\) and \(2, 3\)"),
        (lambda: full + many, r"means have shapes \(2, 2\) and \(3, 2\)"),
        (lambda: StatisticsAccumulator(2, 3, scatter=True).merge(full), r"means have shapes \(2, 3\) and \(2, 2\)"),
        (lambda: StatisticsAccumulator(2, 2).merge(bare), "scatter is None on one side only"),
        (lambda: bare.within, "scatter is None: collect the statistics with scatter=True"),
        (lambda: bare.total, "scatter is None: collect the statistics with scatter=True"),
        (lambda: empty.global_mean, "counts are all 0"),
        (lambda: empty.within, "counts are all 0"),
        (lambda: full.to("nowhere"), "device='nowhere', must be a torch device"),
        (lambda: StatisticsAccumulator(2, 0), "dim=0, must be at least 1"),
        (lambda: StatisticsAccumulator(2, 2).update(torch.ones(2, 3), torch.tensor([0, 1])), "must be dim=2"),
        (lambda: ClassStatistics(full.counts, full.means[0], full.spread), r"means has shape \(2,\), must be \(K, d\)"),
        (lambda: ClassStatistics(full.counts.int(), full.means, full.spread), "counts is torch.int32"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError):
        full + 1
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda', but this machine has 0 CUDA devices"):
            full.to("cuda")


def test_law_devices():
    assert torch_device() == torch.device("cpu") == torch_device("cpu") == torch_device("mps", float64=True)
    assert torch_device("mps").type == "mps"
    for name, message in {"cuda:99": "device='cuda:99', but this machine has", "gpu": "device='gpu', must be"}.items():
        with pytest.raises(ValueError, match=message):
            torch_device(name)
