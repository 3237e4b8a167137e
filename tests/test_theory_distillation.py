"""nclib.theory.distillation: losses, residuals, the sign of a conflict, alignment of gradients."""

import math

import pytest
import torch
from torch.nn import functional as F

from nclib.frames import simplex_etf
from nclib.theory import distillation as d

LOSSES = {"binary_kl": d.binary_kl, "binary_kl_norm": d.binary_kl_norm, "kd": d.kd}
RESIDUALS = {"binary_kl": d.binary_kl_residual, "binary_kl_norm": d.binary_kl_norm_residual, "kd": d.kd_residual}
STATES = [(z, T) for z in (0.5, 2.0, 4.0, 9.0) for T in (1.0, 3.0, 6.0, 12.0)]


def logits(rows=5, K=4, scale=3.0):
    return [scale * torch.randn(rows, K, generator=torch.Generator().manual_seed(s)).double() for s in (0, 1)]


def assert_close(a, b, tolerance=1e-12):
    torch.testing.assert_close(*(torch.as_tensor(v, dtype=torch.float64) for v in (a, b)), rtol=0, atol=tolerance)


def test_value_one_row_by_hand():
    """sigma(log 3) = 3/4 and sigma(log 1) = 1/2: the batch is a mean, classes a sum."""
    a, zero = math.log(3), 0.0
    one = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert_close(d.binary_kl([[zero, zero]], [[a, a]], 1), 2 * one)
    assert_close(d.binary_kl([[zero, a], [a, a]], [[a, a], [a, a]], 1), one / 2)
    assert_close(d.binary_kl([[zero]], [[2 * a]], 2), 4 * one)
    assert_close(d.binary_kl_norm([[2 * a]], [[zero]], 1), math.log(5 / 3))  # cosh(log 3) = 5/3
    assert_close(d.binary_kl_norm([[4 * a]], [[zero]], 2), 4 * math.log(5 / 3))


@pytest.mark.parametrize("tau", [0.5, 2.0, 7.0])
def test_oracle_losses_by_loops(tau):
    """By Python's math over rows and classes; the Norm as the KL divergence that the paper writes."""
    S, T = logits()

    def sigma(x):
        return 1 / (1 + math.exp(-x))

    def kl(p, q):
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    plain = [[kl(sigma(t / tau), sigma(s / tau)) for s, t in zip(a, b, strict=True)] for a, b in zip(S, T, strict=True)]
    half = [[kl(0.5, sigma((s - t) / tau)) for s, t in zip(a, b, strict=True)] for a, b in zip(S, T, strict=True)]
    assert_close(d.binary_kl(S, T, tau), tau**2 * sum(map(sum, plain)) / len(S))
    assert_close(d.binary_kl_norm(S, T, tau), tau**2 * sum(map(sum, half)) / len(S))


def test_law_the_norm_is_smooth_and_large_logits_are_finite():
    S, T = logits(scale=1e-4)
    assert_close(d.binary_kl_norm(S, T, 2) / (S - T).square().sum(1).mean(), 1 / 8, 1e-6)
    far = torch.tensor([[2000.0]])
    assert_close(d.binary_kl_norm(far, -far, 1), 2000 - math.log(2))
    assert_close(d.binary_kl(-far, far, 1), 2000)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("tau", [1.0, 2.5])
def test_oracle_residuals_are_minus_the_gradients(name, tau):
    S, T = logits()
    S.requires_grad_()
    (gradient,) = torch.autograd.grad(LOSSES[name](S, T, tau), S)
    assert gradient.abs().max() > 0.01
    assert_close(RESIDUALS[name](S.detach(), T, tau) / len(S), -gradient)


def test_oracle_residual_of_cross_entropy_and_the_objective():
    S, T = logits()
    y = torch.tensor([0, 3, 1, 1, 2])
    S.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(S, y), S)
    assert_close(d.cross_entropy_residual(S.detach(), y) / 5, -gradient)
    for norm, loss in ((True, d.binary_kl_norm), (False, d.binary_kl)):
        whole = d.dual_head(S, T, 2 * T, y, alpha=0.3, tau=2, norm=norm)
        assert_close(whole.detach(), float(F.cross_entropy(S.detach(), y)) + 0.3 * float(loss(T, 2 * T, 2)))
    assert_close(d.dual_head(S, T, T, y, alpha=0).detach(), F.cross_entropy(S.detach(), y))


@pytest.mark.parametrize("curved, loss", [(0.0, d.binary_kl_norm), (1.0, d.binary_kl)])
def test_oracle_curvature_at_the_match(curved, loss):
    """1/4 for every teacher logit with the Norm; sigma'(T/tau) without: 0.25, 0.105, 0.018 at T = 0, 4, 8, tau = 2."""
    for T, expected in ((0.0, 0.25), (4.0, 0.105), (8.0, 0.018)):
        z = torch.tensor([[T]]).double()
        H = torch.autograd.functional.hessian(lambda s, z=z: loss(s.reshape(1, 1), z, 2), z.flatten())
        assert_close(H[0, 0], expected if curved else 0.25, 5e-4)


