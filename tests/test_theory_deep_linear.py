"""nclib.theory.deep_linear, mean squared error: hand-computed problems, laws, second algorithms, and the optimizer."""

import functools
import math

import numpy as np
import pytest
import torch
from problems import EXACT, mse, optimize
from scipy.integrate import solve_ivp

from nclib.theory import deep_linear
from nclib.theory.deep_linear import (
    collapse_threshold,
    decay_rates,
    layer_singular_values,
    mse_minimizer,
    overlap,
    partial_grams,
    scalar_loss,
    spinodal,
    stationary_points,
)

SIX = (0.01, 0.012, 0.008, 0.01, 0.015, 0.01)

# counts, weight_decays, lam_H, keywords, starts, how many directions of the logits survive
ATTAINED = [
    ((6, 4, 2), (0.02,), 0.01, {}, 1, 3),
    ((8, 3, 1), (0.15,), 0.1, {}, 1, 2),
    ((3, 5, 4), (0.01, 0.02), 0.015, {}, 2, 3),
    ((6, 4, 2), (0.03, 0.02, 0.01), 0.02, {}, 3, 3),
    ((8, 4, 2), (0.045, 0.045), 0.06, {}, 10, 2),
    ((2, 8, 4), (0.05, 0.06, 0.06), 0.06, {}, 12, 1),
    ((3, 5, 2), SIX, 0.01, {}, 5, 3),
    ((4, 4, 4), (0.01,), 0.01, {"width": 2}, 2, 2),
    ((5, 4, 3), (0.01, 0.02), 0.01, {"width": 2}, 3, 2),
    ((5, 4, 3), (0.01,), 0.01, {"bias": True}, 1, 2),
    ((3, 6, 4), (0.01, 0.02), 0.01, {"bias": True}, 2, 2),
    ((5, 4, 3), (0.01, 0.01, 0.02), 0.01, {"bias": True, "width": 1}, 5, 1),
    ((4, 4, 4), (0.01, 0.01, 0.02), 0.01, {"bias": True}, 4, 2),
    ((5, 4, 3), (0.2, 0.2), 0.2, {"bias": True}, 2, 0),
    ((4, 4), (0.5,), 0.5, {}, 1, 0),
]


def assert_close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, check_dtype=True)


def rank(m):
    return int((torch.linalg.eigvalsh(m.gram_W) > 1e-9).sum())


@pytest.mark.parametrize("p", EXACT, ids=lambda p: p.name)
def test_value_exact_problems(p):
    args, keywords = p.arguments
    m = mse_minimizer(*args, **keywords)
    assert m.loss == pytest.approx(p.loss, rel=1e-13)
    assert m.unique is p.unique
    for ours, theirs in ((m.gram_W, p.gram_W), (m.gram_H, p.gram_H), (m.logits, p.logits), (m.bias, p.offset)):
        assert_close(ours, theirs)
    assert torch.equal(m.survives, p.gram_H.diagonal() > 0)
    assert_close(layer_singular_values(*args, **keywords)[0], p.singular_values)


@pytest.mark.parametrize("counts, lam, lam_H, keywords, starts, directions", ATTAINED)
def test_attainment_mse(counts, lam, lam_H, keywords, starts, directions):
    m, r = (
        mse_minimizer(counts, lam, lam_H, **keywords),
        optimize(mse(counts), counts, lam, lam_H, starts=starts, **keywords),
    )
    assert rank(m) == directions
    assert r.loss == pytest.approx(m.loss, abs=1e-13) and min(r.losses) > m.loss - 1e-13
    assert r.spread < 1e-7
    assert_close(r.offset, m.bias, 1e-8)
    if not m.unique:
        for ours, theirs in ((m.gram_W, r.gram_W), (m.gram_H, r.gram_H)):
            assert_close(torch.linalg.eigvalsh(ours), torch.linalg.eigvalsh(theirs), 1e-8)
        return
    for ours, theirs in ((m.gram_W, r.gram_W), (m.gram_H, r.gram_H), (m.logits, r.logits)):
        assert_close(ours, theirs, 1e-8)
    sv = layer_singular_values(counts, lam, lam_H, **keywords)
    for j, w in enumerate(r.W):
        assert_close(torch.linalg.svdvals(w)[: sv.shape[1]], sv[j], 1e-7)


