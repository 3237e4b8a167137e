"""Two-sided permutation test of a Pearson correlation, for a handful of models that differ in their seed only."""

import itertools
import math

import numpy as np

BLOCK = 50_000
# The same r from two orders of summation differs by about 1e-15; a permutation that ties with the data counts as a hit.
ROUNDING = 1e-12


def correlation(x, y) -> float | np.ndarray:
    """Pearson's r of y (n,) with x (n,), or with each column of x (n, k)."""
    return _unit(np.asarray(x, float), "x").T @ _unit(np.asarray(y, float), "y")


def permutation_p(x, y, draws=10_000, seed=0) -> float | np.ndarray:
    """Two-sided p of Pearson's r under permutations of y: how often |r*| >= |r|.

    x: (n,) or (n, k), y: (n,); all k columns see the same permutations. Returns a float, or (k,). With n! <= draws all
    permutations are used and p is exact. Otherwise `draws` random ones are, and p = (1 + hits) / (1 + draws): the data
    count as one of the permutations, so that p is never 0 and the test keeps its level (Phipson, Smyth 2010, Eq. 2).
    ValueError for n < 3, lengths that differ, values that are not finite or all the same, and draws < 1.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if y.ndim != 1 or x.ndim not in (1, 2) or len(x) != len(y) or len(y) < 3:
        raise ValueError(f"x, y of shapes {x.shape}, {y.shape}: must be (n,) or (n, k), and (n,), with n >= 3")
    if draws < 1:
        raise ValueError(f"draws = {draws!r}: must be at least 1")
    u, v = _unit(x, "x"), _unit(y, "y")
    least = np.abs(v @ u) - ROUNDING
    if math.factorial(len(y)) <= draws:
        hits = sum((np.abs(v[list(order)] @ u) >= least).astype(int) for order in itertools.permutations(range(len(y))))
        return hits / math.factorial(len(y))
    rng, hits = np.random.default_rng(seed), np.zeros(u.shape[1:], int)
    for start in range(0, draws, BLOCK):
        permuted = rng.permuted(np.tile(v, (min(BLOCK, draws - start), 1)), axis=1)
        hits += (np.abs(permuted @ u) >= least).sum(0)
    return (1 + hits) / (1 + draws)


def bonferroni(p, tests) -> float | np.ndarray:
    """min(1, tests p): p (float or array) corrected for `tests` tests, whatever their dependence."""
    if tests < 1:
        raise ValueError(f"tests = {tests!r}: must be at least 1")
    return np.minimum(1.0, tests * np.asarray(p, float))[()]


def _unit(x, name):
    """Columns minus their mean, divided by their norm."""
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: must be finite")
    centered = x - x.mean(0)
    norm = np.linalg.norm(centered, axis=0)
    if (norm <= ROUNDING * np.abs(x).max()).any():
        raise ValueError(f"{name}: must not be constant")
    return centered / norm
