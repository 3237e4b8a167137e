"""What page 18 holds against Yang et al. 2025, and against a theorem of ours.

The abstract and the captions were read, the losses in the authors' code; the propositions are known from reviews and
from memory. How large an effect must be is ours, and so are the rules of every claim that is not the paper's.
"""

import numpy as np
from scipy.stats import spearmanr

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most
from nclib.evidence.seeds import by_seed, counted

PAPER = "Yang et al. 2025"
NEAR = 0.05  # NC1 below which a student counts as near collapse
AGREE = "The cosines in the classifier and in the backbone agree near collapse"
CASES = ["seed", "width", "decay", "label_noise", "data_noise", "epoch"]


def seeds(table):
    """All seeds of the table."""
    return sorted(table["seed"].unique())


def main(table):
    """The part that the claims on students are about: CIFAR-10 where it is there, else the mixture."""
    return "CIFAR-10" if (table["part"] == "CIFAR-10").any() else "mixture"


def value(table, metric, arm, query="alpha == 1"):
    """One value a seed of an arm at alpha = 1, as an array; NaN where it is missing."""
    rows = table[(table["part"] == main(table)) & (table["metric"] == metric) & (table["arm"] == arm)].query(query)
    return np.array(by_seed(rows.set_index("seed")["value"], seeds(table), "mean"))


def lead(better, worse):
    """table -> test accuracy of the arm `better` less that of `worse`."""
    return lambda table: value(table, "accuracy", better) - value(table, "accuracy", worse)


def deficit(table):
    """What one head with both losses loses against cross-entropy."""
    return lead("CE", "one head")(table)


def trails_both(table):
    """The lower accuracy of the two losses alone less that of both on one head."""
    alone = np.minimum(value(table, "accuracy", "CE"), value(table, "accuracy", "BinaryKL alone"))
    return alone - value(table, "accuracy", "one head")


def worse_head(metric):
    """table -> a distance from collapse with one head less that with two."""
    return lambda table: value(table, metric, "one head") - value(table, metric, "two heads")


def nc1_ratio(table):
    """NC1 with one head over that with two."""
    return value(table, "nc1", "one head") / value(table, "nc1", "two heads")


def cosines(table, arm="one head"):
    """Both cosines of an arm at alpha = 1, by seed and epoch."""
    rows = table[
        (table["part"] == main(table)) & (table["arm"] == arm) & table["metric"].isin(["cos_w", "cos_backbone"])
    ]
    return rows.pivot(index=["seed", "epoch"], columns="metric", values="value").reindex(
        columns=["cos_w", "cos_backbone"]
    )


def gap(table):
    """Mean over the recorded epochs of the cosine in the backbone less that in the classifier."""
    both = cosines(table)
    return by_seed((both["cos_backbone"] - both["cos_w"]).droplevel("epoch"), seeds(table), "mean")


def opposite(table):
    """Share of the recorded epochs with a negative cosine in the classifier and a positive one in the backbone."""
    both = cosines(table)
    right = counted((both["cos_w"] < 0) & (both["cos_backbone"] > 0), both.sum(axis=1, skipna=False))
    return by_seed(right.droplevel("epoch"), seeds(table), "mean")


def exact(states, *metrics):
    """table -> the largest distance of a cosine from the closed form."""

    def ours(table):
        rows = table[(table["part"] == "states") & table["metric"].isin(metrics) & (table["states"] == states)]
        return by_seed((rows["value"] - rows["theory"]).abs().set_axis(rows["seed"]), seeds(table))

    return ours


def error(metric):
    """table -> an error of `states.identity_errors`."""

    def ours(table):
        rows = table[(table["part"] == "states") & (table["metric"] == metric)]
        return by_seed(rows.set_index("seed")["value"], seeds(table))

    return ours


def separated(table):
    """The largest distance of the two cosines of a state with noise within classes."""
    rows = table[(table["part"] == "states") & (table["states"] == "noise")]
    both = rows.pivot(index=["seed", "loss", "noise", "student"], columns="metric", values="value")
    both = both.reindex(columns=["cos_w", "cos_h"])
    return by_seed((both["cos_h"] - both["cos_w"]).abs().droplevel([1, 2, 3]), seeds(table))