def test_attainment_exact_problems():
    for p in EXACT[2:]:
        (counts, lam, lam_H), keywords = p.arguments
        assert optimize(mse(counts), counts, lam, lam_H, starts=2, **keywords).loss == pytest.approx(p.loss, abs=1e-13)


def test_attainment_partial_products_and_balancedness():
    counts, lam, lam_H = (6, 4, 2), (0.03, 0.02, 0.01), 0.02
    r = optimize(mse(counts), counts, lam, lam_H, starts=3)
    means = torch.stack([h.mean(1) for h in r.H.split(list(counts), 1)], 1)
    for j in (1, 2, 3):
        P = functools.reduce(torch.matmul, r.W[: j - 2 : -1] if j > 1 else r.W[::-1])
        G, F = partial_grams(counts, lam, lam_H, j)
        assert_close(P @ P.T, G, 1e-8)
        assert_close(means.T @ means, F, 1e-8)
        assert_close(torch.nn.functional.cosine_similarity(P, means.T), torch.ones(3, dtype=torch.float64), 1e-8)
        means = r.W[j - 1] @ means
    assert_close(lam[0] * r.W[0].T @ r.W[0], lam_H * r.H @ r.H.T, 1e-8)
    assert_close(lam[2] * r.W[2].T @ r.W[2], lam[1] * r.W[1] @ r.W[1].T, 1e-8)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("ratio", [0.90, 0.98, 1.02, 1.10])
def test_attainment_sweep_through_the_threshold(depth, ratio):
    n, N = 2, 4
    NLam = (ratio * collapse_threshold(depth) * n / (depth * N)) ** depth
    lam = (NLam / N) ** (1 / (depth + 1))
    m = mse_minimizer((n, n), [lam] * depth, lam)
    r = optimize(mse((n, n)), (n, n), [lam] * depth, lam, starts=1 if depth == 1 else 10, scales=(1.3, 0.3))
    assert r.loss == pytest.approx(m.loss, abs=1e-13)
    assert_close(r.logits, m.logits, 1e-6)
    q = m.logits[0, 0].item()
    assert (q > 0) == (ratio < 1)
    printed = {(2, 0.98): 0.5099, (3, 0.98): 0.6733}.get((depth, ratio))
    assert printed is None or q == pytest.approx(printed, abs=5e-5)


@pytest.mark.parametrize(
    "depth, thr, spin", [(1, 1, 1), (2, 0.5, 0.649519), (3, 0.529134, 0.839947), (6, 0.6373, 1.5425)]
)
def test_value_threshold_and_spinodal(depth, thr, spin):
    assert collapse_threshold(depth) == pytest.approx(thr, abs=5e-5 if depth == 6 else 5e-7)
    assert spinodal(depth) == pytest.approx(spin, abs=5e-5 if depth == 6 else 5e-7)


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 50])
def test_value_jump_at_the_threshold(depth):
    thr = collapse_threshold(depth)
    below, at, above = overlap([thr * (1 - 1e-10), thr, thr * (1 + 1e-10)], depth).tolist()
    assert below == pytest.approx((depth - 1) / depth, abs=1e-8)
    assert at == above == 0


