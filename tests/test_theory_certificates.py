"""Interval proofs: enclosures against 50-digit arithmetic without intervals, and statements they must refuse."""

import math

import mpmath
import pytest

from nclib.theory import certificates as proofs
from nclib.theory import deep_linear, perturbation


def by_bisection(f, low, high):
    """The minimum over alpha of f, in 50 digits, by golden section from a bracket."""
    with mpmath.workdps(50):
        low, high, golden = mpmath.mpf(low), mpmath.mpf(high), (mpmath.sqrt(5) - 1) / 2
        for _ in range(140):
            left, right = high - golden * (high - low), low + golden * (high - low)
            low, high = (low, right) if f(left) < f(right) else (left, high)
        return f((low + high) / 2)


@pytest.mark.parametrize(("K", "M"), [(6, 2), (4, 3), (6, 1), (4, 2)])
def test_oracle_gap_against_golden_section(K, M):
    lam, p = mpmath.mpf("0.001"), mpmath.mpf(2) / (M + 1)
    c = lam / p
    etf = by_bisection(lambda a: mpmath.log1p((K - 1) * mpmath.exp(-a)) + c * (K - 1) * a**p, 4, 14)
    cross = by_bisection(
        lambda a: mpmath.log1p((K - 2) * mpmath.exp(-a) + mpmath.exp(-2 * a)) + c * K / 2 * (2 * a) ** p, 4, 14
    )
    found = proofs.gap(K, M, 1e-3)
    for name, value in {"etf": etf, "cross_polytope": cross, "gap": etf - cross}.items():
        assert found[name].lower <= value <= found[name].upper, name
        assert found[name].upper - found[name].lower < 3e-17
    assert found["gap"].proved == (etf > cross) == ((K, M) in {(6, 2), (4, 3)})


def test_value_every_decay_proves_and_refuses():
    assert proofs.every_decay(4, 2, 0.0118, 0.02).proved
    assert not proofs.every_decay(4, 2, 0.0117, 0.02).proved and not proofs.every_decay(6, 1, 1e-3, 1e-2).proved


def test_law_cells_refuse_what_is_false_by_little():
    """Above its minimum by 1e-9, and below it by as much."""
    family = proofs.simplex(6, 2, proofs.decay(1e-3))
    least = deep_linear.ce_etf_candidate(6, 1, (1e-3,) * 2, 1e-3).loss
    assert proofs.above(family, least - 1e-6) and proofs.above(family, least + 1e-9) is None


def test_law_a_minimum_elsewhere_is_not_certified():
    family = proofs.simplex(6, 2, proofs.decay(1e-3))
    assert proofs.minimum(family, 7.58) and proofs.minimum(family, 6.5) is None and proofs.minimum(family, 9.0) is None


@pytest.mark.parametrize("M", range(2, 13))
def test_oracle_threshold_is_where_a_grid_of_losses_first_dips(M):
    found = proofs.threshold(M)
    q = [(M - 1) / M + (i - 500) * 1e-5 for i in range(1001)]
    assert found.proved and found.upper - found.lower < 3e-16
    for factor, dips in ((1 - 1e-9, True), (1 + 1e-9, False)):
        assert bool(deep_linear.scalar_loss(q, found.lower * factor, M).min() < 0.5) == dips


def test_law_threshold_refuses_another_formula(monkeypatch):
    real = proofs._formula
    monkeypatch.setattr(proofs, "_formula", lambda M: real(M) * (1 + 1e-15))
    assert not proofs.threshold(3).proved


def test_value_roots_of_one_layer():
    """M = 1: q = 1 - N sqrt(lam_W lam_H / n_k), dead below n_k = N^2 lam_W lam_H = 2.25."""
    found = proofs.roots([9, 4, 2], [0.1], 0.1)
    assert [one.proved for one in found] == [True] * 3 and found[2].upper == 0
    for one, q in zip(found, (1 - 1.5 / 3, 1 - 1.5 / 2), strict=False):
        assert one.lower == pytest.approx(q, rel=1e-15) and one.upper - one.lower < 2e-16


def test_law_roots_refuse_a_wrong_root(monkeypatch):
    """The other stationary point, and a class that is said to be dead."""
    real = deep_linear.mse_minimizer

    class Wrong:
        def __init__(self, q):
            self.logits = real([40, 24, 14, 9], [0.004, 0.004], 0.004).logits.clone()
            self.logits[0, 0] = q

    barrier = deep_linear.stationary_points(2 * 87 * math.sqrt(87 * 0.004**3) / 40, 2)[0]
    for q in (barrier, 0.0, 0.9):
        monkeypatch.setattr(deep_linear, "mse_minimizer", lambda *given, q=q: Wrong(q))
        assert not proofs.roots([40, 24, 14, 9], [0.004, 0.004], 0.004)[0].proved


def test_law_no_etf_is_global_agrees_with_the_rule_for_even_classes():
    for M in range(1, 6):
        for K in range(4, 20, 2):
            assert proofs.no_etf_is_global(K, M) == deep_linear.cross_polytope_wins(K, M)
    assert proofs.no_etf_is_global(7, 2) and not proofs.no_etf_is_global(3, 9)


@pytest.mark.parametrize(
    ("c", "lam_H", "beta", "dim"), [(0.3, 0.2, 2.0, 9), (0.9, 1.3, 0.1, 20), (0.05, 0.01, 300.0, 5)]
)
def test_oracle_trace_ratio_bound_against_the_elasticities(c, lam_H, beta, dim):
    found = perturbation.Problem(4, 3, dim, c**2 / lam_H, lam_H, beta).elasticities()["nc1_trace_ratio"]
    factor = (-found["lam_H"] / found["lam_W"] - 1) / (2 * c * (dim - 4) / 4)
    ours = proofs.trace_ratio_bound((c, c), (lam_H, lam_H), (beta, beta))
    assert ours.proved and ours.lower == pytest.approx(factor, rel=1e-11)
    assert not proofs.trace_ratio_bound((c, 1.01), (lam_H, lam_H), (beta, beta)).proved


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: proofs.gap(5, 2, 1e-3), "num_classes must be even"),
        (lambda: proofs.gap(6, 2, 0.3), "lam must leave a minimum"),
        (lambda: proofs.threshold(1), "depth"),
        (lambda: proofs.every_decay(6, 2, -1.0, 0.1), "low"),
    ],
)
def test_law_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()
