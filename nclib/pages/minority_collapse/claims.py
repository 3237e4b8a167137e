"""What page 04 holds against the papers on minority collapse, and against what was derived beside them."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.evidence.seeds import by_seed, counted
from nclib.pages._linear_heads.views import NETWORK
from nclib.pages.minority_collapse import views

ALIVE, MERGED = 1e-3, 1e-4
DANG = "Dang et al. 2023"


def worst(values, seeds, reduce="max"):
    """One value for each seed of rows that have a column `seed`."""
    return by_seed(values.set_axis(seeds), seeds.unique(), reduce)


def overlap_error(query):
    """table -> for each seed the largest |q_k - prediction|."""

    def ours(table):
        rows = views.overlap(table).query(query)
        return worst((rows["q"] - rows["theory"]).abs(), rows["seed"])

    return ours


def excess(table):
    """For each seed the largest |loss - closed form| of the sweep."""
    rows = table[(table["part"] == "sweep") & (table["metric"] == "loss")]
    return worst((rows["value"] - rows["theory"]).abs(), rows["seed"])


def agreement(table):
    """The share of the phase diagram in which the smaller class lives just where beta is below the threshold."""
    rows = views.phase(table)
    return worst(counted((rows["q"] > ALIVE) == (rows["beta"] < 1), rows["q"]), rows["seed"], "mean")


def kept(query, reduce):
    """table -> for each seed the share of classes that survive from the smallest start, over depths."""

    def ours(table):
        rows = views.kept(table)
        rows = rows[rows["start"] == rows["start"].min()].query(query)
        return worst(rows["value"], rows["seed"], reduce)

    return ours


def branch(query, measure):
    """table -> for each seed the largest `measure` of the branches."""

    def ours(table):
        rows = views.branches(table).query(query)
        return worst(measure(rows), rows["seed"])

    return ours


def contrast_error(nonnegative):
    """table -> for each seed the largest error of the contrast over sizes."""

    def ours(table):
        rows = views.cross_entropy(table).query(f"nonnegative == {nonnegative}")
        return worst((rows["value"] - rows["theory"]).abs(), rows["seed"])

    return ours


def contrast_agreement(nonnegative):
    """table -> for each seed the share of sizes at which there is contrast just where n_B is above the threshold."""

    def ours(table):
        rows = views.cross_entropy(table).query(f"nonnegative == {nonnegative}")
        right = counted((rows["value"] > MERGED) == (rows["size"] > rows["threshold"]), rows["value"])
        return worst(right, rows["seed"], "mean")

    return ours


def seli(table, metric):
    """A row for each seed, a column for each lambda, from the largest to the smallest."""
    rows = table[(table["part"] == "SELI") & (table["metric"] == metric)]
    return rows.pivot(index="seed", columns="lam", values="value").sort_index(axis=1, ascending=False)


def approach(table):
    """For each seed 1 - cos of the logits at the smallest lambda over that at the largest."""
    values = seli(table, "logits").to_numpy()
    return values[:, -1] / values[:, 0]


def slopes(table):
    """For each seed the slope of log(1 - cos) against log log(1/lambda) for lambda <= 1e-4."""
    values = seli(table, "logits")
    values = values.loc[:, values.columns <= 1.001e-4]
    if values.shape[1] < 2:
        return [np.nan] * len(values)
    x = np.log(np.log(1 / values.columns.to_numpy()))
    return [np.polyfit(x, np.log(one), 1)[0] for one in values.to_numpy()]


def shapes(table):
    """For each seed the larger 1 - cos of the two Gram matrices at the smallest lambda."""
    return np.max([seli(table, metric).to_numpy()[:, -1] for metric in ("gram_W", "gram_H")], axis=0)


def certificate(table):
    """For each seed the largest |certificate - 1|."""
    return np.abs(seli(table, "certificate").to_numpy() - 1).max(1)


def peeled(ratio, reduce):
    """table -> for each seed the extreme contrast over the sizes of groups at R = ratio R0."""

    def ours(table):
        rows = table[(table["part"] == "layer-peeled") & (table["metric"] == "contrast") & (table["R"] == ratio)]
        return worst(rows["value"], rows["seed"], reduce)

    return ours


def images(query, measure, reduce):
    """table -> for each seed the worst `measure` over classes of images."""

    def ours(table):
        rows = views.network(table).query(query)
        return worst(measure(rows), rows["seed"], reduce)

    return ours


REACHED = Need("lambda down to 1e-7", lambda table: seli(table, "logits").columns.min() <= 1.001e-7)
TRAINED = Need(
    "at least 2,000 steps",
    lambda table: bool((table.loc[table["experiment"] == NETWORK, "epochs"] >= 2000).all()),
)
STARTS = "after: the random starts, of which the lowest is taken, were made more after trial runs; the rule stood"
SIXTEEN = "after: 16 starts for 8, which from another set of seeds missed one of 33 minima; the rule stood"
CONTAINED = "what it contains, the order of deaths and whether q_k fades or jumps, had claims of its own"
CHANGED = "start and learning rate were changed when three seeds had failed"
PAPER = {"kind": "paper", "seen": "recalled", "every": True}
IMAGES = {"needs": TRAINED, "every": False, "seen": "recalled"}
OURS = {"kind": "extension", "seen": "derived", "every": True}

HEADLINES = [
    Headline(
        "dang2023.minority.threshold",
        "A class lives exactly as long as its beta_k is below the threshold of the depth",
        [
            Claim(
                "dang2023.minority.overlap-M1",
                "M = 1: q_k = max(0, 1 - N lambda / sqrt(n_k)) for every class and lambda, so that exactly the classes "
                "beyond the threshold die, and fade before; largest error",
                at_most(1e-5),
                overlap_error("depth == 1"),
                settled=f"{STARTS}; {CONTAINED}",
            ),
            Claim(
                "dang2023.minority.overlap-deep",
                "M = 2, 3: q_k = x^M/(1 + x^M) at the largest root, 0 from the threshold on, so that it jumps there "
                "from (M-1)/M; largest error",
                at_most(1e-5),
                overlap_error("depth > 1"),
                settled=f"{STARTS}; {CONTAINED}",
            ),
            Claim(
                "dang2023.minority.loss",
                "Lowest loss over all starts minus the closed form's minimum; largest absolute difference over M = 1, "
                "2, 3",
                at_most(1e-9),
                excess,
                settled=STARTS,
            ),
            Claim(
                "dang2023.minority.phase-diagram",
                "The smaller of two classes collapses iff beta >= thr(M); share of (n, lambda, M) that agree, M = 1, 2",
                near(1, 0),
                agreement,
                settled=STARTS,
            ),
        ],
        of=f"{DANG}, Theorems 4.1 and 4.4",
        note="numbers recalled, formulas derived",
        **PAPER,
    ),
    Headline(
        "hong2023.minority",
        "Cross-entropy: minority classes merge at the threshold of squared error",
        [
            Claim(
                "hong2023.minority.contrast",
                "Contrast inside the minority against the reduction to four scalars of the convex problem; largest "
                "error over sizes",
                at_most(1e-4),
                contrast_error(False),
            ),
            Claim(
                "hong2023.minority.threshold",
                "The minority has no contrast iff n_B <= N^2 lambda^2; share of sizes where that is so",
                near(1, 0),
                contrast_agreement(False),
            ),
            Claim(
                "hong2023.convexity.certificate",
                "Random starts end at the global minimum: largest |singular value of the dual variable / lambda - 1|",
                at_most(1e-4),
                certificate,
                seen="recalled",
            ),
        ],
        of="Hong & Ling 2023",
        note="threshold and certificate derived; the paper's own form was not read",
        **PAPER | {"seen": "derived"},
    ),
    Headline(
        "dang2024.minority",
        "Nonnegative features under cross-entropy: the threshold is K/(K-1) times as high",
        [
            Claim(
                "dang2024.minority.contrast",
                "Contrast inside the minority against the closed form for nonnegative features; largest error over "
                "sizes",
                at_most(1e-4),
                contrast_error(True),
                settled=SIXTEEN,
            ),
            Claim(
                "dang2024.minority.threshold",
                "The minority has no contrast iff n_B <= N^2 lambda^2 K/(K-1); share of sizes where that is so",
                near(1, 0),
                contrast_agreement(True),
                settled=SIXTEEN,
            ),
        ],
        of="Dang et al. 2024",
        note="formulas derived",
        **PAPER | {"seen": "derived"},
    ),
    Headline(
        "thrampoulidis2022.seli",
        "As lambda falls to 0, the geometry tends to the simplex-encoded labels",
        [
            Claim(
                "thrampoulidis2022.seli.limit",
                "The logits tend to the simplex-encoded labels: 1 - cos at the smallest lambda over that at the "
                "largest",
                at_most(0.1),
                approach,
                settled="after: 0.4 was wide once lambda goes down to 1e-7, which it now needs",
            ),
            Claim(
                "thrampoulidis2022.seli.geometry",
                "W W^T and the features' Gram matrix tend to V S V^T and U S U^T: larger 1 - cos at the smallest "
                "lambda",
                at_most(2e-3),
                shapes,
            ),
        ],
        of="Thrampoulidis et al. 2022",
        note="limit recalled; rule and formulas derived",
        needs=REACHED,
        **PAPER,
    ),
    Headline(
        "dang2023.minority.landscape",
        "With one layer descent finds the classes that live, far from the threshold on images too; with more, small "
        "starts lose classes, and lambda has hysteresis",
        [
            Claim(
                "dang2023.minority.small-starts-M1",
                "M = 1: from the smallest start, the share of classes alive of those that should be",
                near(1, 0),
                kept("depth == 1", "min"),
            ),
            Claim(
                "dang2023.minority.small-starts-deep",
                "M = 2, 3: from the smallest start, the share of classes alive of those that should be; the larger of "
                "the two depths",
                at_most(0.05),
                kept("depth > 1", "max"),
            ),
            Claim(
                "dang2023.minority.local-branch",
                "Followed upward, q is the largest stationary point of the scalar loss, also above the threshold, and "
                "0 from the spinodal on; largest error",
                at_most(1e-4),
                branch("depth > 0", lambda rows: (rows["up"] - rows["local"]).abs()),
            ),
            Claim(
                "dang2023.minority.hysteresis",
                "M = 2, 3: followed downward, collapsed classes stay so below the threshold; largest q on that branch",
                at_most(ALIVE),
                branch("depth > 1", lambda rows: rows["down"]),
            ),
            Claim(
                "dang2023.minority.reversible-M1",
                "M = 1: no hysteresis; largest difference between the two branches",
                at_most(1e-4),
                branch("depth == 1", lambda rows: (rows["up"] - rows["down"]).abs()),
            ),
            Claim(
                "dang2023.minority.network-overlap",
                "A network on digits, M = 1, classes with beta_k <= 1/4: q_k against 1 - N lambda/sqrt(n_k); mean "
                "error",
                at_most(0.01),
                images("beta <= 0.25", lambda rows: (rows["value"] - rows["theory"]).abs(), "mean"),
                settled=f"after: restricted to beta_k <= 1/4 after trial runs; {CHANGED}; 0.05 was wide",
                **IMAGES,
            ),
            Claim(
                "dang2023.minority.network-collapse",
                "A network on digits, M = 1: largest q_k of a class with n_k <= N^2 lambda^2",
                at_most(0.02),
                images("beta >= 1", lambda rows: rows["value"], "max"),
                settled=f"after: {CHANGED}; the rule stood",
                **IMAGES,
            ),
        ],
        of=f"our question: does descent find the minimum of {DANG}, Theorems 4.1 and 4.4?",
        note="numbers of the theorems recalled",
        **OURS,
    ),
    Headline(
        "fang2021.layer-peeled",
        "The limit of small lambda is approached as 1/log^2(1/lambda) only; in the layer-peeled model that of unequal "
        "classes is reached at a finite ratio R0",
        [
            Claim(
                "thrampoulidis2022.seli.rate",
                "Slope of log(1 - cos) against log log(1/lambda) for lambda <= 1e-4",
                near(-2, 0.3),
                slopes,
                settled="after: exponent and tolerance were set after trial runs",
                needs=REACHED,
                every=False,
            ),
            Claim(
                "fang2021.layer-peeled.below",
                "At R = 0.9 R0 they differ: smallest mean |w_j - w_k| for 3, 5, 7 of 10 classes, over sqrt(E_W)",
                at_least(0.1),
                peeled(0.9, "min"),
            ),
            Claim(
                "fang2021.layer-peeled.above",
                "At R = 1.1 R0 they are one: largest mean |w_j - w_k| over sqrt(E_W)",
                at_most(1e-3),
                peeled(1.1, "max"),
            ),
        ],
        of="our rate and our ratio in two limits",
        note="limits recalled: small lambda of Thrampoulidis et al. 2022, an infinite ratio of Fang et al. 2021",
        **OURS,
    ),
]
