"""Whether a choice is the nearest mean, found without finding the nearest of all means."""

import pytest
import torch

from nclib.nearest import NearestMean, choice
from nclib.statistics import ClassStatistics

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
K, d, N = 1300, 12, 6000


@pytest.fixture(scope="module")
def problem():
    """Statistics of K classes of which 100 are absent, and new features (N, d), float64.

    Means lie far from the origin; a few of them are near the center of all features, and nearest to most.
    """
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(K, d, generator=generator, dtype=torch.float64) * torch.linspace(0.1, 3, K)[:, None]
    y = torch.randint(100, K, (8 * K,), generator=generator)
    noise, shift = torch.randn(8 * K, d, generator=generator, dtype=torch.float64), 50.0
    stats = ClassStatistics.from_features(means[y] + noise / 2 + shift, y, K)
    return stats, torch.randn(N, d, generator=generator, dtype=torch.float64) + shift


def searched(stats, h):
    """The class of the nearest mean, by all differences in float64, and how much further the second is."""
    label = stats.present.nonzero()[:, 0]
    squares = (h[:, None] - stats.means[label]).square().sum(-1)
    two = squares.topk(2, largest=False)
    return label[two.indices[:, 0]], two.values[:, 1] - two.values[:, 0]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_oracle_agrees_as_a_full_search(problem, device, dtype, monkeypatch):
    stats, h = problem
    true, gap = searched(stats, h)
    chosen = torch.where(torch.arange(N) % 3 == 0, true, true.roll(1))  # a third agrees, and some of the others
    sure = gap > (1e-3 if dtype == torch.float32 else 1e-9)
    assert sure.double().mean() > 0.99 and 0.33 < (true == chosen).double().mean() < 0.8
    searches, search = [], NearestMean._search
    monkeypatch.setattr(NearestMean, "_search", lambda self, x: searches.append(len(x)) or search(self, x))
    means = NearestMean(stats.to(device), dtype)
    for part in torch.arange(N).split(1000):
        found = means.agrees(h[part].to(device), chosen[part].to(device)).cpu()
        assert torch.equal(found[sure[part]], (true == chosen)[part][sure[part]])
    wrong = int((true != chosen).sum())
    assert sum(searches) - (N - wrong) < 0.5 * wrong  # most wrong choices never meet all means


def test_law_what_was_seen_before_changes_no_answer(problem):
    stats, h = problem
    chosen, _ = searched(stats, h.roll(1, 0))
    forward, backward = NearestMean(stats), NearestMean(stats)
    parts = list(torch.arange(N).split(500))
    there = torch.cat([forward.agrees(h[i], chosen[i]) for i in parts])
    back = torch.cat([backward.agrees(h[i], chosen[i]) for i in reversed(parts)][::-1])
    assert torch.equal(there, back) and 0 < there.sum() < N


def test_value_count_by_hand():
    # means 0: (0, 0), 1: (4, 0), 3: (0, 4), class 2 absent, class 4 where class 0 is: the first wins that tie
    H = torch.tensor([[0.0, 0], [4, 0], [0, 4], [0, 0]])
    means = NearestMean(ClassStatistics.from_features(H, torch.tensor([0, 1, 3, 4]), 5))
    h = torch.tensor([[1.0, 0], [3, 0], [1, 0], [0, 3], [1, 1], [1, 0]])
    logits = torch.tensor(
        [
            [2.0, 1, 9, 0, 0],  # 2 is absent, so 0: agrees
            [0, 1, 0, 0, 0],  # 1: agrees
            [0, 0, 0, 0, 1],  # 4, as near as 0 but later: disagrees
            [0, 1, 0, 0, 0],  # 1, but nearest is 3: disagrees
            [1, 0, 0, 0, 0],  # agrees, but its label is absent
            [1, 0, 0, 0, 0],  # agrees, but is left out
        ]
    )
    y = torch.tensor([0, 0, 4, 3, 2, -100])
    assert [int(n) for n in means.count(h, logits, y)] == [2, 4]
    assert [int(n) for n in means.count(h.view(2, 3, 2), logits.view(2, 3, 5), y.view(2, 3))] == [2, 4]
    assert [int(n) for n in means.count(h, logits, torch.full((6,), -100))] == [0, 0]


@pytest.mark.parametrize("V", [64, 100, 640])
def test_oracle_choice(V):
    generator = torch.Generator().manual_seed(V)
    logits = torch.randint(0, 50, (3, 200, V), generator=generator).float()  # with ties
    present = torch.rand(V, generator=generator) > 0.3
    expected = logits.masked_fill(~present, -torch.inf).argmax(-1)
    assert torch.equal(choice(logits, present), expected)
    assert torch.equal(choice(logits.bfloat16(), present), expected)
