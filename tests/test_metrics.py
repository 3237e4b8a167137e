import json
import math
from pathlib import Path

import naive
import pytest
import torch

from nclib import frames, metrics
from nclib.metrics import PairSummary
from nclib.statistics import ClassStatistics

CONFORMANCE = json.loads(Path(__file__).with_name("conformance.json").read_text())
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
nan, inf = float("nan"), float("inf")
double = torch.float64


def named(call):
    options = [f"{key}={value}" for key, value in call["kwargs"].items()]
    return "-".join([call["metric"], *(str(a) for a in call["args"]), *options])


def numbers(A):
    return [numbers(x) for x in A] if isinstance(A, (list, tuple)) else nan if A is None else float(A)


def close(ours, expected, rtol=1e-12, atol=1e-14):
    """Tensors, python floats or PairSummary against nested lists where None is NaN."""
    assert isinstance(ours, (float, PairSummary, torch.Tensor))
    ours = ours.cpu() if isinstance(ours, torch.Tensor) else torch.tensor(ours, dtype=double)
    expected = torch.tensor(numbers(expected), dtype=double)
    torch.testing.assert_close(ours, expected, rtol=rtol, atol=atol, equal_nan=True)


def statistics(means, noise=None, counts=None):
    """Statistics with exactly these class means: in class k the samples mean_k +- noise_k, counts[k] times."""
    means = torch.as_tensor(means, dtype=double)
    noise = torch.zeros_like(means) if noise is None else torch.as_tensor(noise, dtype=double)
    y = torch.arange(len(means)).repeat_interleave(torch.as_tensor(counts or [1] * len(means)))
    H = torch.cat([means[y] + noise[y], means[y] - noise[y]])
    return ClassStatistics.from_features(H, y.repeat(2), len(means), scatter=True)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=double)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("call", CONFORMANCE["metrics"], ids=named)
def test_oracle_conformance(call, dtype, device):
    """Features in either dtype are exact, so every value agrees to what a gap of 1e-3 at an offset of 1000 leaves."""
    H = torch.tensor(CONFORMANCE["features"], dtype=double).to(device, dtype)
    y = torch.tensor(CONFORMANCE["labels"], device=device)
    known = {key: torch.tensor(value) for key, value in CONFORMANCE["arrays"].items() if key == "present"}
    known |= {
        key: torch.tensor(value, dtype=double) for key, value in CONFORMANCE["arrays"].items() if key != "present"
    }
    targets = dict(known)
    known |= {
        key: torch.tensor(CONFORMANCE["statistics"][key], dtype=double) for key in ("all_means", "centered_means")
    }
    known |= {
        f"classifier.{key}": torch.tensor(value, dtype=double) for key, value in CONFORMANCE["classifier"].items()
    }
    known = {key: value.to(device) for key, value in known.items()} | {None: None, "features": H}
    known["stats"] = ClassStatistics.from_features(H, y, CONFORMANCE["num_classes"], scatter=True)
    kwargs = {
        key: targets.get(value, value) if isinstance(value, str) else value for key, value in call["kwargs"].items()
    }
    close(getattr(metrics, call["metric"])(*(known[a] for a in call["args"]), **kwargs), call["value"], rtol=2e-9)


