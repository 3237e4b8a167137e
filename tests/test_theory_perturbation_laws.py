"""Features tied to H0: the flow they discretize, the laws of depth and of late times, and monotone NC1~."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from tied import descend, flat, labels, normal, objective, theorem_4_1, traces
from torch.autograd.functional import hessian

from nclib import ClassStatistics, metrics
from nclib.theory.perturbation import (
    Problem,
    central_path,
    features,
    global_margin,
    layerwise,
    monotone_beta,
    proximal_chain,
    solve,
)


def minimizer(H0, y, lam_W, lam_H, beta):
    return features(solve(H0, y, lam_W, lam_H, beta), H0, y, lam_H, beta)


def at(H0, y, lam_W, lam_H, beta):
    """(W, H) of the minimizer."""
    W = solve(H0, y, lam_W, lam_H, beta)
    return W, features(W, H0, y, lam_H, beta)


def both_responses(W, H, H0, y, *decays):
    """Theorem 4.1 at any minimizer, as matrices that act on dH0: of dH, and of dW = -f_WW^-1 f_WH dH."""
    A, m = hessian(flat(H0, y, *decays)[0], torch.cat([W.flatten(), H.flatten()])), W.numel()
    F = theorem_4_1(W, H, H0, y, *decays)
    return -torch.linalg.solve(A[:m, :m], A[:m, m:]) @ F, F


def slopes(minimize, H0, D, eps):
    """Central differences (dW, dH) of a minimizer in H0 along D, flat."""
    up, down = minimize(H0 + eps * D), minimize(H0 - eps * D)
    return [(a - b).flatten() / (2 * eps) for a, b in zip(up[:2], down[:2], strict=True)]


def measured(H, y):
    stats = ClassStatistics.from_features(H, y, int(y.max()) + 1, scatter=True)
    return {
        "nc1": metrics.nc1(stats),
        "nc1_trace_ratio": metrics.nc1_trace_ratio(stats),
        "nc2": metrics.nc2(stats.centered_means),
    }


def dense_flow(H0, y, lam_W, lam_H, times):
    """Eq. 4 on all N features, its velocity by autograd of min_W f, the paper's W*(H)."""
    (N, d), K = H0.shape, int(y.max()) + 1
    Y = torch.eye(K, dtype=torch.float64)[y]

    def velocity(_, h):
        H = torch.tensor(h.reshape(N, d), requires_grad=True)
        W = Y.T @ H @ torch.linalg.inv(H.T @ H + N / K * lam_W * torch.eye(d).double())
        (g,) = torch.autograd.grad(objective(W, H, H0, y, lam_W, lam_H, 0.0), H)
        return -N * g.flatten().numpy()

    found = solve_ivp(velocity, (0, times[-1]), H0.flatten().numpy(), "DOP853", times, rtol=1e-11, atol=1e-14)
    return [torch.from_numpy(h.reshape(N, d).copy()) for h in found.y.T]


@pytest.mark.parametrize(
    ("y", "d"), [(labels(3, 4), 5), (labels(4, 2), 2), (labels(2, 3), 20), (torch.tensor([0, 2, 1, 1, 2, 2, 2]), 4)]
)
def test_oracle_central_path(y, d):
    H0, times = normal(len(y), d), [0.0, 0.5, 1.0, 4.0]
    path = central_path(H0, y, 0.2, 0.3, times)
    assert path["time"].tolist() == times
    for row, H in zip(path.itertuples(), dense_flow(H0, y, 0.2, 0.3, times), strict=True):
        within, between = traces(H, y)
        assert (row.within, row.between) == pytest.approx((within, between), rel=1e-8)
        assert row.mean_square == pytest.approx(
            float(sum(H[y == k].mean(0).square().mean() for k in y.unique()) * d / len(y.unique())), rel=1e-8
        )
        assert {k: getattr(row, k) for k in ("nc1", "nc1_trace_ratio", "nc2")} == pytest.approx(
            measured(H, y), rel=1e-7
        )