@pytest.mark.parametrize(
    "counts, depth, lam, q, s, loss",
    [
        ((30, 10, 5), 1, 5e-4, (0.9959, 0.9929, 0.9899), (2.3355, 1.7719, 1.4878), None),
        ((200, 100, 50, 50), 1, 5e-4, (0.98586, 0.98, 0.97172, 0.97172), (3.7339, 3.1305, 2.6213, 2.6213), 0.018942),
        ((200, 100, 50, 50), 3, 5e-4, (0.99623, 0.99366, 0.98931, 0.98931), None, 0.012218),
        ((200, 100, 50, 50), 6, 5e-4, (0.99787, 0.99613, 0.99297, 0.99297), None, 0.013220),
        ((200, 100, 50, 50), 9, 5e-4, (0.9983, 0.99682, 0.99406, 0.99406), None, None),
        ((100,) * 4, 1, 5e-4, (0.98,) * 4, None, 0.019800),
        ((100,) * 4, 3, 5e-4, None, None, 0.012629),
        ((100,) * 4, 6, 5e-4, None, None, 0.013507),
        ((500, 400, 300, 200, 100) * 2, 1, 1e-5, None, (4.7255, 4.4688, 4.1582, 3.7566, 3.1575), None),
    ],
)
def test_value_published_settings(counts, depth, lam, q, s, loss):
    m = mse_minimizer(counts, [lam] * depth, lam)
    if q:
        assert m.logits.diagonal().tolist() == pytest.approx(q, abs=1.01e-4 if len(counts) == 3 else 1e-5)
    if s:
        sv = layer_singular_values(counts, [lam] * depth, lam)[0]
        assert sv[:: len(counts) // len(s)].tolist() == pytest.approx(s, abs=5.1e-5)
    if loss:
        assert m.loss == pytest.approx(loss, abs=1e-6)


def test_value_published_bias_loss():
    assert mse_minimizer((100,) * 4, [5e-4] * 6, 5e-4, bias=True).loss == pytest.approx(0.010131, abs=1e-6)


def test_value_depth_one_lengths():
    n, lam_W, lam_H = torch.tensor([200.0, 100, 50, 3]).double(), 2e-3, 1e-3
    N, m = n.sum(), mse_minimizer((200, 100, 50, 3), (lam_W,), lam_H)
    assert_close(m.gram_W, torch.diag(((n * lam_H / lam_W).sqrt() - N * lam_H).clamp(min=0)))
    assert_close(m.gram_H, torch.diag(((lam_W / (n * lam_H)).sqrt() - N * lam_W / n).clamp(min=0)))
    assert_close(m.logits, torch.diag(1 - N * (lam_W * lam_H / n).sqrt()))
    assert_close(m.gram_W, m.gram_H * (n * lam_H / lam_W))


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_law_self_duality_and_general_frame(depth):
    counts, lam, lam_H = (20, 10, 7), (0.002, 0.004, 0.001, 0.003, 0.002, 0.001)[:depth], 0.003
    m, N = mse_minimizer(counts, lam, lam_H), sum(counts)
    c = lam[0] ** (depth - 1) / math.prod(lam[1:])
    s = layer_singular_values(counts, lam, lam_H)[0]
    power = c * s ** (2 * depth)
    assert_close(m.gram_W.diagonal(), power, 1e-10)
    assert_close(m.gram_H.diagonal(), power / (power + N * lam_H) ** 2, 1e-10)
    assert_close(m.logits.diagonal(), power / (power + N * lam_H), 1e-10)
    assert m.loss == pytest.approx(_loss_from_grams(m, counts, lam, lam_H), rel=1e-12)


def _loss_from_grams(m, counts, lam, lam_H):
    """The objective at balanced factors: every layer, and sqrt(lam_H) H, has the same spectrum up to its decay."""
    n = torch.tensor(counts).double()
    fit = (n * (m.logits - torch.eye(len(n)).double()).square()).sum() / (2 * n.sum())
    return float(fit + lam_H / 2 * (n * m.gram_H.diagonal()).sum() * (len(lam) + 1))


@pytest.mark.parametrize("keywords", [{}, {"bias": True}, {"width": 2}, {"bias": True, "width": 2}])
@pytest.mark.parametrize("depth", [1, 3])
def test_law_permutation_of_labels(keywords, depth):
    counts, order = torch.tensor([9, 2, 14, 5]), torch.tensor([2, 0, 3, 1])
    m = mse_minimizer(counts, [0.01] * depth, 0.02, **keywords)
    p = mse_minimizer(counts[order], [0.01] * depth, 0.02, **keywords)
    assert m.loss == pytest.approx(p.loss, rel=1e-13)
    for a, b in ((m.gram_W, p.gram_W), (m.gram_H, p.gram_H), (m.logits, p.logits)):
        assert_close(a[order][:, order], b)
    assert_close(m.bias[order], p.bias)
    assert torch.equal(m.survives[order], p.survives)


@pytest.mark.parametrize("bias", [False, True])
def test_law_scaling(bias):
    m = mse_minimizer((9, 2, 14), (0.01, 0.02), 0.02, bias=bias)
    repeated = mse_minimizer((45, 10, 70), (0.01, 0.02), 0.004, bias=bias)
    shifted = mse_minimizer((9, 2, 14), (0.03, 0.02), 0.02 / 3, bias=bias)
    for other in (repeated, shifted):
        assert m.loss == pytest.approx(other.loss, rel=1e-12)
        assert_close(m.logits, other.logits, 1e-11)
    assert_close(m.gram_W, repeated.gram_W, 1e-11)
    assert_close(m.gram_H, repeated.gram_H, 1e-11)
    assert_close(m.gram_W, 3 * shifted.gram_W, 1e-11)
    assert_close(3 * m.gram_H, shifted.gram_H, 1e-11)


@pytest.mark.parametrize("counts", [(5, 4, 3), (6, 6, 2, 2, 2), (7,), (4, 4), (8, 3, 3, 1)])
def test_oracle_bias_against_svd_over_samples(counts):
    """The soft-thresholded SVD of the N-column centered target, M = 1."""
    lam_W, lam_H, N = 0.01, 0.02, sum(counts)
    Y = torch.nn.functional.one_hot(torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))).T.double()
    U, s, VT = torch.linalg.svd(Y - Y.mean(1, keepdim=True), full_matrices=False)
    sigma = (s - N * (lam_W * lam_H) ** 0.5).clamp(min=0)
    Z = (U * sigma) @ VT + Y.mean(1, keepdim=True)
    m = mse_minimizer(counts, (lam_W,), lam_H, bias=True)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    assert_close(m.logits, Z[:, first], 1e-12)
    assert_close(m.gram_W, (lam_H / lam_W) ** 0.5 * (U * sigma) @ U.T, 1e-12)
    assert_close(m.gram_H, ((lam_W / lam_H) ** 0.5 * (VT.T * sigma) @ VT)[first][:, first], 1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("beta", [1e-6, 0.01, 0.2, 0.45])
def test_oracle_roots_against_companion_matrix(depth, beta):
    power = np.poly1d([1] + [0] * (depth - 1) + [1])
    polynomial = beta * power**2 - np.poly1d([depth] + [0] * (depth - 1))
    x = sorted(r.real for r in polynomial.roots if abs(r.imag) < 1e-7 and r.real > 0)
    q = [v**depth / (1 + v**depth) for v in x]
    assert overlap(beta, depth).item() == pytest.approx(q[-1], rel=1e-9)
    assert stationary_points(beta, depth) == pytest.approx(q[-2:] if depth > 1 else q[-1:], rel=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("ratio", [0.3, 0.95, 1.05, 1.2, 3.0])
def test_oracle_overlap_is_the_minimum_of_the_landscape(depth, ratio):
    beta = ratio * collapse_threshold(depth)
    q = overlap(beta, depth)
    grid = torch.linspace(0, 1, 200001, dtype=torch.float64)
    assert scalar_loss(q, beta, depth) <= scalar_loss(grid, beta, depth).min() + 1e-15
    assert (q - grid[scalar_loss(grid, beta, depth).argmin()]).abs() < 1e-4
    points = stationary_points(beta, depth)
    assert len(points) == (0 if beta >= spinodal(depth) else min(depth, 2))
    for v in points:
        v = torch.tensor(v, dtype=torch.float64, requires_grad=True)
        assert abs(torch.autograd.grad(scalar_loss(v, beta, depth), v)[0]) < 1e-12
    if depth > 1 and points:
        barrier, minimum = scalar_loss(torch.tensor(points), beta, depth)
        assert barrier > minimum and (minimum < 0.5) == (ratio < 1)


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 20, 50])
def test_oracle_extreme_beta(depth):
    """1 - q = 1/(1 + x^M) with x = (M/beta)^(1/(M+1)) to first order as beta -> 0, and 0 beyond the threshold."""
    for beta in (1e-12, 1e-9):
        tail = (beta / depth) ** (depth / (depth + 1))
        assert 1 - overlap(beta, depth).item() == pytest.approx(tail, rel=1e-2, abs=2e-16)
    assert overlap([1e3, 1e12], depth).tolist() == [0, 0]
    lam = [1e-3] * depth
    for lam_H in (1e-30, 1e30):
        m = mse_minimizer((3, 2), lam, lam_H)
        assert all(torch.isfinite(v).all() for v in (m.gram_W, m.gram_H, m.logits)) and math.isfinite(m.loss)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_value_loss_between_threshold_and_spinodal_is_that_of_zero(depth):
    beta = (collapse_threshold(depth) + 3 * spinodal(depth)) / 4
    lam = (beta * 2 / (depth * 4)) ** depth / 4
    m = mse_minimizer((2, 2), [1.0] * depth, lam)
    assert (m.loss, m.survives.tolist(), m.unique) == (0.5, [False, False], m.unique)
    assert not m.gram_W.any() and not m.gram_H.any() and not m.logits.any()