@pytest.mark.parametrize(("K", "d"), [(2, 1), (3, 5), (5, 4), (6, 3), (9, 3), (4, 4)])
def test_oracle_random_problems(K, d):
    """K - 1 below, at and above d; the K > 2 d branches; class K-1 absent when K > 3."""
    H, M, W, b = randn(40, d) + 3, randn(K, d, seed=1) + 1, randn(K, d, seed=2), randn(K, seed=3)
    y = torch.randint(0, K - (K > 3), (40,), generator=torch.Generator().manual_seed(4))
    stats, loop = ClassStatistics.from_features(H, y, K, scatter=True), naive.Statistics(naive.exact(H), y.tolist(), K)
    e = naive.exact
    target = torch.nn.functional.normalize(randn(K, K, seed=5).flatten(), dim=0).reshape(K, K)
    for center in ("class", "sample"):
        close(metrics.nc1(stats, center=center), naive.nc1(loop, center), rtol=1e-9)
    close(metrics.nc1_trace_ratio(stats), naive.nc1_trace_ratio(loop))
    for T in ("etf", "of", target):
        close(metrics.nc2(M, T), naive.nc2(e(M), T if isinstance(T, str) else e(T)))
    close(metrics.nc3(W, M), naive.nc3(e(W), e(M)))
    for log in (False, True):
        close(metrics.equinorm_cv(M, log=log), naive.equinorm_cv(e(M), log), rtol=1e-11)
    close(metrics.equiangularity(M), naive.equiangularity(e(M)))
    close(metrics.self_duality(W, M), naive.self_duality(e(W), e(M)), rtol=1e-11)
    for power in (1, 2):
        close(metrics.cdnv(stats, power), naive.cdnv(loop, power), rtol=1e-11)
        close(metrics.cdnv_summary(stats, power), naive.cdnv_summary(loop, power), rtol=1e-11)
    if d > 1:  # on a line directions coincide and cosines may cancel
        close(metrics.uniform_duality(W, M), naive.uniform_duality(e(W), e(M)), rtol=1e-11)
        close(metrics.hyperspherical_uniformity(M), naive.hyperspherical_uniformity(e(M)), rtol=1e-10)
    for extremes in (False, True):
        close(metrics.interference(M, extremes), naive.interference(e(M), extremes), atol=1e-12)
    for bias in (b, None):
        ours = metrics.ncc_agreement(H, W, bias, stats.means, stats.present)
        close(
            ours, naive.ncc_agreement(e(H), e(W), bias if bias is None else e(bias), loop.means, stats.present.tolist())
        )
    close(metrics.effective_rank(M), naive.effective_rank(e(M)))


def test_value_nc1_by_hand():
    """Means (+-2, 0), noise (+-1, +-3): Sigma_W = [[1, 3], [3, 9]], Sigma_B = diag(4, 0), so nc1 = (1/4)/2."""
    stats = statistics([[2, 0], [-2, 0]], [[1, 3], [1, 3]])
    close(metrics.nc1(stats), 1 / 8)
    close(metrics.nc1_trace_ratio(stats), 10 / 4)
    uneven = statistics([[2, 0], [-2, 0]], [[1, 3], [1, 3]], counts=[3, 1])  # sample mean (1, 0), Sigma_B = diag(5, 0)
    close(metrics.nc1(uneven), 1 / 8)
    close(metrics.nc1(uneven, center="sample"), 1 / 10)


def test_value_frame_metrics_by_hand():
    M = torch.tensor([[3.0, 0], [0, 4]])
    root = math.sqrt(9**2 + 16**2)
    close(metrics.nc2(M, "of"), math.hypot(9 / root - math.sqrt(0.5), 16 / root - math.sqrt(0.5)))
    close(metrics.nc2(M, "etf"), math.sqrt((9 / root - 0.5) ** 2 + (16 / root - 0.5) ** 2 + 0.5))
    close(metrics.nc2(M, torch.diag(torch.tensor([1.0, 0]))), math.hypot(9 / root - 1, 16 / root))
    close(metrics.nc3(torch.eye(2), M), math.hypot(0.6 - math.sqrt(0.5), 0.8 - math.sqrt(0.5)))
    close(metrics.equinorm_cv(M), 0.5 / 3.5)
    close(metrics.equinorm_cv(M, log=True), math.log(4 / 3) / math.log(12))
    close(metrics.equiangularity(M), 1.0)
    close(metrics.self_duality(torch.tensor([[1.0, 1], [0, 2]]), M), (math.sqrt(0.5) + 1) / 2)
    close(metrics.uniform_duality(torch.tensor([[1.0, 1], [0, 2]]), M), (1 - math.sqrt(0.5)) / (1 + math.sqrt(0.5)))
    close(metrics.effective_rank(torch.diag(torch.tensor([2.0, 1, 1]))), math.exp(1.5 * math.log(2)))