@pytest.mark.parametrize("y", [labels(3, 5), torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])])
def test_oracle_closed_derivative(y):
    h = 1e-3
    for seed in range(10):
        H0 = normal(len(y), 4, seed=seed)
        path = central_path(H0, y, 0.3, 0.2, [0, h, 2 * h, 3 * h, 4 * h])
        log = np.log(path["nc1_trace_ratio"].to_numpy())
        slope = (log[0] - 8 * log[1] + 8 * log[3] - log[4]) / (12 * h)
        assert path["log_slope"][2] == pytest.approx(slope, rel=1e-7) and slope < 0


def test_value_slope_at_orthogonal_means_with_isotropic_noise():
    """K = d = 2, hbar_k = e_k, Sigma_W = t I: W = I/(2t + 1 + lam_W), slope -2 w^2 - 2 w (1 - w)."""
    H0 = torch.tensor([[1.5, 0], [0.5, 0], [1, 0.5], [1, -0.5], [0.5, 1], [-0.5, 1], [0, 1.5], [0, 0.5]]).double()
    w = 1 / (2 * 0.125 + 1 + 0.25)
    row = central_path(H0, labels(2, 4), 0.25, 0.7, [0.0]).iloc[0]
    assert row["within"] == pytest.approx(0.25) and row["between"] == pytest.approx(0.5)
    assert row["log_slope"] == pytest.approx(-2 * w**2 - 2 * w * (1 - w))


def test_law_theorem_3_1():
    """NC1~ and e^(2 lam_H t) tr Sigma_W decrease, e^(2 lam_H t) tr Sigma_B increases, from any start."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        K, n, d = int(rng.integers(2, 5)), int(rng.integers(2, 6)), int(rng.integers(2, 8))
        lam_W, lam_H = 10 ** rng.uniform(-1, 0.5), (seed % 5 > 0) * 10 ** rng.uniform(-1, 0)
        path = central_path(normal(K * n, d, seed=seed), labels(K, n), lam_W, lam_H, np.linspace(0, 3, 13))
        grow = np.exp(2 * lam_H * path["time"])
        assert (np.diff(np.log(path["nc1_trace_ratio"])) < 0).all() and (path["log_slope"] < 0).all()
        assert (np.diff(np.log(grow * path["within"])) < 1e-9).all()
        assert (np.diff(np.log(grow * path["between"])) > -1e-9).all()


def test_value_pseudo_inverse_nc1_can_rise():
    """Theorem 3.1 is about the trace ratio: tr(Sigma_W Sigma_B^+)/K rises here by 40% while the ratio falls."""
    means = torch.tensor([[3.7, 0.5, 1.4], [3.8, 0.9, -4.3], [0.3, 0.2, -4.8]]).double()
    noise = torch.tensor([[0, 0, 0.2], [0, 0, -0.2], [0, 0.5, 0], [0, -0.5, 0]]).double()
    H0, y = (means[:, None] + noise).reshape(12, 3), labels(3, 4)
    path = central_path(H0, y, 0.25, 0.1, np.linspace(0, 1.2, 7))
    peak = dense_flow(H0, y, 0.25, 0.1, [0.0, 1.0])[1]
    assert (np.diff(path["nc1"])[:4] > 0).all() and path["nc1"].max() > 1.3 * path["nc1"][0]
    assert measured(peak, y)["nc1"] == pytest.approx(path["nc1"][5], rel=1e-7)
    assert (np.diff(path["nc1_trace_ratio"]) < 0).all()


@pytest.mark.parametrize(("lam_W", "lam_H", "d"), [(0.5, 0.3, 6), (0.5, 0.3, 3), (1.4, 0.2, 5)])
def test_law_late_rates(lam_W, lam_H, d):
    p = Problem(3, 4, d, lam_W, lam_H, 1.0)
    H0 = p.collapsed()[1] + normal(12, d, scale=1e-2)
    times = [20.0, 25.0] if d > 3 else [4.0, 6.0]
    path = central_path(H0, labels(3, 4), lam_W, lam_H, times)
    for name, rate in p.flow_rates().items():
        assert -np.diff(np.log(path[name]))[0] / np.diff(times)[0] == pytest.approx(rate, rel=0.03), name


def test_oracle_collapsed_features_flow_in_their_singular_values():
    """Orthogonal class means of lengths x, no deviations: x' = lam_W x / (x^2 + lam_W)^2 - lam_H x, one ODE a class."""
    lam_W, lam_H, x0, times = 0.4, 0.3, np.array([0.3, 1.0, 2.0]), [0.0, 0.5, 2.0, 8.0]
    y = labels(3, 4)
    H0 = torch.diag(torch.tensor(x0))[y]
    speed = lambda t, x: lam_W * x / (x**2 + lam_W) ** 2 - lam_H * x  # noqa: E731
    x = solve_ivp(speed, (0, times[-1]), x0, t_eval=times, rtol=1e-12, atol=1e-14).y
    flow = central_path(H0 + 1e-9 * normal(12, 3), y, lam_W, lam_H, times)
    assert flow["mean_square"].to_numpy() == pytest.approx((x**2).mean(0), rel=1e-7)


