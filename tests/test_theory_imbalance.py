"""nclib.theory.imbalance: SELI, minority collapse under cross-entropy, ReLU features, the layer-peeled ratio."""

import math

import pytest
import torch
from problems import cross_entropy, labels_of, optimize
from scipy.optimize import minimize

from nclib.theory.deep_linear import ce_minimizer
from nclib.theory.imbalance import (
    ce_collapse_size,
    layer_peeled_ratio,
    relu_ce_collapse_size,
    relu_ce_minimizer,
    seli,
    two_group_ce_minimizer,
)


def assert_close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def cosine(a, b):
    return float((a * b).sum() / (a.norm() * b.norm()))


def test_value_seli_two_classes():
    """(I - 11^T/2) diag(3, 4) has one singular value, 5/sqrt 2, with V = (1, -1)/sqrt 2 and U = (3, -4)/5."""
    gram_W, gram_H = seli((9, 16))
    r = 2**0.5
    assert_close(gram_W, torch.tensor([[5, -5], [-5, 5]]).double() / (2 * r))
    assert_close(gram_H, torch.tensor([[9, -12], [-12, 16]]).double() / (5 * r))


def test_oracle_seli_against_svd_over_samples():
    counts = (7, 3, 3, 1)
    y = labels_of(counts)
    Z = (torch.eye(4).double() - 1 / 4)[:, y]
    V, S, UT = torch.linalg.svd(Z, full_matrices=False)
    gram_W, gram_H = seli(counts)
    assert_close(gram_W, (V * S) @ V.T)
    first, n = torch.tensor([0, 7, 10, 13]), torch.tensor(counts).double()
    assert_close(gram_H, ((UT.T * S) @ UT)[first][:, first] * torch.outer(n, n).sqrt())


def test_law_seli_balanced_is_the_etf_and_labels_permute():
    gram_W, gram_H = seli((5,) * 4)
    assert_close(gram_W, 5**0.5 * (torch.eye(4).double() - 1 / 4))
    assert_close(gram_H, gram_W)
    order = torch.tensor([2, 0, 1])
    for a, b in zip(seli((4, 9, 2)), seli(torch.tensor((4, 9, 2))[order]), strict=True):
        assert_close(a[order][:, order], b)


@pytest.mark.parametrize("lam, printed", [(1e-2, 2.1e-2), (1e-3, 6.6e-3)])
def test_attainment_logits_approach_seli(lam, printed):
    counts = (40, 20, 10, 5)
    r = optimize(cross_entropy(counts), counts, (lam,), lam)
    assert 1 - cosine(r.logits, torch.eye(4).double() - 1 / 4) == pytest.approx(
        printed, abs=5e-4 if lam > 5e-3 else 5e-5
    )


def test_law_grams_approach_seli_as_the_decay_vanishes():
    gaps = []
    for lam in (1e-2, 1e-4, 1e-6, 1e-8):
        m = two_group_ce_minimizer(2, 40, 3, 8, lam, lam)
        n = torch.tensor([40, 40, 8, 8, 8]).double()
        gram_W, gram_H = seli((40, 40, 8, 8, 8))
        gaps.append((1 - cosine(m.gram_W, gram_W), 1 - cosine(m.gram_H * torch.outer(n, n).sqrt(), gram_H)))
    for gap in zip(*gaps, strict=True):
        assert gap[0] > gap[1] > gap[2] > gap[3] > 0 and gap[3] < 5e-3


def test_value_relu():
    """K = n = 2, lam_W lam_H = 1/64: q = 1/4, alpha = log 3."""
    m = relu_ce_minimizer((2, 2), 1 / 4, 1 / 16)
    a = math.log(3)
    assert m.loss == pytest.approx(math.log(4 / 3) + a / 4)
    assert_close(m.logits, a / 2 * torch.tensor([[1, -1], [-1, 1]]).double())
    assert_close(m.gram_W, a / 2 * torch.tensor([[1, -1], [-1, 1]]).double())
    assert_close(m.gram_H, a * torch.eye(2).double())


@pytest.mark.parametrize(
    "counts, lam, lam_H", [((6, 4, 3), 0.01, 0.02), ((3, 9, 1), 0.04, 0.08), ((2, 2, 2, 2), 0.02, 0.01)]
)
def test_attainment_relu(counts, lam, lam_H):
    m = relu_ce_minimizer(counts, lam, lam_H)
    r = optimize(cross_entropy(counts), counts, (lam,), lam_H, relu=True, starts=12)
    assert m.survives.tolist() == [n > relu_ce_collapse_size(sum(counts), len(counts), lam, lam_H) for n in counts]
    assert r.loss == pytest.approx(m.loss, abs=1e-12) and min(r.losses) > m.loss - 1e-12
    for ours, theirs in ((m.gram_W, r.gram_W), (m.gram_H, r.gram_H), (m.logits, r.logits)):
        assert_close(ours, theirs, 1e-6)


