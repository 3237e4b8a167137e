import math

import pytest
import torch
from scipy.integrate import quad

from nclib import metrics
from nclib.conventions import measure
from nclib.nulls import permuted_labels, uniform_directions
from nclib.statistics import ClassStatistics

double = torch.float64


def statistics(M, spread=0.0):
    """Statistics of classes of one sample each: their means are M."""
    K = len(M)
    return ClassStatistics(torch.ones(K, dtype=torch.int64), M, torch.full((K,), spread, dtype=double))


def numbers(M, W):
    """What `measure` would find for class vectors that are not centered."""
    cosine, kernel = metrics.interference(M), metrics.hyperspherical_uniformity(M)
    dual = torch.linalg.vecdot(W, M)
    return {
        "interference_mean": cosine.mean,
        "interference_std": cosine.std,
        "gnc2_mean": kernel.mean,
        "gnc2_std": kernel.std,
        "gnc2_cv": kernel.std / kernel.mean,
        "etf_error": metrics.nc2(M),
        "of_error": metrics.nc2(M, "of"),
        "self_duality": dual.mean().item(),
        "duality_std": dual.std(correction=0).item(),
        "nc3": metrics.nc3(W, M),
        "dual_error": metrics.dual_error(W, M),
    }


def sampled(draw, n):
    """{key: values (n,)}."""
    found = [draw() for _ in range(n)]
    return {key: torch.tensor([x[key] for x in found], dtype=double) for key in found[0]}


def unit(K, d, generator):
    return torch.nn.functional.normalize(torch.randn(K, d, generator=generator, dtype=double))


@pytest.mark.parametrize(("K", "d"), [(12, 200), (40, 8), (120, 3), (60, 64)])
def test_oracle_uniform_directions_by_sampling(K, d):
    """Means within 4 standard errors and a relative 1/K of themselves, their standard deviations within 20 %."""
    g, n = torch.Generator().manual_seed(K + d), 300
    null = uniform_directions(K, d)
    for key, values in sampled(lambda: numbers(unit(K, d, g), unit(K, d, g)), n).items():
        exact = key in ("interference_mean", "gnc2_mean", "self_duality")
        slack = 0 if exact else abs(null[key]) / (2 * K)
        assert abs(values.mean() - null[key]) < 4 * values.std() / n**0.5 + slack, key
        assert values.std() == pytest.approx(null[f"{key}_sd"], rel=0.2), key


@pytest.mark.parametrize(("K", "d"), [(12, 200), (40, 8), (120, 3), (2, 6)])
def test_oracle_centered_directions_by_sampling(K, d):
    """What `measure` itself gives for class means without structure, offset and scale included."""
    g, n = torch.Generator().manual_seed(K * d), 300
    null = uniform_directions(K, d, centered=True)
    draws = sampled(lambda: measure(statistics(7 + 3 * torch.randn(K, d, generator=g, dtype=double), 1.0)), n)
    keys = [key for key in null if key not in ("classes", "dimension")]
    assert keys == ["interference_mean", "interference_std", "gnc2_mean", "gnc2_std", "gnc2_cv", "etf_error"]
    for key in keys:
        values = draws[key]
        slack = 1e-7 if key in ("interference_mean", "gnc2_mean") else abs(null[key]) / (2 * K) + 1e-7
        assert abs(values.mean() - null[key]) < 4 * values.std() / n**0.5 + slack, key


@pytest.mark.parametrize("d", [2, 3, 7, 64, 768])
def test_oracle_moments_by_quadrature(d):
    """The Beta law of the cosine, integrated over the angle: density proportional to sin^(d-2) t."""
    width = min(math.pi / 2, 12 / math.sqrt(d))
    sphere = lambda f: quad(lambda t: f(t) * math.sin(t) ** (d - 2), math.pi / 2 - width, math.pi / 2 + width)[0]  # noqa: E731
    total, log = sphere(lambda t: 1), lambda t: -math.log(2 * math.sin(t / 2))
    mean = sphere(log) / total
    std = math.sqrt(sphere(lambda t: (log(t) - mean) ** 2) / total)
    null = uniform_directions(1000, d)
    assert null["gnc2_mean"] == pytest.approx(mean, abs=1e-8)
    assert null["gnc2_std"] == pytest.approx(std, rel=1e-6)
    assert null["interference_std"] == pytest.approx(math.sqrt(sphere(lambda t: math.cos(t) ** 2) / total))


