"""The model with features tied to H0: minimizers, their derivative in H0, and its spectrum."""

import math

import pytest
import torch
from tied import as_matrix, descend, equation_5, labels, normal, objective, theorem_4_1

from nclib.theory import perturbation
from nclib.theory.perturbation import Problem, features, global_margin, solve

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
SMALL = [
    (2, 3, 4, 0.5, 0.2, 100.0),
    (3, 2, 3, 0.1, 0.9, 5.0),
    (3, 4, 5, 2.0, 0.3, 0.7),
    (4, 2, 6, math.sqrt(2), 0.6, 10.0),
]


def reduced_gradient(W, H0, y, lam_W, lam_H, beta):
    """d/dW of K min_H f, by autograd at the inner minimizer (envelope theorem)."""
    H = features(W, H0, y, lam_H, beta)
    W = W.clone().requires_grad_()
    return torch.autograd.grad(len(W) * objective(W, H, H0, y, lam_W, lam_H, beta), W)[0]


def test_value_problem_of_two_classes():
    p = Problem(2, 1, 2, 1.0, 0.25, 1.0)
    W, H = p.collapsed()
    assert (p.c, p.s, p.rho, p.mu) == (0.5, 0.5, 1.0, 0.25)
    assert torch.equal(W @ W.T, 0.25 * torch.eye(2).double()) and torch.equal(H @ H.T, torch.eye(2).double())
    assert p.attenuation() == pytest.approx({"nc1": (2 / 3) ** 2, "nc1_trace_ratio": (2 / 3) ** 2, "nc2": 2 / 3})
    values, sigma = p.block_spectrum()
    assert values.tolist() == pytest.approx([5 / 6, 2 / 3]) and sigma == pytest.approx(1 / 6)
    dH = p.response(torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double())
    torch.testing.assert_close(dH, torch.tensor([[2 / 3, 5 / 6], [-1 / 6, 0]]).double())


@pytest.mark.parametrize(
    ("lam_H", "levels", "sigma"),
    [
        (0.05, (0.999500, 0.999266, 0.998532, 0.998120), 7.34e-4),
        (0.20, (0.998000, 0.998127, 0.996255, 0.996239), 1.87e-3),
        (0.60, (0.994000, 0.999054, 0.998108, 0.993486), 9.46e-4),
    ],
)
def test_value_steps_of_figure_1(lam_H, levels, sigma):
    values, crosstalk = Problem(4, 10, 10, math.sqrt(2), lam_H, 100).block_spectrum(1)
    expected = torch.tensor([1.0] * 6 + [levels[0]] * 54 + [levels[1]] * 3 + [levels[2]] + [levels[3]] * 36).double()
    torch.testing.assert_close(values, expected.sort(descending=True).values, rtol=0, atol=6e-7)
    assert crosstalk == pytest.approx(sigma, rel=5e-3)


def test_value_mu_is_largest_at_four_ninths():
    at = [Problem(2, 1, 2, math.sqrt(2), lam, 1.0).mu for lam in (0.9 * 4 / (9 * 2**0.5), 4 / (9 * 2**0.5), 0.4)]
    assert at[1] == pytest.approx(8 / 27 / 2**0.5) and at[1] > max(at[0], at[2])


def test_value_equation_5_needs_beta_above_s():
    values, _ = Problem(4, 3, 10, 0.1, 0.1 * 1.914**2, 0.3).block_spectrum(1)
    assert float(values[0]) == pytest.approx(5.38, abs=0.01)


