"""nclib.collapses.pruning: the PQ Index, global masks, the rank of class means after a bottleneck."""

import pytest
import torch

from nclib.collapses.pruning import between_rank, magnitude_masks, pq_index
from nclib.statistics import ClassStatistics


def test_value_pq_index():
    """|w|_1 = 7, |w|_2 = 5, d = 2: 1 - 7 / (5 sqrt 2). With p = 1/2, q = 1: (2 + 1)^2 / 5 over d = 2."""
    assert pq_index(torch.tensor([3.0, -4.0])) == pytest.approx(1 - 7 / (5 * 2**0.5))
    assert pq_index(torch.tensor([4.0, 1.0]), 0.5, 1.0) == pytest.approx(1 - 9 / 5 / 2)
    assert pq_index(torch.tensor([1e-300, 0.0, 0.0, 0.0], dtype=torch.float64)) == pytest.approx(0.5)


def test_law_pq_index_ignores_scale_and_order_and_doubling():
    w = torch.randn(50, generator=torch.Generator().manual_seed(0))
    assert 0 < pq_index(w) < 1
    for other in (-3 * w, w.flip(0), torch.cat([w, w])):
        assert pq_index(other) == pytest.approx(pq_index(w))


def test_oracle_masks_keep_the_largest():
    """Against a sort of all entries, and each tensor's minimum against a sort of its own."""
    g = torch.Generator().manual_seed(1)
    weights = [torch.randn(7, 5, generator=g), 0.1 * torch.randn(9, 4, generator=g), torch.randn(3, 3, generator=g)]
    kept = round(0.2 * 80)
    cut = sorted((abs(v) for w in weights for v in w.flatten().tolist()), reverse=True)[kept - 1]
    assert all(torch.equal(m, w.abs() >= cut) for m, w in zip(magnitude_masks(weights, 0.8), weights, strict=True))
    masks = magnitude_masks(weights, 0.8, 4)
    assert sum(int(m.sum()) for m in masks) == kept and int(masks[1].sum()) == 4
    assert torch.equal(masks[1], weights[1].abs() >= weights[1].abs().flatten().sort(descending=True).values[3])


def test_law_rank_after_a_bottleneck():
    """Features that pass through r units have class means of rank min(r, K - 1), rotated or not; equal means 0."""
    g = torch.Generator().manual_seed(2)
    y = torch.arange(60) % 6
    for r in range(1, 9):
        H = torch.randn(60, r, generator=g) @ torch.randn(r, 12, generator=g)
        assert between_rank(ClassStatistics.from_features(H, y, 6)) == min(r, 5)
    assert between_rank(ClassStatistics.from_features(torch.ones(60, 4), y, 6)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pq_index(torch.ones(2), 2, 1), "p, q = 2, 1: must be 0 < p < q"),
        (lambda: pq_index(torch.ones(0)), "w has no entries"),
        (lambda: magnitude_masks([torch.ones(4)], 1.0), "sparsity = 1.0: must be at least 0 and below 1"),
        (lambda: magnitude_masks([torch.ones(4)], -0.1), "sparsity = -0.1"),
        (lambda: magnitude_masks([torch.ones(4)] * 2, 0.5, 3), "minimum = 3: must be at least 0 and leave at most 4"),
        (lambda: magnitude_masks([torch.ones(4)], 0.5, -1), "minimum = -1"),
        (lambda: magnitude_masks([], 0.5), "must be at least one, none of them empty"),
    ],
)
def test_law_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