def test_value_by_hand():
    """On the 2-sphere |u - v|^2 / 4 is uniform on (0, 1), so f = -log 2 - (log B) / 2 has mean 1/2 - log 2, std 1/2."""
    null = uniform_directions(4, 3)
    assert null["gnc2_mean"] == pytest.approx(0.5 - math.log(2))
    assert null["gnc2_std"] == pytest.approx(0.5)
    assert null["gnc2_mean_sd"] == pytest.approx(0.5 / math.sqrt(6))
    assert null["interference_std"] == pytest.approx(1 / math.sqrt(3))
    assert null["interference_mean_sd"] == pytest.approx(1 / math.sqrt(18))
    assert null["self_duality_sd"] == pytest.approx(1 / math.sqrt(12))
    assert (null["classes"], null["dimension"], null["interference_mean"]) == (4, 3, 0)


def test_value_limits():
    """A log-distance of -(log 2) / 2 and its spread 1 / (2 sqrt d) in many dimensions; ETF of two centered classes."""
    wide = uniform_directions(29_233, 10_000)
    assert wide["gnc2_mean"] == pytest.approx(-math.log(2) / 2, abs=3e-5)
    assert wide["gnc2_std"] == pytest.approx(1 / 200, rel=1e-3)
    two = uniform_directions(2, 5, centered=True)
    assert (two["interference_mean"], two["interference_std"], two["etf_error"]) == (-1, 0, 0)
    assert two["gnc2_mean"] == pytest.approx(-math.log(2))


def test_law_centering_shifts_the_mean_cosine_by_many_deviations():
    """By sqrt(d/2) standard deviations, however many classes there are."""
    for K in (1_000, 30_000):
        plain, centered = uniform_directions(K, 768), uniform_directions(K, 768, centered=True)
        shift = (centered["interference_mean"] - plain["interference_mean"]) / plain["interference_mean_sd"]
        assert shift == pytest.approx(-math.sqrt(768 / 2), rel=0.01)
        assert centered["gnc2_std"] == pytest.approx(plain["gnc2_std"], rel=1e-2)


def test_law_circle_has_no_cv():
    assert uniform_directions(9, 2)["gnc2_mean"] == pytest.approx(0, abs=1e-12)
    assert "gnc2_cv" not in uniform_directions(9, 2)


@pytest.mark.parametrize("shape", [(60,), (6, 10)])
def test_law_permuted_labels_keep_counts_and_total(shape):
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, shape, generator=g)
    H = torch.randn(*shape, 3, generator=g, dtype=double) + 5 * y[..., None]
    y[..., -2:] = -100
    real = ClassStatistics.from_features(H, y, 5, scatter=True)
    shuffled = permuted_labels(H, y, 5, seed=1, scatter=True)
    assert torch.equal(real.counts, shuffled.counts)
    torch.testing.assert_close(real.total, shuffled.total)
    assert metrics.nc1_trace_ratio(real) < 0.1 < 1 < metrics.nc1_trace_ratio(shuffled)
    again, other = permuted_labels(H, y, 5, seed=1), permuted_labels(H, y, 5, seed=2)
    assert torch.equal(again.means, shuffled.means) and not torch.equal(other.means, shuffled.means)


def test_oracle_permuted_labels_spread_the_classes_by_sampling_noise():
    """E sum_k n_k |mean_k - mean|^2 = (K - 1) / (N - 1) times the total sum of squares, for any labels."""
    g = torch.Generator().manual_seed(3)
    y = torch.arange(6).repeat_interleave(torch.tensor([3, 5, 8, 13, 21, 50]))
    H = torch.randn(100, 4, generator=g, dtype=double) + y[:, None]
    total = (H - H.mean(0)).square().sum()
    between = [total - permuted_labels(H, y, 6, seed).spread.sum() for seed in range(200)]
    between = torch.stack(between)
    assert abs(between.mean() - total * 5 / 99) < 4 * between.std() / 200**0.5


@pytest.mark.parametrize(
    ("K", "d", "message"),
    [
        (1, 8, "K=1, must be an integer of at least 2"),
        (8, 1, "d=1, must be an integer of at least 2"),
        (8.5, 4, "K=8.5, must be an integer"),
        (8, 4.0, "d=4.0, must be an integer"),
        (True, 4, "K=True, must be an integer"),
        ("8", 4, "K='8', must be an integer"),
    ],
)
def test_value_bad_input(K, d, message):
    with pytest.raises(ValueError, match=message):
        uniform_directions(K, d)


def test_value_permuted_labels_bad_input():
    with pytest.raises(ValueError, match=r"labels must be 0\.\.2"):
        permuted_labels(torch.ones(4, 2), torch.tensor([0, 1, 2, 7]), 3, seed=0)