def test_value_collapse_sizes():
    assert ce_collapse_size(100, 0.02, 0.01) == pytest.approx(2)
    assert relu_ce_collapse_size(100, 5, 0.02, 0.01) == pytest.approx(2.5)
    assert relu_ce_minimizer((5, 3, 2), 0.02, 1).survives.tolist() == [True, False, False]
    assert relu_ce_minimizer((6, 3, 3), 1 / 36, 0.5).survives.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "k_A, n_A, k_B, n_B, lam_W, lam_H",
    [
        (2, 8, 2, 3, 0.02, 0.01),
        (2, 8, 3, 2, 0.07, 0.08),
        (1, 9, 3, 2, 0.03, 0.02),
        (3, 5, 1, 2, 0.02, 0.03),
        (1, 6, 1, 2, 0.02, 0.03),
        (2, 8, 2, 1, 0.12, 0.13),
        (2, 3, 2, 3, 0.4, 0.4),
    ],
)
def test_attainment_two_groups(k_A, n_A, k_B, n_B, lam_W, lam_H):
    counts = (n_A,) * k_A + (n_B,) * k_B
    m = two_group_ce_minimizer(k_A, n_A, k_B, n_B, lam_W, lam_H)
    r = optimize(cross_entropy(counts), counts, (lam_W,), lam_H)
    assert r.loss == pytest.approx(m.loss, abs=1e-13)
    for ours, theirs in ((m.gram_W, r.gram_W), (m.gram_H, r.gram_H), (m.logits, r.logits)):
        assert_close(ours, theirs, 1e-7)


@pytest.mark.parametrize("k_A, k_B", [(2, 3), (1, 4), (5, 5), (3, 1)])
@pytest.mark.parametrize("n_A, n_B", [(10, 10), (100, 10), (1000, 1), (20, 300)])
@pytest.mark.parametrize("lam", [1e-12, 1e-7, 1e-4, 1e-3, 1e-2, 1e-1])
def test_law_two_groups_optimality_certificate(k_A, k_B, n_A, n_B, lam):
    """The gradient G of the fit satisfies |G| <= mu and <-G, T> = mu |T|_*: then T solves the convex problem."""
    m = two_group_ce_minimizer(k_A, n_A, k_B, n_B, lam, lam)
    n = torch.tensor([n_A] * k_A + [n_B] * k_B).double()
    N, T = n.sum(), m.logits * n.sqrt()
    p = torch.softmax(m.logits, 0)
    off = p - torch.diag(p.diagonal())
    G = (off - torch.diag(off.sum(0))) * n.sqrt() / N
    assert torch.linalg.matrix_norm(G, 2) <= lam * (1 + 1e-9)
    assert float(-(G * T).sum()) == pytest.approx(lam * float(torch.linalg.matrix_norm(T, "nuc")), rel=1e-9, abs=1e-15)
    fit = float((n / N * -torch.log_softmax(m.logits, 0).diagonal()).sum())
    assert m.loss == pytest.approx(fit + lam * float(torch.linalg.matrix_norm(T, "nuc")), rel=1e-11)
    assert m.loss == pytest.approx(fit + lam / 2 * float(m.gram_W.trace() + (n * m.gram_H.diagonal()).sum()), rel=1e-11)


@pytest.mark.parametrize("lam", [1e-4, 0.02, 0.3])
def test_oracle_two_equal_groups_are_balanced(lam):
    m, balanced = two_group_ce_minimizer(2, 3, 3, 3, lam, 2 * lam), ce_minimizer(5, 3, lam, 2 * lam)
    assert m.loss == pytest.approx(balanced.loss, rel=1e-12)
    for ours, theirs in ((m.gram_W, balanced.gram_W), (m.gram_H, balanced.gram_H), (m.logits, balanced.logits)):
        assert_close(ours, theirs, 1e-9)