def points(table):
    """Columns nc1, cos_w, cos_backbone and difference of all students of "nearness", by `CASES`."""
    rows = table[(table["part"] == "nearness") & table["metric"].isin(["nc1", "cos_w", "cos_backbone"])]
    found = rows.pivot(index=CASES, columns="metric", values="value")
    found = found.reindex(columns=["nc1", "cos_w", "cos_backbone"])
    return found.assign(difference=found["cos_backbone"] - found["cos_w"])


def near(table):
    """Mean distance of the two cosines where NC1 is below `NEAR`; NaN for a seed with a value missing."""
    found = points(table)
    whole = found.notna().all(axis=1).groupby(level="seed").transform("all")
    chosen = found[found["nc1"].lt(NEAR) | ~whole]["difference"].abs()
    return by_seed(chosen.where(whole).droplevel(CASES[1:]), seeds(table), "mean")


def related(last):
    """table -> Spearman correlation of NC1 with cos_backbone - cos_w over all students: at all epochs, or the last."""

    def ours(table):
        found = points(table)
        if last:
            found = found[found.index.get_level_values("epoch") == found.index.get_level_values("epoch").max()]
        by = {seed: part for seed, part in found.groupby(level="seed")}
        return [_spearman(by[seed]) if seed in by else np.nan for seed in seeds(table)]

    return ours


def _spearman(part):
    return float(spearmanr(part["nc1"], part["difference"])[0]) if part.notna().all(axis=None) else np.nan


def has(part):
    """table -> whether it has the part."""
    return lambda table: bool((table["part"] == part).any())


STATES = Need("the runs at exact states", has("states"))
STUDENTS = Need("students of a range of NC1", has("nearness"))
CENTERED = Need("students with centered features", lambda table: bool((table["arm"] == "CE, centered").any()))
REACHED = Need(
    f"a student of each seed with NC1 below {NEAR}",
    lambda table: has("nearness")(table) and bool(points(table)["nc1"].lt(NEAR).groupby(level="seed").any().all()),
)