def test_law_late_rates_without_feature_decay():
    path = central_path(normal(15, 5, scale=0.5), labels(3, 5), 0.5, 0.0, [300.0, 3000.0])
    assert path["mean_square"][1] / (2 * math.sqrt(0.5 * 3000)) == pytest.approx(1, abs=0.02)
    slope = np.log(path["nc1_trace_ratio"][1] / path["nc1_trace_ratio"][0]) / math.log(10)
    assert slope == pytest.approx(-0.5, abs=0.02)


@pytest.mark.parametrize(("lam_W", "lam_H"), [(0.5, 0.2), (2.0, 0.3), (0.1, 0.05), (1.0, 0.81)])
def test_law_attenuation_near_collapse(lam_W, lam_H):
    """Noise of equal variance in every direction, so that the share of the span is K/d exactly."""
    p, y = Problem(3, 5, 5, lam_W, lam_H, 10.0), labels(3, 5)
    noise = torch.linalg.qr(normal(5, 5, seed=3) - normal(5, 5, seed=3).mean(0)).Q[:, :4]
    noise = torch.cat([noise @ torch.eye(4, 5).double().roll(k, 1) for k in range(5)])[:25].reshape(5, 5, 5)
    H = Problem(5, 5, 5, lam_W, lam_H, 10.0).collapsed()[1]
    q = Problem(5, 5, 5, lam_W, lam_H, 10.0)
    H0, y5 = H + 1e-4 * (noise.reshape(25, 5) + normal(5, 5).repeat_interleave(5, 0)), labels(5, 5)
    before, after = measured(H0, y5), measured(minimizer(H0, y5, lam_W, lam_H, 10.0), y5)
    for name, factor in q.attenuation().items():
        assert after[name] / before[name] == pytest.approx(factor, rel=3e-4), name
    D = normal(15, 5, seed=1)
    H0 = p.collapsed()[1] + 1e-4 * D
    before, after = measured(H0, y), measured(minimizer(H0, y, lam_W, lam_H, 10.0), y)
    assert after["nc1"] / before["nc1"] == pytest.approx(p.attenuation()["nc1"], rel=3e-4)
    D = D.reshape(3, 5, 5) - D.reshape(3, 5, 5).mean(1, keepdim=True)
    a = float(D[..., :3].square().sum() / D.square().sum())
    expected = a * (10 / (10 + p.s)) ** 2 + (1 - a) * (10 / (10 + lam_H)) ** 2
    assert after["nc1_trace_ratio"] / before["nc1_trace_ratio"] == pytest.approx(expected, rel=3e-4)


