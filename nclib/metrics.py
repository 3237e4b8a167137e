"""NC1..NC4 and their relatives for many classes: pure functions of statistics, class vectors and classifiers.

M is any (K, d) matrix whose rows are class vectors. The caller chooses it, and so the centering: `stats.means`,
`stats.centered_means` or a weight W[stats.present]. An ETF is centered; an orthogonal frame is not, and scores an NC3
of about 0.3 when it is. Everything is computed in float64, whatever the input, and scalars are python floats. A zero
row or a zero matrix has no direction: metrics that need one return NaN. Metrics over pairs of classes: nclib.pairs.

Every function raises ValueError for a matrix that is not (K, d) with K >= 2, or holds NaN or inf.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nclib._blocks import PairSample, PairSummary
from nclib._inputs import matching, matrix, present_classes, row_blocks, row_cosines, rows, unit_rows
from nclib.nearest import agreeing
from nclib.pairs import (
    cdnv,
    cdnv_rows,
    cdnv_summary,
    equiangularity,
    hyperspherical_uniformity,
    interference,
    interference_rows,
    log_distance_rows,
    pair_quantiles,
    pair_sample,
)
from nclib.statistics import ClassStatistics

__all__ = [
    "PairSample",
    "PairSummary",
    "calibration_error",
    "cdnv",
    "cdnv_rows",
    "cdnv_summary",
    "dual_error",
    "effective_rank",
    "equiangularity",
    "equinorm_cv",
    "hyperspherical_uniformity",
    "interference",
    "interference_rows",
    "log_distance_rows",
    "mean_rank",
    "mixed_alignment",
    "mixed_amplification",
    "mixed_bend",
    "mixed_span",
    "nc1",
    "nc1_trace_ratio",
    "nc2",
    "nc3",
    "ncc_agreement",
    "odds_slope",
    "overconfidence",
    "pair_quantiles",
    "pair_sample",
    "segment_distance",
    "self_duality",
    "uniform_duality",
]


def nc1(stats: ClassStatistics, *, center: str = "class") -> float:
    """Within-class over between-class variability, tr(Sigma_W Sigma_B^+) / K' over the K' present classes.

    Sigma_W = scatter / N; Sigma_B = D^T D / K' where D holds the present means minus their mean (center="class"), or
    minus the mean of all samples (center="sample", as the code of Dang et al. 2023 does: classes unweighted in
    Sigma_B, yet centered at the sample mean). With D = U S V^T,

        nc1 = sum_{r <= R} v_r^T Sigma_W v_r / s_r^2,    R = min(K' - 1, d),

    by the thin SVD at the exact rank R: no singular value is cut by a tolerance. Means that are equal, as when two
    minority classes merge, give inf, for they are not separated; nearly equal means give a large number, and so do
    means that lie in fewer than R dimensions up to rounding (three on a line): see `mean_rank`.

    Elsewhere: Papyan, Han, Donoho (2020) write tr(Sigma_W Sigma_B^+ / C), the same; some leave out the 1/K', weigh
    classes by n_k / N in Sigma_B, or cut the pseudo-inverse by a tolerance, which *lowers* the value at a merger.

    Raises ValueError if scatter is None, for fewer than two present classes, or another `center`.

    >>> H, y = torch.tensor([[3.0, 0.0], [1.0, 0.0], [-3.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1, 1])
    >>> stats = ClassStatistics.from_features(H, y, 2, scatter=True)
    >>> round(nc1(stats), 9)  # variance 1, means 4 apart: (1 / 4) / 2
    0.125
    """
    if center not in ("class", "sample"):
        raise ValueError(f"center={center!r}, must be 'class' or 'sample'")
    D = _centered(stats)
    Sigma_W = stats.within
    if center == "sample":
        D = D - (stats.counts[stats.present].double() / stats.counts.sum()) @ D
    R = min(len(D) - 1, D.shape[1])
    _, s, Vt = torch.linalg.svd(D, full_matrices=False)
    if min(len(stats.means[stats.present].unique(dim=0)) - 1, R) < R or s[R - 1] == 0:
        return math.inf
    V = Vt[:R]
    spread = ((V @ Sigma_W) * V).sum(1).clamp(min=0)  # rounding may leave a variance of zero below it
    return float((spread / s[:R].square()).sum())


def mean_rank(stats: ClassStatistics) -> tuple[int, int]:
    """(r, R): the dimensions that the centered present means span up to rounding, of R = min(K' - 1, d) possible ones.

    r counts singular values above max(K', d) eps s_1. Where r < R, `nc1` divides by squares that rounding made: the
    truth is inf or unknown.

    Raises ValueError for fewer than two present classes.

    >>> H, y = torch.tensor([[3.0, 0.0], [1.0, 0.0], [-3.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1, 1])
    >>> stats = ClassStatistics.from_features(H, y, 2, scatter=True)
    >>> mean_rank(stats)
    (1, 1)
    """
    D = _centered(stats)
    s = torch.linalg.svdvals(D)
    return int((s > max(D.shape) * torch.finfo(s.dtype).eps * s[0]).sum()), min(len(D) - 1, D.shape[1])


def nc1_trace_ratio(stats: ClassStatistics) -> float:
    """tr Sigma_W / tr Sigma_B = (sum_k spread_k / N) / (sum_k |mean_k - global_mean|^2 / K'). Needs no scatter.

    The quantity of Tirer, Huang, Niles-Weed (2023), Eq. 3. No factor 1/K' and no inverse: directions are pooled before
    the ratio, so one well separated direction hides the others. inf if all means are equal.

    >>> H, y = torch.tensor([[3.0, 0.0], [1.0, 0.0], [-3.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1, 1])
    >>> stats = ClassStatistics.from_features(H, y, 2, scatter=True)
    >>> round(nc1_trace_ratio(stats), 9)
    0.25
    """
    D = _centered(stats)
    within, between = stats.spread.sum() / stats.counts.sum(), sum(m.square().sum() for (m,) in row_blocks(D)) / len(D)
    return float(within / between) if between > 0 else math.inf


def nc2(M: Tensor, target: str | Tensor = "etf") -> float:
    """Distance to a frame between Gram matrices, | G/|G| - T |_F with G = M M^T as given (no centering).

    T = (I - 11^T/K) / sqrt(K-1) for "etf", I / sqrt(K) for "of", or a (K, K) matrix, used as given: divide a Gram
    matrix by its Frobenius norm first. Between 0 and sqrt(2) for positive semi-definite T of unit norm.

    For "etf" and "of" with K > 2 d the distance is taken as sqrt(2 - 2 <G, T>/|G|) from (d, d) products alone; G has
    rank d, T about K, so the distance is above 0.7 and nothing cancels. Elsewhere: Zhou et al. (2022) apply it to
    W W^T; Dang et al. (2023) to W W^T and to Hbar^T Hbar; others report `equinorm_cv` and `equiangularity` instead.

    >>> round(nc2(torch.eye(3), "of"), 9), round(nc2(torch.eye(3)), 4)  # to the ETF sqrt(2 - 2 sqrt(2/3))
    (0.0, 0.6058)
    """
    M = rows("M", M)
    K, d = M.shape
    if isinstance(target, str) and target not in ("etf", "of"):
        raise ValueError(f"target={target!r}, must be 'etf', 'of' or a (K, K) matrix")
    if not isinstance(target, str):
        T = matrix("target", target).to(M.device)
        if T.shape != (K, K):
            raise ValueError(f"target has shape {tuple(T.shape)}, must be {(K, K)} for M of {tuple(M.shape)}")
    elif K > 2 * d:
        trace, ones = sum(m.square().sum() for (m,) in row_blocks(M)), M.sum(0).square().sum()
        inner = trace / K**0.5 if target == "of" else (trace - ones / K) / (K - 1) ** 0.5
        return float((2 - 2 * inner / torch.linalg.norm(M.mT @ M)).sqrt())
    else:
        identity = torch.eye(K, dtype=M.dtype, device=M.device)
        T = identity / K**0.5 if target == "of" else (identity - 1 / K) / (K - 1) ** 0.5
    return float(torch.linalg.norm(_normalized(M @ M.mT) - T))


def nc3(W: Tensor, M: Tensor) -> float:
    """Self-duality as a distance, | W/|W| - M/|M| |_F, both (K, d) and as given.

    Pair W with `means` for OF and GOF and with `centered_means` for the ETF. Elsewhere: Papyan, Han, Donoho (2020) plot
    its square; Zhou et al. (2022) and Dang et al. (2023) compare the product W Hbar with the frame's Gram matrix.

    >>> W = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> round(nc3(W, 3 * W), 9), round(nc3(W, -W), 9)
    (0.0, 2.0)
    """
    W, M = matching(W, M, double=False)
    a, b = _norm(w for (w,) in row_blocks(W)), _norm(m for (m,) in row_blocks(M))
    return float(_norm(w / a - m / b for w, m in row_blocks(W, M)))


def dual_error(W: Tensor, M: Tensor) -> float:
    """Distance of the products to the simplex ETF, | S/|S| - (I - 11^T/K)/sqrt(K-1) |_F with S = W M^T as given.

    0 when W and M are the same centered ETF up to scale, at most 2. For K > 2 d it is sqrt(2 - 2 <S, T>/|S|) with
    tr S = <W, M>, 1^T S 1 = <sum_k w_k, sum_k m_k> and |S|_F^2 = <W^T W, M^T M>, in O(K d^2). As in Zhou et al. (2022),
    who take centered means. NaN if S = 0.

    >>> round(dual_error(torch.eye(2), torch.eye(2)), 4)  # sqrt(2 - sqrt 2)
    0.7654
    """
    W, M = matching(W, M, double=False)
    K, d = M.shape
    if K > 2 * d:
        sums = [((w * m).sum(), w.sum(0), m.sum(0), w.mT @ w, m.mT @ m) for w, m in row_blocks(W, M)]
        trace, one, other, WW, MM = (sum(terms) for terms in zip(*sums, strict=True))
        inner = (trace - one @ other / K) / (K - 1) ** 0.5
        return float((2 - 2 * inner / (WW * MM).sum().sqrt()).sqrt())
    W, M = W.double(), M.double()
    T = (torch.eye(K, dtype=M.dtype, device=M.device) - 1 / K) / (K - 1) ** 0.5
    return float(torch.linalg.norm(_normalized(W @ M.mT) - T))


def equinorm_cv(M: Tensor, log: bool = False) -> float:
    """Coefficient of variation of the row norms, std_k |m_k| / mean_k |m_k| (ddof 0). 0 for equal norms.

    log=True takes log |m_k| for |m_k|, as Wu & Papyan (2024) do; that has the sign of the mean log and depends on the
    scale of M. Elsewhere the sample deviation (ddof 1) and squared norms are also met.

    >>> round(equinorm_cv(torch.tensor([[1.0, 0.0], [0.0, 3.0]])), 9)  # lengths 2 -+ 1
    0.5
    """
    norms = torch.linalg.vector_norm(rows("M", M), dim=1)
    return _cv(norms.log() if log else norms)


def self_duality(W: Tensor, M: Tensor) -> float:
    """Mean over classes of cos(w_k, m_k), 1 when classifier and class vectors are parallel (Wu & Papyan 2024, NC3).

    >>> round(self_duality(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])), 9)  # cosines 1 and 0
    0.5
    """
    return float(_duality(W, M).mean())


def uniform_duality(W: Tensor, M: Tensor) -> float:
    """Coefficient of variation over classes of cos(w_k, m_k): std (ddof 0) / mean (Wu & Papyan 2024, UNC3).

    >>> round(uniform_duality(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])), 9)  # cosines 1 and 0
    1.0
    """
    return _cv(_duality(W, M))


def ncc_agreement(H: Tensor, W: Tensor, b: Tensor | None, means: Tensor, present: Tensor | None = None) -> float:
    """NC4: the share of rows h of H (..., d) whose arg max_k (w_k h + b_k) is the class of the nearest mean, in [0, 1].

    W and means (K, d), b (K,) or None. `present` (K,) bool keeps absent classes from being nearest; the classifier may
    still choose them. The first class wins a tie. Elsewhere: Papyan, Han, Donoho (2020) plot one minus this.

    Raises ValueError for no rows, no present class, and shapes that do not match.

    >>> H, means = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.eye(2)
    >>> ncc_agreement(H, torch.tensor([[1.0, 0.0], [0.9, 0.0]]), None, means)  # the second is nearer to mean 1
    0.5
    """
    W, means = matching(W, means, "means")
    K, d = W.shape
    H = torch.as_tensor(H).detach()
    if H.ndim < 1 or H.shape[-1] != d or H.numel() == 0:
        raise ValueError(f"H has shape {tuple(H.shape)}, must be (..., {d}) with at least one row")
    H = H.reshape(-1, d)
    bias = W.new_zeros(K) if b is None else torch.as_tensor(b).detach().to(W.device).double()
    present = W.new_ones(K, dtype=torch.bool) if present is None else torch.as_tensor(present).to(W.device)
    for name, value in {"b": bias, "present": present}.items():
        if value.shape != (K,):
            raise ValueError(f"{name} has shape {tuple(value.shape)}, must be {(K,)}")
    if present.dtype != torch.bool or not present.any():
        raise ValueError(f"present={present.tolist()}, must be bool with at least one True")
    label = present.nonzero()[:, 0]
    return agreeing(H, W, bias, means[label], label) / len(H)


def effective_rank(A: Tensor) -> float:
    """exp of the entropy (in nats) of p = s / sum s, s the singular values of A (Roy & Vetterli 2007).

    Between 1 and the rank; NaN for A = 0. Elsewhere p is also made of squared singular values.

    >>> round(effective_rank(torch.diag(torch.tensor([3.0, 3.0, 0.0]))), 9)
    2.0
    """
    s = torch.linalg.svdvals(matrix("A", A))
    return float(torch.special.entr(s / s.sum()).sum().exp())


def mixed_alignment(H: Tensor, y: Tensor, W: Tensor) -> float:
    """Mean over features of cos(P h, w_y): 1 when features of mixes within a class are parallel to its classifier.

    H (N, d), features of mixes of two samples of class y (N,). W (K, d), the classifier, is always centered here, to
    w_k - mean_j w_j, and P projects on the span of its rows, of dimension min(K - 1, d). Fisher, Meng & Papyan (2024)
    show this in figures; that it is measured so, and the functions below, are ours.

    Raises ValueError for shapes that do not match and labels that are no class.

    >>> W = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    >>> round(mixed_alignment(torch.tensor([[3.0, 0.0, 9.0], [0.0, 2.0, 1.0]]), torch.tensor([0, 0]), W), 9)
    0.5
    """
    H, (y,), W, P = _mixed(H, W, y=y)
    return float((unit_rows(H @ P) * unit_rows(W[y])).sum(1).mean())


def mixed_span(H: Tensor, i: Tensor, j: Tensor, W: Tensor) -> float:
    """Mean over features of |Q h|^2 / |P h|^2, Q the projection on the span of the centered w_i and w_j.

    1 when features of mixes of the classes i and j, both (N,), lie in the plane of their classifiers; 2/(K-1) on
    average for random directions. W, P and errors as in `mixed_alignment`.

    >>> W = torch.diag(torch.tensor([1.0, 1.0, 1.0, -3.0]))
    >>> W[3] = -1.0
    >>> W[3, 3] = 0.0
    >>> round(mixed_span(torch.tensor([[1.0, 1.0, 2.0, 5.0]]), torch.tensor([0]), torch.tensor([1]), W), 9)
    0.333333333
    """
    H, (i, j), W, P = _mixed(H, W, i=i, j=j)
    Q = torch.linalg.qr(torch.stack([W[i], W[j]], 2)).Q
    inside = (Q.mT @ H[..., None]).square().sum((1, 2))
    return float((inside / (H @ P).square().sum(1)).mean())


def mixed_amplification(even: Tensor, same: Tensor, W: Tensor) -> float:
    """Mean of |P h| over features of even mixes of two classes, over that of mixes within one class.

    even (N, d) at weights 1/2, same (M, d); W and P as in `mixed_alignment`. sqrt((K-2)/(2(K-1))) for the middle of
    the class means of a simplex ETF, 2/3 at K = 10; what mixup asks for: `nclib.theory.mixup.amplification`.

    >>> W = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> mixed_amplification(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 9.0], [-2.0, 0.0]]), W)
    1.5
    """
    (even, _, _, P), (same, *_) = _mixed(even, W), _mixed(same, W)
    return float((even @ P).norm(dim=1).mean() / (same @ P).norm(dim=1).mean())


def mixed_bend(H: Tensor, i: Tensor, j: Tensor, mix: Tensor, means: Tensor, W: Tensor) -> float:
    """Mean over features of |P (h - lambda mu_i - (1-lambda) mu_j)| / |P h|: 0 where mixes interpolate the class means.

    H (N, d) of mixes of the classes i, j with weights mix = lambda of class i, all (N,); means (K, d). W, P and errors
    as in `mixed_alignment`.

    >>> W = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> one, two = torch.tensor([0]), torch.tensor([1])
    >>> mixed_bend(torch.tensor([[4.0, 7.0]]), one, two, torch.tensor([0.75]), torch.tensor([[4.0, 0], [-4, 0]]), W)
    0.5
    """
    H, (i, j), W, P = _mixed(H, W, i=i, j=j)
    W, means = matching(W, means, "means")
    mix = _column(mix, H)
    return float(((H - mix * means[i] - (1 - mix) * means[j]) @ P).norm(dim=1).div((H @ P).norm(dim=1)).mean())


def segment_distance(H: Tensor, first: Tensor, second: Tensor, mix: Tensor) -> float:
    """Mean over rows of |h - lambda a - (1-lambda) b| / |a - b|: how far the feature of a mixed input lies from the
    same mix of the features a, b of its two parents. All (N, d), mix (N,).

    >>> segment_distance(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2), torch.ones(1) / 2)
    0.5
    """
    H, first, second = (matrix(name, A) for name, A in (("H", H), ("first", first), ("second", second)))
    if not H.shape == first.shape == second.shape:
        raise ValueError(f"first, second have shapes {tuple(first.shape)}, {tuple(second.shape)}: must be that of H")
    mix = _column(mix, H)
    return float(((H - mix * first - (1 - mix) * second).norm(dim=1) / (first - second).norm(dim=1)).mean())


def odds_slope(gaps: Tensor, mix: Tensor) -> float:
    """Least-squares slope, through 0, of the gaps z_i - z_j (N,) on log(lambda/(1-lambda)), mix = lambda (N,).

    1 where a softmax says lambda : (1-lambda) between the two classes of a mix. Raises ValueError for lambda outside
    (0, 1), or all 1/2.

    >>> round(odds_slope(torch.tensor([4.0, 0.0, -4.0]), torch.tensor([0.75, 0.5, 0.25])) * math.log(3), 9)
    4.0
    """
    gaps, mix = (torch.as_tensor(value).detach().double().flatten().cpu() for value in (gaps, mix))
    if gaps.shape != mix.shape or not ((mix > 0) & (mix < 1)).all() or (mix == 0.5).all():
        raise ValueError(f"mix has {len(mix)} weights: must be {len(gaps)}, in (0, 1), not all 1/2")
    odds = torch.logit(mix)
    return float((gaps * odds).sum() / odds.square().sum())


def calibration_error(logits: Tensor, y: Tensor, bins: int = 15) -> float:
    """Expected calibration error: sum over bins of n_b / N |accuracy_b - confidence_b|, in [0, 1].

    logits (N, K), y (N,). The confidence is the largest entry of softmax(logits), the bins are ((b-1)/bins, b/bins].
    Guo et al. (2017), who take 15 bins. Raises ValueError for shapes that do not match and bins below 1.

    >>> z = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.9, 0.1]]).log()
    >>> round(calibration_error(z, torch.tensor([0, 1, 0]), bins=5), 6)
    0.2
    """
    confidence, right = _confidence(logits, y)
    if bins < 1:
        raise ValueError(f"bins = {bins}: must be at least 1")
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.float64, device=place.device).index_add_(0, place, right - confidence)
    return float(gap.abs().sum() / len(right))


def overconfidence(logits: Tensor, y: Tensor) -> float:
    """Mean of the largest softmax entry minus accuracy, logits (N, K) and y (N,): positive where a network is too sure.

    >>> round(overconfidence(torch.tensor([[0.75, 0.25], [0.75, 0.25]]).log(), torch.tensor([0, 1])), 6)
    0.25
    """
    confidence, right = _confidence(logits, y)
    return float((confidence - right).mean())


def _centered(stats: ClassStatistics) -> Tensor:
    present_classes(stats)
    return stats.centered_means


def _normalized(A: Tensor) -> Tensor:
    return A / torch.linalg.norm(A)


def _norm(blocks) -> Tensor:
    """Frobenius norm of a matrix from blocks of its rows."""
    return torch.linalg.norm(torch.stack([torch.linalg.norm(block) for block in blocks]))


def _duality(W: Tensor, M: Tensor) -> Tensor:
    return row_cosines(*matching(W, M, double=False))


def _cv(x: Tensor) -> float:
    return float(x.std(correction=0) / x.mean())


def _mixed(H, W, **labels):
    """H, labels, the centered W and P (d, d) of the metrics of mixed features, on the device of H."""
    H, W = matrix("H", H), rows("W", W)
    W = W.to(H.device) - W.to(H.device).mean(0)
    if H.shape[1] != W.shape[1]:
        raise ValueError(f"H has shape {tuple(H.shape)}, must be (N, {W.shape[1]}) for W of {tuple(W.shape)}")
    given = [torch.as_tensor(value).to(H.device) for value in labels.values()]
    for name, value in zip(labels, given, strict=True):
        if value.shape != (len(H),) or not (0 <= value.min() <= value.max() < len(W)):
            raise ValueError(f"{name} has shape {tuple(value.shape)}, must be ({len(H)},), classes 0 to {len(W) - 1}")
    V = torch.linalg.svd(W, full_matrices=False).Vh[: min(len(W) - 1, W.shape[1])]
    return H, given, W, V.mT @ V


def _column(mix, H):
    mix = torch.as_tensor(mix).to(H)
    if mix.shape != (len(H),) or not ((mix >= 0) & (mix <= 1)).all():
        raise ValueError(f"mix has shape {tuple(mix.shape)}, must be ({len(H)},), in [0, 1]")
    return mix[:, None]


def _confidence(logits, y):
    logits, y = matrix("logits", logits), torch.as_tensor(y)
    if y.shape != (len(logits),):
        raise ValueError(f"y has shape {tuple(y.shape)}, must be ({len(logits)},)")
    confidence, chosen = logits.softmax(1).max(1)
    return confidence, (chosen == y.to(chosen.device)).double()