def test_value_pairs_by_hand():
    stats = statistics([[0, 0], [3, 4], [0, 0], [0, 1]], [[1, 0], [0, 2], [0, 0], [2, 0]], counts=[1, 2, 1, 1])
    counts, means = stats.counts.clone(), stats.means.clone()
    counts[2] = 0
    stats = ClassStatistics(counts, means, stats.spread)
    close(
        metrics.cdnv(stats),
        [[nan, 5 / 50, nan, 5 / 2], [5 / 50, nan, nan, 8 / 36], [nan] * 4, [5 / 2, 8 / 36, nan, nan]],
    )
    close(metrics.cdnv(stats, 2)[0, 1].item(), 5 / 2 / 625)
    values = torch.tensor([0.1, 2.5, 2 / 9], dtype=double)
    expected = [values.mean(), values.std(correction=0), 0.1, 2.5, values.log().mean()]
    close(metrics.cdnv_summary(stats), expected)
    M = torch.tensor([[2.0, 0], [0, 3], [-1, 0]])
    logs = -torch.tensor([0.5, 0.5, 1], dtype=double) * math.log(2)
    expected = [logs.mean(), logs.std(correction=0), logs[2], logs[0], nan]
    close(metrics.hyperspherical_uniformity(M), expected)
    close(metrics.interference(M, extremes=True), [-1 / 3, math.sqrt(2) / 3, -1, 0, nan])
    close(metrics.interference(M), [-1 / 3, math.sqrt(2) / 3, nan, nan, nan])


def test_value_ncc_agreement_by_hand():
    """Rows at 1 and 4 agree; 6 is nearest to the absent class's mean, hence to class 1; 8 is classified as absent."""
    means = torch.tensor([[0.0], [4], [6]])
    W, b = torch.tensor([[0.0], [1], [3]]), torch.tensor([0.0, -2, -15.9])
    H = torch.tensor([[1.0], [4], [6], [8]])
    present = torch.tensor([True, True, False])
    assert metrics.ncc_agreement(H, W, b, means, present) == 0.75
    assert metrics.ncc_agreement(H, W, b, means) == 0.75
    assert metrics.ncc_agreement(H[2:], W, b, means, present) == 0.5
    assert metrics.ncc_agreement(H[2:3], W, b, means) == 0.0
    assert metrics.ncc_agreement(H, W, None, means, present) == 0.0
    assert metrics.ncc_agreement(torch.tensor([2.0]), W * 0, None, means) == 1.0  # ties: the first class


def test_value_ncc_agreement_ties_across_blocks():
    """Among 600 equal logits, and among 599 equal means, the first class wins."""
    W = torch.zeros(600, 1)
    first = (torch.arange(600) == 0).double()[:, None]  # class 0 alone is nearest
    assert metrics.ncc_agreement(torch.ones(3, 1), W, None, first) == 1.0
    W[1:] = 1
    assert metrics.ncc_agreement(torch.ones(3, 1), W, None, 1 - W) == 0.0
    assert metrics.ncc_agreement(torch.ones(3, 1), W, None, W) == 1.0


@pytest.mark.parametrize(("K", "d"), [(2, 1), (2, 7), (3, 2), (10, 9), (10, 64)])
def test_law_etf_and_of_are_recognized(K, d):
    etf = frames.simplex_etf(K, d) * 3
    assert metrics.nc2(etf) < 1e-14 * K
    assert metrics.nc3(2 * etf, etf) < 1e-15 * K
    assert metrics.equiangularity(etf) < 1e-15 * K
    assert metrics.equinorm_cv(etf) < 1e-15
    assert metrics.interference(etf).std < 1e-15 * K
    close(metrics.interference(etf).mean, -1 / (K - 1))
    close(metrics.effective_rank(etf), K - 1, rtol=1e-9)
    close(metrics.hyperspherical_uniformity(etf).mean, -0.5 * math.log(2 + 2 / (K - 1)), atol=1e-15)
    if d >= K:
        frame = frames.orthogonal_frame(K, d)
        assert metrics.nc2(frame, "of") == 0
        close(metrics.nc2(frame, "etf"), math.sqrt(2 - 2 * math.sqrt((K - 1) / K)), rtol=1e-9)