def test_value_attenuation():
    p = Problem(4, 5, 8, 0.5, 0.2, 10.0)
    assert p.attenuation()["nc1"] == pytest.approx(0.884571, abs=1e-6)
    a = p.attenuation()
    assert a["nc1_trace_ratio"] == pytest.approx((0.884571 + (10 / 10.2) ** 2) / 2, abs=1e-6)


def test_law_depth_is_geometric_layer_by_layer():
    p, y = Problem(3, 6, 5, 0.5, 0.3, 6.0), labels(3, 6)
    H = layerwise(p.collapsed()[1] + normal(18, 5, scale=1e-4), y, 0.5, 0.3, 6.0, 4)
    nc1 = [measured(h, y)["nc1"] for h in H]
    for l in (1, 2, 4):
        assert nc1[l] / nc1[0] == pytest.approx(p.depth_law(l), rel=1e-3)
    assert p.depth_law(0) == 1 and p.depth_law(2) == pytest.approx((1 + p.s / 6) ** -4)


def test_oracle_proximal_chain():
    """Stationary in W and in every layer for the objective of all layers, by autograd."""
    H0, y, L = normal(12, 5), labels(3, 4), 4
    H = proximal_chain(H0, y, 0.2, 0.1, 3.0, L)
    W = solve(H0, y, 0.2, 0.1, 3.0 / L).requires_grad_()
    free = H[1:].clone().requires_grad_()
    chain = (torch.cat([H0[None], free]).diff(dim=0) ** 2).sum() * 3.0 / 24
    loss = objective(W, free[-1], H0, y, 0.2, 0.1, 0.0) + chain
    for g in torch.autograd.grad(loss, (W, free)):
        assert g.norm() < 1e-10
    ratio = [a / b for a, b in (traces(h, y) for h in H)]
    assert (np.diff(ratio) < 0).all()


def test_law_chain_is_weaker_than_layer_by_layer():
    p, y = Problem(3, 4, 5, 0.5, 0.3, 4.0), labels(3, 4)
    H = proximal_chain(p.collapsed()[1] + normal(12, 5, scale=1e-4), y, 0.5, 0.3, 4.0, 5)
    ratio = measured(H[-1], y)["nc1"] / measured(H[0], y)["nc1"]
    assert ratio == pytest.approx(p.chain_law(5), rel=1e-3) and p.chain_law(5) > p.depth_law(5)


def test_law_radius():
    p, y = Problem(3, 4, 5, 0.4, 0.3, 2.0), labels(3, 4)
    x, factor = p.radius(1.7)
    assert (0.3 + 2) * x == pytest.approx(0.4 * x / (x**2 + 0.4) ** 2 + 2 * 1.7, rel=1e-11)
    noise = normal(12, 5)
    noise -= noise.reshape(3, 4, 5).mean(1).repeat_interleave(4, 0)
    noise[:, 3:] = 0
    H0 = 1.7 * torch.eye(3, 5).double().repeat_interleave(4, 0) + 1e-4 * noise
    H = minimizer(H0, y, 0.4, 0.3, 2.0)
    within0, within = traces(H0, y)[0], traces(H, y)[0]
    assert math.sqrt(within / within0) == pytest.approx(factor, rel=1e-5)
    assert H.reshape(3, 4, 5).mean(1).norm(dim=1).tolist() == pytest.approx([x] * 3, rel=1e-6)
    assert Problem(3, 4, 5, 0.4, 0.3, 2.0).radius(math.sqrt(p.rho))[0] == pytest.approx(math.sqrt(p.rho), rel=1e-9)


GENERAL = [(3, 4, 5, 0.3, 0.2, 0.3), (3, 4, 5, 0.3, 0.2, 3.0), (2, 3, 2, 0.5, 0.3, 30.0), (4, 2, 6, 0.1, 0.4, 100.0)]


