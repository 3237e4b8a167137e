"""Pruning: the PQ Index of weights, global magnitude masks with a least number a layer, the rank of class means.

Diao et al. 2023 (arXiv 2302.05601), Gupta et al. 2022 (2209.14624), Chen et al. 2024 (2409.09085).
"""

import torch
from torch import Tensor


def pq_index(w, p=1.0, q=2.0) -> float:
    """I(w) = 1 - d^(1/q - 1/p) |w|_p / |w|_q, the PQ Index of a vector of d entries, between 0 and 1.

    0 where all entries have the same modulus, 1 - d^(1/q - 1/p) where one entry alone is not zero. Diao et al. 2023,
    with 0 < p < q. Of a pruned network d counts the weights that are kept: give those alone. A vector of zeros has no
    index: NaN. Raises ValueError for p, q out of order and an empty vector.

    >>> round(pq_index(torch.tensor([3.0, -3.0])), 12), round(pq_index(torch.tensor([3.0, 0.0, 0.0, 0.0])), 12)
    (0.0, 0.5)
    """
    if not 0 < p < q:
        raise ValueError(f"p, q = {p}, {q}: must be 0 < p < q")
    w = torch.as_tensor(w).double().flatten().abs()
    if not len(w):
        raise ValueError("w has no entries: must have at least one")
    unit = w / w.max()
    return float(1 - len(w) ** (1 / q - 1 / p) * (unit**p).sum() ** (1 / p) / (unit**q).sum() ** (1 / q))


def magnitude_masks(weights, sparsity, minimum=0) -> list[Tensor]:
    """The boolean masks, one a tensor and of its shape, that keep the round((1 - sparsity) d) largest of all d weights.

    minimum     weights that each tensor keeps whatever their size, the largest it has (all it has if fewer): the
                minimum threshold of Gupta et al. 2022. They count among those that are kept.

    Equal weights: the first ones are kept. Raises ValueError for no weights, a sparsity outside [0, 1), a minimum
    below 0, and one that asks for more weights than are kept.

    >>> [mask.tolist() for mask in magnitude_masks([torch.tensor([5.0, 4.0]), torch.tensor([1.0, -2.0])], 0.5)]
    [[True, True], [False, False]]
    >>> [mask.tolist() for mask in magnitude_masks([torch.tensor([5.0, 4.0]), torch.tensor([1.0, -2.0])], 0.5, 1)]
    [[True, False], [False, True]]
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity = {sparsity}: must be at least 0 and below 1")
    sizes = [w.numel() for w in weights]
    if not sizes or 0 in sizes:
        raise ValueError(f"weights have sizes {sizes}: must be at least one, none of them empty")
    kept, least = round((1 - sparsity) * sum(sizes)), [min(minimum, size) for size in sizes]
    if minimum < 0 or sum(least) > kept:
        raise ValueError(f"minimum = {minimum}: must be at least 0 and leave at most {kept} weights in all")
    size = torch.cat([_reserved(w.detach().abs().flatten(), n) for w, n in zip(weights, least, strict=True)])
    mask = torch.zeros(len(size), dtype=torch.bool)
    mask[size.argsort(descending=True, stable=True)[:kept]] = True
    return [part.reshape(w.shape) for part, w in zip(mask.split(sizes), weights, strict=True)]


def _reserved(size, n):
    """The sizes with infinity for the n largest."""
    size = size.clone()
    size[size.argsort(descending=True, stable=True)[:n]] = torch.inf
    return size


def between_rank(stats, tolerance=1e-6) -> int:
    """The rank of Sigma_B: how many singular values of the centered class means exceed `tolerance` times the largest.

    At most K' - 1. The tolerance is for features in float32, whose class means are exact to about 1e-7 of their length;
    means that are all equal have rank 0. Derived: a linear head on features needs no rank, but a simplex needs K' - 1.
    """
    s = torch.linalg.svdvals(stats.centered_means)
    return int((s > tolerance * s[0]).sum())
