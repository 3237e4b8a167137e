"""The permutation test: exact cases by hand, SciPy's as the oracle, and its level where nothing is related."""

import numpy as np
import pytest
import scipy.stats

from nclib.evidence.permutation import bonferroni, correlation, permutation_p

RNG = np.random.default_rng(7)


def test_value_exact_p_of_three_points():
    # y = 0, 1, 3 against x = 0, 1, 2: |sum (x - 1) y| is 3, 1, 2 for the pairs of orders, so that two of six reach 3.
    assert permutation_p([0, 1, 2], [0, 1, 3]) == pytest.approx(2 / 6, abs=0)
    assert permutation_p([0, 1, 2], [0, 3, 1]) == pytest.approx(6 / 6, abs=0)
    assert permutation_p([0, 1, 2], [1, 0, 3]) == pytest.approx(4 / 6, abs=0)


def test_value_data_count_as_one_of_the_permutations():
    x = np.arange(21.0)
    assert permutation_p(x, x, draws=999) == 1 / 1000
    assert permutation_p(x, -x, draws=999) == 1 / 1000


def test_value_bonferroni():
    assert bonferroni(0.01, 7) == pytest.approx(0.07) and bonferroni(0.5, 7) == 1.0
    np.testing.assert_allclose(bonferroni([0.001, 0.4], 2), [0.002, 0.8])


def test_oracle_exact_p_is_scipys():
    x, y = RNG.normal(size=(2, 6))

    def statistic(values):
        return scipy.stats.pearsonr(values, y).statistic

    expected = scipy.stats.permutation_test((x,), statistic, permutation_type="pairings", n_resamples=np.inf)
    # SciPy doubles the smaller tail; ours counts both, which the sum of its null distribution gives too.
    both = np.mean(np.abs(expected.null_distribution) >= abs(expected.statistic) - 1e-12)
    assert permutation_p(x, y) == pytest.approx(both, abs=1e-15)


def test_oracle_columns_and_t_distribution():
    y = RNG.normal(size=21)
    x = y[:, None] * [0.3, 0.6, -0.9] + RNG.normal(size=(21, 3))
    expected = [scipy.stats.pearsonr(column, y) for column in x.T]
    np.testing.assert_allclose(correlation(x, y), [found.statistic for found in expected], rtol=1e-12)
    p = permutation_p(x, y, draws=60_000, seed=3)
    np.testing.assert_allclose(p, [found.pvalue for found in expected], rtol=0.2, atol=1e-3)
    assert [permutation_p(column, y, draws=60_000, seed=3) for column in x.T] == p.tolist()


def test_law_monte_carlo_agrees_with_the_exact_p():
    x, y = RNG.normal(size=(2, 7))
    exact, drawn = permutation_p(x, y, draws=5040), permutation_p(x, y, draws=5039)
    assert exact * 5040 == pytest.approx(round(exact * 5040)) and exact != drawn
    assert abs(exact - drawn) < 4 * np.sqrt(exact * (1 - exact) / 5039)


def test_law_level_where_nothing_is_related():
    x, y = RNG.normal(size=(9, 400)), RNG.normal(size=9)
    small = np.mean(permutation_p(x, y, draws=1000) <= 0.1)
    assert abs(small - 0.1) < 4 * np.sqrt(0.09 / 400)


def test_law_scale_offset_and_order_change_nothing():
    x, y = RNG.normal(size=(2, 12))
    p = permutation_p(x, y, seed=5)
    assert permutation_p(-3 * x + 1e3, 0.1 * y - 7, seed=5) == p
    assert permutation_p(x, y, seed=6) != p


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1, 2], [1, 2]), "n >= 3"),
        (([1, 2, 3], [1, 2, 3, 4]), "shapes"),
        (([1, 1, 1], [1, 2, 3]), "x: must not be constant"),
        (([1, 2, 3], [2, 2, 2]), "y: must not be constant"),
        (([1, 2, np.nan], [1, 2, 3]), "x: must be finite"),
        (([1, 2, 3], [1, 2, 3], 0), "draws = 0"),
    ],
)
def test_value_bad_input_is_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        permutation_p(*arguments)
    assert "\n" not in str(caught.value)


def test_value_bonferroni_needs_a_test():
    with pytest.raises(ValueError, match="tests = 0"):
        bonferroni(0.1, 0)
