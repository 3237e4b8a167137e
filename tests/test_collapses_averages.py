"""nclib.collapses.averages: permutations of units, matching, and the variance of averages."""

import itertools

import pytest
import torch

from nclib.collapses import averages


def net(sizes, seed):
    """Random (weights, biases) of an MLP, float64."""
    g = torch.Generator().manual_seed(seed)
    options = {"generator": g, "dtype": torch.float64}
    weights = [torch.randn(b, a, **options) for a, b in itertools.pairwise(sizes)]
    return weights, [torch.randn(b, **options) for b in sizes[1:]]


def forward(parts, x):
    for W, b in zip(*parts, strict=True):
        x = (x @ W.T + b).relu() if W is not parts[0][-1] else x @ W.T + b
    return x


def shuffled(sizes, seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randperm(size, generator=g) for size in sizes[1:-1]]


def test_law_a_permutation_changes_no_function_and_undoes_itself():
    sizes = (5, 7, 6, 3)
    parts, p, x = net(sizes, 0), shuffled(sizes, 1), torch.randn(9, 5, dtype=torch.float64)
    other = averages.permuted(*parts, p)
    assert torch.allclose(forward(other, x), forward(parts, x), atol=1e-12)
    assert not torch.equal(other[0][0], parts[0][0])
    back = averages.permuted(*other, [q.argsort() for q in p])
    assert all(torch.equal(a, b) for A, B in zip(back, parts, strict=True) for a, b in zip(A, B, strict=True))


def test_attainment_matching_undoes_a_hidden_permutation():
    """A network whose units were shuffled and disturbed a little is matched to the order that it had."""
    sizes = (5, 8, 7, 3)
    parts, p = net(sizes, 2), shuffled(sizes, 3)
    noisy = tuple([W + 0.01 * torch.randn_like(W) for W in group] for group in averages.permuted(*parts, p))
    found = averages.weight_matching(parts, noisy)
    assert all(torch.equal(q[f], torch.arange(len(q))) for q, f in zip(p, found, strict=True))


def test_oracle_assignment_against_all_permutations():
    S = torch.randn(5, 5, generator=torch.Generator().manual_seed(4))
    best = max(itertools.permutations(range(5)), key=lambda p: sum(float(S[i, j]) for i, j in enumerate(p)))
    assert averages.best_permutation(S).tolist() == list(best)


def test_law_matching_of_one_layer_is_the_nearest_order():
    """With one hidden layer it is an assignment: no permutation brings the weights nearer."""
    ours, theirs = net((3, 4, 2), 5), net((3, 4, 2), 6)

    def distance(p):
        other = averages.permuted(*theirs, [torch.tensor(p)])
        return sum(
            float((a - b).square().sum()) for A, B in zip(ours, other, strict=True) for a, b in zip(A, B, strict=True)
        )

    (found,) = averages.weight_matching(ours, theirs)
    assert distance(found.tolist()) == pytest.approx(min(map(distance, itertools.permutations(range(4)))))


@pytest.mark.parametrize("n", [2, 4, 8])
def test_law_an_average_has_one_nth_of_the_variance(n):
    """Of independent vectors; the corrected average has the mean standard deviation, and the same mean."""
    models = 2 + 3 * torch.randn(n, 40_000, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    assert float(models.mean(0).var()) / 9 == pytest.approx(1 / n, rel=0.03)
    mended = averages.variance_corrected(models)
    assert float(mended.std(correction=0)) == pytest.approx(float(models.std(1, correction=0).mean()))
    assert float(mended.mean()) == pytest.approx(float(models.mean()))
    alone = averages.variance_corrected(models[:1])
    assert torch.allclose(alone, models[0])


def test_value_alignment():
    """A matrix with itself is 1 and 1; diag(3, 2, 1) with diag(3, -2, 1) is 1 at the top and (1 - 4) / 5 below."""
    A = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
    assert averages.alignment(A, A) == pytest.approx((1.0, 1.0))
    B = torch.diag(torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64))
    assert averages.alignment(A, B) == pytest.approx((1.0, -0.6))
    assert averages.alignment(A, -A, share=0.5) == pytest.approx((-1.0, -1.0))


def test_value_interpolation():
    ours, theirs = net((2, 3, 2), 7), net((2, 3, 2), 8)
    middle = averages.interpolated(ours, theirs, 0.25)
    assert torch.allclose(middle[0][1], 0.75 * ours[0][1] + 0.25 * theirs[0][1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: averages.permuted(*net((2, 3, 2), 0), [[0, 1]]),
            "permutation of hidden layer 1 has length 2, 2 units: must order 3 units",
        ),
        (
            lambda: averages.permuted(*net((2, 3, 2), 0), [[0, 1, 1]]),
            "hidden layer 1 has length 3, 2 units: must order 3 units",
        ),
        (lambda: averages.permuted(*net((2, 3, 2), 0), []), "permutations are 0: must be one a hidden layer, 1"),
        (
            lambda: averages.best_permutation(torch.ones(2, 3)),
            r"similarity has shape \(2, 3\): must be a square matrix",
        ),
        (lambda: averages.weight_matching(net((2, 3, 2), 0), net((2, 4, 2), 0)), "theirs has shapes"),
        (lambda: averages.interpolated(net((2, 3, 2), 0), net((2, 3, 3, 2), 0)), "theirs has shapes"),
        (lambda: averages.alignment(torch.ones(2, 3), torch.ones(3, 2)), "must be matrices of one shape"),
        (lambda: averages.alignment(torch.ones(2, 3), torch.ones(2, 3), 0.0), "share = 0.0: must be above 0"),
        (lambda: averages.variance_corrected(torch.ones(3)), r"models has shape \(3,\): must be \(N, d\)"),
        (lambda: averages.variance_corrected(torch.ones(2, 3)), "models have a constant average"),
    ],
)
def test_law_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
