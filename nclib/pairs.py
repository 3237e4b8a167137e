"""Values over pairs of classes: summaries, means of each class's row, and quantiles, with no K x K memory.

Pairs are visited in blocks of the upper triangle, in float64. A squared distance comes from the Gram matrix of centered
vectors, and by subtraction where that would have lost six digits, so neither a common offset nor two nearly
equal classes spoil it. Only K' x d copies and one block are held. The functions are also names of nclib.metrics.

Every function raises ValueError for a matrix that is not (K, d) with K >= 2 or holds NaN or inf, and for statistics of
fewer than two present classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from nclib._blocks import (
    PairSample,
    PairSummary,
    order_statistics,
    products,
    row_means,
    squared_distances,
    summarize,
    upper,
)
from nclib._inputs import present_classes, row_blocks, rows, unit_rows
from nclib.statistics import ClassStatistics, add_upper_product

_ENTRIES = 2**18  # of the rows of pairs that are subtracted at a time


def cdnv(stats: ClassStatistics, power: float = 1) -> Tensor:
    """Class-distance normalized variance of every pair, (K, K) float64:

        (v_j + v_k) / (2 |mean_j - mean_k|^(2 power)),    v_k = spread_k / n_k.

    power=1 is Galanti, Gyorgy, Hutter (2022), free of scale; power=2 is what the code of Wu & Papyan (2024) computes,
    which falls as features grow. Two equal means give inf. The diagonal and absent classes, which form no pairs, are
    NaN. This is a K x K matrix: for many classes use `cdnv_summary`.
    """
    K, label = len(stats.means), present_classes(stats)
    out = stats.means.new_full((K, K), math.nan)
    for j, k, values in _cdnv_blocks(stats, power):
        out[label[j, None], label[k]] = values
        out[label[k, None], label[j]] = values.mT
    return out.fill_diagonal_(math.nan)


def cdnv_summary(stats: ClassStatistics, power: float = 1) -> PairSummary:
    """PairSummary of `cdnv` over pairs of present classes, in O(K d + block^2) memory."""
    return summarize(upper(values, j, k) for j, k, values in _cdnv_blocks(stats, power))


def cdnv_rows(stats: ClassStatistics, power: float = 1) -> Tensor:
    """(K,) mean of `cdnv` over the pairs of each class with the other present ones; NaN for an absent class.

    Their mean over present classes is `cdnv_summary(stats, power).mean`.
    """
    label = present_classes(stats)
    out = stats.means.new_full((len(stats.means),), math.nan)
    out[label] = row_means(_cdnv_blocks(stats, power), stats.means.new_zeros(len(label)))
    return out


def hyperspherical_uniformity(M: Tensor) -> PairSummary:
    """PairSummary of -log |u_j - u_k| over pairs of unit rows u_k = m_k / |m_k|; no centering of its own.

    The logarithmic kernel of GNC2 (Liu et al. 2023; Wu & Papyan 2024). Equal directions give inf. Wu & Papyan define it
    on centered means, while the numbers of their Table 1 come from uncentered ones.
    """
    return summarize(upper(values, j, k) for j, k, values in _log_distance_blocks(unit_rows(rows("M", M))))


def log_distance_rows(M: Tensor) -> Tensor:
    """(K,) mean of -log |u_j - u_k| over the other rows k, of unit rows: `hyperspherical_uniformity` class by class."""
    U = unit_rows(rows("M", M))
    return row_means(_log_distance_blocks(U), U.new_zeros(len(U)))


def equiangularity(M: Tensor) -> float:
    """Mean over pairs j < k of |cos(m_j, m_k) + 1/(K-1)|. 0 for a simplex ETF; no centering of its own.

    As in Papyan, Han, Donoho (2020), "maximal-angle equiangularity"; their "equiangularity" is the std of the cosines,
    which is `interference(M).std`.
    """
    U = unit_rows(rows("M", M))
    K = len(U)
    sums = [upper(cos, j, k).add_(1 / (K - 1)).abs_().sum() for j, k, cos in products(U)]
    return float(torch.stack(sums).sum() / (K * (K - 1) / 2))


def interference(M: Tensor, extremes: bool = False) -> PairSummary:
    """PairSummary of cos(m_j, m_k) over pairs j < k; min, max and log_mean are NaN unless extremes=True.

    A mean of -1/(K-1) and a std of 0 are the simplex ETF; unrelated directions have a std of 1/sqrt(d). With unit rows
    U and P = K(K-1)/2 pairs,

        mean = (|sum_k u_k|^2 - K) / (2P),    mean square = (|U^T U|_F^2 - K) / (2P),

    in O(K d^2). For K <= 2 d, where the cosines may all be equal and their variance would cancel, pairs are visited.
    Elsewhere `interference` is also used for the inner products before normalization.
    """
    M = rows("M", M, double=False)
    K, d = M.shape
    if extremes or K <= 2 * d:
        U = unit_rows(M.double())
        summary = summarize((upper(cos, j, k) for j, k, cos in products(U)), logs=extremes)
        return summary if extremes else summary._replace(min=math.nan, max=math.nan, log_mean=math.nan)
    total, gram = torch.zeros(d, dtype=torch.float64, device=M.device), M.new_zeros(d, d, dtype=torch.float64)
    for (m,) in row_blocks(M):
        U = unit_rows(m)
        total += U.sum(0)
        add_upper_product(gram, U, U)
    mean = (total.square().sum() - K) / (K * (K - 1))
    squares = gram.triu(1).square().sum() * 2 + gram.diagonal().square().sum()
    square = (squares - K) / (K * (K - 1))
    return PairSummary(float(mean), float((square - mean**2).clamp(min=0).sqrt()), math.nan, math.nan, math.nan)


def interference_rows(M: Tensor) -> Tensor:
    """(K,) mean of cos(m_j, m_k) over the other rows k, (u_j . sum_k u_k - |u_j|^2) / (K - 1), in O(K d)."""
    U = unit_rows(rows("M", M))
    return (U @ U.sum(0) - torch.linalg.vecdot(U, U)) / (len(U) - 1)


def pair_quantiles(kind: str, x: ClassStatistics | Tensor, q: list[float], *, power: float = 1) -> Tensor:
    """(len(q),) quantiles over pairs j < k: the smallest value that a share of at least q of the pairs do not exceed.

    kind  "cdnv" of statistics x (with `power`), "log_distance" (-log |u_j - u_k| of unit rows) or "cosine" of a (K, d)
          matrix x.

    Exact up to 2,048 classes. Above, two passes over the pairs count 22 leading bits of the float64 value each, which
    gives it to a relative 2^-32 (from below) without keeping a pair. A zero row, which has no direction, makes all NaN.

    Raises ValueError for another kind, an x that does not fit it, and q outside [0, 1] or empty.
    """
    _check_kind(kind, x)
    if len(q) == 0 or not all(0 <= share <= 1 for share in q):
        raise ValueError(f"q={list(q)}, must be one or more numbers in [0, 1]")
    if kind == "cdnv":
        K, triples = len(present_classes(x)), lambda: _cdnv_blocks(x, power)
    else:
        U = unit_rows(rows("x", x))
        if U.isnan().any():
            return torch.full((len(q),), math.nan, dtype=torch.float64)
        K, triples = len(U), lambda: _log_distance_blocks(U) if kind == "log_distance" else products(U)
    ranks = [max(math.ceil(share * (K * (K - 1) // 2)), 1) for share in q]
    return order_statistics(lambda: (upper(values, j, k) for j, k, values in triples()), K, ranks)


def pair_sample(
    kind: str, x: ClassStatistics | Tensor, *, pairs: int = 2**20, seed: int = 0, power: float = 1
) -> PairSample:
    """PairSample of values of `pairs` pairs j != k drawn uniformly, with replacement, in O(pairs d) time.

    kind, x, power  as in `pair_quantiles`. Each value is exact: its two rows are subtracted. The mean of the sample is
    an unbiased estimate of that over all pairs, and `error` = std / sqrt(pairs - 1) its standard error; a million pairs
    tell a mean to a thousandth of the spread. Where few pairs make the mean, as two nearly equal classes make that of
    CDNV, a sample that misses them is too low and so is its error: min and max are of the sample, no bounds.

    seed: of torch's CPU generator, the same pairs on every device. Raises ValueError as `pair_quantiles` does, and for
    pairs below 2.
    """
    _check_kind(kind, x)
    if isinstance(pairs, bool) or not isinstance(pairs, int) or pairs < 2:
        raise ValueError(f"pairs={pairs!r}, must be an integer of at least 2")
    if kind == "cdnv":
        label, M = present_classes(x), x.means
        value, K = _cdnv_of_pairs(x, label, power), len(label)
    else:
        M = rows("x", x, double=False)
        value, K = _of_directions(M, kind), len(M)
    generator, step = torch.Generator().manual_seed(seed), max(1, _ENTRIES // M.shape[1])
    values = torch.empty(pairs, dtype=torch.float64, device=M.device)  # in one piece: parts would scatter over memory
    for start in range(0, pairs, step):
        n = min(step, pairs - start)
        j, k = torch.randint(K, (n,), generator=generator), torch.randint(K - 1, (n,), generator=generator)
        values[start : start + n] = value(j.to(M.device), (k + (k >= j)).to(M.device))
    summary = summarize([values])
    return PairSample(*summary, summary.std / math.sqrt(pairs - 1), pairs)


def _check_kind(kind, x):
    if kind not in ("cdnv", "log_distance", "cosine"):
        raise ValueError(f"kind={kind!r}, must be 'cdnv', 'log_distance' or 'cosine'")
    if isinstance(x, ClassStatistics) != (kind == "cdnv"):
        raise ValueError(f"x is a {type(x).__name__}, must be statistics for 'cdnv' and a matrix for the other kinds")


def _cdnv_of_pairs(stats, label, power):
    if not power > 0:
        raise ValueError(f"power={power}, must be positive")

    def value(j, k):
        j, k = label[j], label[k]
        half = (stats.spread[j] / stats.counts[j] + stats.spread[k] / stats.counts[k]) / 2
        D2 = (stats.means[j] - stats.means[k]).square().sum(1)
        return (half / D2.pow(power)).masked_fill(D2 == 0, math.inf)

    return value


def _of_directions(M, kind):
    def value(j, k):
        a, b = unit_rows(M[j].double()), unit_rows(M[k].double())
        return (a * b).sum(1) if kind == "cosine" else -(a - b).square().sum(1).log() / 2

    return value


def _cdnv_blocks(stats: ClassStatistics, power: float) -> Iterator[tuple[slice, slice, Tensor]]:
    if not power > 0:
        raise ValueError(f"power={power}, must be positive")
    label, A = present_classes(stats), stats.centered_means
    half = stats.spread[label] / (2 * stats.counts[label])
    buffer = None
    for j, k, D2 in squared_distances(lambda i: stats.means[label[i]], A):
        buffer = torch.empty_like(D2).flatten() if buffer is None else buffer
        scale = D2 if power == 1 else D2.pow_(power)
        values = torch.add(half[j, None], half[k], out=buffer[: D2.numel()].view(D2.shape)).div_(scale)
        yield j, k, values.masked_fill_(D2 == 0, math.inf) if D2.amin() == 0 else values


def _log_distance_blocks(U: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    return ((j, k, D2.log_().mul_(-0.5)) for j, k, D2 in squared_distances(U.__getitem__, U))
