"""What Wu & Papyan 2024 say of their 230 models, and the rules that decide it on their own numbers."""

import math

import numpy as np
from scipy.stats import beta

from nclib.evidence.claims import Claim, Headline, Interval, at_least, at_most, near
from nclib.evidence.permutation import bonferroni
from nclib.pages.linguistic_published.tables import TABLE1, trend, value

PAPER = "Wu & Papyan 2024"
LAST = "10 epochs, 0.0005"
TRIALS = 10_000
ENDS = {"width": "64 to 1024", "depth": "1 to 12 layers"}
DEVELOPS = {  # property: (statistic, +1 where a larger value is nearer to collapse)
    **{"nc1": ("cdnv_log10", -1), "gnc2": ("gnc2_std", -1), "nc3": ("self_duality", 1)},
    **{"unc3": ("uniform_duality", -1), "nc4": ("agreement", 1)},
}
RELATED = {
    **{"nc1": "cdnv", "nc2-equiangular": "interference_cv", "gnc2": "gnc2_uncentered_cv", "gnc2-centered": "gnc2_cv"},
    **{"nc3": "self_duality", "nc4": "agreement"},
}
LINKED = {"nc1": "cdnv_log10", "gnc2": "gnc2_cv", "unc3": "uniform_duality", "nc4": "agreement"}
RESAMPLED = "after: R² was a single number; it has the interval of a bootstrap over runs, the bound is as it was"


def printed_error(p):
    """How far the p behind a printed one, hits in 10^4, may lie from it: the wider side of its 99.73% interval
    (Clopper, Pearson), that is three standard errors where p is not small."""
    hits = round(p * TRIALS)
    low, high = beta.ppf(0.00135, hits, TRIALS - hits + 1), beta.ppf(0.99865, hits + 1, TRIALS - hits)
    return max(p - low, high - p)


def corrected(table, statistic):
    """p over the 21 seeds, times seven."""
    return bonferroni(value(table, statistic, "seeds", "p"), len(TABLE1))


def resampled(statistic, split="all"):
    """table -> R^2 with the loss (or a difference of two), with its interval over resampled runs."""
    return lambda table: Interval(*(value(table, statistic, split, metric) for metric in ("r2", "r2_low", "r2_high")))


def gain(statistic, by, *, start=0, sign=-1):
    """table -> log of how much nearer to collapse the last width or depth is than that at `start`."""

    def ours(table):
        ends = trend(table, statistic, LAST, by)[[start, -1]]
        logs = math.log(10) * ends if statistic.endswith("log10") else np.log(np.abs(ends))
        return sign * float(np.diff(logs)[0])

    return ours


def printed(name, statistic, column, r2, p):
    """The two claims on a row of Table 1."""
    what, slug = f"{name} ({statistic}), 21 runs of 2 x 768", name.lower().replace(" ", "-").replace(",", "")
    return [
        Claim(
            f"wu2024.published.table1.{slug}.r2",
            f"R² with validation loss: {what}",
            near(r2, 5e-7),
            lambda table: value(table, column, "seeds") ** 2,
            paper_value=r2,
        ),
        Claim(
            f"wu2024.published.table1.{slug}.p",
            f"permutation p: {what}",
            near(p, round(printed_error(p), 5)),
            lambda table: value(table, column, "seeds", "p"),
            paper_value=p,
        ),
    ]


def r2(name, statement, rule, statistic, split="all"):
    """A claim on R^2 over all models."""
    ours = resampled(statistic, split)
    return Claim(f"wu2024.published.{name}", statement, rule, ours, settled=RESAMPLED)


def develops(name, by):
    """The claim that a property improves by a tenth at least."""
    statistic, sign = DEVELOPS[name]
    statement = f"{name.upper()} ({statistic}) with {by}, {ENDS[by]}: log of the gain after 10 epochs"
    return Claim(f"wu2024.published.{by}.{name}", statement, at_least(0.1), gain(statistic, by, sign=sign))


READ = {"kind": "paper", "seen": "read"}
CAPTION = "captions read in a stored copy; which statistic is drawn is not said; the bounds are ours"
RULE = "abstract read; the rule is ours, the values are from the authors' files"

