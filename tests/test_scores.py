"""Scores that rest on collapse: NC5, NECO, a bound of the few-shot error."""

import doctest
import math

import pytest
import torch

from nclib import frames, metrics, scores
from nclib.scores import few_shot_bound, nc5, neco
from nclib.statistics import ClassStatistics

double = torch.float64


def stats_of(H, y, K, **options):
    return ClassStatistics.from_features(torch.as_tensor(H, dtype=double), torch.tensor(y), K, **options)


def noisy(K=5, d=8, n=40, noise=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(K).repeat(n)
    H = 3 * frames.simplex_etf(K, d)[y] + noise * torch.randn(K * n, d, generator=generator, dtype=double)
    return H, y, ClassStatistics.from_features(H, y, K, scatter=True)


def test_value_docstrings():
    assert doctest.testmod(scores, optionflags=doctest.NORMALIZE_WHITESPACE)[0] == 0


def test_value_nc5_by_hand():
    """cos of (3, 4) and (1, 1) is 7 / (5 sqrt 2), of (-5, 12) and (1, 1) 7 / (13 sqrt 2): absolute, class 1 absent."""
    stats = stats_of([[3.0, 4], [-5, 12]], [0, 2], 3)
    wanted = (7 / 5 + 7 / 13) / 2 / math.sqrt(2)
    assert nc5(stats, torch.tensor([2.0, 2.0])) == pytest.approx(wanted, rel=1e-14)
    outside = stats_of([[1.0, 0], [0, 1], [2, 2]], [0, 0, 1], 2)
    assert nc5(stats, outside) == pytest.approx(wanted, rel=1e-14)
    # centered at (-1, 8): +-(4, -4), and (2, 2) - (-1, 8) = (3, -6): 9 / sqrt(2 * 45)
    assert nc5(stats, torch.tensor([2.0, 2.0]), center="class") == pytest.approx(9 / math.sqrt(90), rel=1e-14)
    assert math.isnan(nc5(stats, torch.zeros(2)))


def test_law_nc5_is_free_of_scale_and_centered_of_an_offset():
    H, y, stats = noisy()
    m = torch.arange(8.0, dtype=double)
    moved = ClassStatistics.from_features(7 * H + 100, y, 5)
    assert nc5(ClassStatistics.from_features(7 * H, y, 5), 3 * m) == pytest.approx(nc5(stats, m), rel=1e-12)
    assert nc5(moved, 7 * m + 100, center="class") == pytest.approx(nc5(stats, m, center="class"), rel=1e-10)
    assert abs(nc5(moved, 7 * m + 100) - nc5(stats, m)) > 0.3


def test_oracle_neco_is_that_of_singular_vectors():
    H, _, stats = noisy()
    new = torch.randn(7, 8, generator=torch.Generator().manual_seed(1), dtype=double)
    mean, sd = H.mean(0), H.std(0, correction=0)
    P = torch.linalg.svd(H - mean, full_matrices=False).Vh[:4]
    assert neco(stats, new, 4) == pytest.approx((new @ P.mT).norm(dim=1) / new.norm(dim=1), rel=1e-9)
    z, P = (new - mean) / sd, torch.linalg.svd((H - mean) / sd, full_matrices=False).Vh[:3]
    logits = torch.randn(7, 5, dtype=double)
    wanted = (z @ P.mT).norm(dim=1) / z.norm(dim=1) * logits.max(1).values
    assert neco(stats, new, 3, standardize=True, logits=logits) == pytest.approx(wanted, rel=1e-9)


def test_law_neco_tells_what_lies_in_the_span_of_the_means():
    H, _, stats = noisy(noise=0.05)
    outside = torch.randn(50, 8, generator=torch.Generator().manual_seed(2), dtype=double)
    assert neco(stats, H, 4).min() > neco(stats, outside, 4).max()
    assert neco(stats, outside, 8) == pytest.approx(torch.ones(50), rel=1e-12)


def test_value_few_shot_bound_by_hand():
    """Standard deviations 1, 2, 3 at 0, 40, 100; two shots make (2 s_j + (s_j + s_k)/sqrt 2)^2 / D^2."""
    H = [[-1.0], [1.0], [38.0], [42.0], [97.0], [103.0]]
    stats, r = stats_of(H, [0, 0, 1, 1, 3, 3], 4), 1 / math.sqrt(2)
    pairs = [
        (2 + 3 * r) / 40,
        (4 + 3 * r) / 40,
        (2 + 4 * r) / 100,
        (6 + 4 * r) / 100,
        (4 + 5 * r) / 60,
        (6 + 5 * r) / 60,
    ]
    wanted = sum(value**2 for value in pairs) / 6
    assert few_shot_bound(stats, 2) == pytest.approx(wanted, rel=1e-14)
    assert few_shot_bound(stats, 2, ways=3) == pytest.approx(2 * wanted, rel=1e-14)
    same = stats_of([[0.0], [1.0], [0.0], [1.0]], [0, 0, 1, 1], 2)
    assert few_shot_bound(same, 5) == 1


def test_law_few_shot_bound_is_a_multiple_of_the_mean_cdnv():
    _, _, stats = noisy(noise=0.02)
    stats = ClassStatistics(stats.counts, stats.means, torch.full_like(stats.spread, float(stats.spread.mean())))
    cdnv = metrics.cdnv_summary(stats).mean
    assert few_shot_bound(stats, 1) == pytest.approx(16 * cdnv, rel=1e-12)
    assert few_shot_bound(stats, 9, ways=4) == pytest.approx(3 * 4 * (4 / 3) ** 2 * cdnv, rel=1e-12)


@pytest.mark.parametrize(("shots", "noise"), [(1, 0.2), (4, 0.25)])
def test_attainment_no_draw_is_worse_than_the_bound(shots, noise):
    """The error of 4,000 tasks, whose truth is what the statistics say, is below the bound and not zero."""
    K, d, tasks = 6, 8, 4000
    generator = torch.Generator().manual_seed(shots)
    M = frames.simplex_etf(K, d)
    spread = torch.full((K,), 10 * d * noise**2, dtype=double)
    stats = ClassStatistics(torch.full((K,), 10), M, spread)

    def draw(k):
        return M[k] + noise * torch.randn(*k.shape, d, generator=generator, dtype=double)

    j = torch.randint(K, (tasks,), generator=generator)
    k = (j + torch.randint(1, K, (tasks,), generator=generator)) % K
    own, other = (draw(label[:, None].expand(-1, shots)).mean(1) for label in (j, k))
    x = draw(j)
    error = float(((x - own).norm(dim=1) >= (x - other).norm(dim=1)).double().mean())
    assert 0 < error <= few_shot_bound(stats, shots)


def test_value_bad_input_is_refused():
    stats = stats_of([[3.0, 4], [0, 2]], [0, 1], 2, scatter=False)
    full = stats_of([[3.0, 4], [0, 4]], [0, 1], 2, scatter=True)
    for call, message in (
        (lambda: nc5(stats, torch.ones(3)), r"outside has a mean of shape \(3,\), must be \(2,\)"),
        (lambda: nc5(stats, torch.ones(2), center="sample"), "center='sample', must be None or 'class'"),
        (lambda: nc5(stats, torch.tensor([1.0, math.nan])), "outside holds NaN or inf"),
        (lambda: neco(stats, torch.ones(1, 2), 1), "scatter is None: collect the statistics with scatter=True"),
        (lambda: neco(full, torch.ones(1, 3), 1), r"H has shape \(1, 3\), must be \(N, 2\)"),
        (lambda: neco(full, torch.ones(1, 2), 3), "dim=3, must be from 1 to 2"),
        (lambda: neco(full, torch.ones(1, 2), 1, standardize=True), "standardize=True: coordinate 1 is constant"),
        (lambda: neco(full, torch.ones(1, 2), 1, logits=torch.ones(2, 2)), "logits has 2 rows, must have 1 as H"),
        (lambda: few_shot_bound(stats, 0), "shots=0, must be at least 1"),
        (lambda: few_shot_bound(stats, 1, ways=3), "ways=3, must be from 2 to 2"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
