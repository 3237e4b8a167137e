"""nclib.theory.deep_linear, balanced cross-entropy: one layer, and the two candidates at depth."""

import math

import pytest
import torch
from problems import cross_entropy, objective, optimize

from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate, ce_minimizer, cross_polytope_wins


def etf(K):
    return torch.eye(K, dtype=torch.float64) - 1 / K


def cross_polytope(K):
    return torch.kron(torch.eye(K // 2), torch.tensor([[1, -1], [-1, 1]])).double()


CANDIDATES = [(ce_etf_candidate, etf), (ce_cross_polytope_candidate, cross_polytope)]


def test_value_one_layer():
    """1/sqrt(n lam_W lam_H) = 12, so e^alpha = 9, and the decays give the grams the factors 3 and 1/3."""
    m = ce_minimizer(4, 4, 1 / 36, 1 / 16)
    assert m.loss == pytest.approx(math.log(4 / 3) + math.log(9) / 4, rel=1e-14)
    assert m.logits[0].tolist() == pytest.approx([math.log(9) * 0.75] + [-math.log(9) / 4] * 3)
    torch.testing.assert_close(m.gram_W, 3 * m.logits)
    torch.testing.assert_close(m.gram_H, m.logits / 3)
    assert m.unique and m.survives.all() and not m.bias.any()


@pytest.mark.parametrize("lam", [0.25, 0.3])
def test_value_one_layer_collapsed(lam):
    m = ce_minimizer(4, 1, lam, lam)
    assert m.loss == pytest.approx(math.log(4)) and not m.gram_W.any() and not m.survives.any()


@pytest.mark.parametrize("K, n, lam_W, lam_H", [(3, 3, 0.02, 0.01), (4, 2, 0.01, 0.05), (3, 2, 0.3, 0.4)])
def test_attainment_one_layer(K, n, lam_W, lam_H):
    m = ce_minimizer(K, n, lam_W, lam_H)
    r = optimize(cross_entropy((n,) * K), (n,) * K, (lam_W,), lam_H, bias=True, lam_b=0.1)
    assert r.loss == pytest.approx(m.loss, abs=1e-13)
    for ours, theirs in ((m.gram_W, r.gram_W), (m.gram_H, r.gram_H), (m.logits, r.logits), (m.bias, r.offset)):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "K, n, lam_W, lam_H", [(2, 1, 0.01, 0.01), (5, 7, 0.001, 0.01), (10, 100, 1e-5, 1e-5), (3, 2, 1, 1)]
)
def test_oracle_depth_one_candidate_is_the_minimizer(K, n, lam_W, lam_H):
    loss, alpha = ce_etf_candidate(K, n, (lam_W,), lam_H)
    m = ce_minimizer(K, n, lam_W, lam_H)
    assert loss == pytest.approx(m.loss, rel=1e-13)
    assert alpha == pytest.approx(float(m.logits[0, 0] - m.logits[1, 0]), abs=1e-10)


@pytest.mark.parametrize(
    "depth, K, etf_loss, polytope_loss",
    [(2, 6, 3.1490e-2, 2.9568e-2), (3, 4, 1.7975e-2, 1.6595e-2), (2, 4, 1.8895e-2, 1.9241e-2)],
)
def test_value_counterexamples(depth, K, etf_loss, polytope_loss):
    arguments = (K, 1, [1e-3] * depth, 1e-3)
    assert ce_etf_candidate(*arguments).loss == pytest.approx(etf_loss, abs=5e-7)
    assert ce_cross_polytope_candidate(*arguments).loss == pytest.approx(polytope_loss, abs=5e-7)


@pytest.mark.parametrize("depth, K", [(2, 6), (3, 4)])
def test_attainment_optimizer_ends_below_the_etf(depth, K):
    arguments = ((1,) * K, [1e-2] * depth, 1e-2)
    r = optimize(cross_entropy((1,) * K), *arguments, starts=4, scales=(1.0,))
    etf_loss = ce_etf_candidate(K, 1, *arguments[1:]).loss
    polytope_loss = ce_cross_polytope_candidate(K, 1, *arguments[1:]).loss
    assert r.loss < polytope_loss + 1e-12 < etf_loss


@pytest.mark.parametrize("candidate, frame", CANDIDATES)
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_oracle_candidate_is_the_objective_at_balanced_factors(candidate, frame, depth):
    """Factors built from the SVD of all N columns cost what the scalar formula says, n samples in each class."""
    K, n, lam_H = 4, 3, 2e-3
    lam = (1e-3, 3e-3, 2e-3, 1e-3, 2e-3, 4e-3)[:depth]
    loss, alpha = candidate(K, n, lam, lam_H)
    Z = (alpha * frame(K)).repeat_interleave(n, 1)
    U, s, VT = torch.linalg.svd(Z, full_matrices=False)
    s = torch.where(s > 1e-9, s, 0)
    rho = (lam_H * math.prod(lam)) ** (1 / (depth + 1)) * s ** (2 / (depth + 1))
    layers = [torch.diag((rho / v).sqrt()) for v in lam]
    layers[-1] = U @ layers[-1]
    H, b = torch.diag((rho / lam_H).sqrt()) @ VT, torch.zeros(K).double()
    assert loss == pytest.approx(float(objective(cross_entropy((n,) * K), layers, H, b, lam, lam_H)), rel=1e-12)


@pytest.mark.parametrize("candidate, frame", CANDIDATES)
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("K", [2, 4, 6, 20])
@pytest.mark.parametrize("lam", [1e-6, 1e-3, 0.05, 0.12, 0.3, 2.0])
def test_oracle_candidate_on_a_grid(candidate, frame, depth, K, lam):
    n = 2
    loss, alpha = candidate(K, n, [lam] * depth, lam)
    grid = torch.linspace(0, 60, 20001, dtype=torch.float64)
    s = torch.linalg.svdvals(frame(K) * n**0.5)
    decay = (depth + 1) / 2 * lam * (grid[:, None] * s[s > 1e-9]).pow(2 / (depth + 1)).sum(1)
    values = decay - torch.log_softmax(grid[:, None] * frame(K)[0], 1)[:, 0]
    assert loss <= values.min() + 1e-14
    assert loss == pytest.approx(float(values.min()), abs=1e-5)
    assert alpha == 0 or alpha == pytest.approx(float(grid[values.argmin()]), abs=4e-3)


@pytest.mark.parametrize("depth, K", [(M, K) for M in (1, 2, 3, 5) for K in (4, 6, 8)])
def test_law_small_decay_rule(depth, K):
    arguments = (K, 1, [1e-40] * depth, 1e-40)
    assert cross_polytope_wins(K, depth) == (
        ce_cross_polytope_candidate(*arguments).loss < ce_etf_candidate(*arguments).loss
    )


def test_value_small_decay_rule():
    wins = {(M, K) for M in (1, 2, 3) for K in (2, 4, 6, 8) if cross_polytope_wins(K, M)}
    assert wins == {(2, 6), (2, 8), (3, 4), (3, 6), (3, 8)}
