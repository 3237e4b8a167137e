"""nclib.collapses.spectra: exact Hessians, the groups of eigenvalues at collapse, outliers."""

import pytest
import torch
from torch.nn import functional as F

from nclib.collapses import spectra
from nclib.frames import simplex_etf
from nclib.models import MLP


def test_oracle_last_layer_against_autograd():
    g = torch.Generator().manual_seed(0)
    H, W, y = torch.randn(12, 4, generator=g).double(), torch.randn(3, 4, generator=g).double(), torch.arange(12) % 3
    expected = torch.autograd.functional.hessian(lambda w: F.cross_entropy(H @ w.reshape(3, 4).T, y), W.flatten())
    assert torch.allclose(spectra.cross_entropy_hessian(H, H @ W.T), expected, atol=1e-12)


def test_oracle_whole_network_against_autograd():
    torch.manual_seed(1)
    model, x, y = MLP(3, 4, 1, 3).double(), torch.randn(10, 3).double(), torch.arange(10) % 3
    names, parts = zip(*model.named_parameters(), strict=True)
    loss = F.cross_entropy(model(x), y)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parts, create_graph=True)])
    rows = [torch.cat([h.flatten() for h in torch.autograd.grad(g, parts, retain_graph=True)]) for g in gradient]
    found = spectra.full_hessian(model, x, y)
    assert len(names) == 3 and torch.allclose(found, torch.stack(rows), atol=1e-12)


@pytest.mark.parametrize("K", [3, 4, 7])
@pytest.mark.parametrize("mean", [0.0, 1.0, 2.0])
def test_law_groups_of_eigenvalues_at_exact_collapse(K, mean):
    """Their sizes for any common mean from the length of the features on, and their ratios where centered."""
    M = simplex_etf(K, K)
    M = M / M.norm(dim=1, keepdim=True)
    H = torch.cat([M, torch.full((K, 1), mean, dtype=M.dtype)], dim=1)
    values = torch.linalg.eigvalsh(spectra.cross_entropy_hessian(H, 12.0 * M @ M.T)).flip(0)
    values = values[values > 1e-6 * values[0]] / values[0]
    _, sizes = values.mul(1e6).round().unique(return_counts=True)
    assert sizes.flip(0).tolist() == spectra.collapsed_groups(K, centered=mean == 0)
    assert len(values) == ((K - 1) ** 2 if mean == 0 else K * (K - 1))
    if mean == 0:
        assert values[[1, K]].tolist() == pytest.approx([1 - 1 / K, 1 / K], abs=1e-4)


def test_value_outliers():
    values = torch.tensor([-1.0, 0.0, 9.0, 8.0, 0.5, 0.4, 0.3, 1e-9])
    assert spectra.outliers(values) == 2 and spectra.outliers(values, most=5) == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: spectra.cross_entropy_hessian(torch.ones(3, 2), torch.ones(2, 2)),
            r"H, logits have shapes \(3, 2\), \(2, 2\)",
        ),
        (lambda: spectra.collapsed_groups(2), "num_classes = 2: must be at least 3"),
        (
            lambda: spectra.full_hessian(MLP(64, 80, 1, 10), None, None),
            "model has 6000 parameters: must be at most 5000",
        ),
        (lambda: spectra.outliers(torch.tensor([1.0, -1.0])), "eigenvalues has 1 positive entries"),
        (lambda: spectra.outliers(torch.tensor([1.0, 2.0]), 0), "most = 0: must be at least 1"),
    ],
)
def test_law_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
