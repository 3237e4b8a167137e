"""What page 11 holds against Wu & Papyan 2024: do the measures of collapse go with the loss, and do they come with
scale?

Claims are functions of models, as `models` makes them of the page's table. Each value has its interval by a bootstrap
over models; those whose validation loss rose are left out. The paper's values were computed anew from the authors'
published measurements of 230 models. How large a relation has to be is ours.
"""

import math
from functools import partial

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most
from nclib.pages._language_models.models import columns, interval
from nclib.pages.linguistic_scaling.views import pearson, signed_r2, within_width

NAMES = {
    "nc1": "NC1, log of the mean CDNV over distance^4",
    "gnc2": "GNC2, coefficient of variation of the log-distance",
    "unc3": "UNC3, coefficient of variation of the cosines",
    "nc4": "NC4, one minus the agreement",
}


def measured(models):
    """Those whose validation loss did not rise. `epochs`: those before the measurement, of `planned` ones."""
    return models[~models["rose"]].rename(columns={"epochs": "planned", "step": "epochs"})


def enough(models):
    """Whether every run has 600 updates, and nine measured models have not risen."""
    return bool(models["updates"].min() >= 600) and len(measured(models)) >= 9


def both_decays(models, epochs, most=math.inf):
    """Models at the end of `epochs` to `most` epochs, a row a shape; columns (metric, weight decay)."""
    frame = measured(models)
    frame = frame[frame["planned"].between(epochs, most) & (frame["epochs"] == frame["planned"])]
    wide = frame.pivot(index=["width", "depth", "planned"], columns="weight_decay", values=DECAYED)
    return wide.dropna() if wide.columns.get_level_values(1).nunique() > 1 else wide.iloc[:0]


DECAYED = ["validation", "nc1", "gnc2_std", "self_duality", "ncc_agreement"]
ENOUGH = Need(
    "at least 600 updates in every run, and nine measured models or more whose validation loss has not risen", enough
)
LONG = Need(
    "shapes with ten epochs at both weight decays", lambda models: enough(models) and len(both_decays(models, 10)) > 0
)
SHORT = Need(
    "shapes with one epoch at both weight decays", lambda models: enough(models) and len(both_decays(models, 1, 1)) > 0
)


def over(statistic):
    """models -> a statistic of its measured models with its interval."""
    return lambda models: interval(columns(measured(models)), statistic)


def with_loss(metric, rows):
    """`signed_r2` of a column with the validation loss."""
    return signed_r2(rows[metric], rows["validation"])


def over_null(metric, rows):
    """The same of a column over that of independent directions."""
    return signed_r2(rows[metric] / rows[f"null_{metric}"], rows["validation"])


def weaker(first, second, rows):
    """R^2 of the first column minus that of the second."""
    return abs(with_loss(first, rows)) - abs(with_loss(second, rows))


def trend(metric, factor, rows):
    """Spearman's rho of a column with a factor; NaN where one of them does not vary."""
    return pearson(ranks(rows[factor]), ranks(rows[metric]))


def ranks(values):
    """Average ranks from 1, as of scipy.stats.rankdata, which takes ten times as long for the few values of a draw."""
    _, places, ties = np.unique(values, return_inverse=True, return_counts=True)
    return np.where(np.isnan(values).any(), np.nan, (ties.cumsum() - (ties - 1) / 2)[places])


def peak(models):
    """NC3 at the best width inside the range, over the better of the ends: means over the depths that all widths have,
    after the longest training at the smallest weight decay. The interval is over depths."""
    return interval(by_width(measured(models)).to_numpy(), inner)


def by_width(frame):
    """NC3 after the longest training at the smallest weight decay: a row for each depth that all widths have."""
    frame = frame[frame["weight_decay"] == frame["weight_decay"].min()]
    frame = frame[frame["epochs"] == frame["epochs"].max()]
    return frame.pivot(index="depth", columns="width", values="self_duality").dropna()


def inner(wide):
    """The largest mean of the columns but the first and last, minus the larger mean of these two."""
    means = wide.mean(0)
    return means[1:-1].max() - max(means[0], means[-1])


