"""The closed form of mixup with a simplex ETF: by hand, by Lambert's W of SciPy, and by minimizers without it."""

import math

import pytest
import torch
from scipy.optimize import brentq
from scipy.special import lambertw

from nclib.frames import simplex_etf
from nclib.theory import mixup
from nclib.training import lbfgs

MIX = torch.tensor([0.0, 0.1, 0.5, 0.75, 1.0], dtype=torch.float64)


def close(found, expected, tolerance=1e-12):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    return float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


def test_value_margins_by_hand():
    """t = log 2 solves t (K - 1 + e^t) = K a for K = 3 and a = 4/3 log 2, and u = log 3 the even mix's equation for
    K = 4 and a = u (2 e^u + 2) / 2 = 4 u."""
    assert close(mixup.same_class(3, 4 / 3 * math.log(2)), math.log(2))
    z = mixup.logits(4, 4 * math.log(3), 0.5)
    assert close(z, [math.log(3) / 2, math.log(3) / 2, -math.log(3) / 2])
    assert close(mixup.probabilities(4, 4 * math.log(3), 0.5), [3 / 8, 3 / 8, 1 / 8])
    t = float(mixup.same_class(4, 4 * math.log(3)))
    assert abs(t * (3 + math.exp(t)) - 16 * math.log(3)) < 1e-12
    assert close(mixup.amplification(4, 4 * math.log(3)), (4 / 3) ** 0.5 * math.log(3) / t)


def test_value_features_by_hand():
    """K = 3 in the plane, m = 2, a = 4/3 log 2: the feature of one class is (K-1)/(K m^2) t w_i = log 2/6 w_i."""
    W, lam_H = 2 * simplex_etf(3, 2), 4 * 3 / (2 * 4 / 3 * math.log(2))
    assert close(mixup.feature(W, 1, 1, 0.2, lam_H), math.log(2) / 6 * W[1])
    two = torch.tensor([[1.0], [-1.0]])  # K = 2: h = t/2 w_i with t (1 + e^t) = 2 a and a = 2/lam_H, t = log 2
    assert close(mixup.feature(two, 1, 1, 0.5, 2 / (1.5 * math.log(2))), [-math.log(2) / 2])
    assert close(mixup.mse_feature(W, 0, 2, 0.25, 2.0), (W[0] + 3 * W[2]) / 4 / 8)


@pytest.mark.parametrize("K", [2, 3, 10, 100])
def test_oracle_lambert_by_scipy(K):
    """sum_k W0(a e^(a y_k)/Z)/a = 1, Z by bracketing; a e^(a y) must not overflow there, so a is moderate."""
    for a in (0.3, 3.0, 50.0):
        for mix in MIX.tolist():
            y, n = [mix, 1 - mix, 0.0], [1, 1, K - 2]

            def p(log_Z, a=a, y=y):
                return [lambertw(math.exp(math.log(a) + a * y_k - log_Z)).real / a for y_k in y]

            log_Z = brentq(lambda L, p=p, n=n: sum(c * q for c, q in zip(n, p(L), strict=True)) - 1, -50, 50 + a)
            expected = torch.tensor(p(log_Z), dtype=torch.float64) * (torch.tensor(n) > 0)
            assert close(mixup.probabilities(K, a, mix), expected, 1e-10)


def test_law_stationary_and_consistent():
    """z = a (y - p), sum z = 0 and p = softmax(z) over eight orders of a."""
    K, a = torch.tensor([2, 3, 10, 1000])[:, None, None], torch.logspace(-4, 4, 9, dtype=torch.float64)[:, None]
    z, p = mixup.logits(K, a, MIX), mixup.probabilities(K, a, MIX)
    n = torch.stack(torch.broadcast_tensors(torch.ones(1), torch.ones(1), K - 2), -1)
    assert ((n * p).sum(-1) - 1).abs().max() < 1e-13 and ((n * z).sum(-1)).abs().max() < 1e-11
    y = torch.stack([MIX, 1 - MIX, torch.zeros_like(MIX)], -1)
    assert (z / a[..., None] - (y - p)).abs().max() < 1e-15
    soft = z.exp() * (n > 0) / (n * z.exp()).sum(-1, keepdim=True)
    assert ((soft - p).abs() / p.clamp(min=1e-300)).max() < 1e-11


def test_law_same_class_is_mix_of_one():
    for K in (2, 3, 10, 100):
        z = mixup.logits(K, torch.logspace(-6, 12, 19), 1.0)
        assert close((z[:, 0] - z[:, 1]) / mixup.same_class(K, torch.logspace(-6, 12, 19)), torch.ones(19), 1e-9)


def test_law_limits():
    """p -> 1/K and z -> a (y - 1/K) as a -> 0; p -> y and z_i - z_j -> log(lambda/(1-lambda)) as a -> infinity."""
    inner = MIX[1:-1]
    assert close(mixup.probabilities(5, 1e-9, inner), torch.full((3, 3), 0.2).double(), 1e-7)
    assert close(mixup.logits(5, 1e-9, 0.75) * 1e9, [0.55, 0.05, -0.2], 1e-8)
    z = mixup.logits(5, 1e200, inner)
    assert close(z[:, 0] - z[:, 1], (inner / (1 - inner)).log(), 1e-12)
    assert close(mixup.probabilities(5, 1e200, inner)[:, :2], torch.stack([inner, 1 - inner], -1), 1e-12)
    assert mixup.logits(10, 1e6, 0.25)[1] - mixup.logits(10, 1e6, 0.25)[2] > 10