def test_value_minority_collapse_threshold():
    """N^2 lam^2 = 6.25 at n_A = 100: the contrast inside B is 0 up to n_B = 6 and grows from 0 after it."""
    contrasts = []
    for n_B in (4, 6, 7, 8):
        N = 2 * 100 + 2 * n_B
        m = two_group_ce_minimizer(2, 100, 2, n_B, 2.5 / N, 2.5 / N)
        assert (m.logits[-1, -1] > m.logits[-2, -1]) == (n_B > ce_collapse_size(N, 2.5 / N, 2.5 / N))
        contrasts.append(float(m.logits[-1, -1] - m.logits[-2, -1]))
        assert m.survives.all() and m.logits[0, 0] - m.logits[1, 0] > 1
    assert contrasts[:2] == [0, 0] and 0 < contrasts[2] < 0.2 < contrasts[3] < 1


@pytest.mark.parametrize(
    "K_major, E_H, R0",
    [(3, 5, "245.497"), (5, 5, "12.192"), (7, 5, "4.000"), (3, 10, "6350.8"), (5, 10, "81.10"), (7, 10, "13.67")],
)
def test_value_layer_peeled_ratio(K_major, E_H, R0):
    half_a_digit = 0.5 * 10.0 ** -len(R0.split(".")[1])
    assert layer_peeled_ratio(K_major, 10 - K_major, 1, E_H) == pytest.approx(float(R0), abs=half_a_digit)


def test_law_layer_peeled_ratio():
    assert layer_peeled_ratio(3, 2, 4, 0.5) == pytest.approx(layer_peeled_ratio(3, 2, 1, 2), rel=1e-12)
    assert 1 < layer_peeled_ratio(1, 2, 1, 0.3) < layer_peeled_ratio(1, 2, 1, 1) < layer_peeled_ratio(1, 2, 1, 3)
    assert layer_peeled_ratio(3, 2, 1e-3, 1e-3) == pytest.approx(1, abs=1e-2)
    assert layer_peeled_ratio(3, 2, 1e5, 1e5) == math.inf


@pytest.mark.parametrize("factor, collapsed", [(0.9, False), (1.1, True)])
def test_attainment_layer_peeled_minority(factor, collapsed):
    """The constrained model itself: both constraints hold with equality, so W and H are scaled to their budgets."""
    k, K, d, E_W, E_H = (3, 2), 5, 5, 1.0, 2.0
    n = torch.tensor([factor * layer_peeled_ratio(*k, E_W, E_H)] * k[0] + [1.0] * k[1]).double()

    def scaled(x):
        W, H = x.reshape(2, K, d)
        return W * (K * E_W / W.square().sum()).sqrt(), H * (K * E_H / H.square().sum()).sqrt()

    def f(a):
        x = torch.from_numpy(a).requires_grad_()
        W, H = scaled(x)
        value = -(n / n.sum() * torch.log_softmax(W @ H.T, 0).diagonal()).sum()
        (g,) = torch.autograd.grad(value, x)
        return value.item(), g.numpy()

    start = torch.randn(2 * K * d, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    options = {"maxiter": 20000, "maxfun": 20000, "ftol": 0, "gtol": 1e-11, "maxcor": 40}
    W, H = scaled(torch.from_numpy(minimize(f, start, jac=True, method="L-BFGS-B", options=options).x))
    contrast = float((W @ H.T)[-1, -1] - (W @ H.T)[-2, -1])
    assert abs(contrast) < 1e-4 if collapsed else contrast > 0.05
    assert float((W[0] - W[1]).norm()) > 0.5


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: seli((3,)), "counts"),
        (lambda: seli((3, 0)), "counts"),
        (lambda: relu_ce_minimizer((3, -1), 0.1, 0.1), "counts"),
        (lambda: relu_ce_minimizer((3, 1), 0.0, 0.1), "lam_W"),
        (lambda: relu_ce_minimizer((3, 1), 0.1, math.nan), "lam_H"),
        (lambda: two_group_ce_minimizer(0, 3, 2, 1, 0.1, 0.1), "k_A"),
        (lambda: two_group_ce_minimizer(1, 3, 2, 0.5, 0.1, 0.1), "n_B"),
        (lambda: two_group_ce_minimizer(1, 3, 2, 1, -0.1, 0.1), "lam_W"),
        (lambda: layer_peeled_ratio(0, 3, 1, 1), "K_major"),
        (lambda: layer_peeled_ratio(3, 1, 1, 1), "K_minor"),
        (lambda: layer_peeled_ratio(3, 2, 0, 1), "E_W"),
        (lambda: layer_peeled_ratio(3, 2, 1, math.inf), "E_H"),
        (lambda: ce_collapse_size(0, 0.1, 0.1), "num_samples"),
        (lambda: relu_ce_collapse_size(10, 1, 0.1, 0.1), "num_classes"),
    ],
)
def test_value_bad_input(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got "):
        call()