def change(metric):
    """models -> the median over shapes of what the larger weight decay does to a metric after ten epochs or more."""

    def ours(models):
        wide = both_decays(models, 10)[metric]
        changes = wide[wide.columns.max()] - wide[wide.columns.min()]
        return interval(changes.to_numpy(), np.median)

    return ours


def effect(models):
    """Of the five measures the largest median over shapes of |what the larger weight decay does in one epoch|, in
    standard deviations over shapes."""
    return interval(by_decay(both_decays(models, 1, 1)), largest)


def by_decay(wide):
    """A frame with columns (metric, weight decay) as an array (shapes, 2 weight decays, measures)."""
    return np.stack([wide.xs(decay, axis=1, level=1)[DECAYED] for decay in sorted(wide.columns.unique(1))], axis=1)


def largest(values):
    """The same of values (shapes, 2 weight decays, measures)."""
    light, heavy = values[:, 0], values[:, 1]
    with np.errstate(invalid="ignore", divide="ignore"):  # the same shape drawn again and again does not vary
        return float((np.median(np.abs(heavy - light), axis=0) / light.std(0, ddof=1)).max())


R2 = {"nc1": 0.916, "gnc2": 0.841, "unc3": 0.693, "nc4": 0.891}
# Spearman correlations over the authors' 210 models; those of 0.35 and more became claims about the sign.
TRENDS = {
    "validation": ("the validation loss", {"width": -0.73, "depth": -0.48, "epochs": -0.40}),
    "nc1": ("NC1 (log of the mean CDNV)", {"width": -0.58, "depth": -0.49, "epochs": -0.53}),
    "gnc2_std": ("the std of the log-distance", {"width": -0.80, "epochs": -0.42}),
    "uniform_duality": ("UNC3", {"width": -0.58, "epochs": -0.67}),
    "ncc_agreement": ("NC4 agreement", {"width": 0.70, "depth": 0.54}),
    "self_duality": ("NC3 (mean cosine)", {"epochs": 0.72}),
}
# Medians over the authors' 30 shapes of what weight decay 0.1 does in place of 5e-4 in ten epochs.
LATE = {
    "validation": ("the validation loss", -0.0228),
    "nc1": ("NC1 (log of the mean CDNV)", -0.508),
    "gnc2_std": ("the std of the log-distance", -0.0071),
    "self_duality": ("NC3 (mean cosine)", 0.0363),
    "ncc_agreement": ("NC4 agreement", 0.0274),
}


def toward(value, by=0.0):
    """At least `by` for a positive value of the paper, at most -`by` for a negative one."""
    return at_least(by) if value > 0 else at_most(-by)


def trends(factor):
    """The claims that what the paper's models show with a factor, ours do."""
    return [
        Claim(
            f"wu2024.grid.{metric.replace('_', '-')}.{factor}",
            f"{name} {'rises' if factors[factor] > 0 else 'falls'} with {factor}: Spearman's rho over all models",
            toward(factors[factor], 0.2),
            over(partial(trend, metric, factor)),
            paper_value=factors[factor],
            needs=Need(
                f"{ENOUGH.words}, of more than one {factor}",
                lambda models: enough(models) and measured(models)[factor].nunique() > 1,
            ),
        )
        for metric, (name, factors) in TRENDS.items()
        if factor in factors
    ]


PAPER = "Wu & Papyan 2024"
FILES = {"kind": "paper", "seen": "authors' data", "needs": ENOUGH}
OURS = {"kind": "extension", "needs": ENOUGH, "of": "a question of ours"}

