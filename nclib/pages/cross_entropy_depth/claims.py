"""What page 05 holds against Dang et al. 2023, abstract (read; their theorem on cross-entropy was not), and what was
derived and certified: `tests/test_pages_cross_entropy_depth.py` has the certificate."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.evidence.seeds import by_seed, counted
from nclib.pages.cross_entropy_depth.views import ends, pairs

BELOW = 1e-5
CASES = (1, 4), (2, 4), (2, 6), (3, 4), (3, 6)


def census(table, depth, num_classes, lam=None):
    """One row a start, indexed by seed: `lam`, `value` (loss over the ETF's) and `rank`."""
    found = ends(table)
    found = found[(found["depth"] == depth) & (found["num_classes"] == num_classes)]
    return found[(found["lam"] == lam) | (lam is None)].set_index("seed")


def has(*cases):
    """The need of a census of these (M, K)."""

    def met(table):
        known = table.loc[table["part"] == "census", ["depth", "num_classes"]].drop_duplicates()
        return set(cases) <= set(known.itertuples(index=False, name=None))

    return Need("a census of " + ", ".join(f"M = {M}, K = {K}" for M, K in cases), met)


def seeds(table):
    """The seeds of the census."""
    return table.loc[table["part"] == "census", "seed"].unique()


def lowest(M, K):
    """table -> the lowest loss of the starts at lambda = 1e-3."""

    def ours(table):
        exact = table[(table["part"] == "census") & (table["metric"] == "etf") & (table["lam"] == 1e-3)]
        etf = exact.loc[(exact["depth"] == M) & (exact["num_classes"] == K), "value"].max(skipna=False)
        return by_seed(census(table, M, K, 1e-3)["value"] * etf, seeds(table), "min")

    return ours


def share(M, K):
    """table -> the share of starts that end below the ETF."""

    def ours(table):
        ratio = census(table, M, K)["value"]
        return by_seed(counted(ratio < 1 - BELOW, ratio), seeds(table), "mean")

    return ours


def best_rank(M):
    """table -> the rank of the start with the lowest loss at K = 6, lambda = 1e-3; NaN where a start has no loss."""

    def ours(table):
        found = census(table, M, 6, 1e-3)
        return [_best_rank(found[found.index == seed]) for seed in seeds(table)]

    return ours


def _best_rank(rows):
    lost = rows.empty or rows["value"].isna().any()
    return float("nan") if lost else rows["rank"].iloc[rows["value"].argmin()]


def returned(table):
    """The largest relative change of the loss after noise."""
    back = table[(table["depth"] >= 2) & (table["metric"] == "return_ratio")].set_index("seed")["value"]
    return by_seed((back - 1).abs(), seeds(table))


def curvature(table):
    """The least of all M >= 2."""
    return table.loc[(table["depth"] >= 2) & (table["metric"] == "curvature"), "value"].min(skipna=False)


def small_lambda(table):
    """How many pairs (M, K) the rule gets wrong at the smallest decay."""
    smallest = pairs(table).query("lam == lam.min()")
    wrong = counted((smallest["ratio"] < 1) != (smallest["wins"] > 0), smallest["ratio"])
    return wrong.sum(skipna=False)


def every_decay(table):
    """How many (M, K, lambda) with the rule have an ETF that is better than 0 and not worse than the cross-polytope."""
    wrong = 0.0
    for found in (pairs(table), pairs(table, "large decays")):
        found = found[(found["wins"] > 0) & ~(found["etf"] > np.log(found["K"].astype(float)) - 1e-12)]
        wrong += counted(found["cross_polytope"] >= found["etf"], found["ratio"]).sum(skipna=False)
    return wrong


def turns(table):
    """At how many decays around 0.01175 the order of the two at M = 2, K = 4 is another: above it the cross-polytope is
    lower."""
    found = pairs(table, "M=2, K=4")
    wrong = counted((found["ratio"] < 1) != (found["lam"] > 0.01175), found["ratio"])
    return wrong.sum(skipna=False)


def slack(table):
    """For each seed the least of loss minus bound, relative to the bound."""
    rows = table[(table["part"] == "shaped") & (table["metric"] == "loss")].set_index("seed")
    return by_seed(rows["value"] / rows["theory"] - 1, rows.index.unique(), "min")


def written(M, K):
    """table -> the lowest loss of all ETFs minus that of the written point."""

    def ours(table):
        rows = table[(table["part"] == "written") & (table["depth"] == M) & (table["num_classes"] == K)]
        values = rows.pivot(index="seed", columns="metric", values="value")
        return values["least"] - values["point"]

    return ours


def one_layer(metric):
    """table -> for each seed the largest relative error of the loss, or error of what else is compared."""

    def ours(table):
        rows = table[(table["part"] == "one layer") & (table["metric"] == metric)].set_index("seed")
        errors = (rows["value"] / rows["theory"] - 1).abs() if metric == "loss" else rows["value"]
        return by_seed(errors, rows.index.unique())

    return ours


def enclosed(M, K):
    """table -> (lower, upper) bound of the lowest loss of an ETF minus that of a cross-polytope."""

    def ours(table):
        rows = table[(table["part"] == "proved") & (table["of"] == "gap")]
        rows = rows[(rows["depth"] == M) & (rows["num_classes"] == K)]
        return [rows.loc[rows["metric"] == end, "value"].min(skipna=False) for end in ("lower", "upper")]

    return ours


def unproved(part, *, M=None, K=None, of=None, metric="proved", right=1):
    """table -> how many certificates of a part are not `right`."""

    def ours(table):
        rows = table[(table["part"] == part) & (table["metric"] == metric)]
        for name, value in {"depth": M, "num_classes": K, "of": of}.items():
            rows = rows if value is None else rows[rows[name] == value]
        return float((rows["value"] != right).sum()) if len(rows) else float("nan")

    return ours


def worst(part):
    """table -> the largest error of a double beside what encloses its number."""

    def ours(table):
        return table.loc[(table["part"] == part) & (table["metric"] == "error"), "value"].max(skipna=False)

    return ours


def refused(M, K):
    """table -> the upper bound of a gap that the certificate must refuse; infinity, which fails, where it does not."""

    def ours(table):
        rows = table[(table["part"] == "refused") & (table["of"] == "gap")]
        rows = rows[(rows["depth"] == M) & (rows["num_classes"] == K)]
        upper, proved = (rows.loc[rows["metric"] == name, "value"] for name in ("upper", "proved"))
        return upper.max(skipna=False) if (proved == 0).all() else float("inf")

    return ours


DERIVED = {"kind": "extension", "seen": "derived", "every": True}

HEADLINES = [
    Headline(
        "dang2023.cross-entropy.global",
        "The simplex ETF is the global minimum of cross-entropy at every depth",
        [
            Claim(
                f"dang2023.cross-entropy.etf-global-M{M}-K{K}",
                f"Cross-entropy, M = {M}, K = {K}: no start ends below the simplex ETF (lowest loss over the ETF's)",
                at_least(1.0, BELOW),
                lambda table, M=M, K=K: by_seed(census(table, M, K)["value"], seeds(table), "min"),
                paper_value="the ETF is the global minimum",
                needs=has((M, K)),
            )
            for M, K in CASES
        ],
        kind="paper",
        of="Dang et al. 2023, abstract",
        seen="read",
        note="the paper's theorem on cross-entropy was not read, and may assume what the abstract does not say",
        every=True,
    ),
    Headline(
        "dang2023.cross-entropy.one-layer",
        "With one layer the simplex ETF is the minimum, in closed form",
        [
            Claim(
                "dang2023.cross-entropy.one-layer.loss",
                "Loss of a minimizer that does not know it against the closed form; largest relative error",
                at_most(1e-12),
                one_layer("loss"),
            ),
            Claim(
                "dang2023.cross-entropy.one-layer.logits",
                "Logits alpha (I - 11^T/K), e^alpha = 1/sqrt(n lam_W lam_H) - K + 1; largest error",
                at_most(1e-6),
                one_layer("logits"),
            ),
            Claim(
                "dang2023.cross-entropy.one-layer.frame",
                "Gram matrix of the class means; largest relative error",
                at_most(1e-6),
                one_layer("gram_H"),
            ),
        ],
        of="our closed form for M = 1",
        **DERIVED,
    ),
    Headline(
        "dang2023.cross-entropy.proved",
        "Where pairs cost less than a simplex, no ETF is a global minimum, at any decay; with two layers and four "
        "classes, too, the cross-polytope wins unless the decay is small",
        [
            Claim(
                "dang2023.cross-entropy.shaped",
                "Points whose logits have K - 1 equal singular values a cost at least g(a), the loss of an aligned and "
                "balanced ETF; least relative excess of random ones",
                at_least(0.0),
                slack,
            ),
            Claim(
                "dang2023.cross-entropy.every-decay",
                "(K/2) 2^(2/(M+1)) < K - 1: the best cross-polytope lies below the best ETF at every decay at which "
                "the latter is not 0; triples (M, K, lambda) where it does not",
                at_most(0),
                every_decay,
            ),
            *(
                Claim(
                    f"dang2023.cross-entropy.point-M{M}-K{K}",
                    f"M = {M}, K = {K}, lambda = 1e-3: a written-down point lies below every ETF by what interval "
                    "arithmetic certified; lowest loss of an ETF minus that of the point",
                    at_least(certified),
                    written(M, K),
                )
                for (M, K), certified in {(2, 6): 0.00192100819, (3, 4): 0.00137926521}.items()
            ),
            Claim(
                "dang2023.cross-entropy.small-lambda-rule",
                "Pairs (M, K) on which the rule (K/2) 2^(2/(M+1)) < K - 1 and the losses at lambda = 1e-15 disagree",
                near(0.0, 0.0),
                small_lambda,
            ),
            Claim(
                "dang2023.cross-entropy.order-M2-K4",
                "M = 2, K = 4: above the ETF at lambda = 0.0117, below it from 0.0118 to 0.159; at how many decays not",
                at_most(0),
                turns,
            ),
        ],
        of="our lemma, our theorem and our closed forms",
        **DERIVED,
    ),
    Headline(
        "dang2023.cross-entropy.proof",
        "Interval arithmetic certifies the gap, and every closed form that it is made of",
        [
            *(
                Claim(
                    f"dang2023.cross-entropy.proof-M{M}-K{K}",
                    f"M = {M}, K = {K}, lambda = 1e-3: lowest loss of an ETF minus that of a cross-polytope, certified "
                    "lower and upper bound",
                    near(value, 5e-16),
                    enclosed(M, K),
                )
                for (M, K), value in {(2, 6): 0.001921671190988, (3, 4): 0.001379672242875}.items()
            ),
            *(
                Claim(
                    f"dang2023.cross-entropy.proof-range-M{M}-K{K}",
                    f"M = {M}, K = {K}: every ETF costs more than the best cross-polytope for all lambda from "
                    f"{low:g} to {high:g}; ranges that are not proved",
                    at_most(0),
                    unproved("ranges", M=M, K=K),
                )
                for M, K, low, high in ((2, 6, 1e-5, 0.12), (3, 4, 1e-5, 0.141), (2, 4, 0.012, 0.159))
            ),
            *(
                Claim(
                    f"dang2023.cross-entropy.proof-pocket-M{M}-K{K}",
                    f"M = {M}, K = {K}, lambda = 1e-3: every ETF costs more than the written-down point, in cells of a "
                    "hand-sized table; cells that are not proved",
                    at_most(0),
                    unproved("pocket", M=M, K=K),
                )
                for M, K in ((2, 6), (3, 4))
            ),
            *(
                Claim(
                    f"dang2023.cross-entropy.proof-refused-M{M}-K{K}",
                    f"M = {M}, K = {K}, lambda = 1e-3, where the ETF is lower: the same code refuses, and encloses a "
                    "negative gap; its upper bound",
                    at_most(0),
                    refused(M, K),
                )
                for M, K in ((1, 6), (2, 4))
            ),
            Claim(
                "dang2023.proof-thresholds",
                "The threshold of collapse is (M-1)^((M-1)/M)/M for M = 2 to 12: depths at which it is not enclosed",
                at_most(0),
                unproved("thresholds"),
            ),
            Claim(
                "dang2023.proof-thresholds-double",
                "The library's thresholds against their enclosures; largest relative error",
                at_most(2.0**-51),
                worst("thresholds"),
            ),
            Claim(
                "dang2023.proof-roots",
                "Squared error, random problems: classes whose global minimum is not certified",
                at_most(0),
                unproved("roots"),
            ),
            Claim(
                "dang2023.proof-roots-double",
                "The library's overlaps against their enclosures; largest relative error",
                at_most(1e-14),
                worst("roots"),
            ),
        ],
        kind="check",
        of="our theorem and closed forms",
        seen="derived",
        note="that squared error decouples over the classes is a theorem of the paper, and not certified here",
        every=True,
    ),
    Headline(
        "dang2023.cross-entropy.landscape",
        "Random starts find the cross-polytope, and rank K/2, though the simplex ETF is a strict local minimum up to "
        "rotations, at every depth tested",
        [
            *(
                Claim(
                    f"dang2023.cross-entropy.lowest-M{M}-K{K}",
                    f"M = {M}, K = {K}, lambda = 1e-3: the lowest loss of the starts is the cross-polytope's",
                    near(value, 5e-7),
                    lowest(M, K),
                    needs=has((M, K)),
                )
                for (M, K), value in {(2, 6): 2.9568e-2, (3, 4): 1.6595e-2}.items()
            ),
            *(
                Claim(
                    f"dang2023.cross-entropy.share-M{M}-K{K}",
                    f"M = {M}, K = {K}: share of random starts that end below the ETF",
                    at_least(0.5),
                    share(M, K),
                    every=False,
                    needs=has((M, K)),
                )
                for M, K in ((2, 6), (3, 4), (3, 6))
            ),
            *(
                Claim(
                    f"dang2023.cross-entropy.rank-M{M}",
                    f"K = 6, lambda = 1e-3: rank of the logits of the best start at M = {M}",
                    near(rank, 0.0),
                    best_rank(M),
                    needs=has((M, 6)),
                )
                for M, rank in {1: 5, 2: 3, 3: 3}.items()
            ),
            Claim(
                "dang2023.cross-entropy.return",
                "Starts at the ETF plus noise return to it: largest change of the loss, relative",
                at_most(0.0, 1e-6),
                returned,
            ),
            Claim(
                "dang2023.cross-entropy.curvature",
                "Smallest Hessian eigenvalue at the ETF but for rotations, over lambda: the least of all M >= 2",
                near(1.0, 1e-6),
                curvature,
            ),
        ],
        of="our census and our test of the ETF",
        **DERIVED,
    ),
]