def test_law_width_keeps_the_most_populous_classes():
    full, cut = (
        mse_minimizer((5, 9, 3, 7), (0.01, 0.01), 0.01),
        mse_minimizer((5, 9, 3, 7), (0.01, 0.01), 0.01, width=2),
    )
    assert cut.survives.tolist() == [False, True, False, True] and cut.unique
    assert_close(cut.gram_W[1::2, 1::2], full.gram_W[1::2, 1::2])
    assert cut.loss > full.loss
    assert layer_singular_values((5, 9, 3, 7), (0.01, 0.01), 0.01, width=2).shape == (2, 2)
    wide = mse_minimizer((5, 9, 3, 7), (0.01, 0.01), 0.01, width=100)
    assert wide.loss == full.loss and wide.unique


@pytest.mark.parametrize(
    "counts, bias, width, survives, unique",
    [
        ((4, 9, 4, 4), False, 2, [True, True, False, False], False),
        ((4, 9, 4, 4), False, 1, [False, True, False, False], True),
        ((4, 4, 4), True, 1, [True, True, False], False),
        ((4, 4, 4), True, 2, [True, True, True], True),
        ((9, 4, 4), True, 1, [True, True, True], True),
    ],
)
def test_value_ties_at_the_width(counts, bias, width, survives, unique):
    m = mse_minimizer(counts, (0.01,), 0.01, bias=bias, width=width)
    assert m.survives.tolist() == survives and m.unique is unique


