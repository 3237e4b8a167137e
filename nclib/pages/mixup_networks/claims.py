"""What page 15 holds against Fisher, Meng, Papyan 2024 (abstract, introduction, captions read).

That something is so is the paper's, by how much is ours. Rules and seeds were fixed before the runs, from a pilot with
networks like these; M3 to M9 are its rows.
"""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.evidence.seeds import by_seed

PLAIN, MIXUP, SQUARED, FIXED = "cross-entropy", "mixup", "mixup, squared error", "mixup, fixed ETF"
SHORT, GENTLE, SMOOTH = "mixup, a quarter of the epochs", "mixup, alpha 0.2", "label smoothing"
SURE = 0.05  # confidence minus accuracy from which on a network is called over-confident


def seeds(table):
    """The seeds of plain training."""
    return table.loc[table["part"] == PLAIN, "seed"].unique()


def of(table, part, metric, **at):
    """One value for each seed; NaN where it is missing."""
    rows = table[(table["part"] == part) & (table["metric"] == metric)]
    for name, value in at.items():
        rows = rows[rows[name] == value]
    return np.array(by_seed(rows.set_index("seed")["value"], seeds(table), "mean"))


def eval_mode(part, metric, mode="eval"):
    """table -> the values of a part."""
    return lambda table: of(table, part, metric, batch_norm=mode)


def ratio(metric, part, other, **at):
    """table -> the values of one part over those of another."""
    return lambda table: of(table, part, metric, **at) / of(table, other, metric, **at)


def change(metric, part, other, **at):
    """table -> the values of one part minus those of another."""
    return lambda table: of(table, part, metric, **at) - of(table, other, metric, **at)


def off_slope(table):
    """|slope - 1| of plain training over that of mixup."""
    plain, mixup = (of(table, part, "slope", batch_norm="eval") for part in (PLAIN, MIXUP))
    return np.abs(plain - 1) / np.abs(mixup - 1)


def early(table, part):
    """The mean of `segment_distance` over all hidden layers but the last."""
    rows = table[(table["part"] == part) & (table["metric"] == "segment_distance")]
    rows = rows[rows["layer"] < rows["layer"].max()].set_index("seed")
    return np.array(by_seed(rows["value"], seeds(table), "mean"))


def has(*parts, sure=None):
    """The need of runs of these parts from every seed; sure: also of a baseline that is over-confident, or that is
    not."""

    def met(table):
        known = [set(table.loc[table["part"] == part, "seed"]) for part in (PLAIN, *parts)]
        if not known[0] or any(known[0] - other for other in known):
            return False
        over = of(table, PLAIN, "overconfidence")
        return sure is None or bool((over >= SURE).all() if sure else (np.abs(over) < SURE).all())

    words = "runs of all parts that it compares, from every seed"
    more = {True: f"; a baseline whose confidence exceeds its accuracy by at least {SURE}", None: ""}
    return Need(words + more.get(sure, f"; a baseline whose confidence is within {SURE} of its accuracy"), met)


READ = {"kind": "paper", "seen": "read"}
DERIVED = {"kind": "extension", "seen": "derived"}
EVAL = {"batch_norm": "eval"}

