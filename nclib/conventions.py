"""All numbers of a measurement in one dict, in the convention of a published source.

Names are the same in every preset, and a preset says what they hold. M is the matrix of present class means minus
their unweighted mean ("centered"), r_k = |m_k|, w_k the rows of the classifier for present classes. Standard deviations
are population ones over classes or pairs j < k (ddof 0) and a cv is std / mean, with the sign of the mean; the code
behind the May 2024 numbers divides by P - 1 over P pairs, which differs by 1e-9 at its 29,233 classes.

                      textbook                 wu-papyan-2024-05              wu-papyan-2024-10
    cdnv_*            / 2 |mean gap|^2         / 2 |mean gap|^4               / 2 |mean gap|^4
    interference_*    cos(m_j, m_k)            cos(m_j, m_k)                  <m_j, m_k>, not a cosine
    gnc2_*            directions of M          directions of the means        directions of M
                                               as they are, not centered
    norm_mean, _cv    of r_k                   of r_k^2                       of r_k

Everything else agrees: norm_log_cv because log r^2 = 2 log r has the same cv, the rest by definition. So cdnv_* of the
textbook is free of scale and the others fall as features grow; gnc2_* of May depends on where the origin of feature
space is; the interference_mean of October is -mean(r_k^2) / (K-1) whatever the angles are, since M sums to zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nclib import metrics, rosetta
from nclib._blocks import PairSample, PairSummary, products, summarize, upper
from nclib._inputs import present_classes, row_blocks, row_cosines
from nclib.statistics import ClassStatistics


@dataclass(frozen=True)
class Preset:
    """Where sources disagree.

    cdnv_power      (v_j + v_k) / (2 |mean_j - mean_k|^(2 power))
    gnc2_centered   log-distances between directions of centered means, or of the means as they are
    cosines         interference is the cosine of centered means, or their inner product
    squared_norms   norm_mean and norm_cv are of |m_k|^2, or of |m_k|
    source          whose convention it is
    """

    cdnv_power: float
    gnc2_centered: bool
    cosines: bool
    squared_norms: bool
    source: str


PRESETS = {
    "textbook": Preset(1, True, True, False, "the usual definitions"),
    "wu-papyan-2024-05": Preset(2, False, True, True, "Wu & Papyan (2024), their results of May 2024 and Table 1"),
    "wu-papyan-2024-10": Preset(2, True, False, False, "Wu & Papyan (2024), their results of October 2024"),
}

MORE = "; where numbers alone are asked for also all, " + ", ".join(rosetta.CODES)

DESCRIPTIONS = {
    "classes": "classes with at least one sample, K",
    "samples": "samples counted, N",
    "nc1": "within-class over between-class variability, tr(Sigma_W Sigma_B^+) / K; 0 when collapsed",
    "nc1_trace_ratio": "within-class over between-class variance, tr Sigma_W / tr Sigma_B; 0 when collapsed",
    "cdnv_mean": "variance of two classes over the squared distance of their means, mean over pairs; 0 when collapsed",
    "cdnv_std": "spread of that over pairs",
    "cdnv_log_mean": "mean over pairs of its logarithm",
    "cdnv_max": "its largest value: the pair of classes that is separated worst",
    "norm_mean": "distance of class means from their center, mean over classes",
    "norm_cv": "spread of those distances over their mean; 0 for equal norms",
    "norm_log_cv": "the same for their logarithms; depends on scale",
    "interference_mean": "cosine of two centered class means, mean over pairs; -1/(K-1) for a simplex ETF",
    "interference_std": "spread of those cosines; 0 for a simplex ETF, 1/sqrt(d) for unrelated directions",
    "interference_cv": "spread over mean of those cosines; unstable, as their mean is nearly 0",
    "gnc2_mean": "log of the inverse distance of two class directions, mean over pairs; smaller is more uniform",
    "gnc2_std": "spread of that over pairs; 0 for a simplex ETF",
    "gnc2_cv": "its spread over its mean",
    "etf_error": "distance of the Gram matrix of centered means from a simplex ETF's; 0 to sqrt(2)",
    "of_error": "distance of the Gram matrix of the means, not centered, from an orthogonal frame's; 0 to sqrt(2)",
    "self_duality": "cosine of classifier row and centered class mean, mean over classes; 1 when dual",
    "uniform_duality": "spread over mean of those cosines; 0 when uniform",
    "duality_std": "spread of those cosines over classes",
    "nc3": "distance of normalized classifier and centered class means, |W/|W| - M/|M||; 0 to 2",
    "dual_error": "distance of W M^T, normalized, from a simplex ETF's Gram matrix; 0 to 2",
    "ncc_agreement": "share of samples where classifier and nearest class mean agree; 1 when they always do",
}


EXACT = 50_000  # classes up to which all pairs are visited by default
SAMPLED = {
    "cdnv_mean_error": "standard error of cdnv_mean, which is of a sample of pairs",
    "gnc2_mean_error": "standard error of gnc2_mean, which is of a sample of pairs",
}


def measure(
    stats: ClassStatistics,
    W: Tensor | None = None,
    *,
    preset: str = "textbook",
    agreement: float | None = None,
    bias: Tensor | None = None,
    pairs: str = "auto",
    seed: int = 0,
) -> dict[str, float]:
    """Every number of `DESCRIPTIONS` that can be had, by name, in the order of that table.

    stats has K >= 2 present classes of dimension d. W (classes of stats, d) is a classifier without its bias, absent
    classes included (their rows are not used). agreement is `metrics.ncc_agreement`, which needs a pass over samples.
    What needs a scatter (nc1), W (self_duality, uniform_duality, duality_std, nc3, dual_error) or agreement
    (ncc_agreement) is left out where that is missing.

    Pairs are visited twice, for cdnv_* and gnc2_*, in blocks: O(K^2 d) time and O(K d) memory. The rest is closed form.
    pairs="sample", and "auto" above 50,000 classes, takes a million of them, drawn with `seed` as `metrics.pair_sample`
    does: then cdnv_mean_error and gnc2_mean_error are standard errors, and cdnv_max, which a sample does not know, is
    left out. "exact" visits all.
    A class mean equal to the center has no direction and makes angles NaN; two equal ones give inf where they divide.

    A preset of `nclib.rosetta.CODES`, or "all", gives {formula: value} of that codebase instead: what its functions
    compute and no more; `bias` (K,) is used there alone.

    Raises ValueError for an unknown preset, pairs other than these, fewer than two present classes, W of another shape
    or not finite, and an agreement outside 0..1.
    """
    if preset == "all" or preset in rosetta.CODES:
        return rosetta.formula_values(stats, W, preset=preset, bias=bias, agreement=agreement)
    rule = find_preset(preset)
    if agreement is not None and not 0 <= agreement <= 1:
        raise ValueError(f"agreement={agreement}, must be a share in 0..1")
    sample = sampled(stats, pairs)
    present_classes(stats)
    # One after another: for a million classes, each of these holds a copy of the means for itself.
    found = {} if stats.scatter is None else {"nc1": metrics.nc1(stats)}
    found["nc1_trace_ratio"] = metrics.nc1_trace_ratio(stats)
    cdnv = (
        metrics.pair_sample("cdnv", stats, seed=seed, power=rule.cdnv_power)
        if sample
        else metrics.cdnv_summary(stats, rule.cdnv_power)
    )
    means = stats.means if stats.present.all() else stats.means[stats.present]
    M = stats.centered_means
    r = torch.linalg.vector_norm(M, dim=1)
    norm = r.square() if rule.squared_norms else r
    interference = metrics.interference(M) if rule.cosines else _inner_products(M)
    kernel = M if rule.gnc2_centered else means
    gnc2 = (
        metrics.pair_sample("log_distance", kernel, seed=seed) if sample else metrics.hyperspherical_uniformity(kernel)
    )
    found = {
        "classes": float(len(M)),
        "samples": float(stats.counts.sum()),
        **found,
        **_pair_values("cdnv", cdnv),
        "norm_mean": float(norm.mean()),
        "norm_cv": _ratio(norm.std(correction=0), norm.mean()),
        "norm_log_cv": metrics.equinorm_cv(M, log=True),
        "interference_mean": interference.mean,
        "interference_std": interference.std,
        "interference_cv": _ratio(interference.std, interference.mean),
        **_pair_values("gnc2", gnc2),
        "etf_error": metrics.nc2(M),
        "of_error": metrics.nc2(means, "of"),
    }
    if W is not None:
        W = present_rows(W, stats, double=False)
        found |= {
            "self_duality": metrics.self_duality(W, M),
            "uniform_duality": metrics.uniform_duality(W, M),
            "duality_std": float(row_cosines(W, M).std(correction=0)),
            "nc3": metrics.nc3(W, M),
            "dual_error": metrics.dual_error(W, M),
        }
    return found if agreement is None else found | {"ncc_agreement": float(agreement)}


def sampled(stats: ClassStatistics, pairs: str) -> bool:
    """Whether `measure` takes a sample of pairs. Raises ValueError for pairs other than "auto", "exact", "sample"."""
    if pairs not in ("auto", "exact", "sample"):
        raise ValueError(f"pairs={pairs!r}, must be auto, exact or sample")
    return pairs == "sample" or (pairs == "auto" and int(stats.present.sum()) > EXACT)


def _pair_values(name, found: PairSummary | PairSample):
    """The entries of `measure` for values over pairs."""
    values = {f"{name}_mean": found.mean}
    if isinstance(found, PairSample):
        values[f"{name}_mean_error"] = found.error
    values[f"{name}_std"] = found.std
    if name == "gnc2":
        return values | {"gnc2_cv": _ratio(found.std, found.mean)}
    values[f"{name}_log_mean"] = found.log_mean
    return values if isinstance(found, PairSample) else values | {f"{name}_max": found.max}


def find_preset(name: str) -> Preset:
    """PRESETS[name]; ValueError for another name."""
    if name not in PRESETS:
        raise ValueError(f"preset={name!r}, must be one of {', '.join(PRESETS)}{MORE}")
    return PRESETS[name]


def present_rows(W: Tensor, stats: ClassStatistics, double: bool = True) -> Tensor:
    """The rows of W (classes of stats, d) of present classes, on the device of stats, float64 or as they are.

    Raises ValueError for another shape and for rows of present classes that are not finite.
    """
    W = torch.as_tensor(W).detach()
    if W.shape != stats.means.shape:
        raise ValueError(f"W has shape {tuple(W.shape)}, must be that of stats.means, {tuple(stats.means.shape)}")
    W = W if stats.present.all() else W[stats.present.to(W.device)]
    W = (W.cpu() if W.device.type == "mps" else W).to(stats.means.device)
    W = W.double() if double else W
    if not all(w.isfinite().all() for (w,) in row_blocks(W)):
        raise ValueError("W holds NaN or inf in the row of a present class, must be finite")
    return W


def _inner_products(M: Tensor) -> PairSummary:
    """Mean and std of <m_j, m_k> over pairs j < k, as `metrics.interference` for rows that are not normalized."""
    K, d = M.shape
    if K <= 2 * d:
        return summarize((upper(values, j, k) for j, k, values in products(M)), logs=False)
    squares = torch.cat([m.square().sum(1) for (m,) in row_blocks(M)])
    mean = (M.sum(0).square().sum() - squares.sum()) / (K * (K - 1))
    square = ((M.mT @ M).square().sum() - squares.square().sum()) / (K * (K - 1))
    return PairSummary(float(mean), float((square - mean**2).clamp(min=0).sqrt()), math.nan, math.nan, math.nan)


def _ratio(a, b) -> float:
    return float(torch.as_tensor(a, dtype=torch.float64) / torch.as_tensor(b, dtype=torch.float64))