def test_value_no_tie_among_collapsed_classes():
    assert mse_minimizer((50, 2, 2), (0.05,), 0.05, width=2).unique


def test_value_feature_length_is_largest_at_four_thresholds():
    lam_W, lam_H, N = 0.02, 0.005, 400
    top = 4 * N**2 * lam_W * lam_H
    assert top == pytest.approx(64)
    lengths = [mse_minimizer((n, N - n), (lam_W,), lam_H).gram_H[0, 0].item() for n in range(50, 80)]
    assert range(50, 80)[int(np.argmax(lengths))] == 64


def test_oracle_decay_rates_of_gradient_flow():
    lam, K, n, d = 0.01, 2, 2, 4
    Y = np.kron(np.eye(K), np.ones((1, n)))
    rng = np.random.default_rng(0)

    def split(z):
        return z[: K * d].reshape(K, d), z[K * d :].reshape(d, K * n)

    def flow(_, z):
        W, H = split(z)
        E = (W @ H - Y) / (K * n)
        return -np.concatenate([(E @ H.T + lam * W).ravel(), (W.T @ E + lam * H).ravel()])

    times = np.array([200.0, 320.0])
    z = solve_ivp(flow, (0, 320), rng.normal(size=K * d + d * K * n), "LSODA", times, rtol=1e-11, atol=1e-13).y.T
    m = mse_minimizer((n, n), (lam,), lam)
    values = {name: [] for name in decay_rates(lam)}
    for W, H in map(split, z):
        means = H.reshape(d, K, n).mean(2)
        within = (H - np.repeat(means, n, 1)) @ (H - np.repeat(means, n, 1)).T / (K * n)
        centered = means - means.mean(1, keepdims=True)
        between = np.linalg.pinv(centered @ centered.T / K, rcond=1e-9)
        fit, G = ((W @ H - Y) ** 2).sum() / (2 * K * n), W @ W.T
        values["loss"].append(fit + lam / 2 * ((W**2).sum() + (H**2).sum()) - m.loss)
        values["nc1"].append(np.trace(within @ between))
        values["nc2"].append(np.linalg.norm(G / np.linalg.norm(G) - np.eye(K) / K**0.5))
        values["nc3"].append(np.linalg.norm(W / np.linalg.norm(W) - means.T / np.linalg.norm(means)))
        Z = W @ means
        values["nc3_product"].append(np.linalg.norm(Z / np.linalg.norm(Z) - np.eye(K) / K**0.5))
    for name, rate in decay_rates(lam).items():
        assert math.log(values[name][0] / values[name][1]) / 120 == pytest.approx(rate, rel=0.05), name