HEADLINES = [
    Headline(
        "fisher2024.networks.geometry",
        "With mixup, features of one class align with the classifier; those of two lie off the class means",
        [
            Claim(
                "fisher2024.networks.same-class",
                "Mixes within a class: mean cosine of feature and classifier (M5)",
                at_least(0.75),
                eval_mode(MIXUP, "alignment"),
                paper_value="align",
            ),
            Claim(
                "fisher2024.networks.longer",
                "Length of an even mix of two classes over that of mixes within one (M3)",
                at_least(1.1),
                eval_mode(MIXUP, "amplification"),
                paper_value="amplified",
            ),
            Claim(
                "fisher2024.networks.longer-train",
                "The same with batch normalization in train mode, as in the paper's figures",
                at_least(1.0),
                eval_mode(MIXUP, "amplification", "train"),
                paper_value="amplified",
            ),
            Claim(
                "fisher2024.networks.longer-plain",
                "The same of a network trained without mixup",
                at_most(0.75),
                eval_mode(PLAIN, "amplification"),
                seen="derived",
            ),
            Claim(
                "fisher2024.networks.longer-mse",
                "The same with mixup and squared error; 2/3 where mixes interpolate an ETF",
                at_most(0.75),
                eval_mode(SQUARED, "amplification"),
                seen="derived",
                needs=has(SQUARED),
            ),
            Claim(
                "fisher2024.networks.span",
                "Share of a different-class feature in the span of its two classifiers; 2/9 by chance (M6)",
                at_least(0.65),
                eval_mode(MIXUP, "span"),
                seen="derived",
            ),
            Claim(
                "fisher2024.networks.bend",
                "Distance of mixes from the same mix of class means: cross-entropy over squared error (M7)",
                at_least(2.0),
                ratio("bend", MIXUP, SQUARED, **EVAL),
                paper_value="no convex combination, but with squared error",
                needs=has(SQUARED),
            ),
        ],
        of="Fisher et al. 2024, abstract and introduction",
        needs=has(MIXUP),
        **READ,
    ),
    Headline(
        "fisher2024.networks.odds",
        "Between two classes a mixup network says the mixing weight, and the closed form predicts its logits",
        [
            Claim(
                "fisher2024.networks.slope",
                "|slope - 1| of z_i - z_j on log(lambda/(1-lambda)): without mixup over with mixup (M4)",
                at_least(3.0),
                off_slope,
            ),
            Claim(
                "fisher2024.networks.slope-falls",
                "Slope after a quarter of the epochs minus that at the end (M4)",
                at_least(0.0),
                change("slope", SHORT, MIXUP, **EVAL),
                needs=has(SHORT),
            ),
            Claim(
                "fisher2024.networks.predicted",
                "Error of the closed form with one fitted number: with mixup over without",
                at_most(0.5),
                ratio("fit_error", MIXUP, PLAIN, **EVAL),
            ),
        ],
        of="the law of page 14",
        needs=has(MIXUP),
        **DERIVED,
    ),
    Headline(
        "fisher2024.networks.calibration",
        "Mixup improves calibration",
        [
            Claim(
                "fisher2024.networks.ece",
                "Calibration error with mixup over that without, an over-confident baseline (M8)",
                at_most(1.0),
                ratio("ece", MIXUP, PLAIN),
                log=True,
                paper_value="calibrated",
                needs=has(MIXUP, sure=True),
            ),
            Claim(
                "fisher2024.networks.ece-gentle",
                "The same for alpha = 0.2 (M8)",
                at_most(1.0),
                ratio("ece", GENTLE, PLAIN),
                log=True,
                needs=has(GENTLE, sure=True),
            ),
        ],
        of="Fisher et al. 2024, abstract and Fig. 4",
        **READ,
    ),
    Headline(
        "fisher2024.networks.fixed-frame",
        "A classifier fixed to a simplex ETF costs nothing and brings the features nearer to the theory",
        [
            Claim(
                "fisher2024.networks.fixed-accuracy",
                "Test accuracy with the fixed classifier minus that with a learned one, percentage points (M9)",
                near(0.0, 0.5),
                lambda table: 100 * change("accuracy", FIXED, MIXUP, split="test")(table),
                paper_value="no cost",
            ),
            Claim(
                "fisher2024.networks.fixed-alignment",
                "Cosine of same-class features and classifier: fixed minus learned (M9)",
                at_least(0.0),
                change("alignment", FIXED, MIXUP, **EVAL),
                paper_value="nearer to the theory",
            ),
            Claim(
                "fisher2024.networks.fixed-span",
                "Share of different-class features in the span: fixed minus learned (M9)",
                at_least(0.0),
                change("span", FIXED, MIXUP, **EVAL),
                paper_value="nearer to the theory",
            ),
        ],
        of="Fisher et al. 2024, training with a fixed classifier",
        needs=has(MIXUP, FIXED),
        **READ,
    ),
    Headline(
        "fisher2024.networks.layers",
        "Earlier layers take mixed inputs to mixed features, as manifold mixup would have it",
        [
            Claim(
                "fisher2024.networks.segment",
                "Distance of an even mix from the middle of its parents' features, layers before the last: "
                "with mixup over without",
                at_most(1.0),
                lambda table: early(table, MIXUP) / early(table, PLAIN),
                log=True,
                paper_value="as if trained with manifold mixup",
            )
        ],
        of="Fisher et al. 2024, abstract of the first arXiv version; not in the published one",
        needs=has(MIXUP),
        note="that it means this distance is our reading",
        **READ,
    ),
    Headline(
        "fisher2024.networks.cost",
        "What mixup costs: clean features collapse less, a calibrated network loses its calibration; and for others a "
        "fitted temperature does as much",
        [
            Claim(
                "fisher2024.networks.nc1",
                "NC1 of clean training images, trace ratio: with mixup over without",
                at_least(1.5),
                ratio("nc1", MIXUP, PLAIN),
                log=True,
            ),
            Claim(
                "fisher2024.networks.ece-calibrated",
                "Calibration error with mixup over that without, where the baseline is calibrated",
                at_least(1.0),
                ratio("ece", MIXUP, PLAIN),
                log=True,
                needs=has(MIXUP, sure=False),
            ),
            Claim(
                "fisher2024.networks.temperature",
                "Calibration error without mixup after a temperature is fitted over that with mixup, "
                "an over-confident baseline",
                at_most(1.0),
                lambda table: of(table, PLAIN, "ece_scaled") / of(table, MIXUP, "ece"),
                log=True,
                needs=has(MIXUP, sure=True),
            ),
            Claim(
                "fisher2024.networks.smoothing",
                "Calibration error with label smoothing over that with mixup, an over-confident baseline",
                at_least(1.0),
                ratio("ece", SMOOTH, MIXUP),
                log=True,
                needs=has(MIXUP, SMOOTH, sure=True),
            ),
        ],
        of="a question of ours",
        needs=has(MIXUP),
        **DERIVED,
    ),
]
