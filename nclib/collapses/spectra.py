"""Spectra of the Hessian: of a cross-entropy layer on given features, of a whole small network, and where they split.

Sagun et al. 2017 (arXiv 1706.04454). The groups of eigenvalues at exact collapse are derived and checked in the tests.
"""

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F


def cross_entropy_hessian(H, logits) -> Tensor:
    """The Hessian (K d, K d) of the mean cross-entropy in the classifiers W (K, d), rows one after the other.

    (1/N) sum_i (diag p_i - p_i p_i^T) (x) h_i h_i^T with p_i the softmax of the logits (N, K), H (N, d) the features.
    Exact for the last layer, whatever the labels are. Raises ValueError for lengths that differ.
    """
    if H.ndim != 2 or logits.ndim != 2 or len(H) != len(logits) or not len(H):
        raise ValueError(
            f"H, logits have shapes {tuple(H.shape)}, {tuple(logits.shape)}: must be (N, d), (N, K) with one N >= 1"
        )
    H, p = H.double(), logits.double().softmax(1)
    S = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    K, d = p.shape[1], H.shape[1]
    return torch.einsum("nab,ni,nj->aibj", S, H, H).reshape(K * d, K * d) / len(H)


def collapsed_groups(num_classes, centered=True) -> list[int]:
    """The sizes of the groups of equal eigenvalues of `cross_entropy_hessian` at a collapse whose logits are large,
    from the largest eigenvalue down.

    Features are the K vectors of a simplex ETF; not centered, with a common mean added that is orthogonal to them and
    at least as long; logits are a multiple of the inner products with the centered features. With K classes (K - 1)^2
    eigenvalues are nonzero, or K (K - 1); centered, the groups' ratios tend to 1, 1 - 1/K and 1/K. Derived by symmetry
    under permutations of the classes. Raises ValueError for fewer than three classes.

    >>> collapsed_groups(4), collapsed_groups(4, centered=False)
    ([1, 3, 5], [3, 1, 3, 5])
    """
    K = num_classes
    if K < 3:
        raise ValueError(f"num_classes = {K}: must be at least 3")
    return [1, K - 1, K * K - 3 * K + 1] if centered else [K - 1, 1, K - 1, K * K - 3 * K + 1]


def full_hessian(model, x, y) -> Tensor:
    """The Hessian of the mean cross-entropy of a model in all of its parameters, in their order, (P, P) float64.

    P^2 numbers are kept and P backward passes made: for models of at most a few thousand parameters. Raises ValueError
    beyond 5,000.
    """
    named = {name: p.detach().double() for name, p in model.named_parameters()}
    sizes, total = [p.numel() for p in named.values()], sum(p.numel() for p in named.values())
    if total > 5000:
        raise ValueError(f"model has {total} parameters: must be at most 5000")

    def loss(flat):
        parts = flat.split(sizes)
        given = {name: part.reshape(p.shape) for (name, p), part in zip(named.items(), parts, strict=True)}
        return F.cross_entropy(functional_call(model, given, (x.double(),)), y)

    flat = torch.cat([p.flatten() for p in named.values()])
    return torch.func.jacrev(torch.func.grad(loss))(flat)


def outliers(eigenvalues, most=None) -> int:
    """How many eigenvalues lie above the largest gap of their logarithms, among the `most` + 1 largest (all positive).

    most: None for half of the positive ones. Raises ValueError for fewer than two positive eigenvalues.

    >>> outliers(torch.tensor([5.0, 4.0, 4.5, 0.01, 0.02, 0.005, 0.004]))
    3
    """
    values = eigenvalues[eigenvalues > 0].sort(descending=True).values
    if len(values) < 2:
        raise ValueError(f"eigenvalues has {len(values)} positive entries: must have at least 2")
    if most is not None and most < 1:
        raise ValueError(f"most = {most}: must be at least 1")
    values = values[: (most or len(values) // 2) + 1].log()
    return int((values[:-1] - values[1:]).argmax()) + 1