HEADLINES = [
    Headline(
        "wu2024.published.table1",
        "The authors' files give Table 1: R² to every digit, p within the error of its permutations",
        [claim for name, row in TABLE1.items() for claim in printed(name, *row)],
        kind="paper",
        of=f"{PAPER}, Table 1",
        seen="recalled",
        note="printed value recalled, not read; ours from the authors' files",
    ),
    Headline(
        "wu2024.published.beyond-scale",
        "Apart from scale, each measure of collapse goes with the loss",
        [
            Claim(
                f"wu2024.published.beyond-scale.{name}",
                f"{name} over 21 seeds: p of the relation with the loss, times seven",
                at_most(0.05),
                lambda table, column=column: corrected(table, column),
                paper_value="p < 0.05 before correction",
            )
            for name, column in RELATED.items()
        ],
        of=f"{PAPER}, abstract",
        note='"some relationship ... independent of scale", read; that each is tested and corrected is ours',
        **READ,
    ),
    Headline(
        "wu2024.published.linked",
        "Across models NC1, GNC2, UNC3 and NC4 are linked to the loss",
        [r2(f"fig1.{name}", f"{name.upper()}: R² over 230 models", at_least(0.5), of) for name, of in LINKED.items()],
        of=f"{PAPER}, abstract and Fig. 1",
        note=RULE,
        **READ,
    ),
    Headline(
        "wu2024.published.angles",
        "Equal lengths and self-duality hardly go with the loss, equal angles and uniform duality some, hyperspherical "
        "uniformity more",
        [
            r2("fig2.equinorm", "equinormness (CV of norms), negligible: R²", at_most(0.1), "norm_cv"),
            r2("fig2.equinorm-log", "the same by Table 1's CV of log norms", at_most(0.1), "norm_log_cv"),
            r2("fig2.equiangular", "equiangularity (CV of cosines), some: R²", at_least(0.1), "interference_cv"),
            r2(
                "fig2.uniformity",
                "uniformity (CV of log-distances) over equiangularity: difference of R²",
                at_least(0.0),
                "gnc2_cv less interference_cv",
            ),
            r2("fig3.nc3", "self-duality (NC3), negligible: R² over 230 models", at_most(0.1), "self_duality"),
            r2(
                "fig3.nc3-late",
                "the same among the 120 models of 10-epoch runs",
                at_most(0.1),
                "self_duality",
                split="epochs 10",
            ),
            r2("fig3.unc3", "uniform duality (UNC3), some: R²", at_least(0.1), "uniform_duality"),
            r2(
                "fig3.unc3-stronger",
                "UNC3 over NC3: difference of R²",
                at_least(0.0),
                "uniform_duality less self_duality",
            ),
        ],
        of=f"{PAPER}, Figs. 2 and 3",
        note=CAPTION,
        **READ,
    ),
    Headline(
        "wu2024.published.scale",
        "Every measure comes nearer to collapse with width, with depth and with weight decay",
        [
            *(develops(name, by) for name in DEVELOPS for by in ENDS),
            *(
                Claim(
                    f"wu2024.published.decay.{name}",
                    f"{name.upper()} ({of}): share of 30 shapes that decay 0.1 improves over 5e-4, 10 epochs",
                    at_least(0.9),
                    lambda table, of=of: value(table, of, "10 epochs", "improved"),
                )
                for name, (of, _) in DEVELOPS.items()
            ),
        ],
        of=f"{PAPER}, abstract",
        note=f'"NC properties that develop with scale (and regularization)": {RULE}',
        **READ,
    ),
    Headline(
        "wu2024.published.scale-free",
        "Freed of what scale does by itself, NC1 and GNC2 still come nearer to collapse with width",
        [
            Claim(
                "wu2024.published.width.nc1-dimensionless",
                "NC1 made dimensionless, beyond width 128: log of the gain after 10 epochs",
                at_least(0.1),
                gain("cdnv_scaled_log10", "width", start=1),
            ),
            Claim(
                "wu2024.published.width.gnc2-over-null",
                "GNC2's spread over that of independent directions: log of the gain after 10 epochs",
                at_least(0.1),
                gain("gnc2_excess", "width"),
            ),
        ],
        kind="extension",
        of="the rule on scale above, for statistics that scale does not move",
        seen="derived",
    ),
]