def test_value_dual_error_by_hand():
    """S = diag(1, 3)/sqrt 10 against (1, -1; -1, 1)/2; exchanged, S = (0, 1; 3, 0)/sqrt 10."""
    W, M = torch.eye(2), torch.tensor([[1.0, 0], [0, 3]])
    close(metrics.dual_error(W, M), math.sqrt(2 - 4 / math.sqrt(10)))
    close(metrics.dual_error(W, M.flip(0)), math.sqrt(2 + 4 / math.sqrt(10)))
    etf = frames.simplex_etf(4, 5)
    close(metrics.dual_error(3 * etf, 0.1 * etf), 0.0, atol=1e-7)
    close(metrics.dual_error(-etf, etf), 2.0)
    close(metrics.dual_error(torch.zeros(3, 2), torch.ones(3, 2)), nan)


@pytest.mark.parametrize(("K", "d"), [(3, 7), (6, 3), (7, 3), (40, 3)])
def test_oracle_dual_error(K, d):
    W, M = randn(K, d) + 0.3, randn(K, d, seed=1) + 0.2 * randn(K, d)
    S, T = W @ M.T, (torch.eye(K, dtype=double) - 1 / K) / (K - 1) ** 0.5
    close(metrics.dual_error(W, M), (S / S.norm() - T).norm())
    close(metrics.dual_error(M, M), metrics.nc2(M))
    if K > d + 1:
        assert metrics.dual_error(W, M) != pytest.approx(metrics.dual_error(W - W.mean(0), M), rel=1e-6)


def test_value_centered_orthogonal_frame_scores_0_32():
    """A perfect orthogonal frame against its own centered means, K = 10: sqrt(2 - 2 sqrt(9/10)) = 0.3204."""
    M = frames.orthogonal_frame(10, 12)
    close(metrics.nc3(M, M - M.mean(0)), math.sqrt(2 - 2 * math.sqrt(0.9)), rtol=1e-12)


