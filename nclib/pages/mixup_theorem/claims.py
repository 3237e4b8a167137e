"""What page 14 holds against Fisher, Meng, Papyan 2024 (abstract, introduction and captions read; the theorem as they
print it was not) and against the closed form, which is derived here. All rules were set before the first run."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, at_least, at_most
from nclib.evidence.seeds import by_seed


def of(table, metric, part="attained"):
    """The rows of a metric, indexed by seed."""
    return table[(table["part"] == part) & (table["metric"] == metric)].set_index("seed")


def seeds(table, part="attained"):
    """The seeds of a part."""
    return table.loc[table["part"] == part, "seed"].unique()


def most(metric, part="attained", reduce="max"):
    """table -> for each seed the largest (or least) value."""
    return lambda table: by_seed(of(table, metric, part)["value"], seeds(table, part), reduce)


def bend(loss, reduce):
    """table -> for each seed the largest (or least) distance from the segment, even mixes with a >= 10."""

    def ours(table):
        found = of(table, "bend")
        found = found[(found["loss"] == loss) & (found["mix"] == 0.5) & (found["a"] > 9.9)]
        return by_seed(found["value"], seeds(table), reduce)

    return ours


def off_odds(table):
    """For each seed the largest distance of the gap from log(lambda/(1-lambda)), at a near 1e4."""
    found = of(table, "gap")
    found = found[found["a"] > 9000]
    return by_seed((found["value"] - np.log(found["mix"] / (1 - found["mix"]))).abs(), seeds(table))


def growth(metric, **at):
    """table -> for each seed the least rise from one a to the next, ten times larger."""

    def ours(table):
        found = of(table, metric).reset_index()
        found = found[np.logical_and.reduce([found[name] == value for name, value in at.items()] or [found["a"] > 0])]
        wide = found.pivot(index=["seed", "num_classes", "length"], columns="lam_H", values="value")
        steps = (wide[wide.columns[:-1]].to_numpy() - wide[wide.columns[1:]].to_numpy()).min(axis=1)
        return by_seed(wide.assign(least=steps)["least"].droplevel(["num_classes", "length"]), seeds(table), "min")

    return ours


def below_limit(table):
    """For each seed the largest amplification over its limit."""
    found = of(table, "amplification")
    K = found["num_classes"].astype(float)
    return by_seed(found["value"] / np.sqrt(2 * (K - 2) / (K - 1)), seeds(table))


def longest(table):
    """For each seed the least amplification at a near 1e4, K >= 10."""
    found = of(table, "amplification")
    return by_seed(found.loc[(found["a"] > 9000) & (found["num_classes"] >= 10), "value"], seeds(table), "min")


DERIVED = {"kind": "extension", "seen": "derived", "every": True}

HEADLINES = [
    Headline(
        "fisher2024.theorem.closed-form",
        "The best features for a simplex ETF have a closed form by Lambert's W; a free classifier becomes such an ETF",
        [
            Claim(
                "fisher2024.theorem.error",
                "Relative error of the closed form, against a minimizer that does not know it (M1)",
                at_most(1e-6),
                most("error"),
            ),
            Claim(
                "fisher2024.theorem.gradient",
                "Largest entry of the gradient of the objective, which is strictly convex, at the closed form",
                at_most(1e-10),
                most("slope"),
            ),
            Claim(
                "fisher2024.joint.angle",
                "Mean of |cos + 1/(K-1)| over pairs of classifiers, W and H minimized together (M2)",
                at_most(1e-4),
                most("angle", "joint"),
            ),
            Claim(
                "fisher2024.joint.length",
                "Coefficient of variation of the classifiers' lengths",
                at_most(1e-4),
                most("spread", "joint"),
            ),
            Claim(
                "fisher2024.joint.error",
                "Largest relative error of a feature, beside the closed form",
                at_most(1e-4),
                most("error", "joint"),
            ),
        ],
        of="Fisher et al. 2024, theorem on unconstrained features and its assumption; this form is derived here",
        note="the paper's theorem gives implicit equations, which were not read",
        **DERIVED,
    ),
    Headline(
        "fisher2024.theorem.configuration",
        "Same-class features align with the classifier, different-class ones do not interpolate the class means",
        [
            Claim(
                "fisher2024.theorem.same-class",
                "Least cosine of a feature of one class and its classifier",
                at_least(1, 1e-6),
                most("cosine", reduce="min"),
                paper_value="align",
            ),
            Claim(
                "fisher2024.theorem.bend",
                "Even mixes, a >= 10: least distance from the middle of the two classes, over the length",
                at_least(0.2),
                bend("cross-entropy", "min"),
                paper_value="no convex combination",
            ),
            Claim(
                "fisher2024.theorem.bend-mse",
                "The same for squared error, the largest",
                at_most(1e-6),
                bend("squared error", "max"),
                paper_value="convex combination",
            ),
        ],
        kind="paper",
        of="Fisher et al. 2024, abstract and introduction",
        seen="read",
        note="that 0.2 is far is our threshold",
        every=True,
    ),
    Headline(
        "fisher2024.theorem.channel",
        "Between the two classes the logits say log(lambda/(1 - lambda)), and all others fall behind: a channel",
        [
            Claim(
                "fisher2024.theorem.odds",
                "Largest |z_i - z_j - log(lambda/(1 - lambda))| at a near 1e4",
                at_most(0.05),
                off_odds,
            ),
            Claim(
                "fisher2024.theorem.margin",
                "Even mixes: least growth of the margin over other classes when a grows tenfold from 10 on, K = 10",
                at_least(1.0),
                lambda table: growth("margin", mix=0.5, num_classes=10, length=3.0)(table),
            ),
        ],
        of="Fisher et al. 2024, channels along the decision boundary; the law is derived here",
        **DERIVED,
    ),
    Headline(
        "fisher2024.theorem.amplification",
        "With more than three classes an even mix becomes longer than a feature of one class, logarithmically slowly",
        [
            Claim(
                "fisher2024.theorem.longer",
                "Length of an even mix over that of one class at a near 1e4, ten classes or more: the least",
                at_least(1.0),
                longest,
            ),
            Claim(
                "fisher2024.theorem.rises",
                "Least change of that ratio when a grows tenfold (a hundredfold at profile smoke)",
                at_least(0.0),
                growth("amplification"),
            ),
            Claim(
                "fisher2024.theorem.limit",
                "That ratio over its limit sqrt(2(K-2)/(K-1)), the largest",
                at_most(1.0),
                below_limit,
            ),
        ],
        of="Fisher et al. 2024, amplification; the limit is derived here",
        **DERIVED,
    ),
]
