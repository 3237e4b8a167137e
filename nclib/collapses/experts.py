"""Routed experts: merged by permutation and frequency. Li et al. 2024, M-SMoE (arXiv 2310.01334)."""

import torch

from nclib.collapses.averages import permuted, weight_matching


def merge_experts(experts, frequencies, aligned=True):
    """One expert of several: (weights, biases) averaged with the weights `frequencies`, made to sum to one.

    experts: (weights, biases) each, as `averages.permuted` takes them. aligned: the units of each are first permuted to
    match those of the most frequent one, which changes no expert's function. Raises ValueError for a number of
    frequencies that is not that of the experts, and for such as are negative or all zero.
    """
    shares = torch.as_tensor(frequencies, dtype=torch.float64)
    if len(shares) != len(experts) or shares.min() < 0 or not shares.sum() > 0:
        raise ValueError(f"frequencies = {list(frequencies)}: must be {len(experts)} numbers >= 0, not all 0")
    shares, first = shares / shares.sum(), experts[int(shares.argmax())]
    if aligned:
        experts = [permuted(*one, weight_matching(first, one)) for one in experts]
    return tuple(
        [sum(float(s) * part for s, part in zip(shares, parts, strict=True)) for parts in zip(*group, strict=True)]
        for group in zip(*experts, strict=True)
    )
