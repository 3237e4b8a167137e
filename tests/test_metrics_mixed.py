"""Metrics of mixed features and of calibration: by hand, by loops, on the closed form of mixup."""

import math

import pytest
import torch

from nclib import metrics
from nclib.frames import simplex_etf
from nclib.theory import mixup

MIX = torch.tensor([0.1, 0.3, 0.5, 0.9], dtype=torch.float64)
I, J = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 0, 4, 1])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_law_the_closed_form_scores_as_derived():
    """Features of the theorem, with an offset that no classifier sees, scaled rows with a common offset."""
    W = 2 * simplex_etf(5, 6)
    unseen = torch.zeros(6, dtype=torch.float64)
    unseen[5] = 7
    H, same = mixup.feature(W, I, J, MIX, 0.01) + unseen, mixup.feature(W, I, I, MIX, 0.01) + unseen
    shifted = W + 3 * unseen
    assert metrics.mixed_alignment(same, I, shifted) == pytest.approx(1)
    assert metrics.mixed_span(H, I, J, shifted) == pytest.approx(1)
    even = mixup.feature(W, I, J, 0.5, 0.01) + unseen
    a = 4 * 5 / (4 * 0.01)
    assert metrics.mixed_amplification(even, same, shifted) == pytest.approx(float(mixup.amplification(5, a)))
    linear = mixup.mse_feature(W, I, J, MIX, 0.01) + unseen
    means = torch.stack([mixup.mse_feature(W, k, k, 1.0, 0.01) for k in range(5)])
    assert metrics.mixed_bend(linear, I, J, MIX, means, shifted) == pytest.approx(0, abs=1e-12)
    means = torch.stack([mixup.feature(W, k, k, 1.0, 0.01) for k in range(5)])
    ratio = float(mixup.amplification(5, a)) / (3 / 8) ** 0.5
    half = torch.full((4,), 0.5)
    assert metrics.mixed_bend(even, I, J, half, means, W) == pytest.approx(1 - 1 / ratio)
    gaps = ((H @ W.T).gather(1, I[:, None]) - (H @ W.T).gather(1, J[:, None]))[:, 0]
    far = mixup.logits(5, 1e9, MIX)
    assert metrics.odds_slope(far[:, 0] - far[:, 1], MIX) == pytest.approx(1, abs=1e-6)
    assert metrics.odds_slope(3 * gaps, MIX) == pytest.approx(3 * metrics.odds_slope(gaps, MIX))


def test_oracle_by_loops():
    """Random features and classifiers: every projection by least squares, feature by feature."""
    W, H, means = random(5, 7), random(4, 7, seed=1), random(5, 7, seed=2)
    C = W - W.mean(0)

    def project(h, rows):
        return rows.T @ torch.linalg.lstsq(rows.T, h[:, None], driver="gelsd").solution[:, 0]

    seen = [project(h, C[:4]) for h in H]
    cosines = [p @ C[i] / p.norm() / C[i].norm() for p, i in zip(seen, I, strict=True)]
    assert metrics.mixed_alignment(H, I, W) == pytest.approx(float(sum(cosines) / 4))
    inside = [project(h, C[[i, j]]) for h, i, j in zip(H, I.tolist(), J.tolist(), strict=True)]
    shares = [q.norm() ** 2 / p.norm() ** 2 for p, q in zip(seen, inside, strict=True)]
    assert metrics.mixed_span(H, I, J, W) == pytest.approx(float(sum(shares) / 4))
    off = [h - x * means[i] - (1 - x) * means[j] for h, i, j, x in zip(H, I, J, MIX, strict=True)]
    bends = [project(o, C[:4]).norm() / p.norm() for o, p in zip(off, seen, strict=True)]
    assert metrics.mixed_bend(H, I, J, MIX, means, W) == pytest.approx(float(sum(bends) / 4))


def test_oracle_calibration_by_loop():
    Z, y = 3 * random(500, 4), torch.randint(4, (500,), generator=torch.Generator().manual_seed(3))
    p = Z.softmax(1)
    total = 0.0
    for b in range(15):
        chosen = [n for n in range(500) if b / 15 < float(p[n].max()) <= (b + 1) / 15]
        total += abs(sum(float(p[n].max()) - float(p[n].argmax() == y[n]) for n in chosen))
    assert metrics.calibration_error(Z, y) == pytest.approx(total / 500) and total / 500 > 0.1
    assert metrics.calibration_error(Z, y, bins=1) == pytest.approx(abs(metrics.overconfidence(Z, y)))


def test_value_segment_distance():
    first, second = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[4.0, 0.0], [1.0, 3.0]])
    H = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
    assert metrics.segment_distance(H, first, second, torch.tensor([0.25, 0.5])) == pytest.approx(1 / 8)
    moved = metrics.segment_distance(5 * H + 2, 5 * first + 2, 5 * second + 2, torch.tensor([0.25, 0.5]))
    assert moved == pytest.approx(1 / 8)


def test_bad_input():
    W, H, y = random(3, 4), random(2, 4), torch.tensor([0, 1])
    for bad, call in {
        r"H has shape \(2, 3\), must be \(N, 4\)": lambda: metrics.mixed_alignment(H[:, :3], y, W),
        r"y has shape \(1,\), must be \(2,\), classes 0 to 2": lambda: metrics.mixed_alignment(H, y[:1], W),
        r"j has shape \(2,\), must be \(2,\), classes 0 to 2": lambda: metrics.mixed_span(H, y, y + 2, W),
        r"mix has shape \(2,\), must be \(2,\), in \[0, 1\]": lambda: metrics.mixed_bend(H, y, y, MIX[:2] * 9, W, W),
        "means has shape": lambda: metrics.mixed_bend(H, y, y, MIX[:2], W[:2], W),
        "must be that of H": lambda: metrics.segment_distance(H, H, W, MIX[:2]),
        r"mix has 2 weights: must be 2, in \(0, 1\)": lambda: metrics.odds_slope(torch.ones(2), torch.ones(2)),
        "bins = 0: must be at least 1": lambda: metrics.calibration_error(H, y, 0),
        r"y has shape \(1,\), must be \(2,\)": lambda: metrics.overconfidence(H, y[:1]),
        "H holds NaN or inf": lambda: metrics.mixed_amplification(H * math.nan, H, W),
    }.items():
        with pytest.raises(ValueError, match=bad):
            call()
