"""How far the numbers of `conventions.measure` would move with another draw of the classes: bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nclib._inputs import present_classes
from nclib.conventions import find_preset, present_rows
from nclib.pairs import cdnv_rows, log_distance_rows
from nclib.statistics import ClassStatistics

_ENTRIES = 2**21  # weights drawn at a time, 16 MB


def intervals(
    stats: ClassStatistics,
    W: Tensor | None = None,
    *,
    preset: str = "textbook",
    keys: Sequence[str] | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """{key: (low, high)}: percentile intervals over the K' present classes, drawn K' at a time with replacement.

    The classes are the sample: this is the uncertainty from having measured these classes and not others like them, the
    relevant one for a vocabulary. It says nothing of the noise of class means with few samples, nor of another seed of
    training. The center and the class vectors are held fixed, and every number is written as a function of means over
    classes, which each draw weighs anew:

        norm_*, self_duality, uniform_duality, duality_std, nc3, nc1_trace_ratio    of moments of class values, exactly
        cdnv_mean, gnc2_mean, interference_*                      of pair means U = mean_{j<k} h(j, k)
        etf_error, of_error, dual_error                           of Frobenius norms of Gram matrices, also pair means

    A pair mean is replaced by the first-order projection of a U-statistic (Hoeffding 1948): with the row means r_k =
    mean_{j != k} h(j, k), by the mean of the pseudo-values 2 r_k - U, so that no draw pairs a class with itself and no
    K x K matrix is formed. A U of positive h is projected as log U, which keeps it positive. Where the projection
    vanishes (interference_mean of unrelated directions) the noise of the row
    means stands in for it and the interval is too wide rather than too narrow.

    For 60 classes, 95 % intervals of means, nc3 and frame errors hold the expected number in 90 to 99 % of data sets
    (tests/test_bootstrap.py); those of the spreads of few skewed values (duality_std, uniform_duality) are too short,
    and hold it in about 85 %.

    keys=None takes every number above that can be had (those with W only where W is given). An infinite or undefined
    number has the interval (nan, nan). W, preset: as in `measure`.

    Raises ValueError for a key without an interval or one that needs W, draws < 100, a level outside 0..1, and what
    `measure` refuses.
    """
    present_classes(stats)
    find_preset(preset)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 100:
        raise ValueError(f"draws={draws!r}, must be an integer of at least 100")
    if not 0 < level < 1:
        raise ValueError(f"level={level}, must be between 0 and 1")
    offered = {**_MEANS, **(_CLASSIFIER if W is not None else {})}
    keys = list(offered) if keys is None else list(keys)
    for key in keys:
        if key in _CLASSIFIER and W is None:
            raise ValueError(f"keys holds {key!r}, which needs the classifier W")
        if key not in offered:
            raise ValueError(f"keys holds {key!r}, must be among {', '.join({**_MEANS, **_CLASSIFIER})}")
    X = _Columns(stats, W, preset, {name for key in keys for name in offered[key][0]})
    moments = dict(zip(X.names, _resampled_means(X.values, draws, seed).unbind(1), strict=True))
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64, device=stats.means.device)
    found = {}
    for key in keys:
        names, formula = offered[key]
        low, high = formula(X.K, *(moments[name] for name in names)).quantile(tails).tolist()
        found[key] = (low, high)
    return found


def _resampled_means(X: Tensor, draws: int, seed: int) -> Tensor:
    """(draws, columns): means of the rows of X drawn with replacement, as many as there are."""
    K = len(X)
    generator = torch.Generator().manual_seed(seed)
    out = []
    for start in range(0, draws, max(_ENTRIES // K, 1)):
        n = min(max(_ENTRIES // K, 1), draws - start)
        index = torch.randint(K, (n, K), generator=generator)
        weights = torch.zeros(n, K, dtype=torch.float64).scatter_add_(1, index, torch.ones(1, 1).double().expand(n, K))
        out.append(weights.to(X.device) @ X / K)
    return torch.cat(out)


class _Columns:
    """The wanted class values, (K', columns): plain ones, and pseudo-values of pair means."""

    def __init__(self, stats, W, preset, wanted):
        rule, present = find_preset(preset), stats.present
        means, M = stats.means[present], stats.centered_means
        K = self.K = len(M)
        r = torch.linalg.vector_norm(M, dim=1)
        norm = r.square() if rule.squared_norms else r
        A = M / r[:, None] if rule.cosines else M
        kernel = M if rule.gnc2_centered else means
        columns = {
            "norm": lambda: norm,
            "norm2": lambda: norm.square(),
            "log": lambda: r.log(),
            "log2": lambda: r.log().square(),
            "spread": lambda: stats.spread[present],
            "count": lambda: stats.counts[present].double(),
            "mm": lambda: r.square(),
            "xx": lambda: means.square().sum(1),
            "log_cdnv": lambda: _log(_pseudo(cdnv_rows(stats, rule.cdnv_power)[present])),
            "gnc2": lambda: _pseudo(log_distance_rows(kernel)),
            "inter": lambda: _pseudo((A @ A.sum(0) - A.square().sum(1)) / (K - 1)),
            "log_inter2": lambda: _log(_pseudo(_square_rows(A, A))),
            "log_gram_M": lambda: _log(_gram_square(M, M)),
            "log_gram_X": lambda: _log(_gram_square(means, means)),
        }
        if W is not None:
            W = present_rows(W, stats)
            cosine = (W * M).sum(1) / (torch.linalg.vector_norm(W, dim=1) * r)
            columns |= {
                "cos": lambda: cosine,
                "cos2": lambda: cosine.square(),
                "wm": lambda: (W * M).sum(1),
                "ww": lambda: W.square().sum(1),
                "log_gram_WM": lambda: _log(_gram_square(W, M)),
            }
        self.names = sorted(wanted)
        self.values = torch.stack([columns[name]() for name in self.names], dim=1)


def _pseudo(rows):
    return 2 * rows - rows.mean()


def _log(values):
    """Values whose mean is the logarithm of that of `values`, and whose deviations are theirs to first order."""
    return values.mean().log() + values / values.mean() - 1


def _square_rows(A, B):
    """Mean over j != k of (<a_k, b_j>^2 + <a_j, b_k>^2) / 2, for each k."""
    both = ((A @ (B.mT @ B)) * A).sum(1) + ((B @ (A.mT @ A)) * B).sum(1)
    return (both / 2 - (A * B).sum(1).square()) / (len(A) - 1)


def _gram_square(A, B):
    """Pseudo-values of |A B^T|_F^2 / K^2: pairs are projected, the diagonal is a plain mean."""
    K = len(A)
    return (1 - 1 / K) * _pseudo(_square_rows(A, B)) + (A * B).sum(1).square() / K


def _mean(K, x):
    return x


def _std(K, x, x2):
    return (x2 - x.square()).clamp(min=0).sqrt()


def _cv(K, x, x2):
    return _std(K, x, x2) / x


def _frame_distance(target):
    def distance(K, trace, log_square):
        """sqrt(2 - 2 <G, T>/|G|), T with target(K) equal eigenvalues, from tr G / K and the log of |G|^2 / K^2."""
        return (2 - 2 * trace / (target(K) * log_square.exp()).sqrt()).clamp(min=0).sqrt()

    return distance


_etf, _of = _frame_distance(lambda K: K - 1), _frame_distance(lambda K: K)

_MEANS = {
    "nc1_trace_ratio": (("spread", "count", "mm"), lambda K, spread, count, mm: spread / count / mm),
    "cdnv_mean": (("log_cdnv",), lambda K, log: log.exp()),
    "norm_mean": (("norm",), _mean),
    "norm_cv": (("norm", "norm2"), _cv),
    "norm_log_cv": (("log", "log2"), _cv),
    "interference_mean": (("inter",), _mean),
    "interference_std": (("inter", "log_inter2"), lambda K, x, log: _std(K, x, log.exp())),
    "interference_cv": (("inter", "log_inter2"), lambda K, x, log: _cv(K, x, log.exp())),
    "gnc2_mean": (("gnc2",), _mean),
    "etf_error": (("mm", "log_gram_M"), _etf),
    "of_error": (("xx", "log_gram_X"), _of),
}
_CLASSIFIER = {
    "self_duality": (("cos",), _mean),
    "uniform_duality": (("cos", "cos2"), _cv),
    "duality_std": (("cos", "cos2"), _std),
    "nc3": (("wm", "ww", "mm"), lambda K, wm, ww, mm: (2 - 2 * wm / (ww * mm).sqrt()).clamp(min=0).sqrt()),
    "dual_error": (("wm", "log_gram_WM"), _etf),
}
KEYS = (*_MEANS, *_CLASSIFIER)