HEADLINES = [
    Headline(
        "yang2024.dual-head.exact",
        "At exact collapse the two losses conflict in the classifier where they do in the features, and only there",
        [
            Claim(
                "yang2024.norm", "BinaryKL-Norm less its form as log cosh: largest error", at_most(1e-12), error("norm")
            ),
            Claim(
                "yang2024.kl", "BinaryKL less cross-entropy minus entropy: largest error", at_most(1e-12), error("kl")
            ),
            Claim(
                "yang2024.conflict.sign",
                "32 states: largest distance of a cosine, in W or in h, from the sign of delta",
                at_most(1e-6),
                exact("grid", "cos_w", "cos_h"),
            ),
            Claim(
                "yang2024.conflict.mean.w",
                "With a common mean: largest distance of the cosine in W from the closed form",
                at_most(1e-6),
                exact("mean", "cos_w"),
            ),
            Claim(
                "yang2024.conflict.mean.h",
                "With a common mean: largest distance of the cosine in h from the sign of delta",
                at_most(1e-6),
                exact("mean", "cos_h"),
            ),
            Claim(
                "yang2024.conflict.noise",
                "With noise within classes: largest distance of the two cosines",
                at_least(0.1),
                separated,
            ),
        ],
        kind="extension",
        of="derived here, on Propositions 1 and 2 of Yang et al. 2025",
        seen="derived",
        every=True,
        needs=STATES,
    ),
    Headline(
        "yang2024.dual-head.two-heads",
        "Both losses on one head cost accuracy and collapse; a second head repairs it and beats plain distillation",
        [
            Claim(
                "yang2024.one-head.trails-ce",
                "Accuracy of cross-entropy alone less that of both losses on one head",
                at_least(0.02),
                deficit,
                paper_value="below",
            ),
            Claim(
                "yang2024.one-head.trails-both",
                "Lower accuracy of the two losses alone less that of both on one head",
                at_least(0.0),
                trails_both,
                paper_value="below both",
            ),
            Claim(
                "yang2024.two-heads.ce",
                "Accuracy of two heads with BinaryKL less that of cross-entropy alone",
                at_least(-0.005),
                lead("two heads", "CE"),
                paper_value="above",
            ),
            Claim(
                "yang2024.two-heads.dhkd",
                "Accuracy of DHKD less that of cross-entropy alone",
                at_least(-0.005),
                lead("DHKD", "CE"),
                paper_value="above",
            ),
            Claim(
                "yang2024.two-heads.kd",
                "Accuracy of DHKD less that of plain distillation",
                at_least(0.003),
                lead("DHKD", "KD"),
                paper_value="above",
                seen="recalled",
            ),
            Claim(
                "yang2024.head.angles",
                "Mean of |cos + 1/(K-1)| over pairs of classifiers: one head less two",
                at_least(0.0),
                worse_head("angles_w"),
                paper_value="worse",
                seen="recalled",
            ),
            Claim(
                "yang2024.head.nc3",
                "Distance of W/|W| to M/|M|: one head less two",
                at_least(0.0),
                worse_head("nc3"),
                paper_value="worse",
                seen="recalled",
            ),
            Claim("yang2024.head.nc1", "NC1: one head over two", at_least(1.0), nc1_ratio, log=True, seen="recalled"),
        ],
        kind="paper",
        of=f"{PAPER}, abstract, caption of Fig. 1, and that the linear classifier collapses",
        seen="read",
        note="the measures of collapse are ours",
    ),
    Headline(
        "yang2024.dual-head.asymmetry",
        "The gradients contradict each other in the classifier and not in the backbone",
        [
            Claim(
                "yang2024.asymmetry.gap",
                "Cosine in the backbone less that in the classifier, mean over epochs",
                at_least(0.1),
                gap,
                paper_value="above 0",
            ),
            Claim(
                "yang2024.asymmetry.signs",
                "Share of epochs with a negative cosine in the classifier and a positive one in the backbone",
                at_least(0.5),
                opposite,
                paper_value="all",
            ),
        ],
        kind="paper",
        of=f"{PAPER}, Propositions 1 and 2",
        seen="recalled",
    ),
    Headline(
        "yang2024.dual-head.nearness",
        AGREE,
        [
            Claim(
                "yang2024.nearness.near",
                f"Mean distance of the two cosines where NC1 < {NEAR}",
                at_most(0.1),
                near,
                needs=REACHED,
            ),
            Claim(
                "yang2024.nearness.all",
                "Rank correlation of NC1 with the cosine in the backbone less that in the classifier, all epochs",
                at_least(0.7),
                related(last=False),
            ),
            Claim(
                "yang2024.nearness.last",
                "The same at the last epoch: NC1 varied by width, decay, label noise and data noise alone",
                at_least(0.7),
                related(last=True),
            ),
        ],
        kind="extension",
        of="a prediction of ours, written down before the runs",
        seen="derived",
        needs=STUDENTS,
    ),
    Headline(
        "yang2024.dual-head.where",
        "The damage of two losses on one head lies in the head, not in the step and not in a common mean",
        [
            Claim(
                "yang2024.where.refit",
                "Half the deficit of one head, less what is left of it when that head alone is trained anew",
                at_least(0.0),
                lambda table: deficit(table) / 2 - lead("refit of CE", "refit of one head")(table),
            ),
            Claim(
                "yang2024.where.frozen",
                "Deficit by both losses on a new head of the fixed backbone of CE, less half the deficit of one head",
                at_least(0.0),
                lambda table: lead("refit of CE", "both on CE")(table) - deficit(table) / 2,
            ),
            Claim(
                "yang2024.where.step",
                "Deficit when the summed gradient gets the length of that of CE, less half the deficit of one head",
                at_least(0.0),
                lambda table: lead("CE", "one head, rescaled")(table) - deficit(table) / 2,
            ),
            Claim(
                "yang2024.where.mean",
                "Deficit when features are centered, less half the deficit of one head",
                at_least(0.0),
                lambda table: lead("CE, centered", "one head, centered")(table) - deficit(table) / 2,
                needs=CENTERED,
            ),
        ],
        kind="extension",
        of="a question that the paper leaves open",
        seen="derived",
    ),
]