def test_law_amplification_is_that_of_the_features():
    W = 3 * simplex_etf(10, 12)
    for lam_H in (1.0, 1e-3):
        even, same = mixup.feature(W, 2, 7, 0.5, lam_H), mixup.feature(W, 4, 4, 0.5, lam_H)
        assert close(mixup.amplification(10, 90 / (9 * lam_H)), float(even.norm() / same.norm()), 1e-12)
    assert float(mixup.amplification(2, 5.0)) == 0
    assert close(mixup.amplification(10, 1e-9), (8 / 18) ** 0.5, 1e-7)
    far = (16 / 9) ** 0.5 - mixup.amplification(10, torch.tensor([1e50, 1e100, 1e200], dtype=torch.float64))
    assert (far > 0).all() and close(far[:2] / far[1:], [2, 2], 0.06)  # like 1/log a


def test_law_a_feature_turns_with_its_classifier_and_swaps_with_its_classes():
    W = 2 * simplex_etf(4, 5)
    Q = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    h = mixup.feature(W, 0, 3, 0.3, 0.1)
    assert close(mixup.feature(W @ Q, 0, 3, 0.3, 0.1), h @ Q) and close(mixup.feature(W, 3, 0, 0.7, 0.1), h)
    many = mixup.feature(
        W, torch.tensor([0, 2]), torch.tensor([3, 2]), torch.tensor([0.3, 0.9], dtype=torch.float64), 0.1
    )
    assert close(many[0], h) and close(many[1], mixup.feature(W, 2, 2, 0.1, 0.1))
    assert mixup.feature(W.float(), 0, 3, 0.3, 0.1).dtype == torch.float64


@pytest.mark.parametrize("K", [2, 3, 4, 10, 100])
def test_attainment_by_gradient_and_by_lbfgs(K):
    """The gradient of the objective as it is written vanishes at the closed form, and L-BFGS from random starts comes
    to it from above."""
    generator = torch.Generator().manual_seed(K)
    for m in (0.5, 3.0):
        W = m * simplex_etf(K, K)
        for lam_H in (1.0, 1e-3):
            h = mixup.feature(W, 0, K - 1, MIX, lam_H)
            Y = torch.zeros(len(MIX), K, dtype=torch.float64)
            Y[:, 0], Y[:, K - 1] = MIX, 1 - MIX

            def loss(h, which, W=W, Y=Y, lam_H=lam_H):
                Z = h @ W.mT
                return Z.logsumexp(1) - (Y[which] * Z).sum(1) + lam_H / 2 * h.square().sum(1)

            at, every = h.clone().requires_grad_(), torch.arange(len(MIX))
            (slope,) = torch.autograd.grad(loss(at, every).sum(), at)
            assert slope.abs().max() < 1e-10
            start = torch.randn(h.shape, generator=generator, dtype=torch.float64)
            found, value, _ = lbfgs.minimize(loss, start, iterations=3000, tolerance=1e-11)
            assert ((found - h).norm(dim=1) / h.norm(dim=1).clamp(min=1e-3)).max() < 1e-6
            assert (value - loss(h, every)).min() > -1e-12


def test_attainment_squared_error():
    W, y = 3 * simplex_etf(4, 6), torch.tensor([0.2, 0.8, 0.0, 0.0], dtype=torch.float64)
    h = torch.linalg.solve(W.mT @ W + 0.7 * torch.eye(6, dtype=torch.float64), W.mT @ y)
    assert close(mixup.mse_feature(W, 0, 1, 0.2, 0.7), h)


def test_value_fit_finds_the_scalar():
    mix = [0.1, 0.4, 0.5]
    a, error = mixup.fitted(6, mix, mixup.logits(6, 321.0, mix), mixup.logits(6, 321.0, 1.0)[[0, 2]])
    assert abs(a - 321) < 1e-3 and error < 1e-7
    doubled = 2 * mixup.logits(6, 321.0, mix), 2 * mixup.logits(6, 321.0, 1.0)[[0, 2]]
    assert mixup.fitted(6, mix, *doubled)[1] > 0.05


def test_bad_input():
    W = simplex_etf(3, 4)
    for bad, call in {
        "num_classes = 1: must be whole numbers >= 2": lambda: mixup.probabilities(1, 1.0, 0.5),
        "num_classes = 2.5: must be whole": lambda: mixup.same_class(2.5, 1.0),
        "a = 0: must be finite and > 0": lambda: mixup.amplification(3, 0.0),
        "a = nan: must be": lambda: mixup.logits(3, math.nan, 0.5),
        r"mix = 1.5: must be in \[0, 1\]": lambda: mixup.probabilities(3, 1.0, 1.5),
        r"mix = tensor from -1 to 0.5: must be in": lambda: mixup.feature(W, 0, 1, torch.tensor([-1, 0.5]), 1.0),
        "lam_H must be a finite number > 0, got 0": lambda: mixup.feature(W, 0, 1, 0.5, 0),
        "i = 3: must be a class, 0 to 2": lambda: mixup.feature(W, 3, 1, 0.5, 1.0),
        "j = -1: must be a class": lambda: mixup.mse_feature(W, 0, -1, 0.5, 1.0),
        r"W has shape \(3, 1\): a simplex ETF of 3 classes needs d >= 2": lambda: mixup.feature(W[:, :1], 0, 1, 1, 1),
        "W is not a simplex ETF: its Gram matrix is off by": lambda: mixup.feature(W + 0.1, 0, 1, 0.5, 1.0),
        r"must be \(L,\), \(L, 3\), \(2,\)": lambda: mixup.fitted(3, [0.5], torch.ones(2, 3), torch.ones(2)),
        "hold NaN or inf": lambda: mixup.fitted(3, [0.5], torch.full((1, 3), math.nan), torch.ones(2)),
    }.items():
        with pytest.raises(ValueError, match=bad):
            call()