@pytest.mark.parametrize("args", SMALL)
def test_oracle_response_is_the_derivative_of_theorem_4_1(args):
    p = Problem(*args)
    W, H = p.collapsed()
    y = labels(p.num_classes, p.samples_per_class)
    dense = theorem_4_1(W, H, H, y, p.lam_W, p.lam_H, p.beta)
    torch.testing.assert_close(as_matrix(p), dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize("args", SMALL)
def test_oracle_first_order_is_equation_5(args):
    p = Problem(*args)
    W, H = p.collapsed()
    dense = equation_5(W, H, labels(p.num_classes, p.samples_per_class), p.lam_W, p.lam_H, p.beta)
    torch.testing.assert_close(as_matrix(p, 1), dense, rtol=0, atol=1e-13)


@pytest.mark.parametrize("order", [None, 1])
@pytest.mark.parametrize("args", SMALL)
def test_oracle_spectrum_of_the_blocks(args, order):
    p = Problem(*args)
    F, m = as_matrix(p, order), p.samples_per_class * p.dim
    values, sigma = p.block_spectrum(order)
    torch.testing.assert_close(torch.linalg.svdvals(F[:m, :m]), values, rtol=0, atol=1e-13)
    off = torch.linalg.svdvals(F[:m, m : 2 * m])
    assert float(off[0]) == pytest.approx(sigma, abs=1e-14) and float(off[1]) < 1e-15


def test_law_first_order_error_falls_as_beta_squared():
    gaps = [
        (
            Problem(3, 2, 5, 0.5, 0.3, b).response(normal(6, 5))
            - Problem(3, 2, 5, 0.5, 0.3, b).response(normal(6, 5), 1)
        ).norm()
        for b in (100, 1000)
    ]
    assert float((gaps[1] / gaps[0]).log10()) == pytest.approx(-2, abs=0.02)


def test_law_response_without_collapse():
    p = Problem(3, 2, 4, 1.5, 1.1, 2.0)
    y, H0 = labels(3, 2), normal(6, 4, scale=1e-4)
    H = features(solve(H0, y, p.lam_W, p.lam_H, p.beta), H0, y, p.lam_H, p.beta)
    assert float((H - p.response(H0)).norm() / H0.norm()) < 1e-6
    dense = theorem_4_1(*p.collapsed(), torch.zeros(6, 4).double(), y, p.lam_W, p.lam_H, p.beta)
    torch.testing.assert_close(as_matrix(p), dense, rtol=0, atol=1e-13)


@pytest.mark.parametrize("beta", [100.0, 5.0, 1.0, 0.1])
def test_law_response_has_a_quadratic_residual(beta):
    p = Problem(3, 4, 6, 0.5, 0.2, beta)
    _, H = p.collapsed()
    y, D = labels(3, 4), normal(12, 6)
    D, residual = D / D.norm(), []
    for eps in (1e-2, 1e-3):
        minimizer = features(solve(H + eps * D, y, 0.5, 0.2, beta), H + eps * D, y, 0.2, beta)
        residual.append((minimizer - H - eps * p.response(D)).norm() / eps**2)
    assert float(residual[1] / residual[0]) == pytest.approx(1, abs=0.1) and float(residual[0]) > 1e-5


@pytest.mark.parametrize("beta", [3.0, 30.0])
def test_law_theorem_4_1_away_from_collapse(beta):
    H0, y, lam = normal(12, 5, seed=1), labels(3, 4), (0.3, 0.2, beta)
    W = solve(H0, y, *lam)
    H = features(W, H0, y, *lam[1:])
    F, D = theorem_4_1(W, H, H0, y, *lam), normal(12, 5, seed=2)
    gaps = []
    for eps in (1e-2, 1e-3):
        H1 = H0 + eps * D
        dH = features(solve(H1, y, *lam), H1, y, *lam[1:]) - H
        gaps.append((dH.flatten() - eps * F @ D.flatten()).norm())
    assert float((gaps[0] / gaps[1]).log10()) == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize(("K", "n", "d", "lam_W", "lam_H"), [(3, 3, 4, 0.5, 0.3), (2, 2, 2, 0.05, 4.0)])
def test_attainment_theorem_2_1(K, n, d, lam_W, lam_H):
    p, y = Problem(K, n, d, lam_W, lam_H, 1.0), labels(K, n)
    W, H, loss = descend(torch.zeros(K * n, d).double(), y, lam_W, lam_H, 0.0)
    assert loss == pytest.approx(p.c - p.c**2 / 2, abs=1e-12)
    exact = p.collapsed()[1]
    torch.testing.assert_close(H @ H.T, exact @ exact.T, rtol=0, atol=1e-8)
    torch.testing.assert_close(W, p.s * H[::n], rtol=0, atol=1e-8)


def test_value_loss_of_the_collapsed_minimizer():
    p = Problem(3, 2, 5, 0.5, 0.5, 7.0)
    W, H = p.collapsed()
    assert float(objective(W, H, H, labels(3, 2), 0.5, 0.5, 7.0)) == pytest.approx(0.375, abs=1e-15)
    found = solve(H, labels(3, 2), 0.5, 0.5, 7.0)
    torch.testing.assert_close(found, W, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("K", "n", "d", "lam_W", "lam_H", "beta"),
    [
        (3, 4, 5, 0.1, 0.05, 1.0),
        (3, 4, 2, 0.1, 0.05, 0.3),
        (4, 1, 6, 0.02, 0.0, 0.1),
        (3, 1, 3, 0.3, 0.1, 10.0),
        (2, 5, 1, 0.2, 0.1, 0.5),
        (3, 3, 4, 0.5, 3.0, 0.02),
    ],
)
def test_attainment_of_the_global_minimum(K, n, d, lam_W, lam_H, beta):
    H0, y = normal(K * n, d, seed=5), labels(K, n)
    W = solve(H0, y, lam_W, lam_H, beta)
    H = features(W, H0, y, lam_H, beta)
    loss = float(objective(W, H, H0, y, lam_W, lam_H, beta))
    runs = [descend(H0, y, lam_W, lam_H, beta, seed=seed) for seed in range(3)]
    best = min(runs, key=lambda run: run[2])
    assert loss == pytest.approx(best[2], abs=1e-12)
    torch.testing.assert_close(H, best[1], rtol=0, atol=1e-7)
    torch.testing.assert_close(W, best[0], rtol=0, atol=1e-7)


def test_attainment_with_classes_of_any_size():
    y = torch.tensor([2, 0, 0, 1, 0, 2, 0])
    H0 = normal(7, 4, seed=3)
    W = solve(H0, y, 0.1, 0.2, 2.0)
    runs = [descend(H0, y, 0.1, 0.2, 2.0, seed=seed) for seed in range(3)]
    best = min(runs, key=lambda run: run[2])
    torch.testing.assert_close(W, best[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("K", "n", "d"), [(4, 10, 10), (4, 6, 2), (3, 1, 3), (2, 1, 40), (5, 3, 7)])
def test_law_gradient_vanishes_over_nine_decades(K, n, d, device):
    H0, y = normal(K * n, d, seed=K), labels(K, n)
    beta = torch.logspace(-3, 6, 10).double().repeat(3)
    lam_H = torch.tensor([0.0, 0.1, 3.0]).double().repeat_interleave(10)
    W = solve(H0.to(device), y.to(device), 0.03, lam_H, beta)
    assert W.shape == (30, K, d) and W.device.type == device and W.dtype == torch.float64
    for w, lam, b in zip(W.cpu(), lam_H.tolist(), beta.tolist(), strict=True):
        assert reduced_gradient(w, H0, y, 0.03, lam, b).norm() < 1e-10


def test_law_a_batch_is_its_problems():
    H0, y = normal(30, 6), labels(3, 10)
    lam_W, beta = torch.tensor([0.1, 0.5, 0.02]).double(), torch.tensor([1.0, 30.0, 0.2]).double()
    W = solve(H0, y, lam_W, 0.1, beta)
    single = torch.stack([solve(H0, y, float(a), 0.1, float(b)) for a, b in zip(lam_W, beta, strict=True)])
    torch.testing.assert_close(W, single, rtol=0, atol=1e-9)
    assert torch.equal(W, solve(H0, y, lam_W, 0.1, beta))


def test_law_rotation_permutation_and_spare_dimensions():
    H0, y = normal(12, 5), labels(3, 4)
    Q = torch.linalg.qr(normal(60, 60, seed=1)).Q[:5]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    W = solve(H0, y, 0.1, 0.2, 30.0)
    assert global_margin(W, H0, y, 0.1, 0.2, 30.0) > 0
    torch.testing.assert_close(solve((H0 @ Q)[order], y[order], 0.1, 0.2, 30.0), W @ Q, rtol=0, atol=1e-9)


def test_law_spare_dimensions_can_lower_the_minimum():
    """Without a margin the minimum over R^5 is one among those of R^60, and in R^60 every solution has a margin."""
    H0, y, lam = normal(12, 5), labels(3, 4), (0.1, 0.2, 0.5)
    wide = torch.nn.functional.pad(H0, (0, 55))
    W, V = solve(H0, y, *lam), solve(wide, y, *lam)
    assert global_margin(W, H0, y, *lam) < 0 <= global_margin(V, wide, y, *lam) + 1e-9
    loss = [objective(w, features(w, h, y, *lam[1:]), h, y, *lam) for w, h in ((W, H0), (V, wide))]
    assert loss[1] < loss[0] - 1e-4


@pytest.mark.parametrize(("K", "n", "d"), [(4, 1, 12), (3, 2, 30), (2, 1, 9)])
def test_law_spare_dimensions_certify_every_solution(K, n, d):
    """Every local minimizer that leaves a direction free is global: so no start may end with a negative margin."""
    beta, lam_H = torch.logspace(-3, 1, 9).double().repeat(2), torch.tensor([0.0, 0.3]).double().repeat_interleave(9)
    for scale in (1, 0.01):
        H0, y = normal(K * n, d, seed=K, scale=scale), labels(K, n)
        margin = global_margin(solve(H0, y, 0.05, lam_H, beta), H0, y, 0.05, lam_H, beta)
        assert (margin > -1e-9).all()


def test_law_identities_at_the_minimizer():
    H0, y = normal(20, 6), labels(4, 5)
    W = solve(H0, y, 0.1, 0.2, 0.5)
    H = features(W, H0, y, 0.2, 0.5)
    torch.testing.assert_close(0.2 * H.T @ H + 0.5 * (H - H0).T @ H, 5 * 0.1 * W.T @ W, rtol=0, atol=1e-9)
    A = H.T @ H0
    torch.testing.assert_close(A, A.T, rtol=0, atol=1e-8)
    assert float(torch.linalg.eigvalsh(A + A.T)[0]) > -1e-8


def test_attainment_leaves_the_stationary_zero():
    W = solve(torch.zeros(6, 4), labels(3, 2), 0.3, 0.2, 0.1)
    H = features(W, torch.zeros(6, 4), labels(3, 2), 0.2, 0.1)
    c = math.sqrt(0.3 * 0.3)
    assert float(objective(W, H, 0 * H, labels(3, 2), 0.3, 0.2, 0.1)) == pytest.approx(c - c**2 / 2, abs=1e-12)


def test_law_equal_means_are_pulled_apart():
    """All classes start at one mean. Descent that keeps the classes alike ends in a saddle, which has no margin."""
    H0, y, lam = normal(1, 6).repeat(6, 1), labels(3, 2), (0.05, 0.1, 0.1)
    W, alike = solve(H0, y, *lam), normal(1, 6).repeat(3, 1)
    for _ in range(2000):
        alike = (alike - 0.2 * reduced_gradient(alike, H0, y, *lam)).mean(0, keepdim=True).repeat(3, 1)
    assert reduced_gradient(alike, H0, y, *lam).norm() < 1e-9 and global_margin(alike, H0, y, *lam) < -0.01
    runs = [descend(H0, y, *lam, seed=seed)[2] for seed in range(3)]
    loss = float(objective(W, features(W, H0, y, *lam[1:]), H0, y, *lam))
    assert loss == pytest.approx(min(runs), abs=1e-11)
    assert torch.linalg.matrix_rank(W) == 3 and global_margin(W, H0, y, *lam) >= -1e-9


@pytest.mark.parametrize("n", [1, 3])
def test_oracle_margin(n):
    H0, y, lam = normal(3 * n, 4), labels(3, n), (0.2, 0.1, 0.5)
    W = solve(H0, y, *lam)
    R = features(W, H0, y, *lam[1:]) @ W.T - torch.eye(3).double()[y]
    expected = lam[0] - torch.linalg.matrix_norm(R, 2) ** 2 / (n * 0.6)
    torch.testing.assert_close(global_margin(W, H0, y, *lam), expected, rtol=0, atol=1e-12)
    many = global_margin(torch.stack([W, 2 * W]), H0, y, torch.tensor([0.2, 0.2], dtype=torch.float64), *lam[1:])
    torch.testing.assert_close(many[0], expected, rtol=0, atol=1e-12)


GOOD = {"H0": normal(6, 3), "y": labels(3, 2), "lam_W": 0.1, "lam_H": 0.1, "beta": 1.0}
BAD = [
    ("lam_W", 0.0), ("lam_W", -1.0), ("lam_W", math.nan), ("lam_W", "x"), ("lam_W", torch.ones(2, 2)), ("lam_H", -0.1),
    ("lam_H", math.inf), ("beta", -1.0), ("beta", math.nan), ("beta", torch.tensor([])), ("H0", torch.ones(6)),
    ("H0", torch.full((6, 3), math.nan)), ("H0", torch.ones(0, 3)), ("H0", torch.ones(6, 3, dtype=torch.complex64)),
    ("y", labels(3, 1)), ("y", torch.ones(6)), ("y", torch.tensor([0, 0, 2, 2, 2, 2])), 
    ("y", torch.tensor([-1, 0, 0, 1, 1, 1])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_law_bad_arguments_of_solve(name, value):
    with pytest.raises(ValueError, match=name) as error:
        solve(**(GOOD | {name: value}))
    assert "\n" not in str(error.value)


def test_law_bad_arguments_together():
    with pytest.raises(ValueError, match=r"lam_H \+ beta"):
        solve(**(GOOD | {"lam_H": 0.0, "beta": 0.0}))
    with pytest.raises(ValueError, match="one length"):
        solve(**(GOOD | {"lam_H": torch.ones(2), "beta": torch.ones(3)}))
    with pytest.raises(ValueError, match="W must have shape"):
        features(torch.ones(3, 4), GOOD["H0"], GOOD["y"], 0.1, 1.0)
    with pytest.raises(ValueError, match="W must have shape"):
        global_margin(torch.ones(3, 4), **GOOD)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, 1),
        (0, 2.5),
        (1, 0),
        (1, -3),
        (2, 2),
        (3, 0.0),
        (3, math.nan),
        (4, 0.0),
        (4, -1.0),
        (5, -1e-3),
        (5, math.inf),
    ],
)
def test_law_bad_problems(position, value):
    args = [3, 2, 4, 0.1, 0.1, 1.0]
    args[position] = value
    with pytest.raises(ValueError, match=list(Problem.__dataclass_fields__)[position]):
        Problem(*args)


def test_law_bad_arguments_of_a_problem():
    p = Problem(3, 2, 4, 0.1, 0.1, 1.0)
    for bad in (torch.ones(6, 3), torch.full((6, 4), math.nan), torch.ones(24)):
        with pytest.raises(ValueError, match="dH0"):
            p.response(bad)
    with pytest.raises(ValueError, match="order"):
        p.block_spectrum(2)
    with pytest.raises(ValueError, match="beta"):
        Problem(3, 2, 4, 0.1, 0.1, 0.0).block_spectrum(1)
    with pytest.raises(ValueError, match=r"lam_W \* lam_H"):
        Problem(3, 2, 4, 2.0, 1.0, 1.0).attenuation()
    with pytest.raises(ValueError, match="lam_W"):
        perturbation.monotone_beta(0, 1)