@pytest.mark.parametrize(("K", "n", "d", "lam_W", "lam_H", "beta"), GENERAL)
def test_oracle_theorem_4_1_at_a_general_h0(K, n, d, lam_W, lam_H, beta):
    """Of W and of H, against central differences of `solve`, whose error falls with the square of the step."""
    y, decays = labels(K, n), (lam_W, lam_H, beta)
    for seed in range(4):
        H0, D = normal(K * n, d, seed=seed), normal(K * n, d, seed=seed + 100)
        D /= D.norm()
        predicted = [M @ D.flatten() for M in both_responses(*at(H0, y, *decays), H0, y, *decays)]
        errors = []
        for eps in (1e-2, 1e-3):
            found = slopes(lambda H: at(H, y, *decays), H0, D, eps)
            errors.append([float((a - b).norm()) for a, b in zip(found, predicted, strict=True)])
        for large, small, size in zip(*errors, predicted, strict=True):
            assert small < 1e-5 and float(size.norm()) > 1e-4
            assert 50 < large / small < 200 or small < 1e-7  # below it the gradient that `solve` leaves, over eps


def test_attainment_theorem_4_1_at_a_general_h0():
    """The same against L-BFGS on (W, H) together, from random starts at each of the two perturbed H0."""
    H0, D, y, decays = normal(6, 3, seed=1), normal(6, 3, seed=2) / 4, labels(3, 2), (0.3, 0.2, 3.0)
    found = slopes(lambda H: descend(H, y, *decays), H0, D, 1e-3)
    for slope, M in zip(found, both_responses(*at(H0, y, *decays), H0, y, *decays), strict=True):
        assert slope.tolist() == pytest.approx((M @ D.flatten()).tolist(), abs=1e-5) and slope.norm() > 1e-2


@pytest.mark.parametrize(("rank", "zeros"), [(0, 6), (1, 3)])
def test_value_theorem_4_1_needs_a_minimizer_without_flat_directions(rank, zeros):
    """Where H0 spans too little, rotations of the rest of the frame cost nothing: the Hessian has no inverse."""
    H0, y, decays = torch.zeros(6, 4).double(), labels(3, 2), (0.5, 0.3, 0.5)
    H0[:, :rank] = normal(6, 4)[:, :rank]
    W, H = at(H0, y, *decays)
    eigenvalues = torch.linalg.eigvalsh(hessian(flat(H0, y, *decays)[0], torch.cat([W.flatten(), H.flatten()])))
    assert int((eigenvalues < 1e-9).sum()) == zeros and float(eigenvalues.min()) > -1e-12


def test_value_monotone_beta():
    assert monotone_beta(0.1, 2.0) == pytest.approx(3.0) and monotone_beta(1.0, 2.0) == 0.0


def test_law_corollary_3_2_with_its_constant_and_without():
    """Beyond the constant both traces obey their bounds; at every beta NC1~ falls, certified minimizer or not."""
    rng, certified = np.random.default_rng(1), 0
    for seed in range(60):
        K, n, d = int(rng.integers(2, 5)), int(rng.integers(2, 5)), int(rng.integers(2, 12))
        lam_W, lam_H = 10 ** rng.uniform(-1.5, 0.5), 10 ** rng.uniform(-2, 0)
        threshold = monotone_beta(lam_W, lam_H)
        beta = (
            (threshold + 1e-3) * 10 ** rng.uniform(0, 1) if seed % 2 else (threshold + 0.1) * 10 ** rng.uniform(-2, 0)
        )
        H0, y = normal(K * n, d, seed=seed), labels(K, n)
        W = solve(H0, y, lam_W, lam_H, beta)
        (w0, b0), (w1, b1) = traces(H0, y), traces(features(W, H0, y, lam_H, beta), y)
        shrink = (beta / (beta + lam_H)) ** 2
        assert w1 <= w0 * shrink * (1 + 1e-12) and w1 / b1 < w0 / b0
        margin = float(global_margin(W, H0, y, lam_W, lam_H, beta)) >= 0
        certified += margin
        if beta >= threshold or margin:
            assert b1 >= b0 * shrink * (1 - 1e-12)
    assert 10 < certified < 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lam_W", 0.0), ("lam_H", -1.0), ("times", []), ("times", [1.0, 0.5]), ("times", [-1.0, 0.0]), 
        ("times", [0.0, math.nan]),
        ("times", 3.0), ("rtol", 0.0), ("H0", torch.ones(3)), ("y", torch.tensor([0, 0, 2, 2, 2, 2])),
    ],
)  # fmt: skip
def test_law_bad_arguments_of_the_flow(name, value):
    good = {"H0": normal(6, 3), "y": labels(3, 2), "lam_W": 0.1, "lam_H": 0.1, "times": [0.0, 1.0], "rtol": 1e-9}
    with pytest.raises(ValueError, match=name) as error:
        central_path(**(good | {name: value}))
    assert "\n" not in str(error.value)