BAD = [
    (((3, 0), (0.1,), 0.1), {}, "counts"),
    (((3, -2), (0.1,), 0.1), {}, "counts"),
    (((3, 2.5), (0.1,), 0.1), {}, "counts"),
    (((), (0.1,), 0.1), {}, "counts"),
    ((7, (0.1,), 0.1), {}, "counts"),
    (((3, math.nan), (0.1,), 0.1), {}, "counts"),
    (((3, 2), (), 0.1), {}, "weight_decays"),
    (((3, 2), 0.1, 0.1), {}, "weight_decays"),
    (((3, 2), (0.1, -0.1), 0.1), {}, "weight_decays"),
    (((3, 2), (0.1, 0.0), 0.1), {}, "weight_decays"),
    (((3, 2), (0.1, math.nan), 0.1), {}, "weight_decays"),
    (((3, 2), (0.1,), 0.0), {}, "lam_H"),
    (((3, 2), (0.1,), -1), {}, "lam_H"),
    (((3, 2), (0.1,), math.nan), {}, "lam_H"),
    (((3, 2), (0.1,), math.inf), {}, "lam_H"),
    (((3, 2), (0.1,), "much"), {}, "lam_H"),
    (((3, 2), (0.1,), 0.1), {"width": 0}, "width"),
    (((3, 2), (0.1,), 0.1), {"width": 1.5}, "width"),
]


@pytest.mark.parametrize("args, keywords, name", BAD)
def test_value_bad_input_is_one_line(args, keywords, name):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got ") as error:
        mse_minimizer(*args, **keywords)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: collapse_threshold(0), "depth"),
        (lambda: spinodal(2.5), "depth"),
        (lambda: overlap(-1.0, 2), "beta"),
        (lambda: stationary_points(0, 2), "beta"),
        (lambda: scalar_loss(0.5, math.nan, 2), "beta"),
        (lambda: partial_grams((3, 2), (0.1,), 0.1, 2), "layer"),
        (lambda: partial_grams((3, 2), (0.1,), 0.1, 0), "layer"),
        (lambda: decay_rates(-1), "lam"),
        (lambda: deep_linear.ce_minimizer(1, 3, 0.1, 0.1), "num_classes"),
        (lambda: deep_linear.ce_minimizer(3, 0, 0.1, 0.1), "samples_per_class"),
        (lambda: deep_linear.ce_minimizer(3, 1, 0, 0.1), "lam_W"),
        (lambda: deep_linear.ce_etf_candidate(3, 1, (), 0.1), "weight_decays"),
        (lambda: deep_linear.ce_cross_polytope_candidate(3, 1, (0.1,), 0.1), "num_classes"),
        (lambda: deep_linear.cross_polytope_wins(5, 2), "num_classes"),
    ],
)
def test_value_bad_scalars(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got "):
        call()


def test_value_counts_may_be_any_sequence_of_integers():
    reference = mse_minimizer((3, 2), (0.1,), 0.1).loss
    for counts in ([3, 2], np.array([3, 2]), torch.tensor([3, 2]), [3.0, 2.0]):
        assert mse_minimizer(counts, torch.tensor([0.1], dtype=torch.float64), 0.1).loss == reference
