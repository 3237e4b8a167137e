"""Values over pairs of classes and over many classes at once, in blocks: no K x K or N x K memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 512  # a 512 x 512 block of float64 stays in cache; 2,048 is slower
_CLOSE = 1e-8  # |a - b|^2 / (|a|^2 + |b|^2) below which the Gram identity has lost half of float64's digits
_CHUNK = 2048  # pairs recomputed by subtraction at a time


class PairSummary(NamedTuple):
    """Population statistics of a value over pairs of classes j < k.

    log_mean is the mean of the logarithm, NaN if a value is not positive. An infinite value (two equal class vectors)
    makes mean, max and log_mean infinite and std NaN.
    """

    mean: float
    std: float
    min: float
    max: float
    log_mean: float


def blocks(K: int) -> Iterator[tuple[slice, slice]]:
    """Row and column ranges that cover the upper triangle of a K x K matrix."""
    ranges = [slice(i, min(i + BLOCK, K)) for i in range(0, K, BLOCK)]
    return ((j, k) for i, j in enumerate(ranges) for k in ranges[i:])


def upper(values: Tensor, j: slice, k: slice) -> Tensor:
    """The entries of a block that lie above the diagonal of the whole matrix, as a vector."""
    return values[torch.ones_like(values, dtype=torch.bool).triu(1)] if j == k else values.flatten()


def squared_distances(X: Tensor, A: Tensor, j: slice, k: slice) -> Tensor:
    """|x_j - x_k|^2 of a block, from the Gram matrix of A (X up to a shift), and by subtraction where that cancels."""
    a, b = A[j].square().sum(1)[:, None], A[k].square().sum(1)
    D2 = torch.addmm(a + b, A[j], A[k].mT, alpha=-2)
    for near in (D2 < _CLOSE * (a + b)).nonzero().split(_CHUNK):
        p, q = near.unbind(1)
        D2[p, q] = (X[j][p] - X[k][q]).square().sum(1)
    return D2


def summarize(blocks: Iterable[Tensor]) -> PairSummary:
    """Mean and variance by merging those of the blocks, so that equal values give a std of zero."""
    blocks = (x for x in blocks if x.numel())
    parts = [(x.new_tensor(x.numel()), x.mean(), x.var(correction=0), x.min(), x.max(), x.log().mean()) for x in blocks]
    n, mean, var, low, high, log = (torch.stack(column) for column in zip(*parts, strict=True))
    w = n / n.sum()
    m = (w * mean).sum()
    std = (w @ (var + (mean - m).square())).sqrt()
    log_mean = (w * log).sum() if low.min() > 0 else math.nan
    return PairSummary(*(float(value) for value in (m, std, low.min(), high.max(), log_mean)))


def arg_max(h: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """arg max_k (w_k h + b_k) for each row h, the first in a tie, over blocks of classes."""
    best = h.new_full((len(h),), -math.inf)
    arg = torch.zeros(len(h), dtype=torch.int64, device=h.device)
    for k in range(0, len(W), BLOCK):
        value, index = (h @ W[k : k + BLOCK].mT + b[k : k + BLOCK]).max(1)
        better = value > best
        best, arg = torch.where(better, value, best), torch.where(better, index + k, arg)
    return arg