def test_value_gof_target():
    a = torch.tensor([3.0, 2, 1], dtype=double)
    F = frames.general_orthogonal_frame(a, 5)
    G = F @ F.T
    Q = torch.linalg.qr(randn(5, 5))[0]
    assert metrics.nc2(7 * F @ Q, target=G / G.norm()) < 1e-15
    close(metrics.nc2(F, "of"), (torch.diag(a**2) / 98**0.5 - torch.eye(3, dtype=double) / 3**0.5).norm())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_law_rotation_permutation_scale(scale):
    K, d = 6, 8
    H, y, W = randn(60, d) + 5, torch.arange(60) % K, randn(K, d, seed=1)
    Q, p = torch.linalg.qr(randn(d, d, seed=2))[0], torch.randperm(K, generator=torch.Generator().manual_seed(3))
    a = ClassStatistics.from_features(H, y, K)
    b = ClassStatistics.from_features(scale * H @ Q.T, p.argsort()[y], K)
    Wb = W[p] @ Q.T
    for f in (metrics.nc1, metrics.nc1_trace_ratio, metrics.cdnv_summary, lambda s: metrics.nc1(s, center="sample")):
        close(f(b), f(a), rtol=1e-9)
    close(metrics.cdnv(b), metrics.cdnv(a)[p][:, p].tolist(), rtol=1e-9)
    close(metrics.cdnv_summary(b, 2).mean * scale**2, metrics.cdnv_summary(a, 2).mean, rtol=1e-9)
    for f in (metrics.nc2, metrics.equinorm_cv, metrics.equiangularity, metrics.hyperspherical_uniformity,
              metrics.interference, metrics.effective_rank, lambda M: metrics.nc2(M, "of")):  # fmt: skip
        close(f(b.centered_means), f(a.centered_means), rtol=1e-9)
    for f in (metrics.nc3, metrics.self_duality, metrics.uniform_duality):
        close(f(Wb, b.centered_means), f(W, a.centered_means), rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_value_merging_classes_never_look_collapsed(scale):
    """Two of four classes a distance g apart: nc1 grows as 1/g^2, at any scale of the features, up to inf at g = 0."""
    means = scale * torch.tensor([[9.0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0], [0, 0, 9, 0]], dtype=double)
    noise = scale * torch.tensor([0.01, 0.02, 0.03, 0.04], dtype=double).diag()
    values = []
    for gap in (1, 1e-2, 1e-4, 1e-6):
        means[3, 3] = scale * gap
        values.append(metrics.nc1(statistics(means, noise)))
    for gap, value in zip((1e-2, 1e-4, 1e-6), values[1:], strict=True):
        close(value * gap**2, 0.04**2 / 2, rtol=0.02)
    means[3, 3] = 0
    merged = statistics(means, noise)
    assert metrics.nc1(merged) == inf
    assert metrics.cdnv_summary(merged).max == inf and metrics.cdnv_summary(merged).mean == inf
    assert math.isnan(metrics.cdnv_summary(merged).std) and metrics.cdnv_summary(merged).log_mean == inf
    assert metrics.cdnv(merged)[2, 3] == inf and metrics.cdnv(merged)[0, 1] < inf
    assert metrics.hyperspherical_uniformity(merged.means).max == inf


def test_law_noise_across_the_means_leaves_no_negative_nc1():
    """Two classes whose samples spread at a right angle to the line between their means: zero up to rounding."""
    for seed in range(50):
        apart, noise = randn(2, 6, seed=seed)
        apart = apart - (apart @ noise) / (noise @ noise) * noise
        assert 0 <= metrics.nc1(statistics(torch.stack([-apart, apart]), torch.stack([noise, noise]))) < 1e-12


def test_value_collapsed_and_dead_networks_differ():
    collapsed = statistics(frames.simplex_etf(4, 5) + 1000)
    assert metrics.nc1(collapsed) == metrics.nc1_trace_ratio(collapsed) == 0
    assert metrics.cdnv_summary(collapsed) == (0, 0, 0, 0, pytest.approx(nan, nan_ok=True))
    for noise in (0.0, 1.0):
        dead = statistics(torch.full((4, 5), 1 / 3), torch.full((4, 5), noise))
        assert metrics.nc1(dead) == metrics.nc1_trace_ratio(dead) == metrics.cdnv_summary(dead).min == inf
    assert all(math.isnan(metrics.nc2(torch.zeros(3, 2), T)) for T in ("etf", "of"))
    assert math.isnan(metrics.self_duality(torch.eye(2), torch.tensor([[1.0, 0], [0, 0]])))


def test_oracle_blocks_many_classes():
    """Several blocks, a near duplicate across them, against direct K x K matrices."""
    K, d = 1030, 8
    means, spread = 1000 + randn(K, d), randn(K, seed=1).square()
    means[K - 1] = means[3]
    means[K - 1, 0] += 1e-7
    gap = (means[K - 1, 0] - means[3, 0]).item()
    stats = ClassStatistics(torch.full((K,), 2), means, spread)
    j, k = torch.triu_indices(K, K, 1)
    D2 = (means[j] - means[k]).square().sum(1)
    values = (spread[j] + spread[k]) / 4 / D2
    assert values.max() == (spread[K - 1] + spread[3]) / 4 / gap**2
    expected = [values.mean(), values.std(correction=0), values.min(), values.max(), values.log().mean()]
    close(metrics.cdnv_summary(stats), expected, rtol=1e-9)
    close(metrics.cdnv(stats)[j, k], values.tolist(), rtol=1e-9)
    M = means - 1000
    U = M / M.norm(dim=1, keepdim=True)
    cos, kernel = (U[j] * U[k]).sum(1), -(U[j] - U[k]).norm(dim=1).log()
    summary = metrics.interference(M)
    close(summary.mean, cos.mean(), atol=1e-13)
    close(summary.std, cos.std(correction=0), rtol=1e-11)
    extremes = metrics.interference(M, extremes=True)
    close(extremes.std, summary.std, rtol=1e-11)
    close(extremes.min, cos.min())
    close(extremes.max, cos.max())
    close(metrics.equiangularity(M), (cos + 1 / (K - 1)).abs().mean())
    uniformity = metrics.hyperspherical_uniformity(M)
    close(uniformity.mean, kernel.mean(), rtol=1e-9)
    close(uniformity.max, kernel.max(), rtol=1e-7)
    H = means[torch.arange(K)] + 0.4 * randn(K, d, seed=2)
    W, b = means - 1000, -0.5 * (means - 1000).square().sum(1)
    nearest = torch.cdist(H, means, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    chosen = ((H - 1000) @ W.T + b + 3 * randn(K, seed=4)).argmax(1)
    close(
        metrics.ncc_agreement(H - 1000, W, b + 3 * randn(K, seed=4), means - 1000),
        (nearest == chosen).double().mean(),
    )
    assert 0.01 < (nearest == chosen).double().mean() < 0.99
    G = M @ M.T
    for target, T in {
        "etf": (torch.eye(K, dtype=double) - 1 / K) / (K - 1) ** 0.5,
        "of": torch.eye(K, dtype=double) / K**0.5,
    }.items():
        close(metrics.nc2(M, target), (G / G.norm() - T).norm())


def test_law_summaries_need_no_quadratic_memory():
    """The largest tensor that a summary of K = 1,100 classes makes is a block, not K x K."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            sizes = [
                x.numel() for x in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(x, torch.Tensor)
            ]
            largest = max([largest, *sizes])
            return out

    K, d = 1100, 8
    M = randn(K, d)
    stats = ClassStatistics(torch.ones(K, dtype=torch.int64), M, torch.ones(K, dtype=double))
    with Watch():
        metrics.cdnv_summary(stats)
        metrics.hyperspherical_uniformity(M)
        metrics.interference(M, extremes=True)
        metrics.equiangularity(M)
        metrics.nc2(M)
        metrics.ncc_agreement(M, M, None, M)
    assert 100_000 < largest <= 512 * 512


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_law_low_precision_inputs_are_computed_in_float64(dtype):
    M, W = randn(5, 7).to(dtype), randn(5, 7, seed=1).to(dtype)
    for f in (metrics.nc2, metrics.equinorm_cv, metrics.equiangularity, metrics.interference, metrics.effective_rank):
        assert f(M) == pytest.approx(f(M.double()), rel=0, abs=0, nan_ok=True)
    assert metrics.nc3(W, M) == metrics.nc3(W.double(), M.double())
    assert metrics.ncc_agreement(M, W, None, M) == metrics.ncc_agreement(M.double(), W.double(), None, M.double())


GOOD = statistics([[2.0, 0], [0, 2]], [[1.0, 0], [0, 1]])
BARE = ClassStatistics(GOOD.counts, GOOD.means, GOOD.spread)
LONE = ClassStatistics(torch.tensor([2, 0]), GOOD.means, GOOD.spread, GOOD.scatter)
I2, I3 = torch.eye(2), torch.eye(3)
BAD = {
    "nc1 center": (lambda: metrics.nc1(GOOD, center="mean"), "center='mean', must be 'class' or 'sample'"),
    "nc1 scatter": (lambda: metrics.nc1(BARE), "scatter is None: collect the statistics with scatter=True"),
    "nc1 lone": (lambda: metrics.nc1(LONE), "stats has 1 present classes .*, at least 2 are needed"),
    "trace lone": (lambda: metrics.nc1_trace_ratio(LONE), "stats has 1 present classes"),
    "cdnv lone": (lambda: metrics.cdnv(LONE), "stats has 1 present classes"),
    "summary lone": (lambda: metrics.cdnv_summary(LONE), "stats has 1 present classes"),
    "cdnv power": (lambda: metrics.cdnv(GOOD, 0), "power=0, must be positive"),
    "cdnv nan power": (lambda: metrics.cdnv_summary(GOOD, nan), "power=nan, must be positive"),
    "nc2 name": (lambda: metrics.nc2(I2, "gof"), r"target='gof', must be 'etf', 'of' or a \(K, K\) matrix"),
    "nc2 shape": (lambda: metrics.nc2(I2, I3), r"target has shape \(3, 3\), must be \(2, 2\)"),
    "nc2 nan": (lambda: metrics.nc2(I2 * nan), "M holds NaN or inf"),
    "nc2 target nan": (lambda: metrics.nc2(I2, I2 * inf), "target holds NaN or inf"),
    "nc2 vector": (lambda: metrics.nc2(torch.ones(3)), r"M has shape \(3,\), must be a matrix"),
    "nc2 one class": (lambda: metrics.nc2(torch.ones(1, 3)), r"M has shape \(1, 3\), must be \(K, d\) with K >= 2"),
    "nc3 shapes": (lambda: metrics.nc3(I2, I3), r"M has shape \(3, 3\), must be that of W, \(2, 2\)"),
    "nc3 nan": (lambda: metrics.nc3(I2 * nan, I2), "W holds NaN or inf"),
    "dual_error": (lambda: metrics.dual_error(I3, I2), r"M has shape \(2, 2\), must be that of W, \(3, 3\)"),
    "equinorm": (lambda: metrics.equinorm_cv(torch.ones(2, 0)), r"M has shape \(2, 0\)"),
    "equiangularity": (lambda: metrics.equiangularity(torch.ones(1, 2)), "K >= 2"),
    "self_duality": (lambda: metrics.self_duality(I3, I2), r"must be that of W, \(3, 3\)"),
    "uniform_duality": (lambda: metrics.uniform_duality(I3, I2), r"must be that of W, \(3, 3\)"),
    "uniformity": (lambda: metrics.hyperspherical_uniformity(torch.ones(1, 2)), "K >= 2"),
    "interference": (lambda: metrics.interference(torch.full((2, 2), inf)), "M holds NaN or inf"),
    "ncc width": (lambda: metrics.ncc_agreement(I3, I2, None, I2), r"H has shape \(3, 3\), must be \(\.\.\., 2\)"),
    "ncc rows": (lambda: metrics.ncc_agreement(I2[:0], I2, None, I2), "at least one row"),
    "ncc means": (lambda: metrics.ncc_agreement(I2, I2, None, I3), "means has shape"),
    "ncc bias": (lambda: metrics.ncc_agreement(I2, I2, torch.ones(3), I2), r"b has shape \(3,\), must be \(2,\)"),
    "ncc present": (lambda: metrics.ncc_agreement(I2, I2, None, I2, torch.tensor([True])), r"present has shape \(1,\)"),
    "ncc absent": (lambda: metrics.ncc_agreement(I2, I2, None, I2, torch.tensor([False] * 2)), "at least one True"),
    "ncc indices": (lambda: metrics.ncc_agreement(I2, I2, None, I2, torch.tensor([0, 1])), "must be bool"),
    "ncc nan": (lambda: metrics.ncc_agreement(I2 * nan, I2, None, I2), "H holds NaN or inf"),
    "rank": (lambda: metrics.effective_rank(torch.ones(2, 2, 2)), r"A has shape \(2, 2, 2\), must be a matrix"),
}


@pytest.mark.parametrize("name", BAD)
def test_value_bad_input_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()
