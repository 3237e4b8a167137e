"""Averages of networks: permutations that align their units, and the variance that is lost.

Ito et al. 2024 (arXiv 2402.04051); weight matching is by Ainsworth et al. 2023 (arXiv 2209.04836).
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def best_permutation(similarity) -> Tensor:
    """The permutation p (n,) int64 that maximizes sum_i similarity[i, p[i]], similarity (n, n): a linear assignment.

    >>> best_permutation(torch.tensor([[0.0, 2.0], [1.0, 2.5]])).tolist()
    [1, 0]
    """
    if similarity.ndim != 2 or len(similarity) != similarity.shape[1]:
        raise ValueError(f"similarity has shape {tuple(similarity.shape)}: must be a square matrix")
    return torch.from_numpy(linear_sum_assignment(similarity.detach().numpy(), maximize=True)[1])


def permuted(weights, biases, permutations) -> tuple[list[Tensor], list[Tensor]]:
    """The same function with the units of each hidden layer in another order: (weights, biases).

    weights W_1, ..., W_L with W_l (d_l, d_{l-1}), biases b_1, ..., b_L, permutations p_1, ..., p_{L-1}: unit i of the
    new hidden layer l is unit p_l[i] of the old one. Raises ValueError where one is no permutation of its layer.
    """
    if not weights or len(biases) != len(weights):
        raise ValueError(f"weights, biases are {len(weights)}, {len(biases)}: must be as many, at least 1")
    if len(permutations) != len(weights) - 1:
        raise ValueError(f"permutations are {len(permutations)}: must be one a hidden layer, {len(weights) - 1}")
    new_weights, new_biases = list(weights), list(biases)
    for layer, p in enumerate(permutations):
        size = len(weights[layer])
        if len(p) != size or not torch.equal(torch.as_tensor(p).sort().values, torch.arange(size)):
            found = f"has length {len(p)}, {len(set(map(int, p)))} units"
            raise ValueError(f"permutation of hidden layer {layer + 1} {found}: must order {size} units")
        new_weights[layer], new_biases[layer] = new_weights[layer][p], new_biases[layer][p]
        new_weights[layer + 1] = new_weights[layer + 1][:, p]
    return new_weights, new_biases


def weight_matching(ours, theirs, sweeps=20) -> list[Tensor]:
    """Permutations of the hidden units of `theirs` that bring its weights nearest to `ours`, one hidden layer after the
    other until none changes.

    ours, theirs: (weights, biases) as `permuted` takes them. Each step maximizes the inner product of all weights and
    biases that lead to or leave the units of one layer, the other permutations held: the sum of squared distances falls
    or stays. What is found is a local optimum. Ainsworth et al. 2023, Algorithm 1, their layers in order. Raises
    ValueError for networks of other shapes.
    """
    alike(ours, theirs)
    (A, a), (B, b) = ours, theirs
    p = [torch.arange(len(W)) for W in A[:-1]]
    for _ in range(sweeps):
        changed = False
        for layer in range(len(p)):
            W, v = permuted(B, b, [torch.arange(len(q)) if i == layer else q for i, q in enumerate(p)])
            gain = A[layer] @ W[layer].T + torch.outer(a[layer], v[layer]) + A[layer + 1].T @ W[layer + 1]
            best = best_permutation(gain)
            changed |= not torch.equal(best, p[layer])
            p[layer] = best
        if not changed:
            break
    return p


def interpolated(ours, theirs, share=0.5) -> tuple[list[Tensor], list[Tensor]]:
    """(weights, biases) of (1 - share) ours + share theirs. Raises ValueError for networks of other shapes."""
    alike(ours, theirs)
    return tuple(
        [(1 - share) * x + share * y for x, y in zip(A, B, strict=True)] for A, B in zip(ours, theirs, strict=True)
    )


def alike(ours, theirs) -> None:
    """Refuse networks whose weights and biases are not of the same shapes."""
    shapes = [[[tuple(part.shape) for part in parts] for parts in net] for net in (ours, theirs)]
    if shapes[0] != shapes[1] or not shapes[0][0]:
        raise ValueError(f"theirs has shapes {shapes[1]}: must have those of ours, {shapes[0]}")


def variance_corrected(models) -> Tensor:
    """The average of vectors (N, d), scaled about its own mean to the mean of their standard deviations.

    The mean of N independent vectors of equal variance has 1/N of it: the vanishing variance problem. Raises ValueError
    for fewer than one vector and for an average that is constant.

    >>> variance_corrected(torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])).tolist()
    [1.4142135381698608, 0.0, 0.0, -1.4142135381698608]
    """
    if models.ndim != 2 or not len(models):
        raise ValueError(f"models has shape {tuple(models.shape)}: must be (N, d) with N >= 1")
    mean = models.mean(0)
    centre, spread = mean.mean(), mean.std(correction=0)
    if not spread > 0:
        raise ValueError("models have a constant average: it has no spread to correct")
    return centre + (mean - centre) * models.std(1, correction=0).mean() / spread


def alignment(W, V, share=0.1) -> tuple[float, float]:
    """(top, bottom): how far the singular directions of two matrices of one shape point the same way.

    W = sum_i s_i u_i v_i^T, V = sum_j t_j x_j y_j^T; R = sum_ij s_i t_j (u_i . x_j)(v_i . y_j) / (|s| |t|) is the
    cosine of the two matrices. `top` sums over pairs of the largest ceil(share r) singular values of each, over the
    norms of these; `bottom` over the rest. Between -1 and 1. The measure of Ito et al. 2024 was not read: this is ours.
    Raises ValueError for matrices of other shapes and a share outside (0, 1).
    """
    if W.ndim != 2 or W.shape != V.shape:
        raise ValueError(f"W, V have shapes {tuple(W.shape)}, {tuple(V.shape)}: must be matrices of one shape")
    if not 0 < share < 1:
        raise ValueError(f"share = {share}: must be above 0 and below 1")
    (U, s, Vh), (X, t, Yh) = (torch.linalg.svd(A, full_matrices=False) for A in (W, V))
    n = -int(-share * len(s) // 1)
    found = []
    for part in (slice(0, n), slice(n, None)):
        overlap = (U[:, part].T @ X[:, part]) * (Vh[part] @ Yh[part].T)
        found.append(float(s[part] @ overlap @ t[part] / (s[part].norm() * t[part].norm())))
    return tuple(found)
