"""Batched L-BFGS."""

import numpy as np
import pytest
import torch

from nclib.training.lbfgs import minimize


def test_value_minimize_quadratics_of_different_scale():
    scale = torch.tensor([[1.0, 2.0], [1e-3, 5.0], [100.0, 0.1]], dtype=torch.float64)
    center = torch.tensor([[3.0, -1.0], [2.0, 4.0], [-5.0, 7.0]], dtype=torch.float64)

    def loss(x, which):
        return (scale[which] * (x - center[which]) ** 2).sum(1) + which

    x, f, g = minimize(loss, torch.zeros_like(center))
    torch.testing.assert_close(x, center, atol=1e-5, rtol=0)
    torch.testing.assert_close(f, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), atol=1e-12, rtol=0)
    assert g.max() <= 1e-9


def test_value_minimize_holds_bounds():
    center = torch.tensor([[-2.0, -3.0, 4.0]], dtype=torch.float64)
    bound = torch.tensor([True, False, True])
    x, f, _ = minimize(lambda x, which: ((x - center) ** 2).sum(1), torch.full_like(center, 1.5), nonnegative=bound)
    torch.testing.assert_close(x, torch.tensor([[0.0, -3.0, 4.0]], dtype=torch.float64), atol=1e-9, rtol=0)
    assert f.item() == pytest.approx(4)


def test_oracle_minimize_rosenbrock_against_scipy():
    from scipy.optimize import minimize as scipy_minimize
    from scipy.optimize import rosen

    starts = torch.tensor([[-1.2, 1.0, 0.5], [2.0, -1.0, 1.5]], dtype=torch.float64)

    def loss(x, which):
        return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)

    x, f, _ = minimize(loss, starts)
    for start, found, value in zip(starts, x, f, strict=True):
        best = scipy_minimize(rosen, start.numpy())
        assert value <= best.fun + 1e-9
        np.testing.assert_allclose(found, best.x, atol=1e-4)


def test_law_minimize_problems_do_not_see_each_other():
    starts = torch.tensor([[-1.2, 1.0], [30.0, -7.0]], dtype=torch.float64)

    def loss(x, which):
        return 100 * (x[:, 1] - x[:, 0] ** 2) ** 2 + (1 - x[:, 0]) ** 2

    together = minimize(loss, starts, iterations=30)[0]
    alone = torch.cat([minimize(loss, starts[i : i + 1], iterations=30)[0] for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
