"""What page 21 holds against papers on spectra and phases, in a toy. The rules were written before the runs that they
judge, after trials of one other seed with other distances of the clusters, weight decays and grids."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from nclib.evidence.claims import Claim, Headline, at_least, at_most
from nclib.pages.spectra.views import boundary, counts, grid, seeds


def miss(line, shift=0):
    """table -> the largest |outliers - (K - shift)| over numbers of classes, by seed; NaN where one is missing."""

    def ours(table):
        rows = counts(table)
        wide = rows[rows["line"] == line].pivot(index="K", columns="seed", values="value")
        wide = wide.reindex(index=sorted(table["classes"].dropna().unique()), columns=seeds(table)).astype(float)
        target = pd.Series(wide.index.astype(float) - shift, index=wide.index)
        return wide.sub(target, axis=0).abs().max(skipna=False).to_numpy()

    return ours


def apart(table):
    """The mean number of steps of width between the boundary and the largest jump, by seed."""
    return [float(np.mean(np.abs(np.subtract(*boundary(table, seed))))) for seed in seeds(table)]


def area(table, metric):
    """The area under the curve of -metric as a predictor of a gain by averaging, by seed; NaN where a value is missing
    or all networks are alike."""
    return [_area(-grid(table, metric, seed), grid(table, "gain", seed)) for seed in seeds(table)]


def _area(score, gain):
    if score.shape != gain.shape or not score.size or score.isna().any(axis=None) or gain.isna().any(axis=None):
        return np.nan
    score, gains = score.to_numpy().ravel(), gain.to_numpy().ravel() > 0
    positive, negative = gains.sum(), (~gains).sum()
    if not positive * negative:
        return np.nan
    return float((rankdata(score)[gains].sum() - positive * (positive + 1) / 2) / (positive * negative))


SAGUN, ZOO = "Sagun et al. 2017, abstract (toy)", "Schürholt et al. 2025, abstract (toy)"
HESSIAN, PHASES = "collapses.hessian", "collapses.zoo"

HEADLINES = [
    Headline(
        f"{HESSIAN}.outliers",
        "The Hessian has as many outliers as there are classes",
        [
            Claim(
                f"{HESSIAN}.all",
                "All parameters: largest distance of their number from K",
                at_most(1.0),
                miss("all parameters"),
                every=True,
            )
        ],
        kind="paper",
        of=SAGUN,
        seen="read",
        note="an outlier is what lies above the largest gap of the logarithms: our rule",
    ),
    Headline(
        f"{HESSIAN}.last",
        "The last layer has K outliers on centered features and K - 1 on others, as at exact collapse",
        [
            Claim(
                f"{HESSIAN}.centered",
                "Centered: largest distance of their number from K",
                at_most(1.0),
                miss("last layer, centered"),
                every=True,
            ),
            Claim(
                f"{HESSIAN}.uncentered",
                "As they are: largest distance of their number from K - 1",
                at_most(1.0),
                miss("last layer", 1),
                every=True,
            ),
        ],
        kind="extension",
        of="our derivation at exact collapse",
        seen="derived",
    ),
    Headline(
        f"{PHASES}.averaging",
        "The phase of a network plays a role in whether averaging helps it",
        [
            Claim(
                f"{PHASES}.loss",
                "Area under the curve, training loss as predictor",
                at_least(0.8),
                lambda table: area(table, "loss"),
            ),
            Claim(
                f"{PHASES}.ratio",
                "The same, trace ratio of NC1 as predictor",
                at_least(0.8),
                lambda table: area(table, "trace_ratio"),
                seen="derived",
            ),
        ],
        kind="paper",
        of=ZOO,
        seen="read",
        note="0.8 is ours",
    ),
    Headline(
        f"{PHASES}.order",
        "NC1 jumps where networks become wide enough to fit",
        [
            Claim(
                f"{PHASES}.jump",
                "Steps of width between the first fit and the largest jump, the mean over batches",
                at_most(1.0),
                apart,
            )
        ],
        kind="extension",
        of="a question of ours",
        seen="derived",
    ),
]
