"""Routed experts: balanced, grouped, merged by permutation and frequency. Li et al. 2024, M-SMoE (arXiv 2310.01334)."""

import torch
from torch import Tensor

from nclib.collapses.averages import alike, permuted, weight_matching


def load_balance(probabilities, used) -> Tensor:
    """E sum_e f_e p_e: the loss that keeps E routed experts in equal use, 1 where all are, E where one has all.

    probabilities (B, E) of the router; used (B, E): 1 for each expert that a sample is sent to, else 0. f_e is expert
    e's share of all that is sent, p_e its mean probability. Fedus et al. 2022, Switch Transformers, Eq. 4 (recalled).
    Raises ValueError for shapes that differ and where nothing is sent.

    >>> load_balance(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])).item()
    1.5
    """
    if probabilities.shape != used.shape or used.ndim != 2 or not used.sum() > 0:
        raise ValueError(
            f"probabilities, used have shapes {tuple(probabilities.shape)}, {tuple(used.shape)}: must both be (B, E), "
            "and something used"
        )
    return used.shape[1] * (used.sum(0) / used.sum() * probabilities.mean(0)).sum()


def grouped(logits, frequencies, number) -> list[list[int]]:
    """Groups of experts, each led by one of the `number` most frequent ones: lists of indices, the leader first.

    Every other expert joins the leader whose router logits over the samples, a column of `logits` (N, E), have the
    largest cosine with its own. Li et al. 2024: groups about dominant experts by similarity of router logits.
    Raises ValueError for a number of groups outside 1, ..., E and of frequencies other than E.

    >>> grouped(torch.tensor([[1.0, 0.0, 0.9], [0.0, 1.0, 0.2]]), [5, 3, 1], 2)
    [[0, 2], [1]]
    """
    if logits.ndim != 2:
        raise ValueError(f"logits has shape {tuple(logits.shape)}: must be (N, E)")
    E = logits.shape[1]
    if len(frequencies) != E or not 1 <= number <= E:
        raise ValueError(f"frequencies, number = {len(frequencies)} of them, {number}: must be {E}, and from 1 to {E}")
    leaders = torch.as_tensor(frequencies, dtype=torch.float64).argsort(descending=True, stable=True)[:number].tolist()
    unit = torch.nn.functional.normalize(logits.double(), dim=0)
    groups = {leader: [leader] for leader in leaders}
    for e in set(range(E)) - set(leaders):
        groups[leaders[int((unit[:, leaders].T @ unit[:, e]).argmax())]].append(e)
    return list(groups.values())


def stable_rank(W) -> float:
    """|W|_F^2 / |W|_2^2, between 1 and the rank; NaN for a zero matrix.

    >>> stable_rank(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    1.25
    """
    if W.ndim != 2 or not W.numel():
        raise ValueError(f"W has shape {tuple(W.shape)}: must be a matrix that is not empty")
    s = torch.linalg.svdvals(W.detach().double())
    return float((s / s[0]).square().sum())


def merge_experts(experts, frequencies, aligned=True) -> tuple[list[Tensor], list[Tensor]]:
    """One expert of several: (weights, biases) averaged with the weights `frequencies`, made to sum to one.

    experts: (weights, biases) each, as `averages.permuted` takes them. aligned: the units of each are first permuted to
    match those of the most frequent one, which changes no expert's function. Raises ValueError for no experts, for
    such of other shapes, a number of frequencies that is not that of the experts, and such as are negative or all zero.
    """
    shares = torch.as_tensor(frequencies, dtype=torch.float64)
    if not experts:
        raise ValueError("experts are none: must be at least one")
    if len(shares) != len(experts) or shares.min() < 0 or not shares.sum() > 0:
        raise ValueError(f"frequencies = {list(frequencies)}: must be {len(experts)} numbers >= 0, not all 0")
    shares, first = shares / shares.sum(), experts[int(shares.argmax())]
    for one in experts:
        alike(first, one)
    if aligned:
        experts = [permuted(*one, weight_matching(first, one)) for one in experts]
    return tuple(
        [sum(float(s) * part for s, part in zip(shares, parts, strict=True)) for parts in zip(*group, strict=True)]
        for group in zip(*experts, strict=True)
    )