def gradients(z, T, loss, *, K=6, mean=0.0, noise=0.0):
    """Cosines of CE and `loss` in W and in h by autograd, at a collapsed network with margin logits (z, -z/(K-1))."""
    M = simplex_etf(K, K + 1).double()
    M = M / M.norm(dim=1, keepdim=True)
    offset = torch.linalg.svd(M).Vh[-1]  # orthogonal to all rows of W
    W = (z * M).requires_grad_()
    y = torch.arange(K).repeat(3)
    H = M[y] + mean * offset + noise * torch.randn(len(y), K + 1, generator=torch.Generator().manual_seed(0)).double()
    H.requires_grad_()
    teacher = torch.full((len(y), K), 0.0).double().index_put_((torch.arange(len(y)), y), torch.tensor(T).double())
    found = [torch.autograd.grad(value(H @ W.T), (W, H)) for value in (lambda Z: F.cross_entropy(Z, y),
                                                                        lambda Z: loss(Z, teacher, 2.0))]  # fmt: skip
    return [float((a * b).sum() / (a.norm() * b.norm())) for a, b in zip(*found, strict=True)]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("z, T", STATES)
def test_oracle_sign_of_the_conflict(z, T, norm):
    """32 states: at collapse both cosines are the sign of delta, to rounding."""
    delta = d.conflict((z, -z / 5), (T, 0.0), 2.0, norm=norm)
    assert abs(delta) > 1e-3
    found = gradients(z, T, d.binary_kl_norm if norm else d.binary_kl)
    assert_close(found, [delta.sign()] * 2, 1e-9)


@pytest.mark.parametrize("norm", [False, True])
def test_oracle_a_common_mean_turns_the_gradient_in_w_alone(norm):
    for z, T in STATES:
        in_w, in_h = gradients(z, T, d.binary_kl_norm if norm else d.binary_kl, mean=2.0)
        expected = d.cosine_with_mean((z, -z / 5), (T, 0.0), 2.0, num_classes=6, length=1, mean=2, norm=norm)
        assert_close(in_w, expected, 1e-9)
        assert_close(in_h, expected.sign(), 1e-9)
        assert abs(in_w) < 0.99


def test_law_variability_within_classes_separates_the_cosines():
    in_w, in_h = gradients(4.0, 6.0, d.binary_kl, noise=0.3)
    assert abs(in_w) < 0.999 and abs(in_w - in_h) > 1e-3


def test_law_alignment_is_a_projection():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        g_1, g_2 = torch.randn(2, 7, generator=generator).double()
        found = d.align(g_2, g_1)
        assert found @ g_1 >= -1e-14
        assert_close(d.align(found, g_1), found)
        assert_close(found, g_2) if g_2 @ g_1 >= 0 else assert_close(found @ g_1, 0)
        assert found.norm() <= g_2.norm() * (1 + 1e-15)
    assert_close(d.align([3.0, -1.0], [0.0, 2.0]), [3.0, 0.0])
    assert_close(d.align([-1.0, 1.0], [0.0, 0.0]), [-1.0, 1.0])


Z = [[1.0, 2.0]]
BAD = [
    (lambda: d.binary_kl(Z, Z, 0), "tau must be a finite number > 0, got 0"),
    (lambda: d.binary_kl_norm(Z, Z, -1), "tau must be a finite number > 0, got -1"),
    (lambda: d.kd(Z, Z, float("nan")), "tau must be a finite number > 0, got nan"),
    (lambda: d.binary_kl(Z, [[1.0]], 1), r"student, teacher have shapes \(1, 2\), \(1, 1\), must be equal \(B, K\)"),
    (lambda: d.binary_kl_norm([1.0], [1.0], 1), r"shapes \(1,\), \(1,\), must be equal"),
    (lambda: d.dual_head(Z, Z, Z, torch.tensor([0]), alpha="a"), "alpha must be a finite number >= 0, got 'a'"),
    (lambda: d.dual_head(Z, Z, Z, torch.tensor([7]), alpha=1), r"labels must be \(1,\), integers from 0 to "),
    (lambda: d.dual_head(Z, Z, Z, torch.tensor([0.0]), alpha=1), r"labels must be \(1,\), integers from 0 to "),
    (lambda: d.dual_head(Z, Z, Z, torch.tensor([0, 0]), alpha=1), r"labels must be \(1,\), integers from 0 to "),
    (lambda: d.dual_head(Z, Z, Z, torch.tensor([0]), alpha=-0.5), "alpha must be a finite number >= 0, got -0.5"),
    (lambda: d.dual_head([[1.0]], Z, Z, torch.tensor([0]), alpha=1), r"shapes \(1, 1\), \(1, 2\)"),
    (lambda: d.conflict((1, 2, 3), (1, 2), 1), r"student_margin_logits has shape \(3,\), must be \(..., 2\)"),
    (lambda: d.conflict((1, 2), (1, 2), 0), "tau must be"),
    (lambda: d.cosine_with_mean((1, 2), (1, 2), 1, num_classes=1, length=1, mean=1), "num_classes must be"),
    (lambda: d.align([1.0], [1.0, 2.0]), r"gradient, reference have shapes \(1,\), \(2,\), must be vectors"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_law_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
