import math

import pytest
import torch

from nclib import metrics
from nclib.bootstrap import KEYS, intervals
from nclib.conventions import PRESETS, measure
from nclib.statistics import ClassStatistics

double = torch.float64


def statistics(M, spread, counts=None):
    """Statistics whose class means, spreads and counts are these."""
    counts = torch.full((len(M),), 4) if counts is None else counts
    return ClassStatistics(counts, M, spread)


def classes(K, generator, d=4):
    """Class means, spreads and a classifier drawn from one population of classes."""
    M = torch.randn(K, d, generator=generator, dtype=double) * torch.linspace(2, 0.5, d, dtype=double)
    W = M + torch.randn(K, d, generator=generator, dtype=double)
    return statistics(M, 1 + torch.rand(K, generator=generator, dtype=double)), W


def problem(K=30):
    stats, W = classes(K, torch.Generator().manual_seed(0))
    counts, means, spread = stats.counts.clone(), stats.means.clone(), stats.spread.clone()
    counts[7], means[7], spread[7] = 0, 0, 0
    return ClassStatistics(counts, means, spread), W


KEPT = ["cdnv_mean", "gnc2_mean", "interference_std", "norm_mean", "self_duality", "nc3", "etf_error", "dual_error"]


@pytest.fixture(scope="module")
def coverage():
    """How often 95 % intervals of 400 data sets of 60 classes hold the mean over 400 others of as many classes."""
    g = torch.Generator().manual_seed(5)
    others = [measure(*classes(60, g)) for _ in range(400)]
    truth = {key: sum(found[key] for found in others) / 400 for key in KEPT}
    hits = dict.fromkeys(KEPT, 0)
    for seed in range(400):
        for key, (low, high) in intervals(*classes(60, g), keys=KEPT, draws=300, seed=seed).items():
            hits[key] += low <= truth[key] <= high
    return {key: count / 400 for key, count in hits.items()}


@pytest.mark.parametrize("key", KEPT)
def test_law_intervals_cover(coverage, key):
    assert 0.90 <= coverage[key] <= 0.99


@pytest.mark.parametrize("preset", PRESETS)
def test_law_intervals_hold_the_measured_value(preset):
    stats, W = problem()
    measured, found = measure(stats, W, preset=preset), intervals(stats, W, preset=preset)
    assert tuple(found) == KEYS
    for key, (low, high) in found.items():
        assert low < measured[key] < high, key


@pytest.mark.parametrize("preset", PRESETS)
def test_oracle_formulas_of_equal_weights_are_the_metrics(preset, monkeypatch):
    """With the classes drawn as they are, every formula over class values gives back the measured number."""
    stats, W = problem()
    monkeypatch.setattr(torch, "randint", lambda K, shape, generator: torch.arange(K).expand(shape))
    measured, found = measure(stats, W, preset=preset), intervals(stats, W, preset=preset, draws=100)
    for key, (low, high) in found.items():
        assert low == pytest.approx(measured[key], rel=1e-9) and high == pytest.approx(low), key


def test_oracle_pair_mean_against_the_jackknife():
    """A 68 % interval of a U-statistic is about two standard errors of the delete-one jackknife wide."""
    stats, _ = problem(60)
    present = stats.present.nonzero()[:, 0]
    means, K = stats.centered_means, len(present)
    values = [metrics.hyperspherical_uniformity(means[torch.arange(K) != k]).mean for k in range(K)]
    error = math.sqrt((K - 1) * torch.tensor(values, dtype=double).var(correction=0))
    low, high = intervals(stats, keys=["gnc2_mean"], level=0.6827, draws=4000)["gnc2_mean"]
    assert (high - low) / 2 == pytest.approx(error, rel=0.1)


def test_value_mean_of_a_class_value():
    """self_duality of half ones and half zeros: 95 % of Binomial(400, 1/2) / 400 lies within 1/2 +- 1.96 / 40."""
    g = torch.Generator().manual_seed(1)
    M = torch.randn(200, 3, generator=g, dtype=double)
    M = torch.cat([M, -M])
    W = torch.where(torch.arange(400)[:, None] % 2 == 0, M, torch.linalg.cross(M, M.roll(1, 1)))
    stats = statistics(M, torch.ones(400, dtype=double))
    low, high = intervals(stats, W, keys=["self_duality"], draws=4000)["self_duality"]
    assert (low, high) == pytest.approx((0.5 - 1.96 / 40, 0.5 + 1.96 / 40), abs=0.005)


def test_law_seed_level_and_blocks(monkeypatch):
    stats, W = problem()
    base = intervals(stats, W, seed=3)
    assert intervals(stats, W, seed=3) == base != intervals(stats, W, seed=4)
    narrow = intervals(stats, W, seed=3, level=0.5)
    assert all(base[key][0] < narrow[key][0] < narrow[key][1] < base[key][1] for key in KEYS)
    monkeypatch.setattr("nclib.bootstrap._ENTRIES", 7 * 29)
    blocked = intervals(stats, W, seed=3)
    assert blocked["norm_mean"] == pytest.approx(base["norm_mean"], rel=0.02)


def test_law_undefined_numbers_have_undefined_intervals():
    M = torch.tensor([[1.0, 2], [1, 2], [4, 0], [4, 1]], dtype=double)
    found = intervals(statistics(M, torch.ones(4, dtype=double)), keys=["gnc2_mean", "norm_mean"])
    assert all(math.isnan(x) for x in found["gnc2_mean"]) and found["norm_mean"][0] > 0


def test_law_without_classifier_its_keys_are_left_out():
    stats, _ = problem()
    assert list(intervals(stats)) == [key for key in KEYS if key in measure(stats)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": ["nc1"]}, "keys holds 'nc1', must be among nc1_trace_ratio, cdnv_mean"),
        ({"keys": ["nc3"], "W": None}, "keys holds 'nc3', which needs the classifier W"),
        ({"draws": 99}, "draws=99, must be an integer of at least 100"),
        ({"draws": 1e3}, "draws=1000.0, must be an integer of at least 100"),
        ({"level": 1}, "level=1, must be between 0 and 1"),
        ({"level": 95}, "level=95, must be between 0 and 1"),
        ({"preset": "paper"}, "preset='paper', must be one of textbook"),
        ({"W": torch.ones(29, 4)}, r"W has shape \(29, 4\), must be that of stats.means, \(30, 4\)"),
        ({"stats": statistics(torch.ones(1, 4, dtype=double), torch.ones(1, dtype=double))}, "1 present classes"),
    ],
)
def test_value_bad_input(change, message):
    stats, W = problem()
    with pytest.raises(ValueError, match=message):
        intervals(**{"stats": stats, "W": W} | change)
