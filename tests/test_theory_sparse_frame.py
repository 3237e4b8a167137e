"""Sparse simplex frames: hand-made masks, what is necessary, the solver against Levenberg and Marquardt of SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from nclib import frames
from nclib.theory import sparse_frame as sf

f64 = {"dtype": torch.float64}


def gram(K):
    return (K * torch.eye(K, **f64) - 1) / (K - 1)


@pytest.mark.parametrize(("K", "d", "beta"), [(2, 4, 0.5), (3, 3, 0.3), (10, 64, 0.6), (10, 9, 0.0), (30, 128, 0.6)])
def test_law_a_sparse_etf_is_a_simplex_with_exactly_that_many_zeros(K, d, beta):
    V = frames.sparse_etf(K, d, beta, norm=0.3, seed=1)
    assert V.shape == (K, d) and V.dtype == torch.float64
    torch.testing.assert_close(V @ V.T, 0.09 * gram(K), rtol=0, atol=1e-13)
    assert (V == 0).sum() == round(beta * K * d)
    torch.testing.assert_close(V.sum(0), torch.zeros(d, **f64), rtol=0, atol=1e-13)
    assert torch.equal(V, frames.sparse_etf(K, d, beta, norm=0.3, seed=1))
    if 0 < beta and K > 3:
        assert not torch.equal(V == 0, frames.sparse_etf(K, d, beta, seed=2) == 0)


def test_value_the_default_length_is_the_papers():
    assert frames.sparse_etf(4, 8, 0.25).norm(dim=1).tolist() == pytest.approx([0.1] * 4, rel=1e-12)


def test_value_masks_by_hand():
    mask = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]]).bool()
    assert sf.unknowns(mask) == 2 + 0 + 1 + 0 and sf.equations(3) == 3 and sf.disjoint_pairs(mask) == 0
    assert sf.disjoint_pairs(torch.eye(3).bool()) == 3
    assert sf.simplex_on_mask(torch.eye(3).bool()) is None
    moved = sf.without_singletons(mask)  # columns 1 and 3 hold one entry each: the second goes to the first's
    assert moved.sum() == mask.sum() and moved.sum(0).tolist() == [3, 2, 2, 0]
    assert sf.without_singletons(torch.tensor([[1], [0]]).bool()) is None


def test_value_haar_contrasts_are_exact_with_fewer_unknowns_than_equations():
    columns = [[1, 1, 1, 1, -1, -1, -1, -1]]
    columns += [[1, 1, -1, -1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, -1, -1]]
    columns += [[1 if i == 2 * j else -1 if i == 2 * j + 1 else 0 for i in range(8)] for j in range(4)]
    V = torch.tensor(columns, **f64).T
    V = V / V.norm(dim=0) * (8 / 7) ** 0.5
    mask = V != 0
    torch.testing.assert_close(V @ V.T, gram(8), rtol=0, atol=1e-15)
    assert (sf.unknowns(mask), sf.equations(8)) == (17, 28) and sf.generic_rank(mask) < 28
    torch.testing.assert_close(sf.simplex_on_mask(mask, V=V), V)


def test_oracle_the_generic_rank_is_that_of_a_jacobian_by_autograd():
    for beta in (0.2, 0.5, 0.7):
        mask = sf.sparse_mask(6, 9, beta, seed=3)
        V = torch.randn(6, 9, generator=torch.Generator().manual_seed(7), **f64)
        J = torch.autograd.functional.jacobian(lambda V, mask=mask: _upper(sf.centered(V, mask)), V).flatten(1)
        assert sf.generic_rank(mask) == np.linalg.matrix_rank(J.numpy(), tol=1e-8)


def _upper(V):
    a, b = torch.triu_indices(len(V), len(V), 1)
    return (V @ V.T)[a, b]


@pytest.mark.parametrize("seed", range(3))
def test_oracle_levenberg_marquardt_of_scipy_solves_the_same_masks(seed):
    """K = 5, d = 6: it, too, gets to zero where ours does, and nowhere else."""
    for beta in (0.3, 0.45, 0.6):
        mask = sf.sparse_mask(5, 6, beta, seed=seed)
        free = mask.numpy()

        def residual(v, free=free):
            V = np.zeros(free.shape)
            V[free] = v
            return (V @ V.T - gram(5).numpy())[np.triu_indices(5)]

        random = np.random.default_rng(seed)
        best = min(least_squares(residual, random.normal(size=free.sum()), xtol=1e-15).cost for _ in range(6))
        assert (best < 1e-12) == (sf.simplex_on_mask(mask, starts=6) is not None)


def test_law_both_ways_of_a_step_reach_a_frame(monkeypatch):
    mask = sf.without_singletons(sf.sparse_mask(12, 40, 0.5))
    dense = sf.simplex_on_mask(mask)
    monkeypatch.setattr(sf, "DENSE", 0)
    for V in (dense, sf.simplex_on_mask(mask)):
        assert not V[~mask].any()
        torch.testing.assert_close(V @ V.T, gram(12), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dense", [sf.DENSE, 0])
def test_law_masks_in_a_batch_are_solved_as_each_alone(monkeypatch, dense):
    """By both ways of a step, in blocks of any size; whether it is solved, and the frame itself."""
    monkeypatch.setattr(sf, "DENSE", dense)
    masks = torch.stack([sf.sparse_mask(6, 9, beta, seed=i) for i, beta in enumerate((0.2, 0.4, 0.5, 0.6, 0.9))])
    alone = [sf.nearest_simplex(mask, seed=i, starts=2) for i, mask in enumerate(masks)]
    solved = torch.tensor([error < sf.EXACT for _, error in alone])
    assert 1 < solved.sum() < 5
    for numbers in (sf.NUMBERS, 1):
        monkeypatch.setattr(sf, "NUMBERS", numbers)
        V, error = sf.nearest_simplexes(masks, seeds=range(5), starts=2)
        assert torch.equal(error < sf.EXACT, solved) and not V[~masks].any()
        torch.testing.assert_close(V @ V.mT - gram(6), torch.zeros(5, 6, 6, **f64), rtol=0, atol=error.max().item())
        for i in solved.nonzero()[:, 0]:
            torch.testing.assert_close(V[i], alone[i][0], rtol=0, atol=1e-9)
    assert sf.nearest_simplexes(masks[:0])[0].shape == (0, 6, 9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sf.nearest_simplexes(torch.ones(2, 3, 4)), r"masks: torch.float32 of shape \(2, 3, 4\), must be bool"),
        (lambda: sf.nearest_simplexes(torch.ones(3, 4).bool()), r"masks: torch.bool of shape \(3, 4\), must be bool"),
        (
            lambda: sf.nearest_simplexes(torch.ones(2, 3, 4).bool(), seeds=[1]),
            "seeds has 1 entries, must be one a mask: 2",
        ),
        (lambda: sf.nearest_simplexes(torch.ones(2, 3, 4).bool(), starts=0), "starts"),
        (lambda: sf.simplex_on_mask(torch.ones(3)), r"masks: torch.float32 of shape \(1, 3\), must be bool"),
        (lambda: sf.disjoint_pairs(torch.ones(3).bool()), r"masks: torch.bool of shape \(1, 3\), must be bool"),
        (lambda: sf.generic_rank(torch.ones(3, 4)), r"masks: torch.float32 of shape \(1, 3, 4\), must be bool"),
        (lambda: sf.solvable_probability(0, 3, 0.5), "K must be an integer >= 2, got 0"),
        (lambda: sf.sparse_mask(1, 4, 0.5), "K"),
        (lambda: sf.sparse_mask(3, 0, 0.5), "d"),
        (lambda: sf.sparse_mask(3, 4, 1), r"beta=1, the share of zeros must be in \[0, 1\)"),
    ],
)
def test_value_bad_masks_are_refused(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_value_the_probability_by_hand():
    assert sf.expected_unknowns(10, 64, 0.5) == pytest.approx(64 * (4 + 0.5**10))
    assert sf.solvable_probability(10, 64, 0.75) == pytest.approx(math.exp(-45 * (1 - 0.0625) ** 64))
    assert sf.solvable_probability(100, 128, 0.61) == 0 < sf.solvable_probability(100, 128, 0.6)
    # K = 2, d = 1, beta = 1/2: one unknown is expected only at d (1 - beta)^2 = 1/4
    assert sf.expected_unknowns(2, 1, 0.5) == 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 4, 0.5), "K=1, d=4, seed=0: a simplex of K >= 2 classes needs d >= K-1"),
        ((6, 4, 0.0), "K=6, d=4, seed=0: a simplex of K >= 2 classes needs d >= K-1"),
        ((4, 8, 1.0), r"beta=1.0, the share of zeros must be in \[0, 1\)"),
        ((4, 8, -0.1), r"beta=-0.1, the share of zeros must be in \[0, 1\)"),
        ((4, 8, float("nan")), "beta=nan, the share of zeros must be in"),
        ((4, 8, "much"), r"beta=much, the share of zeros must be in \[0, 1\)"),
        ((4.5, 8, 0.1), "K=4.5, d=8, seed=0: must be integers"),
        ((4, "8", 0.1), "K=4, d='8', seed=0: must be integers"),
        ((20, 64, 0.9), "beta=0.9: no simplex of K=20 rows of d=64 entries was found on any of 20 random masks"),
    ],
)
def test_value_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        frames.sparse_etf(*arguments)
    for norm in (0, float("inf"), "long"):
        with pytest.raises(ValueError, match="norm must be a finite number > 0, got "):
            frames.sparse_etf(4, 8, 0.1, norm=norm)
    with pytest.raises(ValueError, match="seed=-1: a simplex"):
        frames.sparse_etf(4, 8, 0.1, seed=-1)
