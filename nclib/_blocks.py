"""Values over pairs of classes and over many classes at once, in blocks: no K x K or N x K memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 512  # on the CPU a 512 x 512 block of float64 stays in cache; 2,048 is slower
_DEVICE_BLOCK = 4096  # on a GPU smaller blocks would wait for kernels to start
_CLOSE = 1e-6  # |a - b|^2 / (|a|^2 + |b|^2) below which the Gram identity has fewer than ten of its sixteen digits
_CHUNK = 2048  # pairs recomputed by subtraction at a time
_FEW = 2048  # classes whose pairs are sorted rather than counted
_BITS = 22  # of a float64 counted in one pass

Triple = tuple[slice, slice, Tensor]


class PairSummary(NamedTuple):
    """Population statistics of a value over pairs of classes j < k.

    log_mean is the mean of the logarithm, NaN if a value is not positive. An infinite value (two equal class vectors)
    makes mean, max and log_mean infinite and std NaN. Equal is to the last bit, after what the value does to vectors:
    (.1, .2, .3) and (.3, .6, .9) have directions that differ by rounding, whose log distance is 36, not infinite.
    """

    mean: float
    std: float
    min: float
    max: float
    log_mean: float


class PairSample(NamedTuple):
    """PairSummary of a sample of pairs, with the standard error of its mean and how many pairs were drawn."""

    mean: float
    std: float
    min: float
    max: float
    log_mean: float
    error: float
    pairs: int


def block_size(device: torch.device) -> int:
    return BLOCK if device.type == "cpu" else _DEVICE_BLOCK


def blocks(K: int, size: int = BLOCK) -> Iterator[tuple[slice, slice]]:
    """Row and column ranges that cover the upper triangle of a K x K matrix."""
    ranges = [slice(i, min(i + size, K)) for i in range(0, K, size)]
    return ((j, k) for i, j in enumerate(ranges) for k in ranges[i:])


def upper(values: Tensor, j: slice, k: slice) -> Tensor:
    """The entries of a block that lie above the diagonal of the whole matrix, as a vector (pairs,)."""
    return values[torch.ones_like(values, dtype=torch.bool).triu(1)] if j == k else values.flatten()


def products(A: Tensor) -> Iterator[Triple]:
    """(j, k, A_j A_k^T) of each block; the next block overwrites it."""
    return ((j, k, torch.mm(A[j], A[k].mT, out=out)) for j, k, out in _empty_blocks(A))


def _empty_blocks(A: Tensor) -> Iterator[Triple]:
    size = block_size(A.device)
    buffer = A.new_empty(min(size, len(A)) ** 2)
    for j, k in blocks(len(A), size):
        n, m = len(A[j]), len(A[k])
        yield j, k, buffer[: n * m].view(n, m)


def squared_distances(exact: Callable[[Tensor], Tensor], A: Tensor) -> Iterator[Triple]:
    """(j, k, |a_j - a_k|^2) of each block, overwritten by the next; inf on the diagonal of the whole matrix.

    From the Gram matrix of A, and where that cancels by subtracting the rows exact(i), those of A up to a shift.
    """
    norms = torch.linalg.vector_norm(A, dim=1).square()
    for j, k, D2 in _empty_blocks(A):
        a, b = norms[j, None], norms[k]
        torch.add(a, b, out=D2).addmm_(A[j], A[k].mT, alpha=-2)
        if j == k:
            D2.fill_diagonal_(math.inf)
        if D2.amin() < _CLOSE * (a.max() + b.max()):
            for near in (D2 < _CLOSE * (a + b)).nonzero().split(_CHUNK):
                p, q = near.unbind(1)
                D2[p, q] = (exact(p + j.start) - exact(q + k.start)).square().sum(1)
        yield j, k, D2


def summarize(blocks: Iterable[Tensor], logs: bool = True) -> PairSummary:
    """Mean and variance by merging those of the blocks, which are overwritten; equal values have a std of zero."""
    parts, scratch = [], None
    for x in blocks:
        if x.numel():
            low, high = x.aminmax()
            log = low.new_tensor(math.nan)
            if logs and low > 0:
                scratch = x.new_empty(len(x)) if scratch is None or len(scratch) < len(x) else scratch
                log = torch.log(x, out=scratch[: len(x)]).mean()
            mean = x.mean()
            x = x.sub_(mean)
            parts.append((x.new_tensor(x.numel()), mean, x @ x / x.numel(), low, high, log))
    n, mean, var, low, high, log = (torch.stack(column) for column in zip(*parts, strict=True))
    w = n / n.sum()
    m = (w * mean).sum()
    std = (w @ (var + (mean - m).square())).sqrt()
    return PairSummary(*(float(value) for value in (m, std, low.min(), high.max(), (w * log).sum())))


def row_means(triples: Iterable[Triple], sums: Tensor) -> Tensor:
    """(K,) mean over the other K - 1 entries of each row of the symmetric matrix of blocks; sums are (K,) zeros."""
    for j, k, values in triples:
        if j == k:
            values.fill_diagonal_(0)
        else:
            sums[k] += values.sum(0)
        sums[j] += values.sum(1)
    return sums / (len(sums) - 1)


def order_statistics(values: Callable[[], Iterable[Tensor]], K: int, ranks: list[int]) -> Tensor:
    """The ranks-th smallest (from 1) values over pairs of K classes, in the order of `ranks`.

    For K > _FEW they are found to a relative 2^-32, from below: two passes count the values by 22 bits each,
    the second among those that agree with the answer in the first.
    """
    if K <= _FEW:
        ordered = torch.cat([x.clone() for x in values()]).sort().values.cpu()
        return ordered[torch.tensor(ranks) - 1]
    prefixes, below = [0] * len(ranks), [0] * len(ranks)
    for shift in (64 - _BITS, 64 - 2 * _BITS):
        counts: dict[int, Tensor] = {}
        for x in values():
            key = (_ordered(x) >> shift) + 2 ** (63 - shift)
            for prefix in set(prefixes):
                digit = key[key >> _BITS == prefix] & (2**_BITS - 1)
                if prefix not in counts:
                    counts[prefix] = torch.zeros(2**_BITS, dtype=torch.int64, device=x.device)
                counts[prefix].index_add_(0, digit, torch.ones_like(digit))
        for i, prefix in enumerate(prefixes):
            total = counts[prefix].cumsum(0) + below[i]
            digit = int(torch.searchsorted(total, ranks[i]))
            below[i] = int(total[digit] - counts[prefix][digit])
            prefixes[i] = (prefix << _BITS) + digit
    lowest = torch.tensor([(prefix - 2 ** (63 - shift)) << shift for prefix in prefixes])
    return _ordered(lowest.view(torch.float64)).view(torch.float64)


def _ordered(x: Tensor) -> Tensor:
    """The bits of float64 as integers in the order of the numbers: those of a negative one flipped below the sign."""
    bits = x.view(torch.int64)
    return bits ^ ((bits >> 63) & (2**63 - 1))


def arg_max(h: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """(N,) int64: arg max_k (w_k h + b_k) for each row of h (N, d), the first in a tie, over blocks of classes."""
    best = h.new_full((len(h),), -math.inf)
    arg = torch.zeros(len(h), dtype=torch.int64, device=h.device)
    for k in range(0, len(W), BLOCK):
        value, index = torch.addmm(b[k : k + BLOCK], h, W[k : k + BLOCK].mT).max(1)
        better = value > best
        best, arg = torch.where(better, value, best), torch.where(better, index + k, arg)
    return arg