HEADLINES = [
    Headline(
        "wu2024.grid.loss",
        "NC1, GNC2, UNC3 and NC4 go with the validation loss, over models of all sizes and trainings",
        [
            Claim(
                f"wu2024.grid.{metric}.loss",
                f"{name}: falls linearly with the validation loss over all models; R^2 with the sign of r",
                at_least(0.5),
                over(partial(with_loss, metric)),
                paper_value=R2[metric],
            )
            for metric, name in NAMES.items()
        ],
        of=f"{PAPER}, Fig. 1",
        note="that half of the variance is enough is our rule",
        **FILES,
    ),
    Headline(
        "wu2024.grid.order",
        "Equal lengths and self-duality matter less for the loss than equal angles and uniform duality",
        [
            Claim(
                f"wu2024.grid.{first.replace('_', '-')}.weaker",
                f"{statement}: R^2 of the first minus R^2 of the second",
                at_most(0.0),
                over(partial(weaker, first, second)),
                paper_value="negative",
            )
            for (first, second), statement in {
                (
                    "norm_cv",
                    "interference_std",
                ): "equinormness is related to the validation loss less than equiangularity is",
                ("self_duality", "uniform_duality"): "NC3 is related to the validation loss less than UNC3 is",
            }.items()
        ],
        kind="paper",
        of=f"{PAPER}, Figs. 2 and 3",
        seen="read",
        note="captions: negligible against some",
        needs=ENOUGH,
    ),
    Headline(
        "wu2024.grid.width",
        "Wider, deeper and longer trained models have a lower loss and more collapse; NC3 alone is largest at middle "
        "widths",
        [
            *trends("width"),
            Claim(
                "wu2024.grid.self-duality.peak",
                "NC3 (mean cosine) after the longest training at the smallest weight decay, mean over depths: largest "
                "at a width inside the range, minus the larger at its two ends",
                at_least(0.0),
                peak,
                paper_value=0.032,
                needs=Need(
                    f"{ENOUGH.words}, those of the longest training of at least three widths",
                    lambda models: enough(models) and by_width(measured(models)).dropna(axis=1).shape[1] > 2,
                ),
            ),
            *trends("depth"),
            *trends("epochs"),
        ],
        of=f"{PAPER}, appendix figures",
        note="rho of at least 0.2 is our rule; NC3's peak is that of the authors' models of three epochs",
        **FILES,
    ),
    Headline(
        "wu2024.grid.decay",
        "A larger weight decay does nothing in one epoch; in ten it lowers the loss and brings more collapse",
        [
            Claim(
                "wu2024.grid.decay.once",
                "Weight decay 0.1 in place of 5e-4 for one epoch: largest over loss, NC1, GNC2, NC3 and NC4 of the "
                "median |change| over shapes, in standard deviations over shapes",
                at_most(0.1),
                effect,
                paper_value=0.070,
                needs=SHORT,
            ),
            *(
                Claim(
                    f"wu2024.grid.decay.{metric.replace('_', '-')}",
                    f"Weight decay 0.1 in place of 5e-4 for ten epochs {'raises' if value > 0 else 'lowers'} {name}: "
                    "median change over shapes",
                    toward(value),
                    change(metric),
                    paper_value=value,
                    needs=LONG,
                )
                for metric, (name, value) in LATE.items()
            ),
        ],
        of=f"{PAPER}, appendix figures",
        note="that a tenth of a standard deviation is nothing is our rule",
        **FILES,
    ),
    Headline(
        "wu2024.grid.within",
        "Among models of one width the four measures go with the loss, too",
        [
            Claim(
                f"wu2024.grid.{metric}.within-width",
                f"{name}: falls linearly with the validation loss among models of one width; R^2 with the sign of r, "
                "median over widths",
                at_least(0.5),
                over(partial(within_width, metric=metric)),
            )
            for metric, name in NAMES.items()
        ],
        seen="derived",
        note="a width changes the null of an angle and the loss together",
        **OURS,
    ),
    Headline(
        "wu2024.grid.null",
        "The spreads of angles go with the loss beyond what random directions in as many dimensions do",
        [
            Claim(
                f"wu2024.grid.{metric}.beyond-null",
                f"std of the {what}, divided by that of random directions in as many dimensions: still falls linearly "
                "with the validation loss; R^2 with the sign of r",
                at_least(0.5),
                over(partial(over_null, metric)),
            )
            for metric, what in {"interference_std": "cosines", "gnc2_std": "log-distances"}.items()
        ],
        seen="authors' data",
        note="the authors' 230 models give R^2 below 0.1",
        **OURS,
    ),
]