def test_law_bad_arguments_of_depth():
    p = Problem(3, 4, 5, 0.4, 0.3, 2.0)
    for call in (p.depth_law, p.chain_law):
        with pytest.raises(ValueError, match="layers"):
            call(-1)
    with pytest.raises(ValueError, match="x0"):
        p.radius(0)
    with pytest.raises(ValueError, match="layers"):
        layerwise(normal(6, 3), labels(3, 2), 0.1, 0.1, 1.0, 0)
    with pytest.raises(ValueError, match="beta"):
        proximal_chain(normal(6, 3), labels(3, 2), 0.1, 0.1, 0.0, 2)


@pytest.mark.parametrize(("K", "d", "lam_W", "lam_H", "beta"), [(3, 5, 0.5, 0.2, 2.0), (4, 4, 0.3, 1.9, 0.7)])
def test_oracle_elasticities_are_derivatives_of_what_is_left(K, d, lam_W, lam_H, beta):
    found = Problem(K, 2, d, lam_W, lam_H, beta).elasticities()
    for metric, both in found.items():
        for step, of in (((1e-5, 0), "lam_W"), ((0, 1e-5), "lam_H")):
            logs = [
                math.log(Problem(K, 2, d, *shifted, beta).attenuation()[metric])
                for sign in (1, -1)
                for shifted in [[lam * math.exp(sign * h) for lam, h in zip((lam_W, lam_H), step, strict=True)]]
            ]
            assert both[of] == pytest.approx((logs[0] - logs[1]) / 2e-5, rel=1e-6, abs=1e-8)


def test_law_which_decay_matters_more():
    """NC1 never lam_H; the trace ratio always if noise is off the span; NC2 iff c < 1/2."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        lam_W, c, beta, share = rng.uniform(0.05, 3), rng.uniform(0.01, 0.99), 10 ** rng.uniform(-2, 3), rng.uniform()
        found = Problem(3, 2, 6, lam_W, c * c / lam_W, beta).elasticities(share)
        gaps = {metric: abs(both["lam_H"]) - abs(both["lam_W"]) for metric, both in found.items()}
        assert gaps["nc1"] == 0 and gaps["nc1_trace_ratio"] > 0 and (gaps["nc2"] > 0) == (c < 0.5)
    assert Problem(3, 2, 6, 0.5, 0.2, 1.0).elasticities(1.0)["nc1_trace_ratio"]["lam_H"] == -math.sqrt(0.4) / (
        1 + math.sqrt(0.4)
    )


def test_law_feature_decay_is_a_rescaling_of_what_is_held_fixed():
    H0, y = normal(12, 5), labels(3, 4)
    for lam_H, beta in ((0.2, 0.5), (0.7, 3.0), (0.05, 40.0)):
        ours = at(H0, y, 0.3, lam_H, beta)
        other = at(beta / (beta + lam_H) * H0, y, 0.3, 0.0, beta + lam_H)
        for a, b in zip(ours, other, strict=True):
            assert torch.allclose(a, b, atol=1e-8) and a.norm() > 0.1
