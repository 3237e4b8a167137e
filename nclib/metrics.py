"""NC1..NC4 and their relatives for many classes: pure functions of statistics, class vectors and classifiers.

M is any (K, d) matrix whose rows are class vectors. The caller chooses it, and so the centering: `stats.means`,
`stats.centered_means` or a weight W[stats.present]. An ETF is centered; an orthogonal frame is not, and scores an NC3
of about 0.3 when it is. Everything is computed in float64, whatever the input, and scalars are python floats. A zero
row or a zero matrix has no direction: metrics that need one return NaN. Pairs of classes are visited in blocks of the
upper triangle, so no summary needs K x K memory.

Every function raises ValueError for a matrix that is not (K, d) with K >= 2, or holds NaN or inf.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nclib._pairs import BLOCK, PairSummary, arg_max, blocks, squared_distances, summarize, upper
from nclib.statistics import ClassStatistics


def nc1(stats: ClassStatistics, *, center: str = "class") -> float:
    """Within-class over between-class variability, tr(Sigma_W Sigma_B^+) / K' over the K' present classes.

    Sigma_W = scatter / N; Sigma_B = D^T D / K' where D holds the present means minus their mean (center="class"), or
    minus the mean of all samples (center="sample", as the code of Dang et al. 2023 does: classes unweighted in
    Sigma_B, yet centered at the sample mean). With D = U S V^T,

        nc1 = sum_{r <= R} v_r^T Sigma_W v_r / s_r^2,    R = min(K' - 1, d),

    by the thin SVD at the exact rank R: no singular value is cut by a tolerance. Means that are equal, as when two
    minority classes merge, give inf, for they are not separated; nearly equal means give a large number.

    Elsewhere: Papyan, Han, Donoho (2020) write tr(Sigma_W Sigma_B^+ / C), the same; some leave out the 1/K', weigh
    classes by n_k / N in Sigma_B, or cut the pseudo-inverse by a tolerance, which *lowers* the value at a merger.

    Raises ValueError if scatter is None, for fewer than two present classes, or another `center`.
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
    return float((((V @ Sigma_W) * V).sum(1) / s[:R].square()).sum())


def nc1_trace_ratio(stats: ClassStatistics) -> float:
    """tr Sigma_W / tr Sigma_B = (sum_k spread_k / N) / (sum_k |mean_k - global_mean|^2 / K'). Needs no scatter.

    The quantity of Tirer, Huang, Niles-Weed (2023), Eq. 3. No factor 1/K' and no inverse: directions are pooled before
    the ratio, so one well separated direction hides the others. inf if all means are equal.
    """
    D = _centered(stats)
    within, between = stats.spread.sum() / stats.counts.sum(), D.square().sum() / len(D)
    return float(within / between) if between > 0 else math.inf


def nc2(M: Tensor, target: str | Tensor = "etf") -> float:
    """Distance to a frame between Gram matrices, | G/|G| - T |_F with G = M M^T as given (no centering).

    T = (I - 11^T/K) / sqrt(K-1) for "etf", I / sqrt(K) for "of", or a (K, K) matrix, used as given: divide a Gram
    matrix by its Frobenius norm first. Between 0 and sqrt(2) for positive semi-definite T of unit norm.

    For "etf" and "of" with K > 2 d the distance is taken as sqrt(2 - 2 <G, T>/|G|) from (d, d) products alone; G has
    rank d, T about K, so the distance is above 0.7 and nothing cancels. Elsewhere: Zhou et al. (2022) apply it to
    W W^T; Dang et al. (2023) to W W^T and to Hbar^T Hbar; others report `equinorm_cv` and `equiangularity` instead.
    """
    M = _rows("M", M)
    K, d = M.shape
    if isinstance(target, str) and target not in ("etf", "of"):
        raise ValueError(f"target={target!r}, must be 'etf', 'of' or a (K, K) matrix")
    if not isinstance(target, str):
        T = _matrix("target", target).to(M.device)
        if T.shape != (K, K):
            raise ValueError(f"target has shape {tuple(T.shape)}, must be {(K, K)} for M of {tuple(M.shape)}")
    elif K > 2 * d:
        trace, ones = M.square().sum(), M.sum(0).square().sum()
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
    """
    W, M = _matching(W, M)
    return float(torch.linalg.norm(_normalized(W) - _normalized(M)))


def equinorm_cv(M: Tensor, log: bool = False) -> float:
    """Coefficient of variation of the row norms, std_k |m_k| / mean_k |m_k| (ddof 0). 0 for equal norms.

    log=True takes log |m_k| for |m_k|, as Wu & Papyan (2024) do; that has the sign of the mean log and depends on the
    scale of M. Elsewhere the sample deviation (ddof 1) and squared norms are also met.
    """
    norms = torch.linalg.vector_norm(_rows("M", M), dim=1)
    return _cv(norms.log() if log else norms)


def equiangularity(M: Tensor) -> float:
    """Mean over pairs j < k of |cos(m_j, m_k) + 1/(K-1)|. 0 for a simplex ETF; no centering of its own.

    As in Papyan, Han, Donoho (2020), "maximal-angle equiangularity"; their "equiangularity" is the std of the cosines,
    which is `interference(M).std`.
    """
    U = _unit_rows(_rows("M", M))
    K = len(U)
    sums = [(upper(U[j] @ U[k].mT, j, k) + 1 / (K - 1)).abs().sum() for j, k in blocks(K)]
    return float(torch.stack(sums).sum() / (K * (K - 1) / 2))


def self_duality(W: Tensor, M: Tensor) -> float:
    """Mean over classes of cos(w_k, m_k), 1 when classifier and class vectors are parallel (Wu & Papyan 2024, NC3)."""
    return float(_duality(W, M).mean())


def uniform_duality(W: Tensor, M: Tensor) -> float:
    """Coefficient of variation over classes of cos(w_k, m_k): std (ddof 0) / mean (Wu & Papyan 2024, UNC3)."""
    return _cv(_duality(W, M))


def cdnv(stats: ClassStatistics, power: float = 1) -> Tensor:
    """Class-distance normalized variance of every pair, (K, K) float64:

        (v_j + v_k) / (2 |mean_j - mean_k|^(2 power)),    v_k = spread_k / n_k.

    power=1 is Galanti, Gyorgy, Hutter (2022), free of scale; power=2 is what the code of Wu & Papyan (2024) computes,
    which falls as features grow. Two equal means give inf. The diagonal and absent classes, which form no pairs, are
    NaN. This needs a few K x K matrices: for many classes use `cdnv_summary`.
    """
    present = _check_present(stats)
    K = len(stats.means)
    every = slice(0, len(present))
    values = _cdnv_block(stats, power)(every, every).fill_diagonal_(math.nan)
    out = stats.means.new_full((K, K), math.nan)
    out[present[:, None], present] = values
    return out


def cdnv_summary(stats: ClassStatistics, power: float = 1) -> PairSummary:
    """PairSummary of `cdnv` over pairs of present classes, in O(K d + block^2) memory."""
    K = len(_check_present(stats))
    block = _cdnv_block(stats, power)
    return summarize(upper(block(j, k), j, k) for j, k in blocks(K))


def hyperspherical_uniformity(M: Tensor) -> PairSummary:
    """PairSummary of -log |u_j - u_k| over pairs of unit rows u_k = m_k / |m_k|; no centering of its own.

    The logarithmic kernel of GNC2 (Liu et al. 2023; Wu & Papyan 2024). Equal directions give inf. Wu & Papyan define it
    on centered means, while the numbers of their Table 1 come from uncentered ones.
    """
    U = _unit_rows(_rows("M", M))
    return summarize(upper(-0.5 * squared_distances(U, U, j, k).log(), j, k) for j, k in blocks(len(U)))


def interference(M: Tensor, extremes: bool = False) -> PairSummary:
    """PairSummary of cos(m_j, m_k) over pairs j < k; min, max and log_mean are NaN unless extremes=True.

    A mean of -1/(K-1) and a std of 0 are the simplex ETF; unrelated directions have a std of 1/sqrt(d). With unit rows
    U and P = K(K-1)/2 pairs,

        mean = (|sum_k u_k|^2 - K) / (2P),    mean square = (|U^T U|_F^2 - K) / (2P),

    in O(K d^2). For K <= 2 d, where the cosines may all be equal and their variance would cancel, pairs are visited.
    Elsewhere `interference` is also used for the inner products before normalization.
    """
    U = _unit_rows(_rows("M", M))
    K, d = U.shape
    if extremes or K <= 2 * d:
        summary = summarize(upper(U[j] @ U[k].mT, j, k) for j, k in blocks(K))
        return summary if extremes else summary._replace(min=math.nan, max=math.nan, log_mean=math.nan)
    mean = (U.sum(0).square().sum() - K) / (K * (K - 1))
    square = ((U.mT @ U).square().sum() - K) / (K * (K - 1))
    return PairSummary(float(mean), float((square - mean**2).clamp(min=0).sqrt()), math.nan, math.nan, math.nan)


def ncc_agreement(H: Tensor, W: Tensor, b: Tensor | None, means: Tensor, present: Tensor | None = None) -> float:
    """NC4: the share of rows h of H (..., d) whose arg max_k (w_k h + b_k) is the class of the nearest mean, in [0, 1].

    W and means (K, d), b (K,) or None. `present` (K,) bool keeps absent classes from being nearest; the classifier may
    still choose them. The first class wins a tie. Elsewhere: Papyan, Han, Donoho (2020) plot one minus this.

    Raises ValueError for no rows, no present class, and shapes that do not match.
    """
    W, means = _matching(W, means, "means")
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
    origin = means[label].mean(0)
    centers = means[label] - origin
    agree = 0
    for h in H.split(BLOCK):
        h = h.to(W.device).double()
        if not h.isfinite().all():
            raise ValueError("H holds NaN or inf, must be finite")
        nearest = label[arg_max(h - origin, centers, -0.5 * centers.square().sum(1))]
        agree += int((arg_max(h, W, bias) == nearest).sum())
    return agree / len(H)


def effective_rank(A: Tensor) -> float:
    """exp of the entropy (in nats) of p = s / sum s, s the singular values of A (Roy & Vetterli 2007).

    Between 1 and the rank; NaN for A = 0. Elsewhere p is also made of squared singular values.
    """
    s = torch.linalg.svdvals(_matrix("A", A))
    return float(torch.special.entr(s / s.sum()).sum().exp())


def _matrix(name: str, A: Tensor) -> Tensor:
    A = torch.as_tensor(A).detach()
    A = (A.cpu() if A.device.type == "mps" else A).double()  # MPS has no float64
    if A.ndim != 2 or A.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(A.shape)}, must be a matrix that is not empty")
    if not A.isfinite().all():
        raise ValueError(f"{name} holds NaN or inf, must be finite")
    return A


def _rows(name: str, M: Tensor) -> Tensor:
    M = _matrix(name, M)
    if len(M) < 2:
        raise ValueError(f"{name} has shape {tuple(M.shape)}, must be (K, d) with K >= 2")
    return M


def _matching(W, M, name: str = "M") -> tuple[Tensor, Tensor]:
    W, M = _rows("W", W), _rows(name, M)
    if W.shape != M.shape:
        raise ValueError(f"{name} has shape {tuple(M.shape)}, must be that of W, {tuple(W.shape)}")
    return W, M


def _check_present(stats: ClassStatistics) -> Tensor:
    present = stats.present.nonzero()[:, 0]
    if len(present) < 2:
        raise ValueError(f"stats has {len(present)} present classes (count > 0), at least 2 are needed")
    return present


def _centered(stats: ClassStatistics) -> Tensor:
    _check_present(stats)
    return stats.centered_means


def _normalized(A: Tensor) -> Tensor:
    return A / torch.linalg.norm(A)


def _unit_rows(M: Tensor) -> Tensor:
    return M / torch.linalg.vector_norm(M, dim=1, keepdim=True)


def _duality(W: Tensor, M: Tensor) -> Tensor:
    W, M = _matching(W, M)
    return (_unit_rows(W) * _unit_rows(M)).sum(1)


def _cv(x: Tensor) -> float:
    return float(x.std(correction=0) / x.mean())


def _cdnv_block(stats: ClassStatistics, power: float):
    if not power > 0:
        raise ValueError(f"power={power}, must be positive")
    present = stats.present
    X, A = stats.means[present], stats.centered_means
    v = stats.spread[present] / stats.counts[present]

    def block(j: slice, k: slice) -> Tensor:
        D2 = squared_distances(X, A, j, k)
        ratio = (v[j, None] + v[k]) / (2 * D2**power)
        return torch.where(D2 == 0, math.inf, ratio)

    return block
