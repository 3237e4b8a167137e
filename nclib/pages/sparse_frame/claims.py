"""What page 16 holds against Xiao et al. 2024 (their code and logs were read, their tables not) and derives."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most
from nclib.evidence.seeds import by_seed, counted
from nclib.pages.sparse_frame.views import logs, masks, settings, shares

SOURCE = "Xiao et al. 2024"
DERIVED = "Our derivation"


def large(table):
    return len(table[(table["part"] == "large frame") & (table["K"] == 100)]) > 0


def full(table):
    return len(masks(table)) >= 150


def hundred(table):
    return bool((table.loc[table["part"] == "decays", "K"] == 100).any())


LARGE = Need("a frame of K = 100 rows and d = 512 columns", large)
FULL = Need("at least 150 masks", full)
HUNDRED = Need("a long tail of K = 100 classes", hundred)
ADAM = Need("10,000 steps of Adam", lambda table: bool((table.loc[table["part"] == "frames", "steps"] >= 10_000).any()))


def frame(metric, way, part="frames"):
    """table -> for each seed the largest over shapes; of "angle mean" the distance from the ideal."""

    def ours(table):
        seeds = table.loc[table["part"] == part, "seed"].unique()
        rows = table[(table["part"] == part) & (table["metric"] == metric) & (table["way"] == way)].set_index("seed")
        value = (rows["value"] - rows["theory"]).abs() if metric == "angle mean" else rows["value"]
        return by_seed(value, seeds)

    return ours


def agreement(table):
    """For each seed the share of masks that are solved exactly where the generic rank is full."""
    found = masks(table).set_index("seed")
    both = found["solved"] + found["full rank"]
    return by_seed(counted(both != 1, both), found.index.unique(), "mean")


def disjoint(table):
    """For each seed how many masks with a disjoint pair were solved."""
    found = masks(table).set_index("seed")
    both = found["solved"] + found["disjoint"]
    return by_seed(counted(both == 2, both), found.index.unique(), "sum")


def obstruction(table):
    """For each seed, of the masks that are not solved though F >= E, the share that has a disjoint pair."""
    found = masks(table).set_index("seed")
    lost = found[(found["solved"] != 1) & (found["counts"] != 0)]
    return by_seed(lost["disjoint"].where(lost["solved"].notna()), found.index.unique(), "mean")


def formula(table):
    """For each seed the mean over shapes and shares of |share solved - formula|."""
    found = shares(table).set_index("seed")
    return by_seed((found["value"] - found["theory"]).abs(), found.index.unique(), "mean")


def law(metric, t=None):
    """table -> the largest relative error of a norm against the law."""

    def ours(table):
        rows = table[(table["part"] == "flow") & (table["metric"] == metric) & ((table["t"] == t) | (t is None))]
        rows = rows.set_index("seed")
        seeds = table.loc[table["part"] == "flow", "seed"].unique()
        return by_seed((rows["value"] / rows["theory"] - 1).abs(), seeds)

    return ours


def least(setting):
    """table -> the least exponent at K = 100 with both decays, over ratios and strengths."""

    def ours(table):
        found = settings(table)
        found = found[(found["K"] == 100) & (found["setting"] == setting)]
        return found["value"].min(skipna=False) if len(found) else float("nan")

    return ours


def falling(arm):
    """table -> the share of logs whose exponent at round 20 is above that at the last."""

    def ours(table):
        found = logs(table, "exponent", arm)
        return counted(found[20] > found[500], found[20] + found[500]).mean(skipna=False)

    return ours


def last(metric, classes, reduce):
    """table -> the least or largest over logs of the sparse frame at the last round."""

    def ours(table):
        found = logs(table, metric)[500]
        found = found[found.index.get_level_values("classes") == classes] if classes else found
        return float(reduce(found.to_numpy())) if len(found) else float("nan")

    return ours


HEADLINES = [
    Headline(
        "xiao2024.frame.exact",
        "A simplex frame with 60% zeros can be computed exactly, in a fraction of a second",
        [
            Claim(
                "xiao2024.frame.exact.residual",
                "Largest entry of |V V^T - c C|, K = 100, d = 512, beta = 0.6; by it all angles are the ideal one to "
                "1e-9 degrees",
                at_most(1e-12),
                frame("residual", "exact", "large frame"),
            ),
            Claim(
                "xiao2024.frame.exact.seconds",
                "Time for it, seconds",
                at_most(2),
                frame("seconds", "exact", "large frame"),
            ),
        ],
        kind="extension",
        of=f"{SOURCE}, the sparse ETF classifier",
        seen="derived",
        every=True,
        needs=LARGE,
    ),
    Headline(
        "xiao2024.frame.adam",
        "The authors' way, Adam on a random mask, ends near a sparse simplex frame",
        [
            Claim(
                "xiao2024.frame.adam.mean",
                "Distance of the mean angle from the ideal, degrees, beta = 0.6",
                at_most(0.05),
                frame("angle mean", "Adam"),
                paper_value="96.379 of 96.379 at K = 10, 90.578 of 90.579 at K = 100",
            ),
            Claim(
                "xiao2024.frame.adam.spread",
                "Standard deviation of the angles, degrees",
                at_most(1),
                frame("angle std", "Adam"),
                paper_value="0.06 at K = 10, 0.21 at K = 100",
            ),
        ],
        kind="paper",
        of=f"{SOURCE}, the code of the sparse ETF and its logs",
        seen="authors' data",
        needs=ADAM,
    ),
    Headline(
        "xiao2024.frame.exists",
        "A mask allows a simplex frame where the generic rank is full, two disjoint rows are what forbids it, and the "
        "share of random masks that allow one follows a closed formula",
        [
            Claim(
                "xiao2024.frame.exists.rank",
                "Share of masks that are solved exactly where the generic rank is full",
                at_least(0.97),
                agreement,
                every=False,
            ),
            Claim(
                "xiao2024.frame.exists.disjoint",
                "Masks with two disjoint rows that were solved",
                at_most(0),
                disjoint,
                every=True,
            ),
            Claim(
                "xiao2024.frame.exists.binding",
                "Of the masks that are not solved though there are enough unknowns, the share with two disjoint rows",
                at_least(0.9),
                obstruction,
            ),
            Claim(
                "xiao2024.frame.probability.error",
                "Mean over shapes and shares of zeros of |share of masks solved - formula|, an approximation by which "
                "pairs of rows are independent",
                at_most(0.10),
                formula,
            ),
        ],
        kind="extension",
        of=f"{SOURCE}, the sparse ETF classifier",
        seen="derived",
        needs=FULL,
    ),
    Headline(
        "xiao2024.norms.law",
        "On fixed collapsed features the norms follow the law of Lambert's W, and its like under decay; with decay on "
        "both factors and 100 classes the exponent stays at 0.24 or above",
        [
            Claim(
                "xiao2024.norms.law.flow",
                "Largest relative error of a norm after descent to t = 1000",
                at_most(1e-3),
                law("norm", 1000),
            ),
            Claim(
                "xiao2024.norms.law.decay",
                "Largest relative error of a norm at the minimum with decay on W alone",
                at_most(1e-5),
                law("norm decay"),
            ),
            *(
                Claim(
                    f"xiao2024.norms.decays.{key}",
                    f"Least exponent at K = 100 with decay on both factors, {setting}",
                    at_least(0.24),
                    least(setting),
                    needs=HUNDRED,
                )
                for key, setting in {
                    "mse": "squared error",
                    "relu": "ReLU features",
                    "ce": "cross-entropy",
                    "seli": "limit",
                }.items()
            ),
        ],
        kind="extension",
        of=f"{SOURCE}, the norms of the classifier",
        seen="derived",
        every=True,
    ),
    Headline(
        "xiao2024.norms.logs",
        "In the authors' logs the norms follow the class sizes, with an exponent that falls with the rounds, for 100 "
        "classes to below what decay on both factors gives",
        [
            Claim(
                "xiao2024.norms.logs.falls",
                "Share of the sparse frame's logs in which the exponent at round 20 is above the last",
                at_least(1),
                falling("sparse ETF"),
            ),
            Claim(
                "xiao2024.norms.logs.rank",
                "Least rank correlation of norms and class sizes at the last round, sparse frame",
                at_least(0.9),
                last("spearman", None, np.min),
                paper_value="0.895 to 0.972",
            ),
            Claim(
                "xiao2024.norms.unexplained.c100",
                "Largest exponent at the last round, sparse frame, 100 classes",
                at_most(0.24),
                last("exponent", 100, np.max),
                settled="after: the logs had been seen",
            ),
            Claim(
                "xiao2024.norms.unexplained.dense",
                "Share of the dense frame's logs in which the exponent at round 20 is above the last",
                at_least(1),
                falling("dense ETF"),
                settled="after: added when the logs of the other arm were read",
            ),
        ],
        kind="check",
        of=f"{SOURCE}, the logs of the code",
        seen="authors' data",
        note="a description of logs that had been seen, no test",
        every=True,
    ),
]
