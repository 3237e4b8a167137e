"""Whether a choice is the nearest mean, found without finding the nearest of all means."""

import pytest
import torch

from nclib.metrics import ncc_agreement
from nclib.nearest import NearestMean, _Scores, _Twins, choice
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


def in_float64(H, W, b, means, present):
    """NC4 by float64 scores alone, in one piece."""
    label = present.nonzero()[:, 0]
    centers, x = means[label] - means[label].mean(0), H.double() - means[label].mean(0)
    nearest = label[(x @ centers.T - centers.square().sum(1) / 2).argmax(1)]
    return ((H.double() @ W.T + b).argmax(1) == nearest).double().mean().item()


def adversarial(kind, N=700, K=256, d=40):
    """H, W, b, means: decisions that float32 alone gets wrong, or cannot hold."""
    g = torch.Generator().manual_seed(0)
    randn = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    M = randn(K, d)
    W, b, y = M.clone(), -M.square().sum(1) / 2, torch.randint(K, (N,), generator=g)
    H = M[y] + 0.5 * randn(N, d)
    if kind == "near ties":  # halfway between two means, but for a 1e9th
        other = (y + 1 + torch.randint(K - 1, (N,), generator=g)) % K
        H = (M[y] + M[other]) / 2 + 1e-9 * randn(N, d)
    if kind == "offset":
        H, M, b = H + 1e6, M + 1e6, b - 1e6 * W.sum(1)
    if kind == "features near one point":
        H = 1000 + 1e-7 * randn(N, d)
    if kind == "duplicates":  # of classes: the first wins; integers and powers of 2, so that no rounding parts them
        H, M = (4 * H).round(), (4 * M).round()
        M[128:] = M[:128]
        W, b = M.clone(), -M.square().sum(1) / 2
    if kind == "large":
        H, M, b = 1e30 * H, 1e30 * M, 1e30 * b
    if kind == "too large for float32":
        H, W, M, b = 1e150 * H, 1e100 * W, 1e150 * M, 1e250 * b
    if kind == "one large class":
        W[7] *= 1e30
    if kind == "subnormal":
        H, W, M, b = 1e-30 * H, 1e-30 * W, 1e-30 * M, 1e-60 * b
    if kind == "small lengths":
        H, M, b = 1e-22 * H, 1e-22 * M, 1e-22 * b
    if kind == "one column of 1e20":
        H[:, 3] *= 1e20
    return H, W, b, M


KINDS = ["plain", "near ties", "offset", "features near one point", "duplicates", "large", "too large for float32"]
KINDS += ["one large class", "subnormal", "small lengths", "one column of 1e20"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_oracle_counts_are_those_of_float64(kind, dtype):
    H, W, b, means = adversarial(kind)
    H = H.to(dtype)
    if H.isfinite().all():
        present = torch.arange(len(W)) % 2 > 0
        for which in (present, torch.ones_like(present)):
            assert ncc_agreement(H, W, b, means, which) == in_float64(H, W, b, means, which)


def test_law_float32_decides_most_rows_and_none_wrongly():
    """The bound holds for each decision, leaves few rows of a trained network's kind, and is needed for near ties."""
    undecided, wrong = {}, {}
    for kind in KINDS:
        H, W, b, _ = adversarial(kind)
        o = H.mean(0).float().double()
        if not o.isfinite().all():
            continue
        arg, _, sure = _Scores(W, b, W @ o + b, o).winner((H - o).float())
        exact = (H @ W.T + b).argmax(1)
        assert torch.equal(arg[sure], exact[sure]), kind
        undecided[kind], wrong[kind] = float((~sure).double().mean()), int((arg != exact).sum())
    assert undecided["plain"] < 0.01 and wrong["plain"] == 0
    assert undecided["near ties"] > 0.5 and wrong["near ties"] > 10


@pytest.mark.parametrize(("noise", "settled"), [(0.0, 0.85), (0.01, 0.7), (0.1, 0.4), (1.0, 0.0)])
def test_law_a_classifier_near_the_means_settles_the_nearest_mean(noise, settled):
    """Of a clear choice by W = 3 M + noise + a vector that all classes share. An eighth is absent: never settled."""
    g = torch.Generator().manual_seed(1)
    H, M, b, means = adversarial("plain", N=2000)
    H[::2] += 2 * torch.randn(1000, 40, generator=g)
    label = (torch.arange(256) % 8 > 0).nonzero()[:, 0]
    W = 3 * (M + noise * torch.randn(256, 40, generator=g)) + 7
    b = 3 * b + noise * torch.randn(256, generator=g) + 11
    origin = means[label].mean(0)
    o, centers = origin.float().double(), means[label] - origin
    offsets = -centers.square().sum(1) / 2
    c, c_near = W @ o + b, offsets + centers @ (o - origin)
    choose, near = _Scores(W, b, c, o), _Scores(centers, offsets, c_near, o)
    x = (H - o).float()
    chosen, lead, sure = choose.winner(x)
    twins = _Twins(W, centers, c, c_near, label)
    same = sure & twins.agree(chosen, lead, x, near)
    nearest = label[((H - origin) @ centers.T + offsets).argmax(1)]
    assert torch.equal(chosen[same], nearest[same])
    assert float(same.double().mean()) >= settled
    other = sure & (chosen != nearest) & twins.present[chosen]
    assert bool(other.any()) == (noise > 0)


def test_value_integers_and_a_class_of_its_own():
    H = torch.tensor([[2**24 + 1, 0], [0, 1]])  # float32 does not hold the first
    W = torch.eye(2, dtype=torch.float64)
    assert ncc_agreement(H, W, torch.tensor([-(2.0**24), 0.5], dtype=torch.float64), W) == 1.0
    assert ncc_agreement(H, W, None, W, torch.tensor([True, False])) == 0.5
